# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import steal
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.terminal import terminal
from analysis.run_store import read_run
from analysis.schema import Caution, first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_record


def steal_of(run_folder: Path, trial: str, share: float | None) -> None:
    """Let this share of all CPU time be stolen in one trial; None where the kernel does not count it."""
    keys = ("htop", "window")
    record = json.loads((run_folder / "raw" / f"{trial}.json").read_text("utf-8"))
    total = record["facts"]["htop"]["window"]["host_cpu_seconds"]
    change_record(run_folder, trial, {(*keys, "host_steal_seconds"): None if share is None else share * total})


def codes(run: dict[str, Any]) -> list[str]:
    return [caution["code"] for caution in run["warnings"]]


@pytest.mark.parametrize(
    ("window", "share"),
    [
        ({"host_steal_seconds": 0.5, "host_cpu_seconds": 10.0}, 0.05),
        ({"host_steal_seconds": 0.0, "host_cpu_seconds": 10.0}, 0.0),
        ({"host_steal_seconds": None, "host_cpu_seconds": 10.0}, None),
        ({"host_steal_seconds": 0.5, "host_cpu_seconds": 0.0}, None),
        ({"host_steal_seconds": -0.5, "host_cpu_seconds": 10.0}, None),
        ({"host_steal_seconds": 11.0, "host_cpu_seconds": 10.0}, None),
        ({}, None),
        (None, None),
    ],
)
def test_a_share_is_steal_over_the_watchers_own_window(window: object, share: float | None) -> None:
    found = steal.share_of({"docker_stats": {"window": window}})
    assert found.value == share
    assert (found.reason is None) is (share is not None), "what is not counted is never 0"


def test_any_watcher_may_have_recorded_it() -> None:
    counted = {"window": {"host_steal_seconds": 1.0, "host_cpu_seconds": 4.0}}
    assert steal.share_of({"htop": {"window": {}}, "pod_stats": counted}).value == 0.25


def test_every_arm_has_its_median_and_largest_share(evaluated: Callable[..., dict[str, Any]]) -> None:
    arms = evaluated()["machines"]["arms"]
    for found in arms.values():
        assert found["steal"]["n"] == 6 + 2, "loads and idle windows"
        assert found["steal"]["median"] == found["steal"]["max"] == pytest.approx(0.001)
        assert (found["steal"]["passed"], found["steal"]["reason"]) == (0, None)
    assert Caution.STEAL not in codes(evaluated())


def test_a_run_whose_steal_passed_one_percent_says_so_with_its_verdict(run_folder: Path) -> None:
    steal_of(run_folder, "b02-server-load", 0.02)
    steal_of(run_folder, "b03-serverless-load", 0.0316)
    run = evaluate(read_run(run_folder))
    assert run["valid"]
    assert first_violation("run", run) is None
    assert codes(run).count(Caution.STEAL) == 1
    said = "Steal passed 1 %: 3.2 % of the CPU time of the serverless arm's host went to other virtual machines in"
    texts = (terminal(run, "results/x"), markdown(document(run)), html(document(run), run).replace("&#39;", "'"))
    for text in texts:
        words = " ".join(text.split())
        assert words.count(said) == 2, "with the verdict, and as a caution that says what to do"
    (caution,) = [found["message"] for found in run["warnings"] if found["code"] == Caution.STEAL]
    assert "b03-serverless-load; 2 of 16 trials passed it. What is stolen is missing" in caution
    assert run["machines"]["arms"]["serverless"]["steal"]["max_trial"] == "b03-serverless-load"


def test_one_percent_itself_is_allowed(run_folder: Path) -> None:
    steal_of(run_folder, "b02-server-load", 0.01)
    assert Caution.STEAL not in codes(evaluate(read_run(run_folder)))


def test_what_the_kernel_does_not_count_is_not_measured(tmp_path: Path) -> None:
    """A run of an earlier version has no such keys either, and is rebuilt all the same."""
    folder = SyntheticRun().write(tmp_path)
    for path in (folder / "raw").glob("*-server-*.json"):
        change_json(path, lambda record: record["facts"].get("htop", {}).pop("window", None))
    run = evaluate(read_run(folder))
    assert run["valid"]
    server, serverless = (run["machines"]["arms"][arm]["steal"] for arm in ("server", "serverless"))
    assert (server["n"], server["max"], server["median"]) == (0, None, None)
    assert serverless["n"] == 8
    assert f"not measured: {server['reason']}" in markdown(document(run))


def test_a_trial_that_does_not_count_is_not_asked(run_folder: Path) -> None:
    change_json(run_folder / "plan.json", lambda plan: [trial.update(counted=False) for trial in plan["trials"]])
    assert steal.stolen(read_run(run_folder)) == []
