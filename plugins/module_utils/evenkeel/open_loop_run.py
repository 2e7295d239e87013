# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""One open-loop trial from its first probe to its last: what `open_loop_benchmark` does once its options are good."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from . import open_loop, open_loop_client, open_loop_knee
from .ab_load import LoadFailed, Probe, Probing, instance_changes, send_probe, wait_for_watchers
from .clock import host_boot_id
from .clock_offset import Readings
from .expectation import mismatches, parse_answer
from .files import sha256_of, write_atomically
from .open_loop import Request

# Lists of more values than this are in the artifact alone (design 4.2).
MOST_VALUES_IN_FACTS = 1000
ARTIFACT = "open_loop.csv"
# What a load may take beyond its schedule and its last time-out.
DEADLINE_RESERVE_SECONDS = 5.0
# Hosts that are to begin together are told so some seconds before. A moment further off is a clock that is wrong.
MOST_BEGIN_AHEAD_SECONDS = 300.0
# Between two steps of a sweep, so that a queue of the last one is not the next one's.
SETTLE_SECONDS = 1.0


@dataclass(frozen=True)
class Plan:
    """The load that is asked for: the request as a probe makes it, and when it is sent."""

    probing: Probing
    rate_rps: float
    seconds: float
    arrivals: str = "poisson"
    seed: int = 0
    timeout_seconds: float = 10.0
    deadline_seconds: float | None = None
    max_under_way: int | None = None
    max_error_rate: float = 0.0
    cpus: Sequence[int] = ()

    @property
    def own_deadline_seconds(self) -> float:
        """When one load ends whatever happens: by default when every request has had its time-out."""
        return self.deadline_seconds or self.seconds + self.timeout_seconds + DEADLINE_RESERVE_SECONDS


@dataclass(frozen=True)
class Surroundings:
    """Folders, the marks of those who watch the load, and where the clock of the service's host can be asked for.

    `begin_utc_seconds` is when to begin by this host's wall clock, so that several hosts begin together.
    """

    artifact_dir: str | None = None
    ready_files: Sequence[str] = ()
    ready_deadline_seconds: float = 60.0
    clock_url: str | None = None
    begin_utc_seconds: float | None = None


@dataclass(frozen=True)
class _Load:
    """One load that was sent: its records as the artifact holds them, and what `open_loop` makes of them."""

    requests: list[Request]
    figures: dict[str, Any]
    reasons: list[str]
    window: dict[str, Any]
    client: dict[str, float]
    most_under_way: int
    policy: str
    nice: int


def run(plan: Plan, surroundings: Surroundings, sweep: open_loop_knee.Sweep | None = None) -> dict[str, Any]:
    """Probe, wait for the watchers, send the load or the sweep's loads, probe again; the facts.

    Raises LoadFailed where there is nothing to give facts about, InvalidSchedule for options that no load can keep.
    """
    due = open_loop.schedule(plan.rate_rps, plan.seconds, plan.arrivals, plan.seed)
    used_cpus = _pin(plan.cpus)
    before = send_probe(plan.probing)
    reasons = [] if before.problem is None else [f"{before.problem} (before the load)"]
    wait_for_watchers(surroundings.ready_files, surroundings.ready_deadline_seconds)
    loads: list[_Load] = []
    after = searched = None
    clock = Readings(surroundings.clock_url)
    begin = None
    if not before.nobody_there:
        clock.before()
        begin = _wait_for_begin(surroundings.begin_utc_seconds)
        if sweep is None:
            loads = [_send(plan, due, before)]
        else:
            loads, searched = _search(plan, sweep, before)
        after = send_probe(plan.probing)
        clock.after()
        reasons += [] if after.problem is None else [f"{after.problem} (after the load)"]
        reasons += instance_changes(before, after)
    if sweep is None:
        reasons += loads[0].reasons if loads else []
    else:
        reasons += [f"{reason} (at {load.figures['rate_rps']:.4g}/s)" for load in loads for reason in load.reasons]
    load = loads[0] if loads else None
    figures = load.figures if load else open_loop.measure([], plan.seconds, plan.rate_rps)
    latencies = [request.latency_seconds for request in load.requests] if load and sweep is None else []
    return {
        "valid": not reasons,
        "invalid_reasons": reasons,
        "url": plan.probing.load.url,
        "method": plan.probing.load.method,
        "arrivals": plan.arrivals,
        "seed": plan.seed,
        "seconds": plan.seconds,
        "timeout_seconds": plan.timeout_seconds,
        "deadline_seconds": plan.own_deadline_seconds,
        "keepalive": plan.probing.load.keepalive,
        "max_under_way": plan.max_under_way,
        "max_error_rate": plan.max_error_rate,
        **figures,
        "most_under_way": load.most_under_way if load else None,
        "samples_seconds": latencies if 0 < len(latencies) <= MOST_VALUES_IN_FACTS else None,
        "window": _whole_window(loads),
        "clock": clock.facts(),
        "begin": begin,
        "client": _whole_client(loads),
        "cpus": used_cpus,
        "policy": load.policy if load else None,
        "nice": load.nice if load else None,
        "first_request_seconds": None if before.good_body() is None else round(before.seconds, 6),
        "probes": {"before": before.facts(), "after": after.facts() if after else None},
        "sweep": searched,
        "artifacts": _keep(surroundings.artifact_dir, loads),
    }


