# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Equal ground: what both arms must share, read back from what took effect in their trials, never from the settings."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.figures import ABSENT, lookup, percent
from analysis.run_store import PlannedTrial
from analysis.schema import Arm, Kind

# The words on whatever is said of a run whose arms stood on unequal ground.
FAILED = "PARITY FAILED"
EXACT = "exact"
OF_BOTH = "exact, of the packages that both arms have"
# What a difference makes a wrong answer; every other condition is the ground that the arms stand on.
ANSWERS = ("accuracy", "accuracy before a load", "accuracy after a load", "correct answers")
EFFECTIVE_CORES_TOLERANCE = 0.10
CLIENT_PLACE = "place of the load generator"
# Where a load comes from.
OWN_HOST = "the arm's own host"
OTHER_HOST = "another host"

Record = tuple[PlannedTrial, Mapping[str, Any]]


@dataclass(frozen=True)
class Check:
    """One condition.

    ``equal`` is None in a run of one arm. A value that is ``missing`` of an arm never counts as equal.
    """

    name: str
    server: Any
    serverless: Any
    equal: bool | None
    tolerance: str
    reason: str | None
    missing: tuple[Arm, ...] = ()

    @property
    def recorded(self) -> bool:
        """Whether every arm of the run recorded the value."""
        return not self.missing

    def as_json(self) -> dict[str, Any]:
        """Give the check as it stands in ``run.json``."""
        return {
            "name": self.name,
            "server": self.server,
            "serverless": self.serverless,
            "equal": self.equal,
            "tolerance": self.tolerance,
            "reason": self.reason,
        }


@dataclass(frozen=True)
class _Condition:
    name: str
    kind: Kind
    read: Callable[[Mapping[str, Any]], Any]
    mode: str | None = None
    only_where_measured: bool = False
    of_process: bool = False


