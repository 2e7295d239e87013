# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

from analysis.cautions import cautions
from analysis.run_store import read_run
from analysis.schema import Arm, Caution, Kind
from tests.unit.fixtures.runs.generator import change_record

BUILD = ("service_startup", "startup", "effective", "python_build")


def builds_remarked(folder: Path) -> list[str]:
    return [remark.message for remark in cautions(read_run(folder)) if remark.code is Caution.PYTHON_BUILD]


def test_other_builds_of_one_python_are_remarked(run_folder: Path) -> None:
    assert builds_remarked(run_folder) == []
    for trial in read_run(run_folder).trials:
        if trial.arm is Arm.SERVERLESS and trial.kind is Kind.START and not trial.discarded:
            change_record(run_folder, trial.id, {BUILD: "CPython 3.11.9 | packaged by conda-forge | [GCC 14]"})
    (message,) = builds_remarked(run_folder)
    assert "serverless: CPython 3.11.9 | packaged by conda-forge | [GCC 14]" in message
    assert "server: " in message


def test_a_build_that_one_arm_does_not_tell_is_not_remarked(run_folder: Path) -> None:
    for trial in read_run(run_folder).trials:
        if trial.arm is Arm.SERVERLESS and trial.kind is Kind.START and not trial.discarded:
            change_record(run_folder, trial.id, {BUILD: None})
    assert builds_remarked(run_folder) == []


def test_of_many_trials_the_first_are_named_and_the_others_counted(run_folder: Path) -> None:
    loads = sorted(path.stem for path in (run_folder / "raw").glob("*-load.json"))
    for trial in loads:
        change_record(run_folder, trial, {("htop", "proc_check", "passed"): False})
    run = read_run(run_folder)
    (said,) = [remark.message for remark in cautions(run) if remark.code is Caution.TOOL_DISAGREES]
    named = [trial.id for trial in run.trials if trial.kind is Kind.LOAD]
    assert f"differ in {', '.join(named[:3])} and {len(loads) - 3} more;" in said
