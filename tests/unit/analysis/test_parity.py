# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis import parity
from analysis.run_store import read_run
from analysis.schema import Arm
from analysis.validity import of_parity
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record

STARTS = [f"b{block:02}-serverless-start" for block in range(1, 7)] + ["s01-serverless-train"]
LOADS = [f"b{block:02}-serverless-load" for block in range(1, 7)]


def checked(folder: Path) -> dict[str, parity.Check]:
    run = read_run(folder)
    assert not run.unreadable
    return {check.name: check for check in parity.checks((trial, run.records[trial.id]) for trial in run.trials)}


def test_equal_ground_passes_every_check(run_folder: Path) -> None:
    checks = checked(run_folder)
    assert len(checks) == 28
    assert {name for name, check in checks.items() if not check.equal} == set()
    assert parity.passed(list(checks.values())) is True


EFFECTIVE = ("service_startup", "startup", "effective")
UNEQUAL: list[tuple[str, list[str], tuple[str, ...], Any]] = [
    ("CPUs granted", STARTS, ("service_startup", "granted", "affinity_cpus"), [0]),
    ("CPU quota, cores", STARTS, ("service_startup", "granted", "cpu_quota_cores"), 1.5),
    ("memory limit, bytes", STARTS, ("service_startup", "granted", "memory_limit_bytes"), 2**30),
    ("request threads", STARTS, (*EFFECTIVE, "request_threads"), 4),
    ("serving processes", STARTS, (*EFFECTIVE, "serving_processes"), 2),
    ("compute threads", STARTS, (*EFFECTIVE, "compute_threads"), 1),
    ("queue limit", STARTS, (*EFFECTIVE, "queue_limit"), 7),
    ("engine", STARTS, ("service_startup", "answer", "engine"), "tuned"),
    ("recipe", STARTS, ("service_startup", "answer", "recipe"), "fast"),
    ("data set", STARTS, ("service_startup", "answer", "dataset"), "synthetic"),
    ("data set SHA-256", STARTS, (*EFFECTIVE, "dataset_sha256"), "0" * 64),
    ("service.json SHA-256, loaded", STARTS, (*EFFECTIVE, "service_sha256"), "0" * 64),
    ("model SHA-256, loaded", STARTS, ("service_startup", "answer", "model_sha256"), "0" * 64),
    ("accuracy", STARTS, ("service_startup", "answer", "accuracy"), 0.9),
    ("correct answers", STARTS, ("service_startup", "answer", "correct"), 339),
    ("test images", STARTS, ("service_startup", "answer", "total"), 100),
    ("Python", STARTS, (*EFFECTIVE, "python"), "3.12.1"),
    ("package versions", STARTS, (*EFFECTIVE, "packages"), {"torch": "2.14.0"}),
    ("installed packages", STARTS, (*EFFECTIVE, "installed"), {"flask": "3.1.1", "numpy": "2.3.0", "torch": "2.15.0"}),
    ("effective cores of one evaluation", STARTS, ("service_startup", "evaluation", "cpu_cores"), 1.70),
    ("accuracy before a load", LOADS, ("ab_benchmark", "probes", "before", "answer", "accuracy"), 0.9),
    ("accuracy after a load", LOADS, ("ab_benchmark", "probes", "after", "answer", "accuracy"), 0.9),
    ("keep-alive", LOADS, ("ab_benchmark", "argv"), ["ab", "-k", "-n", "10", "-c", "2"]),
    ("concurrency of a load", LOADS, ("ab_benchmark", "argv"), ["ab", "-n", "10", "-c", "1"]),
    ("requests of a load", LOADS, ("ab_benchmark", "argv"), ["ab", "-n", "12", "-c", "2"]),
]


@pytest.mark.parametrize(("name", "trials", "keys", "value"), UNEQUAL, ids=[case[0] for case in UNEQUAL])
def test_unequal_ground_fails_the_check_that_names_it(
    run_folder: Path, name: str, trials: list[str], keys: tuple[str, ...], value: Any
) -> None:
    for trial in trials:
        change_record(run_folder, trial, {keys: value})
    checks = checked(run_folder)
    assert checks[name].equal is False
    assert checks[name].server != checks[name].serverless
    assert parity.passed(list(checks.values())) is False


def test_effective_cores_within_a_tenth_are_equal(run_folder: Path) -> None:
    for trial in STARTS:
        change_record(run_folder, trial, {("service_startup", "evaluation", "cpu_cores"): 1.93 * 1.09})
    assert checked(run_folder)["effective cores of one evaluation"].equal is True


INSTALLED = {"flask": "3.1.2", "numpy": "2.3.0", "torch": "2.15.0"}


