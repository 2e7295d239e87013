# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether another run's arm may stand beside this run's: by what was measured, and by the machines."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from analysis.run_store import RunFolder
from analysis.schema import Arm

# A run sets it before its starts, as each trial's mode says; the plan's value does not bear on any trial.
SET_BY_TRIAL = "start_with"
# Not the memory's size: a kernel's update changes it by some pages, and what a service is granted is a parity check.
OF_A_MACHINE = ("machine", "cpu_model", "cpu_count")


def differences(run: RunFolder, base: RunFolder, *, own: Arm, other: Arm) -> list[str]:
    """Say what makes a comparison of ``run``'s arm ``own`` with ``base``'s arm ``other`` meaningless.

    Those are settings of the service or of the load, and the machines that the arms and their loads ran on. Each
    sentence names the value here and there; none where all are equal.
    """
    return [*_settings(run, base), *dict.fromkeys(_machines(run, base, own, other))]


def _settings(run: RunFolder, base: RunFolder) -> Iterator[str]:
    here, there = run.plan["profile"], base.plan["profile"]
    yield from _unequal("profile.service", here["service"], there["service"])
    yield from _unequal("profile.run.load", here["run"]["load"], there["run"]["load"])


def _unequal(name: str, here: dict[str, Any], there: dict[str, Any]) -> Iterator[str]:
    for key in sorted({*here, *there} - {SET_BY_TRIAL}):
        if here.get(key) != there.get(key):
            yield f"{name}.{key} is {here.get(key)} here and {there.get(key)} there"


def _machines(run: RunFolder, base: RunFolder, own: Arm, other: Arm) -> Iterator[str]:
    for role in ("host", "load_host"):
        name, base_name = run.plan["arms"][own][role], base.plan["arms"][other][role]
        for key in OF_A_MACHINE:
            here, there = run.hosts.get(name, {}).get(key), base.hosts.get(base_name, {}).get(key)
            if here != there:
                yield f"{key} of the machine {name} is {here} here and of {base_name} {there} there"
