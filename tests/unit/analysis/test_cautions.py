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
