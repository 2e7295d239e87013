# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a run may be judged at all: how far it came, and every reason against it, each with its code."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from evenkeel.plan import trial_plan

from analysis import clocks, disturbances, parity, watched
from analysis.figures import lookup, percent
from analysis.run_store import WATCHERS, PlannedTrial, RunFolder
from analysis.schema import LOADS, Arm, Kind, Reason, Status

Facts = Mapping[str, Any]

FACTS_OF = {
    Kind.START: ("service_startup",),
    Kind.IDLE: WATCHERS,
    Kind.LOAD: ("ab_benchmark",),
    Kind.CAPACITY: ("ab_benchmark",),
    Kind.OPEN_LOOP: ("open_loop_benchmark",),
}

# The modules' own codes that mean one of ours; a code that is in none of these is LOAD_INVALID or START_INVALID.
CODES_OF_MODULES = {
    Reason.WRONG_ANSWER: {"wrong_answer", "wrong_evaluation", "answer_changed"},
    Reason.INSTANCE_CHANGED: {"instance_changed", "restarted"},
    Reason.CLOCK_STEPPED: {"clock_disagrees"},
    Reason.REQUESTS_FAILED: {"failed_requests", "body_bytes", "empty_answers", "incomplete"},
}


@dataclass(frozen=True)
class Problem:
    """One reason why a run is INVALID. ``trial`` is None where it concerns the whole run."""

    code: Reason
    message: str
    trial: str | None = None

    def as_json(self) -> dict[str, str | None]:
        """Give the reason as it stands in ``run.json``."""
        return {"code": self.code.value, "message": self.message, "trial": self.trial}


def status_of(run: RunFolder) -> Status:
    """Say how far the run came: interrupted where trials are missing and its last sitting failed or never finished.

    What was planned after a look that ended the run is not missing.
    """
    missing = any(trial.id not in run.records for trial in run.trials if run.needs(trial))
    finished = any(event.get("event") == "run_finished" for event in _last_sitting(run))
    if missing and (_failure(run) is not None or not finished):
        return Status.INTERRUPTED
    return Status.ONE_ARM if run.plan["only_arm"] is not None else Status.COMPLETE


def _last_sitting(run: RunFolder) -> list[Mapping[str, Any]]:
    """Give the journal's events since the run was last begun or resumed: what ended a sitting before is over."""
    before = [index for index, event in enumerate(run.journal) if event.get("event") in ("run_begun", "run_resumed")]
    return list(run.journal[before[-1] + 1 :] if before else run.journal)


def _failure(run: RunFolder) -> str | None:
    """Give the message of the last sitting's last failed step; None where none failed."""
    for event in reversed(_last_sitting(run)):
        if event.get("event") == "step_failed":
            return str(event.get("message") or f"step {event.get('step')} failed")
    return None


def problems(run: RunFolder, checks: Sequence[parity.Check], rebuilt: Iterable[Problem]) -> list[Problem]:
    """List every reason against the run, in the order of its trials.

    ``rebuilt`` are those the rebuild from raw found.
    """
    found: list[Problem] = []
    status = status_of(run)
    if status == Status.INTERRUPTED:
        needed = [trial for trial in run.trials if run.needs(trial)]
        done = sum(trial.id in run.records for trial in needed)
        message = f"{done} of {len(needed)} trials were measured before the run ended"
        failure = _failure(run)
        found.append(Problem(Reason.RUN_INTERRUPTED, f"{message}: {failure}" if failure else message))
    found.extend(_of_plan(run))
    for trial in run.trials:
        found.extend(_of_trial(run, trial, status))
    found.extend(_of_instances(run))
    found.extend(_of_costs(run))
    found.extend(rebuilt)
    # What an interrupted run did not come to record is no difference between the arms.
    found.extend(of_parity(check for check in checks if check.recorded or status != Status.INTERRUPTED))
    return found


def _of_plan(run: RunFolder) -> Iterator[Problem]:
    """Plan the run again from its own seed: an order that the seed does not give was not drawn by it."""
    seed = run.plan["seed"]
    again = trial_plan(run.plan["profile"]["run"], run.plan["arms"], seed)
    no_trial: dict[str, Any] = {}
    for number, (recorded, given) in enumerate(zip_longest(run.plan["trials"], again, fillvalue=no_trial), start=1):
        if recorded == given:
            continue
        here, there = recorded.get("id", "none"), given.get("id", "none")
        message = f"trial {number} of the plan is {here}; its profile, arms and seed {seed} give {there}"
        if here == there:
            keys = sorted(key for key in {*recorded, *given} if recorded.get(key) != given.get(key))
            message += f" with another {' and '.join(keys)}"
        yield Problem(Reason.PLAN_MISMATCH, message)
        return


