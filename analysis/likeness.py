# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What differs between two runs besides their figures, and which of it makes them unlike: another measurement."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis.base_run import OF_A_MACHINE, SET_BY_TRIAL
from analysis.figures import ABSENT, lookup
from analysis.parity import CLIENT_PLACE
from analysis.schema import Arm

Run = Mapping[str, Any]

# What a machine is like at one moment, and not what it is.
OF_A_MOMENT = frozenset({"busy_cores", "free_bytes", "load1", "ports"})
# Conditions of equal ground that, where they differ between runs, say that another thing was measured. The others
# (Python, packages, answers) may be the very change that two runs are compared for: they are shown.
CONDITIONS = (
    "CPUs granted",
    "CPU quota, cores",
    "memory limit, bytes",
    "request threads",
    "compute threads",
    "queue limit",
    "engine",
    "recipe",
    "data set",
    "data set SHA-256",
    "model SHA-256, trained",
    "model SHA-256, loaded",
    "test images",
    "concurrency of a load",
    CLIENT_PLACE,
    "keep-alive",
)
REQUESTS = "requests of a load"
# Sections of run.json that say how it was made. What a run does not have differs from what another one has.
SECTIONS = ("profile", "seed", "arms", "base_run", "provenance", "cost.prices")


@dataclass(frozen=True)
class Difference:
    """One value that differs; None where a run does not have it."""

    name: str
    reference: Any
    other: Any
    unlike: bool

    def as_json(self) -> dict[str, Any]:
        """Give it as it stands in a comparison."""
        return {"name": self.name, "reference": self.reference, "other": self.other, "unlike": self.unlike}

    def sentence(self) -> str:
        """Say it in words."""
        return f"{self.name} is {_said(self.reference)} in the reference and {_said(self.other)} in the other"


def differences(reference: Run, other: Run) -> list[Difference]:
    """Give every difference, those that make the runs unlike first."""
    found = {one.name: one for one in (*_unlike(reference, other), *_provenance(reference, other))}
    # A name that both give is one difference, and unlike where either says so: the first one stays.
    for one in _unlike(reference, other):
        found[one.name] = one
    return sorted(found.values(), key=lambda one: not one.unlike)


def _unlike(reference: Run, other: Run) -> Iterator[Difference]:
    for section in (("profile", "service"), ("profile", "run", "load")):
        ours, theirs = (flat(lookup(run, *section), ".".join(section)) for run in (reference, other))
        for name in dict.fromkeys([*ours, *theirs]):
            # A run sets start_with before its starts, as each trial's mode says; service.json has a version of its own.
            if name.rpartition(".")[2] not in (SET_BY_TRIAL, "schema_version") and ours.get(name) != theirs.get(name):
                yield Difference(name, ours.get(name), theirs.get(name), True)
    for arm in Arm:
        for key in ("platform", "pairing", "standins"):
            yield from _differ(f"arms.{arm}.{key}", *(_of_arm(run, arm, key) for run in (reference, other)))
        for role in ("host", "load_host"):
            for fact in OF_A_MACHINE:
                yield from _differ(
                    f"{fact} of the {arm} arm's {role}",
                    *(_of_machine(run, arm, role, fact) for run in (reference, other)),
                )
    checks = [{check["name"]: check for check in run["parity"]["checks"]} for run in (reference, other)]
    for name in (*CONDITIONS, REQUESTS):
        for arm in Arm:
            ours, theirs = (lookup(found, name, arm) for found in checks)
            if name != REQUESTS or not _near(reference, ours, theirs):
                yield from _differ(f"{name}, {arm}", ours, theirs)


def _provenance(reference: Run, other: Run) -> Iterator[Difference]:
    for section in SECTIONS:
        ours, theirs = (flat(lookup(run, *section.split(".")), section) for run in (reference, other))
        for name in dict.fromkeys([*ours, *theirs]):
            # The thresholds are what is asked of a run, not how it was made.
            if OF_A_MOMENT.isdisjoint(name.split(".")) and name != "profile.run.thresholds":
                yield from _differ(name, ours.get(name), theirs.get(name), unlike=False)
    checks = [{check["name"]: check for check in run["parity"]["checks"]} for run in (reference, other)]
    for name in dict.fromkeys([*checks[0], *checks[1]]):
        for arm in Arm:
            if name not in ("effective cores of one evaluation", *CONDITIONS):
                ours, theirs = (lookup(found, name, arm) for found in checks)
                yield from _differ(f"{name}, {arm}", ours, theirs, unlike=False)


def flat(value: Any, name: str) -> dict[str, Any]:
    """Give the leaves of nested mappings by their dotted names; a list is a leaf."""
    if value is ABSENT:
        return {}
    if not isinstance(value, Mapping):
        return {name: value}
    return {inner: leaf for key in sorted(value) for inner, leaf in flat(value[key], f"{name}.{key}").items()}


def _differ(name: str, ours: Any, theirs: Any, *, unlike: bool = True) -> Iterator[Difference]:
    ours, theirs = (None if value is ABSENT else value for value in (ours, theirs))
    if ours != theirs:
        yield Difference(name, ours, theirs, unlike)


def _of_arm(run: Run, arm: Arm, key: str) -> Any:
    return lookup(run["arms"], arm, key)


def _of_machine(run: Run, arm: Arm, role: str, fact: str) -> Any:
    host = lookup(run["arms"], arm, role)
    return ABSENT if host is ABSENT else lookup(run["provenance"], "hosts", host, fact)


def _near(reference: Run, ours: Any, theirs: Any) -> bool:
    """Whether two sized loads have so nearly the same number of requests that it does not show.

    In a queue of c the mean response over n requests is c (1 - (c - 1) / n) answers long, the first request being sent
    alone; a tenth of the margin is allowed for what two n make of it.
    """
    if not all(isinstance(count, int) and count > 0 for count in (ours, theirs)):
        return False
    waiting = reference["profile"]["run"]["load"].get("concurrency", 2) - 1
    return bool(waiting * abs(1 / ours - 1 / theirs) <= reference["profile"]["run"]["margin"] / 10)


def _said(value: Any) -> str:
    return "not there" if value is None else str(value)
