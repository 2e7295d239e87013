# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The report as a browser shows it: wide, narrow, light, dark and printed, by pointer and keyboard, without script."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis.report import build
from tests.integration.browser import PROGRAM, Browser
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record

pytestmark = pytest.mark.skipif(PROGRAM is None, reason="no chromium on PATH: the report's layout cannot be looked at")

WIDTHS = (1280, 390)
SCHEMES = ("light", "dark")
# Letters smaller than this cannot be read on a telephone.
LEAST_PIXELS = 11
# What WCAG 2 asks of text at level AA.
LEAST_CONTRAST = 4.5
TAB, ENTER = ("Tab", 9), ("Enter", 13)

TRUTHS: dict[str, dict[str, Any]] = {
    "usual": {"effects": {"response_mean_seconds": 1.1}},
    "far apart": {"effects": {"response_mean_seconds": 9.0, "busy_memory_bytes": 0.02}, "blocks": 20},
    "one arm": {"arms": ("serverless",)},
    "on a cluster": {"platforms": {"server": "docker", "serverless": "kind"}, "noise": 0.05},
    "invalid": {},
}

# Texts of drawings that are shown: their places on the screen, and whether they lie in their drawing.
TEXTS = """[...document.querySelectorAll("svg text")].filter((text) => text.getClientRects().length).map((text) => {
  const box = text.getBoundingClientRect(), drawing = text.closest("svg").getBoundingClientRect();
  return {
    said: text.textContent, chart: text.closest("figure").querySelector("h3").id,
    left: box.left, right: box.right, top: box.top, bottom: box.bottom,
    pixels: parseFloat(getComputedStyle(text).fontSize) * drawing.width / text.closest("svg").viewBox.baseVal.width,
    inside: box.left >= drawing.left - 1 && box.right <= drawing.right + 1 && box.top >= drawing.top - 1
      && box.bottom <= drawing.bottom + 1,
  };
})"""

# The contrast of every text with what is painted below it: in drawings the shapes before it under its middle, in the
# page the nearest ground. Gives the texts whose contrast is too low.
LOW_CONTRAST = """(() => {
  const canvas = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const layer = (below, colour, strength) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.globalAlpha = 1;
    canvas.fillStyle = `rgb(${below.join(",")})`;
    canvas.fillRect(0, 0, 1, 1);
    canvas.globalAlpha = strength;
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data].slice(0, 3);
  };
  const light = (colour) => {
    const [red, green, blue] = colour.map((channel) => {
      const share = channel / 255;
      return share <= 0.04045 ? share / 12.92 : ((share + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue;
  };
  const contrast = (one, other) => {
    const [low, high] = [light(one), light(other)].sort((first, second) => first - second);
    return (high + 0.05) / (low + 0.05);
  };
  const ground = (element) => {
    const above = [];
    for (let at = element; at; at = at.parentElement) above.unshift(getComputedStyle(at).backgroundColor);
    return above.reduce((below, colour) => layer(below, colour, 1), [255, 255, 255]);
  };
  const found = [];
  const check = (text, colour, below, said) => {
    const seen = contrast(layer(below, colour, 1), below);
    if (seen < LEAST) found.push({said: said.trim(), contrast: seen, colour, below});
  };
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node = walker.nextNode(); node; node = walker.nextNode()) {
    const parent = node.parentElement;
    if (!node.textContent.trim() || parent.closest("svg, script, style") || !parent.getClientRects().length) continue;
    check(node, getComputedStyle(parent).color, ground(parent), node.textContent);
  }
  for (const drawing of document.querySelectorAll("svg")) {
    if (!drawing.getClientRects().length) continue;
    const shapes = [...drawing.querySelectorAll(".mark-rect path, .mark-symbol path, text")];
    shapes.forEach((text, place) => {
      if (text.tagName !== "text") return;
      const box = text.getBoundingClientRect();
      const x = (box.left + box.right) / 2, y = (box.top + box.bottom) / 2;
      let below = ground(drawing);
      for (const shape of shapes.slice(0, place)) {
        const area = shape.getBoundingClientRect(), style = getComputedStyle(shape);
        if (shape.tagName === "text" || style.fill === "none" || text.closest(".halo_marks")) continue;
        if (area.left <= x && x <= area.right && area.top <= y && y <= area.bottom)
          below = layer(below, style.fill, parseFloat(style.opacity));
      }
      check(text, getComputedStyle(text).fill, below, text.textContent);
    });
  }
  return found;
})()""".replace("LEAST", str(LEAST_CONTRAST), 1)


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with Browser(tmp_path_factory.mktemp("profile")) as running:
        yield running


