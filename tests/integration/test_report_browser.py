# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The report as a browser lays it out: no text cut off, nothing wider than the window, in wide and narrow windows."""

from __future__ import annotations

import json
import re
import shutil
import subprocess
from html import unescape
from pathlib import Path
from typing import Any

import pytest

from analysis.report import build
from tests.unit.fixtures.runs.generator import SyntheticRun

BROWSER = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
# Reads the layout and leaves it in the page, from where the browser prints it; the report itself has no script.
PROBE = """<script>
const outside = [];
for (const drawing of document.querySelectorAll("svg")) {
  const box = drawing.viewBox.baseVal;
  for (const text of drawing.querySelectorAll("text")) {
    const place = text.getBBox();
    const right = place.x + place.width, bottom = place.y + place.height;
    if (place.x < -1 || place.y < -1 || right > box.width + 1 || bottom > box.height + 1)
      outside.push(text.textContent);
  }
}
const found = document.createElement("pre");
found.id = "probe";
found.textContent = JSON.stringify({
  width: window.innerWidth,
  page: document.documentElement.scrollWidth,
  outside: outside,
  drawings: document.querySelectorAll("svg").length,
  ground: getComputedStyle(document.body).backgroundColor,
  ink: getComputedStyle(document.body).color,
});
document.body.append(found);
</script></body>"""

pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium on PATH: the report's layout cannot be looked at")


@pytest.fixture(scope="module", params=["usual", "far apart", "one arm"])
def report(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The report of a usual run, of one with ratios far from 1, and of one arm."""
    truths: dict[str, dict[str, Any]] = {
        "usual": {"effects": {"response_mean_seconds": 1.1}},
        "far apart": {"effects": {"response_mean_seconds": 9.0, "busy_memory_bytes": 0.02}, "blocks": 20},
        "one arm": {"arms": ("serverless",)},
    }
    folder = SyntheticRun(**truths[request.param]).write(tmp_path_factory.mktemp("results"))
    build(folder)
    return folder / "report.html"


def laid_out(report: Path, width: int, tmp_path: Path, page: str | None = None) -> dict[str, Any]:
    """Give what the probe saw of the report in a window of this width."""
    probed = tmp_path / "probed.html"
    text = page if page is not None else report.read_text("utf-8")
    probed.write_text(text.replace("</body>", PROBE), "utf-8")
    assert BROWSER is not None
    # Inside an own frame, since the window of a headless browser has a least width of its own.
    frame = tmp_path / "frame.html"
    frame.write_text(
        f'<iframe src="probed.html" style="width:{width}px;height:4000px;border:0"></iframe>'
        "<script>onload = () => document.body.append("
        'frames[0].document.getElementById("probe").cloneNode(true))</script>',
        "utf-8",
    )
    done = subprocess.run(
        [
            BROWSER,
            *FLAGS,
            "--allow-file-access-from-files",
            f"--user-data-dir={tmp_path / 'profile'}",
            "--dump-dom",
            frame.as_uri(),
        ],
        capture_output=True,
        text=True,
        timeout=90,
        check=True,
    )
    found = re.search(r'<pre id="probe">(.*?)</pre>', done.stdout, re.S)
    assert found is not None, done.stderr[-2000:]
    seen: dict[str, Any] = json.loads(unescape(found.group(1)))
    return seen


@pytest.mark.parametrize("width", [400, 1200])
def test_nothing_is_cut_off_or_wider_than_the_window(report: Path, width: int, tmp_path: Path) -> None:
    seen = laid_out(report, width, tmp_path)
    assert seen["width"] == width
    assert seen["page"] <= width
    assert seen["outside"] == []
    assert seen["drawings"] >= 6


def test_dark_has_light_ink_on_a_dark_ground(report: Path, tmp_path: Path) -> None:
    light = laid_out(report, 1200, tmp_path)
    page = report.read_text("utf-8").replace("(prefers-color-scheme: dark)", "all")
    (tmp_path / "dark").mkdir()
    dark = laid_out(report, 1200, tmp_path / "dark", page)
    for bright, dim in ((light["ground"], light["ink"]), (dark["ink"], dark["ground"])):
        assert brightness(bright) > 200
        assert brightness(dim) < 60


def brightness(colour: str) -> float:
    """Give the mean of the three channels of a CSS ``rgb()`` colour, 0 to 255."""
    return sum(int(channel) for channel in re.findall(r"\d+", colour)[:3]) / 3
