# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What disturbed a trial from outside the service: read from its facts, for the reasons and the remarks of a run.

Each function looks at one trial and gives what was found, or None. What is a reason against a run and what is a remark
is decided by validity and cautions; docs/validity.md has the table.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from analysis import clocks, watched
from analysis.figures import lookup, number_at, percent
from analysis.run_store import WATCHERS

Facts = Mapping[str, Any]

# ab has one thread (measurement.md 1.4): at one core it cannot send faster, whatever the service could answer.
MOST_CLIENT_CORES = 0.9
# Of the quota's periods. A service whose threads equal its quota is held back in a few of them, by its other threads.
MOST_THROTTLED_SHARE = 0.1
# A host pages a little in and out at any time; this much is a service or a load generator that waited for a disk.
MOST_SWAPPED_BYTES = 2**20
# As for ab's own clock: below this a step is the daemon's slewing.
MOST_CLOCK_STEP_SHARE = 0.01
LEAST_CLOCK_STEP_SECONDS = 0.001
# Evaluations of one model cost about the same CPU time; on a busy machine two of them were seen to differ by a factor
# of 2.5. An answer out of a cache costs a hundredth.
LEAST_COST_SHARE = 0.2
# In a closed loop that waits for one answer, all that would have come meanwhile is missing from its percentiles.
STALL_FACTOR = 4.0
# A quota is set in whole periods of the scheduler, and read back as a ratio of two integers.
QUOTA_TOLERANCE = 0.01


@dataclass(frozen=True)
class Throttled:
    """How the CPU quota held a service back: in a share of the quota's periods (None where the kernel does not count
    them), for seconds in sum over its CPUs, under a quota in cores."""

    periods: int
    share: float | None
    seconds: float | None
    quota_cores: float | None


def throttled(facts: Facts) -> Throttled | None:
    """Read how the service was held back while a watcher saw it; None where no watcher says."""
    group = watched.control_group(facts)
    periods = number_at(group, "throttled_periods").value
    if periods is None:
        return None
    elapsed = number_at(group, "elapsed_periods").value
    return Throttled(
        int(periods),
        periods / elapsed if elapsed else None,
        number_at(group, "throttled_seconds").value,
        number_at(group, "cpu_quota_cores").value,
    )


def other_quota(facts: Facts, started: Facts) -> str | None:
    """Say how the quota under a trial is not the one that the service was started with."""
    group = watched.control_group(facts)
    granted = lookup(started, "service_startup", "granted", "cpu_quota_cores")
    now = lookup(group, "cpu_quota_cores")
    seen = throttled(facts)
    known = all(value is None or _is_number(value) for value in (granted, now))
    if not known or seen is None:
        return None
    if (granted is None) != (now is None) or (now is not None and abs(now - granted) > QUOTA_TOLERANCE * granted):
        return (
            f"the service was started with {_quota(granted)} and watched under {_quota(now)}: somebody changed its "
            "limit during the run. Leave the limits alone and repeat the run"
        )
    if granted is None and seen.periods > 0:
        return (
            f"the service was started with no CPU quota, and yet a quota held it back in {seen.periods} periods: it "
            "was set and removed meanwhile. Leave the limits alone and repeat the run"
        )
    return None


def _quota(cores: float | None) -> str:
    return "no CPU quota" if cores is None else f"a CPU quota of {cores:g} cores"


def saturated_client(facts: Facts) -> float | None:
    """Give the CPU cores that ab used where it used all that its one thread can; None where it had some left."""
    cores = number_at(facts, "ab_benchmark", "client", "cpu_cores").value
    return cores if cores is not None and cores >= MOST_CLIENT_CORES else None


def swapped(facts: Facts) -> float | None:
    """Give the bytes that the host moved to and from swap in the watcher's window, where they are many."""
    for watcher in WATCHERS:
        found = number_at(facts, watcher, "window", "host_swapped_bytes").value
        if found is not None:
            return found if found > MOST_SWAPPED_BYTES else None
    return None


def clock_step(facts: Facts) -> float | None:
    """Give the seconds by which somebody set the wall clock in the watcher's window; None where nobody did."""
    for watcher in WATCHERS:
        window = lookup(facts, watcher, "window")
        step = number_at(window, "wall_clock_step_seconds").value
        begin = number_at(window, "start_monotonic_seconds").value
        end = number_at(window, "end_monotonic_seconds").value
        if step is None or begin is None or end is None:
            continue
        limit = max(LEAST_CLOCK_STEP_SECONDS, MOST_CLOCK_STEP_SHARE * (end - begin))
        return step if abs(step) > limit else None
    return None


def uncovered(facts: Facts) -> str | None:
    """Say how the watcher's window lies off the load's; None where it covers it, or none of both was recorded."""
    load, seen = watched.load_window(facts), watched.watched(facts)
    own = watched.own_window(seen)
    if load is None or seen is None:
        return None
    if own is None:
        return "the watcher read no counter twice"
    placed = clocks.seen_on(load, own.host_boot_id)
    if isinstance(placed, str):
        return placed
    late, early = own.start - placed.start, placed.end - own.end
    parts = [
        f"{what} {seconds:.2g} s {when}"
        for what, seconds, when in (("began", late, "after the load"), ("ended", early, "before it"))
        if seconds > 0
    ]
    return f"the watcher {' and '.join(parts)}" if parts else None


def evaluation_cost(facts: Facts) -> float | None:
    """Give the CPU seconds of the one evaluation that a start ends with; None where it was not measured."""
    evaluation = lookup(facts, "service_startup", "evaluation")
    cores, wall = number_at(evaluation, "cpu_cores").value, number_at(evaluation, "wall_seconds").value
    return None if cores is None or wall is None else cores * wall


def not_computed(facts: Facts, evaluation_seconds: float | None) -> str | None:
    """Say where the answers of a load cost far less CPU time than one evaluation did: they were not computed.

    ab cannot read an answer, and a wrong one of the right length is a good one to it.
    """
    succeeded = number_at(facts, "ab_benchmark", "requests", "succeeded").value
    window = watched.load_window(facts)
    used = watched.mean_cores(facts, window)
    cores = used.value if used.value is not None else used.less_than
    if window is None or not succeeded or cores is None or evaluation_seconds is None:
        return None
    each = cores * window.seconds / succeeded
    if each >= LEAST_COST_SHARE * evaluation_seconds:
        return None
    return (
        f"an answer of the load cost {each:.2g} CPU seconds, and one evaluation after a start {evaluation_seconds:.2g}:"
        f" below {percent(LEAST_COST_SHARE)} of it the answers were not computed on the request, as GET / promises. "
        "Look for a cache, or for answers made up under load"
    )


def stalled(facts: Facts) -> tuple[float, float] | None:
    """Give the longest and the median response in seconds, where the longest is many times the median."""
    longest = number_at(facts, "ab_benchmark", "latency_seconds", "max").value
    median = number_at(facts, "ab_benchmark", "latency_seconds", "p50").value
    if longest is None or not median or longest < STALL_FACTOR * median:
        return None
    return longest, median


def _is_number(found: object) -> bool:
    return isinstance(found, int | float) and not isinstance(found, bool)