@pytest.fixture(scope="module")
def report_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Gives the report of a run of these truths; each is built once."""
    built: dict[str, Path] = {}

    def give(name: str) -> Path:
        if name not in built:
            folder = SyntheticRun(**TRUTHS[name]).write(tmp_path_factory.mktemp("results"))
            if name == "invalid":
                change_record(folder, "b01-server-load", {("ab_benchmark", "valid"): False})
            build(folder)
            built[name] = folder / "report.html"
        return built[name]

    return give


@pytest.fixture(params=list(TRUTHS))
def report(request: pytest.FixtureRequest, report_of: Callable[[str], Path]) -> Path:
    """The reports of a usual run, of ratios far from 1, of one arm, of a cluster, and of an invalid run."""
    return report_of(request.param)


@pytest.fixture
def usual(report_of: Callable[[str], Path]) -> Path:
    return report_of("usual")


def overlapping(texts: list[dict[str, Any]]) -> list[tuple[str, str]]:
    """Give the pairs of texts of one chart that cover each other by more than a pixel."""
    return [
        (one["said"], other["said"])
        for place, one in enumerate(texts)
        for other in texts[place + 1 :]
        if one["chart"] == other["chart"]
        and min(one["right"], other["right"]) - max(one["left"], other["left"]) > 1
        and min(one["bottom"], other["bottom"]) - max(one["top"], other["top"]) > 3
    ]


@pytest.mark.parametrize("width", WIDTHS)
def test_nothing_is_cut_off_too_small_or_wider_than_the_window(browser: Browser, report: Path, width: int) -> None:
    browser.open(report, width)
    assert browser.run("document.documentElement.scrollWidth") == width
    texts = browser.run(TEXTS)
    assert len({text["chart"] for text in texts}) >= 6
    assert [text["said"] for text in texts if not text["inside"]] == []
    assert [text["said"] for text in texts if text["pixels"] < LEAST_PIXELS] == []
    assert overlapping(texts) == []
    # What is wider than its column scrolls by itself; nothing else may be.
    wide = "[...document.querySelectorAll('p, li, h1, h2, h3, figcaption, summary, pre')]"
    assert browser.run(f"{wide}.filter((one) => one.scrollWidth > one.clientWidth + 1).length") == 0


@pytest.mark.parametrize("width", (*WIDTHS, 960))
def test_the_verdicts_table_is_read_whole_without_scrolling(browser: Browser, report: Path, width: int) -> None:
    browser.open(report, width)
    cells = "[...document.querySelectorAll('.stacked tbody :is(th, td)')]"
    assert browser.run(f"{cells}.length") >= 48
    assert browser.run(f"{cells}.filter((one) => one.scrollWidth > one.clientWidth + 1).length") == 0
    assert browser.run(f"{cells}.filter((one) => one.getBoundingClientRect().right > innerWidth).length") == 0
    # Below each other or beside each other, a table says its headers once to those who see it.
    labels = browser.run("getComputedStyle(document.querySelector('.stacked td'), '::before').content")
    assert labels == ('"Server"' if width <= 960 else "none")


@pytest.mark.parametrize("scheme", SCHEMES)
@pytest.mark.parametrize("width", WIDTHS)
def test_every_text_has_contrast(browser: Browser, report: Path, width: int, scheme: str) -> None:
    browser.open(report, width, scheme=scheme)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    assert browser.run(LOW_CONTRAST) == []


def test_light_and_dark_are_two_schemes(browser: Browser, usual: Path) -> None:
    grounds = {}
    for scheme in SCHEMES:
        browser.open(usual, 1280, scheme=scheme)
        grounds[scheme] = browser.run("getComputedStyle(document.body).backgroundColor")
    assert grounds["light"] == "rgb(255, 255, 255)" != grounds["dark"]


def test_no_request_leaves_and_the_console_is_silent(browser: Browser, report: Path) -> None:
    browser.open(report, 1280)
    browser.run("document.querySelectorAll('details').forEach((one) => { one.open = true; })")
    requested = [
        event["params"]["request"]["url"] for event in browser.events if event["method"] == "Network.requestWillBeSent"
    ]
    assert [url for url in requested if not url.startswith("data:")] == [report.as_uri()]
    told = ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown")
    assert [event for event in browser.events if event["method"] in told] == []


def test_the_policy_stops_a_script_that_is_not_the_pages_own(browser: Browser, usual: Path, tmp_path: Path) -> None:
    page = tmp_path / "report.html"
    page.write_text(usual.read_text("utf-8").replace("</main>", "<script>window.foreign = 1</script></main>"), "utf-8")
    browser.open(page, 1280)
    assert browser.run("window.foreign === undefined")
    assert any(event["method"] == "Log.entryAdded" for event in browser.events)


def test_all_that_can_be_used_is_reached_by_keyboard_and_shows_it(browser: Browser, usual: Path) -> None:
    browser.open(usual, 1280)
    usable = (
        "[...document.querySelectorAll('a[href], summary, .scroll, .commands')].filter((one) => one.checkVisibility())"
    )
    count = browser.run(f"window.usable = {usable}; window.usable.length")
    assert count > 40
    reached = []
    for _ in range(count):
        browser.press(*TAB)
        reached.append(browser.run("window.usable.indexOf(document.activeElement)"))
        assert browser.run("getComputedStyle(document.activeElement).outlineStyle") == "solid"
    assert reached == list(range(count))
    browser.run("document.querySelector('summary').focus()")
    browser.press(*ENTER)
    assert browser.run("document.querySelector('details').open")
    assert browser.run("document.querySelector('details table').checkVisibility()")


def test_the_pointer_shows_what_a_mark_is(browser: Browser, usual: Path) -> None:
    browser.open(usual, 1280)
    browser.run("document.getElementById('chart-blocks').scrollIntoView()")
    mark = "document.querySelector('#chart-blocks ~ .wide .marks_marks path').getBoundingClientRect()"
    place = json.loads(browser.run(f"(() => {{ const box = {mark}; return JSON.stringify(box); }})()"))
    browser.move(place["x"] + place["width"] / 2, place["y"] + place["height"] / 2)
    assert browser.run("document.querySelector('.tip').checkVisibility()")
    assert "-load: " in browser.run("document.querySelector('.tip').textContent")
    browser.move(1, 1)
    assert not browser.run("document.querySelector('.tip').checkVisibility()")


@pytest.mark.parametrize("width", WIDTHS)
def test_the_page_is_whole_without_script(browser: Browser, usual: Path, width: int) -> None:
    said = "document.querySelector('main').innerText"
    browser.open(usual, width)
    scripted = browser.run(said)
    browser.open(usual, width, script=False)
    assert browser.run("document.querySelector('.tip') === null"), "the page's script ran"
    assert browser.run(said) == scripted
    browser.run("document.querySelector('summary').focus()")
    browser.press(*ENTER)
    assert browser.run("document.querySelector('details table').checkVisibility()")
    assert "b01-server-load: " in browser.run("document.querySelector('#chart-blocks ~ .wide').textContent")


@pytest.mark.parametrize("scheme", SCHEMES)
def test_print_is_dark_on_white_with_the_tables_unfolded(
    browser: Browser, report: Path, scheme: str, tmp_path: Path
) -> None:
    browser.open(report, 720, scheme=scheme, media="print", script=False)
    assert browser.run("getComputedStyle(document.body).backgroundColor") == "rgb(255, 255, 255)"
    tables = "[...document.querySelectorAll('details table')]"
    assert browser.run(f"{tables}.filter((one) => !one.checkVisibility({{contentVisibilityAuto: true}})).length") == 0
    assert browser.run("document.querySelector('details table').getBoundingClientRect().height") > 20
    assert browser.run("document.documentElement.scrollWidth") <= 720
    assert browser.run(LOW_CONTRAST) == []
    browser.pdf(tmp_path / "report.pdf")
    assert (tmp_path / "report.pdf").read_bytes().startswith(b"%PDF")