def test_other_versions_are_named_and_what_one_arm_alone_has_is_no_difference(run_folder: Path) -> None:
    for trial in STARTS:
        change_record(run_folder, trial, {(*EFFECTIVE, "installed"): INSTALLED | {"pip": "25.3"}})
    check = checked(run_folder)["installed packages"]
    assert (check.equal, check.reason) == (True, None)
    assert check.serverless == check.server | {"only here": {"pip": "25.3"}}
    assert check.server["packages"] == 3 and len(check.server["sha256"]) == 64
    for trial in STARTS:
        change_record(run_folder, trial, {(*EFFECTIVE, "installed"): INSTALLED | {"flask": "3.0", "numpy": "2.2"}})
    check = checked(run_folder)["installed packages"]
    assert (check.equal, check.reason) == (False, "server / serverless: flask 3.1.2 / 3.0, numpy 2.3.0 / 2.2")
    for trial in STARTS:
        change_record(run_folder, trial, {(*EFFECTIVE, "installed"): {"pip": "25.3"}})
    check = checked(run_folder)["installed packages"]
    assert (check.equal, check.reason) == (False, "the arms have no package in common")


def test_what_an_arm_cannot_tell_of_its_packages_is_not_equal(run_folder: Path) -> None:
    effective = {"python": "3.11.9", "packages": {"torch": "2.15.0", "numpy": "2.3.0"}}
    for trial in STARTS:
        change_record(run_folder, trial, {EFFECTIVE: effective})
    checks = checked(run_folder)
    installed = checks["installed packages"]
    assert (installed.equal, installed.reason) == (False, "not recorded for serverless")
    assert not installed.recorded
    assert installed.serverless is None
    assert checks["Python"].equal is True


def test_where_no_service_told_it_as_in_runs_of_earlier_versions_it_is_not_asked(run_folder: Path) -> None:
    for path in sorted((run_folder / "raw").glob("*-*-*.json")):
        if path.stem.endswith(("-start", "-train")):
            record = json.loads(path.read_text())
            del record["facts"]["service_startup"]["startup"]["effective"]["installed"]
            path.write_text(json.dumps(record))
    checks = checked(run_folder)
    assert "installed packages" not in checks
    assert parity.passed(list(checks.values())) is True


def test_packages_that_change_during_a_run_are_unequal_also_in_a_run_of_one_arm(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",)).write(tmp_path)
    check = checked(folder)["installed packages"]
    assert (check.equal, check.reason) == (None, "one arm only")
    change_record(folder, "b03-server-start", {(*EFFECTIVE, "installed"): INSTALLED | {"flask": "3.0"}})
    check = checked(folder)["installed packages"]
    assert (check.equal, check.reason) == (False, "server changed it during the run")


def test_no_limit_on_both_arms_is_equal_and_an_absent_one_is_not(run_folder: Path) -> None:
    assert checked(run_folder)["CPU quota, cores"].equal is True
    for trial in STARTS:
        change_record(run_folder, trial, {("service_startup", "granted"): {"affinity_cpus": [0, 1]}})
    check = checked(run_folder)["CPU quota, cores"]
    assert (check.equal, check.reason) == (False, "not recorded for serverless")


def test_a_value_that_changes_during_the_run_is_unequal(run_folder: Path) -> None:
    change_record(run_folder, "b03-server-start", {(*EFFECTIVE, "queue_limit"): 5})
    check = checked(run_folder)["queue limit"]
    assert (check.server, check.reason) == ([6, 5], "server changed it during the run")


def test_one_arm_has_nothing_to_compare(tmp_path: Path) -> None:
    checks = checked(SyntheticRun(arms=("server",)).write(tmp_path))
    assert {check.equal for check in checks.values()} == {None}
    assert parity.passed(list(checks.values())) is None


def test_one_arm_that_changes_by_itself_is_unequal(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",)).write(tmp_path)
    change_record(folder, "b03-server-start", {(*EFFECTIVE, "queue_limit"): 5})
    check = checked(folder)["queue limit"]
    assert (check.equal, check.reason) == (False, "server changed it during the run")
    (problem,) = of_parity([check])
    assert problem.message == "queue limit: server 6 and 5 (server changed it during the run)"


def test_granted_cpus_are_the_smaller_of_affinity_and_quota(run_folder: Path) -> None:
    for trial in STARTS:
        change_record(run_folder, trial, {("service_startup", "granted", "cpu_quota_cores"): 1.5})
    run = read_run(run_folder)
    records = [(trial, run.records[trial.id]) for trial in run.trials]
    assert parity.granted_cpus(records) == {Arm.SERVER: 2.0, Arm.SERVERLESS: 1.5}
