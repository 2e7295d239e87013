# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether another run's arm may stand beside this run's: by what was measured, and by the machines."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.run_store import RunFolder
from analysis.schema import Arm

# A run sets it before its starts, as each trial's mode says; the plan's value does not bear on any trial.
SET_BY_TRIAL = "start_with"
# Not the memory's size: a kernel's update changes it by some pages, and what a service is granted is a parity check.
OF_A_MACHINE = ("machine", "cpu_model", "cpu_count")


@dataclass(frozen=True)
class Ground:
    """What a run is known to stand on before it begins: its plan's ``profile`` and ``arms``, and its hosts' facts."""

    profile: Mapping[str, Any]
    arms: Mapping[str, Any]
    hosts: Mapping[str, Mapping[str, Any]]

    @classmethod
    def of(cls, run: RunFolder) -> Ground:
        """Give that of a run that has begun."""
        return cls(run.plan["profile"], run.plan["arms"], run.hosts)


def differences(here: Ground, there: Ground, *, own: Arm, other: Arm) -> list[str]:
    """Say what makes a comparison of a run's arm ``own`` with the base run's arm ``other`` meaningless.

    Those are settings of the service or of the load, and the machines that the arms and their loads ran on. Each
    sentence names the value here and there; none where all are equal.
    """
    return [*_settings(here, there), *dict.fromkeys(_machines(here, there, own, other))]


def _settings(here: Ground, there: Ground) -> Iterator[str]:
    yield from _unequal("profile.service", here.profile["service"], there.profile["service"])
    yield from _unequal("profile.run.load", here.profile["run"]["load"], there.profile["run"]["load"])


def _unequal(name: str, here: Mapping[str, Any], there: Mapping[str, Any]) -> Iterator[str]:
    for key in sorted({*here, *there} - {SET_BY_TRIAL}):
        if here.get(key) != there.get(key):
            yield f"{name}.{key} is {here.get(key)} here and {there.get(key)} there"


def _machines(here: Ground, there: Ground, own: Arm, other: Arm) -> Iterator[str]:
    # Arms on two machines are a pairing, where the base run had both: then this arm must be on the machine that it had.
    arm = own if own in there.arms else other
    for role in ("host", "load_host"):
        name, base_name = here.arms[own][role], there.arms[arm][role]
        for key in OF_A_MACHINE:
            found, base_found = here.hosts.get(name, {}).get(key), there.hosts.get(base_name, {}).get(key)
            if found != base_found:
                yield f"{key} of the machine {name} is {found} here and of {base_name} {base_found} there"
