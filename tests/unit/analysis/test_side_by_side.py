# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's table beside a run whose serverless arm stands on a machine of known, other speed."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest

from analysis import side_by_side, verdict
from analysis.evaluate import evaluate
from analysis.normalise import evaluations_waited
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, calibrated, change_json, change_plan, write_json

BLOCKS = 6
EDGES = ("before", *(f"b{block:02}" for block in range(1, BLOCKS + 1)), "after")
OTHER_MACHINE = "00000000-0000-4000-8000-000000000002"


def paper(tmp_path: Path, **truths: Any) -> Path:
    folder = SyntheticRun(**{"blocks": BLOCKS, "noise": 0.02} | truths).write(tmp_path)
    change_plan(folder, lambda plan: plan["profile"].update(name="paper"))
    return folder


def on_two_machines(folder: Path) -> None:
    """The serverless arm's trials happened on another machine; its loads were sent there too."""

    def moved(trial: dict[str, Any]) -> None:
        if trial["arm"] == "serverless":
            trial.update(host="big", load_host="big")

    def plan_moved(plan: dict[str, Any]) -> None:
        plan["arms"]["serverless"].update(host="big", load_host="big")
        for trial in plan["trials"]:
            moved(trial)

    change_plan(folder, plan_moved)
    for path in (folder / "raw").glob("*-serverless-*.json"):
        text = path.read_text().replace("6f1c1a52-0000-4000-8000-000000000001", OTHER_MACHINE)
        path.write_text(text)
        change_json(path, lambda record: moved(record["trial"]))


def score(folder: Path, host: str, speed: dict[str, float]) -> None:
    for edge, value in speed.items():
        write_json(folder / "raw" / f"calibration-{host}-{edge}.json", calibrated(value))


def study_of(folder: Path) -> dict[str, Any]:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    assert run["invalid_reasons"] == []
    found: dict[str, Any] = run["study"]
    return found


def row(study: dict[str, Any], name: str) -> dict[str, Any]:
    return next(one for one in study["here"]["rows"] if one["metric"] == name)


def finding(study: dict[str, Any], name: str) -> tuple[str, str]:
    return next((one["here"], one["reason"]) for one in study["here"]["findings"] if one["name"] == name)


def speeds(value: float) -> dict[str, float]:
    return dict.fromkeys(EDGES, value)


def test_other_profiles_have_the_studys_table_alone(run_folder: Path) -> None:
    study = study_of(run_folder)
    assert study["here"] is None
    text = markdown(document(evaluate(read_run(run_folder))))
    assert "below a factor of: start-up 10.8, average response 6.3" in text
    assert "A run with profile=paper sets its own figures" in text


def test_on_one_machine_the_factor_is_1_and_scores_only_show_drift(tmp_path: Path) -> None:
    folder = paper(tmp_path, effects={"response_mean_seconds": 1.3})
    score(folder, "local", {**speeds(1000), "b03": 1040})
    study = study_of(folder)
    found = row(study, "response_mean_seconds")
    assert found["normalised"]["ratio"] == found["ratio"]
    assert found["normalised"]["interval"] == found["interval"]
    assert set(found["normalised"]["factors"]) == {1.0}
    assert study["here"]["ground"]["same_machine"] is True
    assert (
        "training 4.0 %, evaluation 4.0 % over the run, which is a check of drift" in study["here"]["ground"]["reason"]
    )
    assert finding(study, "Response")[0] == "holds"


