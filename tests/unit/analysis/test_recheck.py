# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A trial that its module called valid, and what the run itself holds against it."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluate import evaluate
from analysis.run_store import read_run
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_record

LOAD, START = "b02-serverless-load", "b02-serverless-start"


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return SyntheticRun(blocks=6, effects={"response_mean_seconds": 0.8}).write(tmp_path)


def of_load(**values: Any) -> Callable[[Path], None]:
    return lambda folder: change_record(folder, LOAD, {("ab_benchmark", key): value for key, value in values.items()})


def longer_window(folder: Path) -> None:
    def later(record: dict[str, Any]) -> None:
        record["facts"]["ab_benchmark"]["window"]["end_monotonic_seconds"] += 30.0

    change_json(folder / "raw" / f"{LOAD}.json", later)


def backward_window(folder: Path) -> None:
    def swap(record: dict[str, Any]) -> None:
        window = record["facts"]["ab_benchmark"]["window"]
        begun, ended = (window[f"{edge}_monotonic_seconds"] for edge in ("start", "end"))
        window.update(start_monotonic_seconds=ended, end_monotonic_seconds=begun)

    change_json(folder / "raw" / f"{LOAD}.json", swap)


def one_instance(folder: Path) -> None:
    for path in (folder / "raw").glob("b0*-serverless-*.json"):
        path.write_text(path.read_text("utf-8").replace(f"instance-{path.stem[:3]}-serverless", "instance-warm"))


def old_process(folder: Path) -> None:
    stamp = {("service_startup", "startup", "process_start_monotonic_seconds"): 10.0}
    change_record(folder, START, stamp | {("service_startup", "startup", "host_boot_id"): boot(folder)})


def boot(folder: Path) -> str:
    record = json.loads((folder / "raw" / f"{START}.json").read_text("utf-8"))
    return str(record["facts"]["service_startup"]["host_boot_id"])


def probe_after(folder: Path, **values: Any) -> None:
    change_record(folder, LOAD, {("ab_benchmark", "probes", "after", key): value for key, value in values.items()})


def wrong_class(folder: Path) -> None:
    change_record(folder, LOAD, {("ab_benchmark", "probes", "after", "answer", "correct"): 7})


def copied(folder: Path) -> None:
    """One load in the place of two."""
    load = json.loads((folder / "raw" / "b03-serverless-load.json").read_text("utf-8"))["facts"]
    for ending in ("txt", "csv"):
        there = (folder / "raw" / f"b03-serverless-load.ab.{ending}").read_bytes()
        (folder / "raw" / f"b04-serverless-load.ab.{ending}").write_bytes(there)

    def take(record: dict[str, Any]) -> None:
        own = record["facts"]["ab_benchmark"]
        record["facts"]["ab_benchmark"] = {**load["ab_benchmark"], "probes": own["probes"]}

    change_json(folder / "raw" / "b04-serverless-load.json", take)


def moved(seconds: float) -> Callable[[Path], None]:
    def move(folder: Path) -> None:
        def later(record: dict[str, Any]) -> None:
            for edge in ("start", "end"):
                record["facts"]["ab_benchmark"]["window"][f"{edge}_monotonic_seconds"] += seconds

        change_json(folder / "raw" / f"{LOAD}.json", later)

    return move


@pytest.mark.parametrize(
    ("fault", "code", "said"),
    [
        (of_load(wall_seconds=3600.0), "clock_stepped", "s for what took 3600.000 s"),
        (longer_window, "clock_stepped", "its window is "),
        (backward_window, "clock_stepped", "its window is -"),
        (one_instance, "start_invalid", "not_new: instance instance-warm is that of b01-serverless-start"),
        (old_process, "start_invalid", "s older than the start command"),
        (lambda f: probe_after(f, status=500), "wrong_answer", "the probe after the load: status 500"),
        (wrong_class, "wrong_answer", "the probe after the load: correct is 7, and was 340 after the start"),
        (of_load(probes={}), "load_invalid", "the probe before the load: no answer is recorded"),
        (copied, "plan_mismatch", "it was sent"),
        (moved(-1000.0), "plan_mismatch", "it was sent before "),
    ],
)
def test_what_the_run_holds_against_a_valid_trial_makes_it_invalid(
    folder: Path, fault: Callable[[Path], None], code: str, said: str
) -> None:
    assert evaluate(read_run(folder))["valid"]
    fault(folder)
    run = evaluate(read_run(folder))
    assert not run["valid"]
    found = [reason["message"] for reason in run["invalid_reasons"] if reason["code"] == code]
    assert any(said in message for message in found), run["invalid_reasons"]
    assert all(metric["ratio"] is None for metric in run["metrics"])


@pytest.mark.parametrize(
    ("trial", "place", "value"),
    [
        (START, ("service_startup", "ready_seconds"), -3.5),
        (START, ("service_startup", "ready_seconds"), 0),
        (START, ("service_startup", "evaluation", "wall_seconds"), -5.0),
        (START, ("service_startup", "granted", "memory_limit_bytes"), -1),
        (LOAD, ("ab_benchmark", "client", "cpu_seconds"), -0.1),
    ],
)
def test_less_than_nothing_is_no_measurement(folder: Path, trial: str, place: tuple[str, ...], value: float) -> None:
    change_record(folder, trial, {place: value})
    (reason,) = [one for one in evaluate(read_run(folder))["invalid_reasons"] if one["trial"] == trial]
    assert reason["code"] == "record_unusable"
    assert reason["message"].startswith(f"raw/{trial}.json is not a trial's record, at facts/{'/'.join(place)}: ")


def test_negative_memory_is_not_measured(folder: Path) -> None:
    def below(record: dict[str, Any]) -> None:
        record["facts"]["htop"]["memory"]["samples"][3][1] = -5

    change_json(folder / "raw" / f"{LOAD}.json", below)
    memory = next(one for one in evaluate(read_run(folder))["metrics"] if one["name"] == "busy_memory_bytes")
    assert memory["pairs"][1]["serverless"]["value"] is None


def test_loads_of_two_clocks_have_no_order(folder: Path) -> None:
    """After a reboot the clock begins anew."""
    for path in (folder / "raw").glob("b0[456]-*.json"):
        text = path.read_text("utf-8").replace(boot(folder), "after-a-reboot")
        path.write_text(text)
        moved_by = json.loads(text)
        window = moved_by["facts"].get("ab_benchmark", {}).get("window")
        if window is not None:
            for edge in ("start", "end"):
                window[f"{edge}_monotonic_seconds"] -= 2000.0
            path.write_text(json.dumps(moved_by))
    codes = {reason["code"] for reason in evaluate(read_run(folder))["invalid_reasons"]}
    assert "plan_mismatch" not in codes