def _of_trial(run: RunFolder, trial: PlannedTrial, status: Status) -> Iterator[Problem]:
    record = run.records.get(trial.id)
    if record is None:
        if trial.id in run.unreadable:
            yield Problem(Reason.RECORD_UNUSABLE, run.unreadable[trial.id], trial.id)
        elif status != Status.INTERRUPTED and run.needs(trial):
            yield Problem(Reason.TRIAL_MISSING, "it was planned and has no record, though the run finished", trial.id)
        return
    for key in ("id", "arm", "kind", "mode", "block"):
        recorded, planned = record["trial"].get(key), getattr(trial, key)
        if recorded != planned:
            yield Problem(Reason.TRIAL_MISMATCH, f"its record says {key} {recorded!r}, the plan {planned!r}", trial.id)
    if trial.discarded:
        return
    facts = record["facts"]
    names = FACTS_OF[trial.kind]
    unwatched = trial.kind == Kind.IDLE and "unwatched" in facts
    if not unwatched and not any(isinstance(facts.get(name), Mapping) for name in names):
        yield Problem(Reason.FACTS_MISSING, f"its record holds no facts of {' or '.join(names)}", trial.id)
        return
    if trial.kind == Kind.START:
        yield from _of_start(trial, facts["service_startup"])
    elif trial.kind == Kind.LOAD:
        yield from _of_load(
            trial, facts["ab_benchmark"], float(run.plan["profile"]["run"]["load"].get("max_error_rate", 0))
        )
        used = disturbances.saturated_client(facts)
        if used is not None:
            message = (
                f"the load generator used {used:.2g} CPU cores, and its one thread can use 1: the figures are of the "
                "client, not of the service. Run it on a faster or another machine (load_host), or send it less"
            )
            yield Problem(Reason.CLIENT_SATURATED, message, trial.id)
    elif trial.kind in (Kind.CAPACITY, Kind.OPEN_LOOP):
        yield from _of_further_load(trial, facts[names[0]])
    seen = watched.watched(facts)
    if seen is not None and seen.restarted:
        how = "; ".join(watched.group_changes(facts, watched.FUNCTION))
        message = "a watched process of the service was replaced during the trial"
        yield Problem(Reason.INSTANCE_CHANGED, f"{message}: {how}" if how else message, trial.id)


def _of_start(trial: PlannedTrial, startup: Mapping[str, Any]) -> Iterator[Problem]:
    yield from _of_module(trial, startup, Reason.START_INVALID)


def _of_load(trial: PlannedTrial, load: Mapping[str, Any], max_error_rate: float) -> Iterator[Problem]:
    found = list(_of_module(trial, load, Reason.LOAD_INVALID))
    yield from found
    requests = load.get("requests")
    planned, sure = lookup(requests, "planned"), lookup(requests, "succeeded_min")
    if Reason.REQUESTS_FAILED in {problem.code for problem in found}:
        return
    if not isinstance(planned, int) or planned < 1:
        yield Problem(Reason.LOAD_INVALID, "its facts do not say how many requests were planned", trial.id)
    elif isinstance(sure, int) and planned - sure > max_error_rate * planned:
        message = f"{planned - sure} of {planned} requests had no good answer; {percent(max_error_rate, 1)} are allowed"
        yield Problem(Reason.REQUESTS_FAILED, message, trial.id)
    elif not isinstance(sure, int) and not found:
        yield Problem(Reason.REQUESTS_FAILED, f"it is not known how many of {planned} requests succeeded", trial.id)


def _of_further_load(trial: PlannedTrial, load: Mapping[str, Any]) -> Iterator[Problem]:
    """Give what a load beside the verdict's own found against the service; what else it found is against its figures.

    A service that answers wrongly or is replaced is not the one that the verdict is about. A load generator that
    lagged, or a rate that the service did not hold, says nothing of ab's loads.
    """
    of_the_service = (Reason.WRONG_ANSWER, Reason.INSTANCE_CHANGED)
    yield from (found for found in _of_module(trial, load, Reason.LOAD_INVALID) if found.code in of_the_service)


def _of_module(trial: PlannedTrial, facts: Mapping[str, Any], otherwise: Reason) -> Iterator[Problem]:
    """Give what a module itself found against its trial, one problem a code of ours."""
    if facts.get("valid") is True:
        return
    reasons = facts.get("invalid_reasons")
    grouped: dict[Reason, list[str]] = {}
    for reason in reasons if isinstance(reasons, list) else []:
        theirs = str(reason).partition(":")[0]
        ours = next((code for code, codes in CODES_OF_MODULES.items() if theirs in codes), otherwise)
        grouped.setdefault(ours, []).append(str(reason))
    for code, listed in (grouped or {otherwise: ["its module called it invalid without a reason"]}).items():
        yield Problem(code, "; ".join(listed), trial.id)