def _startup(*keys: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda facts: lookup(facts, "service_startup", *keys)


def _effective(key: str) -> Callable[[Mapping[str, Any]], Any]:
    return _startup("startup", "effective", key)


def _probe(edge: str, key: str) -> Callable[[Mapping[str, Any]], Any]:
    return lambda facts: lookup(facts, "ab_benchmark", "probes", edge, "answer", key)


def _serving_processes(facts: Mapping[str, Any]) -> Any:
    """Give how many processes serve. Earlier services did not say it, and were one process each by their settings."""
    effective = lookup(facts, "service_startup", "startup", "effective")
    return effective.get("serving_processes", 1) if isinstance(effective, Mapping) else ABSENT


def _granted_cpus(facts: Mapping[str, Any]) -> Any:
    cpus = lookup(facts, "service_startup", "granted", "affinity_cpus")
    return len(cpus) if isinstance(cpus, list) else ABSENT


def _option_of_ab(option: str) -> Callable[[Mapping[str, Any]], Any]:
    def read(facts: Mapping[str, Any]) -> Any:
        argv = lookup(facts, "ab_benchmark", "argv")
        if not isinstance(argv, list):
            return ABSENT
        return int(argv[argv.index(option) + 1]) if option in argv[:-1] else ABSENT

    return read


def _keepalive(facts: Mapping[str, Any]) -> Any:
    argv = lookup(facts, "ab_benchmark", "argv")
    return "-k" in argv if isinstance(argv, list) else ABSENT


CONDITIONS = (
    _Condition("CPUs granted", Kind.START, _granted_cpus, of_process=True),
    _Condition("CPU quota, cores", Kind.START, _startup("granted", "cpu_quota_cores"), of_process=True),
    _Condition("memory limit, bytes", Kind.START, _startup("granted", "memory_limit_bytes"), of_process=True),
    _Condition("request threads", Kind.START, _effective("request_threads")),
    _Condition("serving processes", Kind.START, _serving_processes),
    _Condition("compute threads", Kind.START, _effective("compute_threads")),
    _Condition("queue limit", Kind.START, _effective("queue_limit")),
    _Condition("engine", Kind.START, _startup("answer", "engine")),
    _Condition("recipe", Kind.START, _startup("answer", "recipe")),
    _Condition("data set", Kind.START, _startup("answer", "dataset")),
    _Condition("data set SHA-256", Kind.START, _effective("dataset_sha256")),
    # Trained and loaded starts differ in start_with, so that their service.json differs too.
    _Condition("service.json SHA-256, trained", Kind.START, _effective("service_sha256"), "train", True),
    _Condition("service.json SHA-256, loaded", Kind.START, _effective("service_sha256"), "load", True),
    _Condition("model SHA-256, trained", Kind.START, _startup("answer", "model_sha256"), "train", True),
    _Condition("model SHA-256, loaded", Kind.START, _startup("answer", "model_sha256"), "load", True),
    _Condition(ANSWERS[0], Kind.START, _startup("answer", "accuracy")),
    _Condition(ANSWERS[1], Kind.LOAD, _probe("before", "accuracy")),
    _Condition(ANSWERS[2], Kind.LOAD, _probe("after", "accuracy")),
    _Condition(ANSWERS[3], Kind.START, _startup("answer", "correct")),
    _Condition("test images", Kind.START, _startup("answer", "total")),
    _Condition("Python", Kind.START, _effective("python")),
    # The same version of another packager or compiler is another interpreter. Earlier services did not say it.
    _Condition("package versions", Kind.START, _effective("packages")),
    _Condition("requests of a load", Kind.LOAD, _option_of_ab("-n")),
    _Condition("concurrency of a load", Kind.LOAD, _option_of_ab("-c")),
    _Condition("keep-alive", Kind.LOAD, _keepalive),
)


def checks(records: Iterable[Record]) -> list[Check]:
    """Check every condition over the trials that are not discarded; one arm alone has its values listed."""
    counted = [(trial, record["facts"]) for trial, record in records if not trial.discarded]
    # What is read from a service's process cannot be compared where that runs on another host; a caution says so.
    hidden = any(is_out_of_sight(facts) for trial, facts in counted if trial.kind is Kind.START)
    conditions = [condition for condition in CONDITIONS if not (hidden and condition.of_process)]
    done = [check for condition in conditions if (check := _exact(condition, counted)) is not None]
    if (installed := _installed(counted)) is not None:
        done.append(installed)
    # Where a service is on another host than its arm is said to be, the place of its client is in that caution too.
    return done if hidden else [*done, *_client_place(counted), _effective_cores(counted)]


def is_out_of_sight(facts: Mapping[str, Any]) -> bool:
    """Whether a start is of a service on another host: it is valid, and yet has no process that could be read."""
    startup = lookup(facts, "service_startup")
    return (
        lookup(startup, "valid") is True
        and lookup(startup, "granted") is None
        and lookup(startup, "root_pid") is None
        and lookup(startup, "instance_id") not in (None, ABSENT)
    )


def passed(made: Sequence[Check], *, interrupted: bool = False) -> bool | None:
    """Say whether the ground is equal; None where one arm alone leaves nothing to compare.

    None too where an interrupted run did not come to record a condition and the others are equal.
    """
    if any(check.equal is None for check in made):
        return None
    if any(not check.equal and (check.recorded or not interrupted) for check in made):
        return False
    return True if all(check.equal for check in made) else None


def granted_cpus(records: Iterable[Record]) -> dict[Arm, float]:
    """Give the CPUs each arm could use: the smaller of its affinity and its quota, over its starts.

    Unknown arms are left out.
    """
    found: dict[Arm, float] = {}
    for trial, record in records:
        cpus = _granted_cpus(record["facts"])
        quota = lookup(record["facts"], "service_startup", "granted", "cpu_quota_cores")
        if trial.kind == Kind.START and not trial.discarded and cpus is not ABSENT:
            found[trial.arm] = min(float(cpus), float(quota)) if isinstance(quota, int | float) else float(cpus)
    return found


def _exact(condition: _Condition, counted: Sequence[tuple[PlannedTrial, Mapping[str, Any]]]) -> Check | None:
    """Check one condition; None where its kind of start is not part of the run at all."""
    arms = _arms(counted)
    values: dict[Arm, list[Any]] = {}
    for arm in arms:
        values[arm] = _distinct(
            condition.read(facts)
            for trial, facts in counted
            if trial.arm == arm and trial.kind == condition.kind and condition.mode in (None, trial.mode)
        )
    if condition.only_where_measured and not any(values.values()):
        return None
    shown = {arm: _shown(found) for arm, found in values.items()}
    reason = _why_unequal(values)
    # One arm alone has nothing to be compared with, but it may not change by itself either.
    alone = len(arms) < len(Arm) and all(len(found) <= 1 for found in values.values())
    return Check(
        name=condition.name,
        server=shown.get(Arm.SERVER),
        serverless=shown.get(Arm.SERVERLESS),
        equal=None if alone else reason is None,
        tolerance=EXACT,
        reason="one arm only" if alone else reason,
        missing=_missing(values),
    )


def _installed(counted: Sequence[tuple[PlannedTrial, Mapping[str, Any]]]) -> Check | None:
    """Compare the versions of all packages that both services found installed; None where no service said any.

    An image has what made it as well, such as pip; what one arm alone has is named, and is no difference.
    """
    read = _effective("installed")
    arms = _arms(counted)
    values = {
        arm: _distinct(read(facts) for trial, facts in counted if trial.arm == arm and trial.kind is Kind.START)
        for arm in arms
    }
    if not any(values.values()):
        return None
    alone = len(arms) < len(Arm)
    reason = next(
        (f"{arm.value} changed it during the run" for arm, found in values.items() if len(found) > 1),
        next((f"not recorded for {arm.value}" for arm, found in values.items() if not found), None),
    )
    found = {arm: each[0] for arm, each in values.items() if each}
    common = sorted(set.intersection(*(set(versions) for versions in found.values())))
    if reason is None and not alone:
        reason = _other_versions(common, found)
    shown = {arm: _of_packages(versions, common) for arm, versions in found.items()}
    return Check(
        name="installed packages",
        server=shown.get(Arm.SERVER),
        serverless=shown.get(Arm.SERVERLESS),
        equal=None if alone and reason is None else reason is None,
        tolerance=OF_BOTH,
        reason="one arm only" if alone and reason is None else reason,
        missing=_missing(values),
    )


def _other_versions(common: Sequence[str], found: Mapping[Arm, Mapping[str, str]]) -> str | None:
    """Name the packages of both arms whose versions differ; None where all are the same."""
    server, serverless = found[Arm.SERVER], found[Arm.SERVERLESS]
    differ = [f"{name} {server[name]} / {serverless[name]}" for name in common if server[name] != serverless[name]]
    if not common:
        return "the arms have no package in common"
    return f"server / serverless: {', '.join(differ)}" if differ else None


def _of_packages(versions: Mapping[str, str], common: Sequence[str]) -> dict[str, Any]:
    lines = "".join(f"{name}=={versions[name]}\n" for name in common)
    more = {name: version for name, version in sorted(versions.items()) if name not in common}
    return {
        "packages": len(common),
        "sha256": hashlib.sha256(lines.encode()).hexdigest(),
        **({"only here": more} if more else {}),
    }


def _client_place(counted: Sequence[tuple[PlannedTrial, Mapping[str, Any]]]) -> list[Check]:
    """Compare where each arm's load came from: a network and a shared CPU are both in a response time.

    Empty for a run without loads.
    """
    values = {
        arm: _distinct(
            OWN_HOST if trial.host == trial.load_host else OTHER_HOST
            for trial, _ in counted
            if trial.arm == arm and trial.kind is Kind.LOAD
        )
        for arm in _arms(counted)
    }
    if not any(values.values()):
        return []
    alone = len(values) < len(Arm)
    reason = _why_unequal(values)
    return [
        Check(
            name=CLIENT_PLACE,
            server=_shown(values.get(Arm.SERVER, [])),
            serverless=_shown(values.get(Arm.SERVERLESS, [])),
            equal=None if alone and reason is None else reason is None,
            tolerance=EXACT,
            reason="one arm only" if alone and reason is None else reason,
            missing=_missing(values),
        )
    ]


def _effective_cores(counted: Sequence[tuple[PlannedTrial, Mapping[str, Any]]]) -> Check:
    """Compare the CPU seconds over wall seconds of one evaluation: the parallelism that truly took effect.

    The best of an arm's evaluations: other work on the machine only takes away from it, while a limit on threads or
    CPUs holds for every one.
    """
    arms = _arms(counted)
    best: dict[Arm, float] = {}
    for arm in arms:
        found = [
            float(cores)
            for trial, facts in counted
            if trial.arm == arm
            and isinstance(cores := lookup(facts, "service_startup", "evaluation", "cpu_cores"), int | float)
        ]
        if found:
            best[arm] = max(found)
    missing = tuple(arm for arm in arms if arm not in best)
    equal: bool | None = None
    reason: str | None = "one arm only"
    if len(arms) == len(Arm):
        if missing:
            equal, reason = False, f"not recorded for {' and '.join(missing)}"
        else:
            low, high = sorted(best.values())
            equal = high <= low * (1 + EFFECTIVE_CORES_TOLERANCE)
            reason = None if equal else f"they differ by more than {percent(EFFECTIVE_CORES_TOLERANCE)}"
    return Check(
        name="effective cores of one evaluation",
        server=best.get(Arm.SERVER),
        serverless=best.get(Arm.SERVERLESS),
        equal=equal,
        tolerance=percent(EFFECTIVE_CORES_TOLERANCE),
        reason=reason,
        missing=missing,
    )


def _arms(counted: Iterable[tuple[PlannedTrial, Mapping[str, Any]]]) -> list[Arm]:
    present = {trial.arm for trial, _ in counted}
    return [arm for arm in Arm if arm in present]


def _distinct(values: Iterable[Any]) -> list[Any]:
    """Drop what was not recorded and repetitions, by their JSON form, since packages are a mapping; the order stays."""
    seen: dict[str, Any] = {}
    for value in values:
        if value is not ABSENT:
            seen.setdefault(json.dumps(value, sort_keys=True), value)
    return list(seen.values())


def _shown(values: Sequence[Any]) -> Any:
    return values[0] if len(values) == 1 else list(values) or None


def _missing(values: Mapping[Arm, Sequence[Any]]) -> tuple[Arm, ...]:
    return tuple(arm for arm, found in values.items() if not found)


def _why_unequal(values: Mapping[Arm, Sequence[Any]]) -> str | None:
    for arm, found in values.items():
        if not found:
            return f"not recorded for {arm.value}"
        if len(found) > 1:
            return f"{arm.value} changed it during the run"
    if len({json.dumps(found[0], sort_keys=True) for found in values.values()}) > 1:
        return "the arms differ"
    return None