def test_each_block_is_scaled_by_its_own_scores_and_only_where_the_network_computes(tmp_path: Path) -> None:
    folder = paper(tmp_path)
    on_two_machines(folder)
    score(folder, "local", speeds(1000))
    drifting = {edge: 2000.0 * 1.02**number for number, edge in enumerate(EDGES)}
    score(folder, "big", drifting)
    study = study_of(folder)
    metric = next(m for m in evaluate(read_run(folder))["metrics"] if m["name"] == "response_mean_seconds")
    waited = 0.44 * evaluations_waited(10, 2)
    ratios = []
    for block, pair in enumerate(metric["pairs"], 1):
        # The geometric mean of the scores before and after the block, each of them 2 % above the one before it.
        factor = 2 * 1.02 ** (block + 0.5)
        serverless = pair["serverless"]["value"]
        computed = min(waited, serverless)
        ratios.append((serverless - computed + computed * factor) / pair["server"]["value"])
    expected = verdict.compare(ratios)
    found = row(study, "response_mean_seconds")["normalised"]
    assert found["factors"] == pytest.approx([2 * 1.02 ** (block + 0.5) for block in range(1, BLOCKS + 1)])
    assert found["ratio"] == pytest.approx(expected.ratio)
    assert expected.interval is not None
    assert (found["interval"]["low"], found["interval"]["high"]) == pytest.approx(
        (expected.interval.low, expected.interval.high)
    )
    # The scores' drift widens the interval: it is wider than that of the ratios as measured.
    measured = row(study, "response_mean_seconds")["interval"]
    assert found["interval"]["high"] / found["interval"]["low"] > measured["high"] / measured["low"]
    assert finding(study, "Response") == ("holds", f"normalised ratio {expected.ratio:.3f}, n 6: slower")


def test_after_looks_at_the_verdict_what_is_normalised_is_tested_at_the_last_ones_level(tmp_path: Path) -> None:
    folder = paper(tmp_path, stop_when="verdict", looks=[6, 8], blocks=8)
    on_two_machines(folder)
    for host, speed in (("local", 1000.0), ("big", 2000.0)):
        score(folder, host, {**speeds(speed), "b07": speed, "b08": speed})
    critical = evaluate(read_run(folder))["stopping"]["significance"]
    assert critical < 0.05
    found = row(study_of(folder), "response_mean_seconds")["normalised"]
    assert found["interval"] is not None, found["reason"]
    assert found["interval"]["level"] >= 1 - critical
    assert f"is at most {critical:.3g}" in found["reason"]


def test_a_trained_start_is_scaled_by_the_scores_before_and_after_training(tmp_path: Path) -> None:
    folder = paper(tmp_path)
    on_two_machines(folder)
    score(folder, "local", speeds(1000))
    score(folder, "big", {**speeds(3000), "before": 2000, "b01": 4500})
    study = study_of(folder)
    found = row(study, "trained_ready_seconds")
    factor = math.sqrt(2000 * 4500) / 1000
    facts = json.loads((folder / "raw" / "s01-serverless-train.json").read_text())["facts"]["service_startup"]
    train = next(phase for phase in facts["phases"] if phase["name"] == "train")
    seconds = train["end_seconds"] - train["begin_seconds"]
    serverless, server = found["serverless"]["values"][0], found["server"]["values"][0]
    assert found["normalised"]["factors"] == [pytest.approx(factor)]
    assert found["normalised"]["ratio"] == pytest.approx((serverless + seconds * (factor - 1)) / server)
    assert found["normalised"]["interval"] is None
    assert finding(study, "Start-up")[0] == "cannot tell"


def test_cpu_in_cores_and_memory_are_never_scaled(tmp_path: Path) -> None:
    folder = paper(tmp_path)
    on_two_machines(folder)
    for host, speed in (("local", 1000.0), ("big", 2000.0)):
        score(folder, host, speeds(speed))
    for found in study_of(folder)["here"]["rows"][2:]:
        assert found["normalised"]["ratio"] is None
        assert found["normalised"]["reason"].startswith("not scaled")


def test_a_missing_score_normalises_nothing_and_says_which(tmp_path: Path) -> None:
    folder = paper(tmp_path)
    on_two_machines(folder)
    for host in ("local", "big"):
        score(folder, host, speeds(1000))
    (folder / "raw" / "calibration-big-b04.json").unlink()
    study = study_of(folder)
    found = row(study, "response_mean_seconds")["normalised"]
    assert (found["ratio"], found["reason"]) == (None, "a machine's score around block 3 is missing")
    assert finding(study, "Response")[0] == "not measured"