def _of_instances(run: RunFolder) -> Iterator[Problem]:
    """Look for a service that was replaced, or a host that was rebooted, between a start and what is measured on it."""
    serving: dict[Arm, tuple[PlannedTrial, Mapping[str, Any]]] = {}
    for trial in run.trials:
        record = run.records.get(trial.id)
        if record is None:
            serving.pop(trial.arm, None)
            continue
        facts = record["facts"]
        if trial.kind == Kind.START:
            serving[trial.arm] = (trial, facts)
            continue
        if trial.arm not in serving:
            continue
        start, started = serving[trial.arm]
        for seen in _instances(facts):
            if seen != lookup(started, "service_startup", "instance_id"):
                yield Problem(
                    Reason.INSTANCE_CHANGED,
                    f"instance {seen} answered; {start.id} had started "
                    f"{lookup(started, 'service_startup', 'instance_id')}",
                    trial.id,
                )
        changed = disturbances.other_quota(facts, started)
        if changed is not None:
            yield Problem(Reason.QUOTA_CHANGED, changed, trial.id)
        if _other_boot(trial, facts, start, started):
            yield Problem(Reason.HOST_REBOOTED, f"the host's boot id is not that of {start.id}", trial.id)


def _of_costs(run: RunFolder) -> Iterator[Problem]:
    """Look for loads whose answers cost so little that they cannot have been computed on the request."""
    costs: dict[Arm, list[float]] = {}
    for trial in run.trials:
        record = run.records.get(trial.id)
        cost = None if record is None or trial.discarded else disturbances.evaluation_cost(record["facts"])
        if cost is not None:
            costs.setdefault(trial.arm, []).append(cost)
    for trial in run.trials:
        record = run.records.get(trial.id)
        if trial.kind is not Kind.LOAD or record is None:
            continue
        # The cheapest evaluation of the arm: other work on the machine only makes one dearer.
        message = disturbances.not_computed(record["facts"], min(costs.get(trial.arm, []), default=None))
        if message is not None:
            yield Problem(Reason.NOT_COMPUTED, message, trial.id)


def _other_boot(trial: PlannedTrial, facts: Facts, start: PlannedTrial, started: Facts) -> bool:
    """Whether the host that the service was started on was under another boot during the trial.

    A load generator on it says so, else its watchers, and the service itself where a load generator elsewhere asked it.
    """
    load = watched.load_window(facts) if trial.kind in LOADS else None
    stamped = load if trial.kind in LOADS and start.host == trial.load_host else watched.watch_window(facts)
    here = {stamped.host_boot_id} if stamped is not None and start.host in (trial.host, trial.load_host) else set()
    # A service behind a gateway may run on another host than its arm's: it is compared with its own word.
    said = clocks.boot_ids(load.clock) if load is not None else set()
    startup = lookup(started, "service_startup")
    return any(
        isinstance(booted, str) and not found <= {booted, None}
        for found, booted in (
            (here, lookup(startup, "host_boot_id")),
            (said, lookup(startup, "startup", "host_boot_id")),
        )
    )


def _instances(facts: Mapping[str, Any]) -> list[str]:
    """Give the instance ids that a load's own probes read before and after ab, each once."""
    probes = [
        lookup(facts, generator, "probes", edge, "answer", "instance_id")
        for generator in ("ab_benchmark", "open_loop_benchmark")
        for edge in ("before", "after")
    ]
    return list(dict.fromkeys(probe for probe in probes if isinstance(probe, str)))


def is_of_parity(code: str, trial: str | None) -> bool:
    """Whether a reason is of unequal ground; a wrong answer of no single trial is two arms that answer differently."""
    return trial is None and code in (Reason.PARITY_FAILED, Reason.WRONG_ANSWER)


def of_parity(checks: Iterable[parity.Check]) -> Iterator[Problem]:
    """Give a problem for each check that found the ground unequal."""
    for check in checks:
        if check.equal is not False:
            continue
        shown = (
            f"{arm} not recorded" if arm in check.missing else f"{arm} {_said(value)}"
            for arm, value in ((Arm.SERVER, check.server), (Arm.SERVERLESS, check.serverless))
            if arm in check.missing or value is not None
        )
        # What nobody recorded is no answer, and so no wrong one.
        wrong = check.name in parity.ANSWERS and check.recorded
        message = f"{check.name}: {', '.join(shown)} ({check.reason})"
        yield Problem(Reason.WRONG_ANSWER if wrong else Reason.PARITY_FAILED, message)


def _said(value: Any) -> str:
    """Print what an arm recorded of a condition; a list is of what one arm had one after the other."""
    if isinstance(value, list):
        return " and ".join(map(_said, value))
    return f"{value:.4g}" if isinstance(value, float) else str(value)
