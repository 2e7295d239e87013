# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

from analysis import wording
from analysis.evaluate import evaluate
from analysis.machines import machines
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, calibrated, credited, write_json


def test_every_arm_has_its_machine(evaluated: Callable[..., dict[str, Any]]) -> None:
    for arms in (("server",), ("server", "serverless")):
        found = evaluated(arms=arms)["machines"]
        assert list(found["arms"]) == list(arms)
        assert {one["host"] for one in found["arms"].values()} == {"local"}


def test_a_run_on_a_cluster_out_of_sight_has_no_steal_and_says_why(evaluated: Callable[..., dict[str, Any]]) -> None:
    run = evaluated(platforms={"server": "docker", "serverless": "kubernetes"})
    assert run["machines"]["arms"]["serverless"]["steal"]["reason"] is not None
    assert run["machines"]["arms"]["server"]["steal"]["n"] == 8


def test_the_records_of_a_host_are_found_by_its_whole_name(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=1).write(tmp_path)
    for name in ("calibration-a-before-after", "calibration-a-before", "calibration-before", "calibration-a-during"):
        write_json(folder / "raw" / f"{name}.json", calibrated(1000))
    write_json(folder / "raw" / "credits-eu-1-before.json", credited([5]))
    run = read_run(folder)
    assert {host: set(edges) for host, edges in run.calibrations.items()} == {"a-before": {"after"}, "a": {"before"}}
    assert list(run.credits) == ["eu-1"]
    assert first_violation("run", evaluate(run)) is None


def test_nothing_is_said_with_the_verdict_of_a_machine_that_gave_what_it_has(run_folder: Path) -> None:
    run = evaluate(read_run(run_folder))
    assert wording.of_the_machines(run) == []
    assert wording.of_the_machines({}) == [], "nor of a run that an earlier version evaluated"


def test_both_are_said_with_the_verdict_of_one_that_did_not(run_folder: Path) -> None:
    write_json(run_folder / "raw" / "credits-local-after.json", credited([5, 0]))
    run = evaluate(read_run(run_folder))
    run["machines"]["arms"]["server"]["steal"] |= {"passed": 1, "max": 0.2, "max_trial": "b01-server-load"}
    said = wording.of_the_machines(run)
    assert [sentence.partition(":")[0] for sentence in said] == [
        "Steal passed 1 %",
        "CPU credits ran out on the server arm's instance i-0123456789abcdef0",
        "CPU credits ran out on the serverless arm's instance i-0123456789abcdef0",
    ]
    assert wording.opening(run)[-3:] == said
    assert machines(read_run(run_folder))["arms"]["server"]["credits"]["ran_out"] is True
