# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The same raw files give the same bytes: elsewhere, at another time, and in another environment."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from analysis import report
from tests.unit.fixtures.runs.generator import SyntheticRun

ROOT = Path(__file__).resolve().parents[3]
NOT_OUTPUTS = ("plan.json", "journal.jsonl")
# Whatever asks for the time gets another day, decades away.
AT_ANOTHER_TIME = """
import datetime, random, runpy, sys, time
shift, real = float(sys.argv.pop(1)), time.time
class Date(datetime.date):
    @classmethod
    def today(cls):
        return cls.fromtimestamp(real() + shift)
class Datetime(datetime.datetime):
    @classmethod
    def now(cls, tz=None):
        return cls.fromtimestamp(real() + shift, tz)
datetime.date, datetime.datetime = Date, Datetime
time.time = lambda: real() + shift
gmtime, localtime = time.gmtime, time.localtime
time.gmtime = lambda seconds=None: gmtime(time.time() if seconds is None else seconds)
time.localtime = lambda seconds=None: localtime(time.time() if seconds is None else seconds)
runpy.run_module("analysis", run_name="__main__", alter_sys=True)
"""
PLACES = {
    "where it was built": ({"LC_ALL": "C.UTF-8", "TZ": "UTC", "PYTHONHASHSEED": "0"}, 0, 0o022),
    "east, in the past": ({"LC_ALL": "C", "TZ": "Asia/Kolkata", "PYTHONHASHSEED": "1"}, -9e8, 0o077),
    "west, in the future": (
        {"LC_ALL": "POSIX", "TZ": "America/Los_Angeles", "PYTHONHASHSEED": "4000000", "PYTHONUTF8": "0"},
        9e8,
        0o000,
    ),
}


def built(folder: Path, place: str) -> dict[str, bytes]:
    """Every output of the run, built by a Python of its own."""
    environment, shift, umask = PLACES[place]
    done = subprocess.run(
        [sys.executable, "-c", AT_ANOTHER_TIME, str(shift), "report", str(folder)],
        cwd=ROOT,
        env={
            "PATH": os.environ["PATH"],
            "HOME": str(folder),
            "PYTHONPATH": os.pathsep.join([str(ROOT / "plugins" / "module_utils"), str(ROOT)]),
            **environment,
        },
        check=False,
        capture_output=True,
        timeout=120,
        umask=umask,
    )
    assert done.returncode == 0, done.stderr.decode()
    files = [path for path in sorted(folder.iterdir()) if path.is_file() and path.name not in NOT_OUTPUTS]
    assert {stat.S_IMODE(path.stat().st_mode) for path in files} == {0o644}
    return {path.name: path.read_bytes() for path in files}


@pytest.mark.parametrize("platform", ["process", "kind"])
def test_a_rebuild_gives_the_same_bytes_anywhere(tmp_path: Path, platform: str) -> None:
    truths = {"effects": {"response_mean_seconds": 1.1}, "requests": 10}
    one = SyntheticRun(platforms={"serverless": platform, "server": "process"}, **truths).write(tmp_path / "a")  # type: ignore[arg-type]
    raw = {path: path.read_bytes() for path in sorted((one / "raw").rglob("*"))}
    first = built(one, "where it was built")
    assert {"run.json", "report.html", "report.md", "samples.csv", "metrics.prom"} <= first.keys()
    for number, place in enumerate(list(PLACES)[1:]):
        elsewhere = tmp_path / f"Ort {number} ü" / one.name
        # What was built stays away: everything follows from the raw files, the plan and the journal.
        shutil.copytree(one, elsewhere, ignore=shutil.ignore_patterns(*first))
        assert built(elsewhere, place) == first
    for name in first:
        (one / name).unlink()
    assert built(one, "west, in the future") == first
    assert {path: path.read_bytes() for path in sorted((one / "raw").rglob("*"))} == raw


def test_a_damaged_record_is_named_the_same_wherever_the_run_lies(tmp_path: Path) -> None:
    one = SyntheticRun().write(tmp_path / "a")
    (one / "raw" / "b02-server-start.json").write_text('{"trial": ')
    there = shutil.copytree(one, tmp_path / "elsewhere" / "b" / one.name)
    for folder in (one, there):
        report.build(folder)
    for name in ("run.json", "report.md", "report.html"):
        assert (one / name).read_bytes() == (there / name).read_bytes()
    assert "raw/b02-server-start.json is not JSON" in (one / "report.md").read_text()


def test_a_report_that_cannot_be_made_leaves_the_one_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = SyntheticRun().write(tmp_path)
    report.build(folder)
    before = {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}
    (folder / "raw" / "b02-server-load.json").unlink()

    def fails(*_: object) -> str:
        raise RuntimeError("a chart that cannot be drawn")

    monkeypatch.setattr(report, "html", fails)
    with pytest.raises(RuntimeError):
        report.build(folder)
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()} == before
