# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts that were not cold are rejected and counted; what was measured afterwards stands."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis import cold
from analysis.charts import charts
from analysis.charts.phases import _bar
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.render.terminal import terminal
from analysis.run_store import read_run
from analysis.schema import Caution, Verdict, first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record

Make = Callable[..., dict[str, Any]]
KIND = {"server": "docker", "serverless": "kind"}
WARM = "overlap: an old container may have run 0.700 s beside the new one, more than 0.5 s"


def metric(run: Mapping[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in run["metrics"] if one["name"] == name)
    return found


def warm(folder: Path, *trials: str) -> dict[str, Any]:
    """Have these starts not be cold, and evaluate the run."""
    for trial in trials:
        change_record(folder, trial, {("pod_phases", "valid"): False, ("pod_phases", "invalid_reasons"): [WARM]})
    return evaluate(read_run(folder))


@pytest.mark.parametrize(
    ("platform", "facts", "reasons"),
    [
        ("process", {}, ()),
        ("docker", {}, ()),
        ("kind", {"pod_phases": {"valid": True, "invalid_reasons": []}}, ()),
        ("kubernetes", {"pod_phases": {"valid": False, "invalid_reasons": [WARM, "b"]}}, (WARM, "b")),
    ],
)
def test_a_cluster_says_whether_a_start_was_cold(
    platform: str, facts: dict[str, Any], reasons: tuple[str, ...]
) -> None:
    assert cold.rejection(platform, facts) == reasons


@pytest.mark.parametrize("facts", [{}, {"pod_phases": None}, {"pod_phases": {}}, {"pod_phases": {"valid": None}}])
def test_a_start_that_nothing_shows_to_be_cold_is_none(facts: dict[str, Any]) -> None:
    (reason,) = cold.rejection("kind", facts)
    assert reason.startswith("not_cold: ")


def test_all_starts_cold(evaluated: Make) -> None:
    run = evaluated(platforms=KIND)
    assert (run["valid"], run["invalid_reasons"]) == (True, [])
    assert run["cold_starts"] == {"starts": 7, "rejected": []}
    assert "All 7 starts were cold" in markdown(document(run))
    assert metric(run, "ready_seconds")["n"] == 6


def test_a_start_that_was_not_cold_is_rejected_and_counted(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=8, platforms=KIND).write(tmp_path)
    run = warm(folder, "b02-serverless-start", "b05-serverless-start")
    assert run["valid"] and first_violation("run", run) is None
    found = metric(run, "ready_seconds")
    assert (found["n"], found["server"]["n"], found["serverless"]["n"]) == (6, 8, 6)
    assert found["verdict"] == Verdict.EQUIVALENT
    assert found["reason"].endswith("2 of 8 pairs are left out, a start of theirs not being cold")
    pair = next(one for one in found["pairs"] if one["pair"] == "block 2")
    assert (pair["serverless"]["value"], pair["ratio"]) == (None, None)
    assert WARM in pair["serverless"]["reason"]
    assert pair["server"]["value"] is not None
    assert [one["trial"] for one in run["cold_starts"]["rejected"]] == ["b02-serverless-start", "b05-serverless-start"]
    (remark,) = [one["message"] for one in run["warnings"] if one["code"] == Caution.NOT_COLD]
    assert remark.startswith("2 of 9 starts were not cold and are not counted (b02-serverless-start, b05-")
    assert "".join(remark.split()) in "".join(terminal(run, "results/x").split())
    text = markdown(document(run))
    assert "2 of 9 starts were not cold and are not counted." in text and "| b02-serverless-start |" in text


def test_what_was_measured_after_a_start_that_was_not_cold_stands(tmp_path: Path) -> None:
    run = warm(SyntheticRun(platforms=KIND).write(tmp_path), "b02-serverless-start")
    assert metric(run, "response_mean_seconds")["n"] == 6
    assert metric(run, "evaluation_seconds")["serverless"]["n"] == 7
    assert metric(run, "first_reply_seconds")["serverless"]["n"] == 5


def test_the_phases_of_a_start_that_was_not_cold_are_in_no_bar(tmp_path: Path) -> None:
    run = warm(SyntheticRun(platforms=KIND).write(tmp_path), "b02-serverless-start")
    whole = next(chart for chart in charts(run) if chart.id == "phases-load").table.rows
    for trial in run["trials"]:
        if trial["id"] == "b02-serverless-start":
            trial["data"]["phases"] = [dict(phase, end_seconds=1e6) for phase in trial["data"]["phases"]]
    assert next(chart for chart in charts(run) if chart.id == "phases-load").table.rows == whole
    bar = _bar(run, "serverless", "load")
    assert bar is not None and bar.starts == 5


def test_too_few_cold_starts_are_too_few(tmp_path: Path) -> None:
    run = warm(SyntheticRun(platforms=KIND).write(tmp_path), "b02-serverless-start")
    assert metric(run, "ready_seconds")["verdict"] == Verdict.TOO_FEW_BLOCKS


def test_no_cold_start_is_no_figure(tmp_path: Path) -> None:
    names = [f"b{block:02}-serverless-start" for block in range(1, 7)]
    run = warm(SyntheticRun(platforms=KIND).write(tmp_path), *names, "s01-serverless-train")
    found = metric(run, "ready_seconds")
    assert (found["verdict"], found["serverless"]) == (Verdict.NOT_MEASURED, None)
    assert "6 of 6 pairs are left out" in found["reason"]
    assert metric(run, "trained_ready_seconds")["verdict"] == Verdict.NOT_MEASURED
    assert run["valid"]
    assert document(run)


def test_the_clusters_phases_stand_in_the_report_with_source_and_resolution(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, noise=0.0)
    text = markdown(document(run))
    rows = [line for line in text.splitlines() if line.startswith("| serverless | ")]
    loaded = rows[len(rows) // 2 :]
    assert len(rows) == 10
    assert "| serverless | scheduled | 6.00 ms | 8.00 ms | 2.00 ms | 6 | watch | 1.00 ms |" in loaded
    assert "| serverless | image | 12.0 ms | 12.0 ms | 0 s | 6 | event\\_time | 0.001 ms |" in loaded
    assert any(line.endswith("| kubernetes | 1.00 s |") for line in loaded)


def test_whether_the_image_was_pulled_is_said(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)
    change_record(folder, "b01-serverless-start", {("pod_phases", "image_pulled"): True})
    change_record(folder, "b02-serverless-start", {("pod_phases", "image_pulled"): None})
    text = markdown(document(evaluate(read_run(folder))))
    assert "The image: the node pulled it in 1, had it in 5, did not say in 1." in text


def test_zeros_of_two_hosts_are_not_set_off(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)
    change_record(folder, "b01-serverless-start", {("pod_phases", "host_boot_id"): "another"})
    starts = {trial["id"]: trial["data"] for trial in evaluate(read_run(folder))["trials"] if trial["kind"] == "start"}
    assert starts["b01-serverless-start"]["pod_phases"]["lead_seconds"] == 0
    assert starts["b02-serverless-start"]["pod_phases"]["lead_seconds"] == pytest.approx(0.002)


def test_a_run_without_a_cluster_says_nothing_of_one(evaluated: Make) -> None:
    for platform in ("process", "docker"):
        run = evaluated(platform=platform)
        assert not {"cold_starts", "resources"} & run.keys()
        assert "Cold starts" not in markdown(document(run))