def test_a_service_that_does_not_say_how_long_it_computed_is_not_normalised(tmp_path: Path) -> None:
    folder = paper(tmp_path)
    on_two_machines(folder)
    for host in ("local", "big"):
        score(folder, host, speeds(1000))
    path = folder / "raw" / "b02-serverless-start.json"
    change_json(path, lambda record: record["facts"]["service_startup"]["evaluation"].pop("model_seconds"))
    found = row(study_of(folder), "response_mean_seconds")["normalised"]
    assert found["reason"] == "how long the network computed in block 2 is not recorded"


@pytest.mark.parametrize(
    ("effects", "expected"),
    [
        ({"idle_cpu_cores": 0.5, "idle_memory_bytes": 0.5}, "holds"),
        ({"idle_cpu_cores": 0.5, "idle_memory_bytes": 2.0}, "does not hold"),
    ],
)
def test_idle_resources_hold_where_both_are_less(tmp_path: Path, effects: dict[str, float], expected: str) -> None:
    # Six idle windows are too few for a family of five under Holm; twelve blocks are enough.
    folder = SyntheticRun(blocks=12, idle_windows=12, noise=0.02, effects=effects).write(tmp_path)
    change_plan(folder, lambda plan: plan["profile"].update(name="paper"))
    assert finding(study_of(folder), "Idle resources")[0] == expected


@pytest.mark.parametrize(("effect", "expected"), [(0.7, "does not hold"), (1.0, "does not hold"), (1.4, "holds")])
def test_the_response_finding_is_that_the_serverless_arm_is_slower(
    tmp_path: Path, effect: float, expected: str
) -> None:
    folder = SyntheticRun(noise=0.005, effects={"response_mean_seconds": effect}).write(tmp_path)
    change_plan(folder, lambda plan: plan["profile"].update(name="paper"))
    assert finding(study_of(folder), "Response")[0] == expected


def test_scalability_is_not_tested_without_a_sweep(tmp_path: Path) -> None:
    study = study_of(paper(tmp_path))
    assert finding(study, "Scalability")[0] == "not tested"
    assert study["here"]["differs"][0] == "dataset is digits here, and was cifar10 in the study"


def sweep(arm: str, **found: Any) -> dict[str, Any]:
    return {"arm": arm, "valid": True, "reason": None, "state": "found", "knee_rps": 40.0, "upper_rps": 45.0} | found


@pytest.mark.parametrize(
    ("serverless", "state", "said"),
    [
        ({}, "cannot tell", "the serverless arm held 40 requests/s and not 45"),
        ({"state": "not_reached", "knee_rps": 90.0}, "cannot tell", "the serverless arm held every rate up to 90"),
        ({"state": "below_first", "upper_rps": 8.0}, "cannot tell", "did not hold the first rate, 8 requests/s"),
        ({"valid": False, "reason": "it lagged"}, "not valid", "serverless: it lagged"),
    ],
)
def test_a_sweep_of_each_arm_is_what_scalability_rests_on(serverless: dict[str, Any], state: str, said: str) -> None:
    found = side_by_side._scales([sweep("server"), sweep("serverless", **serverless)])
    assert found[0] == state
    assert said in found[1]


def test_the_sweep_of_one_arm_tests_nothing() -> None:
    assert side_by_side._scales([sweep("server"), sweep("server")])[0] == "not tested"


def test_the_report_prints_the_studys_figures_and_ours_side_by_side(tmp_path: Path) -> None:
    text = markdown(document(evaluate(read_run(paper(tmp_path)))))
    assert "## The study's table, and this run's" in text
    assert "| Average response, ab -n 10 -c 2 | 0.160 | 2.556 |" in text
    assert "| Scalability | the serverless arm scales better | not tested |" in text
