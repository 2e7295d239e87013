# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import Caution, first_violation
from tests.unit.fixtures.runs.generator import calibrated, change_json, write_json

Score = float | str | None


def run_with(folder: Path, hosts: dict[str, tuple[Score, Score]]) -> dict[str, Any]:
    """The run whose arms stand on these hosts, with these scores before and after it: a text is a failure."""

    def on(plan: dict[str, Any]) -> None:
        for arm, host in zip(("server", "serverless"), hosts, strict=True):
            plan["arms"][arm].update(host=host, load_host=host)
            for trial in plan["trials"]:
                if trial["arm"] == arm:
                    trial.update(host=host, load_host=host)

    change_json(folder / "plan.json", on)
    for host, scores in hosts.items():
        for edge, score in zip(("before", "after"), scores, strict=True):
            if score is not None:
                record = {"failure": score} if isinstance(score, str) else calibrated(score)
                write_json(folder / "raw" / f"calibration-{host}-{edge}.json", record)
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    return run


def drifted(run: dict[str, Any]) -> list[str]:
    return [found["message"] for found in run["warnings"] if found["code"] == Caution.CALIBRATION_DRIFT]


def test_a_run_on_one_machine_has_no_score(evaluated: Callable[..., dict[str, Any]]) -> None:
    machines = evaluated()["machines"]
    assert machines["calibration_ratio"] is None
    assert all(found["calibration"] is None for found in machines["arms"].values())
    assert "CPU score" not in markdown(document(evaluated()))


def test_both_scores_and_their_ratio_are_reported_and_scale_nothing(run_folder: Path) -> None:
    before = evaluate(read_run(run_folder))
    run = run_with(run_folder, {"t3-host": (1000, 1020), "big-host": (2000, 2020)})
    server, serverless = (run["machines"]["arms"][arm]["calibration"] for arm in ("server", "serverless"))
    assert server["before"] == {"training": 1000, "evaluation": 4000}
    assert server["score"] == {"training": 1010, "evaluation": 4040}
    assert server["drift"]["training"] == pytest.approx(0.02)
    assert (server["threads"], server["reason"]) == (2, None)
    assert serverless["score"]["evaluation"] == 8040
    assert run["machines"]["calibration_ratio"] == pytest.approx({"training": 2010 / 1010, "evaluation": 8040 / 4040})
    assert [metric["ratio"] for metric in run["metrics"]] == [metric["ratio"] for metric in before["metrics"]]
    assert drifted(run) == []
    text = markdown(document(run))
    assert "Serverless / server of the CPU scores: training 1.990, evaluation 1.990. No figure" in text
    assert "The study's factor of 16, below, is another thing: 32 vCPU / 2 vCPU" in text
    assert "1 010 images/s with 2 threads, +2.0 % from before the run to after it" in text


@pytest.mark.parametrize(("after", "said"), [(940, "6.0 % slower"), (1060, "6.0 % faster")])
def test_a_drift_above_five_percent_is_a_caution(run_folder: Path, after: float, said: str) -> None:
    run = run_with(run_folder, {"a": (1000, 1040), "b": (1000, after)})
    assert run["valid"]
    (message,) = drifted(run)
    assert message.startswith("The serverless arm's machine b was not as fast after the run as before it (training")
    assert message.count(said) == 2


def test_a_machine_that_was_not_calibrated_is_not_measured_with_its_reason(run_folder: Path) -> None:
    run = run_with(run_folder, {"a": (1000, 1000), "b": ("no module named cifar_cnn", None)})
    found = run["machines"]["arms"]["serverless"]["calibration"]
    assert found["score"] == found["drift"] == {"training": None, "evaluation": None}
    assert found["reason"] == "no module named cifar_cnn"
    assert run["machines"]["calibration_ratio"] == {"training": None, "evaluation": None}
    assert "not measured: no module named" in markdown(document(run))


def test_a_run_that_ended_early_has_the_score_of_its_beginning(run_folder: Path) -> None:
    run = run_with(run_folder, {"a": (1000, None), "b": (500, 510)})
    found = run["machines"]["arms"]["server"]["calibration"]
    assert (found["score"]["training"], found["drift"]["training"], found["after"]) == (1000, None, None)
    assert found["reason"] == "it was not calibrated after the run"
    assert "with 2 threads; it was not calibrated after the run" in markdown(document(run))


def test_one_machine_alone_has_no_ratio(run_folder: Path) -> None:
    run = run_with(run_folder, {"a": (1000, 1000), "b": (None, None)})
    assert run["machines"]["calibration_ratio"] == {"training": None, "evaluation": None}
    assert "not measured: it was not calibrated" in markdown(document(run))