def judge_of(expect: Mapping[str, Any] | None, known_good: bytes | None) -> open_loop_client.Judge:
    """Whether a body holds what is expected; without an expectation an empty one alone is wrong.

    The probe's own good body is known: reading JSON anew for every answer would be work of the generator's.
    """
    known = {known_good} if known_good else set()

    def judge(body: bytes) -> bool:
        if body in known:
            return True
        if expect is None:
            return bool(body) or known_good == b""
        try:
            good = not mismatches(expect, parse_answer(body))
        except ValueError:
            return False
        if good and len(known) < MOST_VALUES_IN_FACTS:
            known.add(body)
        return good

    return judge


def _wait_for_begin(begin_utc_seconds: float | None) -> dict[str, float] | None:
    """Wait for a moment of the wall clock, and say what it was and is; one that is over is begun at once.

    Raises LoadFailed where it is so far off that the clock must be wrong.
    """
    if begin_utc_seconds is None:
        return None
    ahead = begin_utc_seconds - time.time()
    if ahead > MOST_BEGIN_AHEAD_SECONDS:
        raise LoadFailed(
            f"begin_utc_seconds is {ahead:.0f} s ahead of this host's wall clock, {MOST_BEGIN_AHEAD_SECONDS:g} s are"
            " waited for at most",
            "wait for the common begin",
            "set this host's clock, for instance by NTP",
        )
    time.sleep(max(0.0, ahead))
    return {"planned_utc_seconds": begin_utc_seconds, "utc_seconds": round(time.time(), 3)}


def _send(plan: Plan, due: Sequence[float], before: Probe) -> _Load:
    probing = plan.probing
    try:
        address = open_loop_client.resolve(probing.load.url)
    except OSError as error:
        raise LoadFailed(
            f"the host of {probing.load.url} does not resolve: {error}", "resolve the host's name", "correct url"
        ) from error
    headers = dict(probing.load.headers or {})
    if probing.body is not None:
        headers.setdefault("Content-Type", probing.load.content_type)
    target = open_loop_client.Target(
        url=probing.load.url,
        address=address,
        judge=judge_of(probing.expect, before.good_body()),
        method=probing.load.method,
        body=probing.body,
        headers=headers,
        keepalive=probing.load.keepalive,
        timeout_seconds=plan.timeout_seconds,
    )
    sent = open_loop_client.send(target, due, plan.own_deadline_seconds, plan.max_under_way)
    requests = [open_loop.rounded(request) for request in sent.requests]
    figures = open_loop.measure(requests, plan.seconds, plan.rate_rps)
    wall = sent.end_monotonic_seconds - sent.start_monotonic_seconds
    window = {
        "start_monotonic_seconds": sent.start_monotonic_seconds,
        "end_monotonic_seconds": sent.end_monotonic_seconds,
        "host_boot_id": host_boot_id(),
    }
    return _Load(
        requests,
        figures,
        open_loop.invalid_reasons(figures, plan.max_error_rate, sent.ended_by),
        window,
        {"cpu_seconds": sent.cpu_seconds, "cpu_cores": sent.cpu_seconds / wall if wall > 0 else 0.0},
        sent.most_under_way,
        sent.policy,
        sent.nice,
    )


def _search(plan: Plan, sweep: open_loop_knee.Sweep, before: Probe) -> tuple[list[_Load], dict[str, Any]]:
    """Send the sweep's loads; they and the facts about the search."""
    loads: list[_Load] = []
    steps: list[open_loop_knee.Step] = []
    told: list[dict[str, Any]] = []
    baseline: float | None = None
    while (rate := open_loop_knee.next_rate(sweep, steps)) is not None:
        if loads:
            time.sleep(SETTLE_SECONDS)
        # What a rate beyond the knee does to the service is what is asked for, so no error rate is too high here.
        step_plan = replace(plan, rate_rps=rate, seconds=sweep.seconds, seed=plan.seed + len(steps), max_error_rate=1.0)
        due = open_loop.schedule(rate, sweep.seconds, plan.arrivals, step_plan.seed)
        load = _send(step_plan, due, before)
        loads.append(load)
        baseline = load.figures["latency_seconds"]["p50"] if baseline is None else baseline
        share = open_loop_knee.answered_share(load.requests, sweep.seconds, baseline or 0.0)
        broken = open_loop_knee.broken_conditions(sweep, load.figures, share, baseline)
        steps.append(open_loop_knee.Step(rate, not load.reasons, broken))
        told.append(
            {
                **load.figures,
                "valid": not load.reasons,
                "invalid_reasons": load.reasons,
                "answered_share": share,
                "held": not broken,
                "broken": list(broken),
                "client": load.client,
            }
        )
    facts = {**open_loop_knee.result(sweep, steps), "baseline_seconds": baseline, "seconds": sweep.seconds}
    return loads, {**facts, "steps": told}


def _pin(cpus: Sequence[int]) -> list[int]:
    """Run on these CPUs alone where any are named; those that this process then has."""
    if cpus:
        try:
            os.sched_setaffinity(0, cpus)
        except OSError as error:
            raise LoadFailed(
                f"the load generator cannot run on the CPUs {', '.join(map(str, cpus))}: {error.strerror}",
                "set the CPU affinity",
                f"name CPUs of this host: {sorted(os.sched_getaffinity(0))}",
            ) from error
    return sorted(os.sched_getaffinity(0))


def _whole_window(loads: Sequence[_Load]) -> dict[str, Any] | None:
    if not loads:
        return None
    return {**loads[0].window, "end_monotonic_seconds": loads[-1].window["end_monotonic_seconds"]}


def _whole_client(loads: Sequence[_Load]) -> dict[str, float] | None:
    if not loads:
        return None
    used = sum(load.client["cpu_seconds"] for load in loads)
    wall = sum(load.window["end_monotonic_seconds"] - load.window["start_monotonic_seconds"] for load in loads)
    return {"cpu_seconds": used, "cpu_cores": used / wall if wall > 0 else 0.0}


def _keep(artifact_dir: str | None, loads: Sequence[_Load]) -> list[dict[str, str]]:
    """A file for the load, or one for each step of a sweep; the facts about them."""
    if artifact_dir is None:
        return []
    kept = []
    for number, load in enumerate(loads, start=1):
        name = ARTIFACT if len(loads) == 1 else f"open_loop.{number:02}.csv"
        path = os.path.join(artifact_dir, name)
        try:
            write_atomically(path, open_loop.to_csv(load.requests).encode("ascii"))
        except OSError as error:
            raise LoadFailed(
                f"{path} cannot be written: {error.strerror}", "keep the requests", "free space or set artifact_dir"
            ) from error
        kept.append({"path": path, "sha256": sha256_of(path)})
    return kept
