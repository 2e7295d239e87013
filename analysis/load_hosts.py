# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""An open loop that several hosts sent together, as one load.

Each host judges its own load: its lag is its own. Counts and rates are added, percentiles are those of all requests
together. The hosts must have sent at the same time: a service that met one half of the load after the other has not met
the rate.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from evenkeel import open_loop as loop

from analysis import clocks
from analysis.clocks import Window
from analysis.figures import lookup, number_at, percent

MODULE = "open_loop_benchmark"
HOSTS = "open_loop_hosts"
ARTIFACT = "open_loop.csv"

# Of the schedule's time, all hosts together.
LEAST_TOGETHER = 0.95
# A run asks its open loops for this: what a service refuses at a rate is a figure of that rate.
MAX_ERROR_RATE = 1.0

# The text of a file by its name; None where there is none.
TextOf = Callable[[str], str | None]


def parts_of(trial: str, facts: object) -> list[tuple[str, Mapping[str, Any]]]:
    """Give every host's own facts of an open-loop trial, with the beginning of its files' names."""
    several = lookup(facts, HOSTS)
    if isinstance(several, list):
        return [(f"{trial}.{one['load_host']}", one[MODULE]) for one in several]
    alone = lookup(facts, MODULE)
    return [(trial, alone)] if isinstance(alone, Mapping) else []


def loads_of(facts: Mapping[str, Any]) -> list[tuple[Mapping[str, Any], str]]:
    """Give every load in one host's facts, one a step of a sweep, with the name of its list of requests."""
    steps = lookup(facts, "sweep", "steps")
    loads = steps if isinstance(steps, list) else [facts]
    if len(loads) == 1:
        return [(loads[0], ARTIFACT)]
    return [(load, f"open_loop.{number:02}.csv") for number, load in enumerate(loads, start=1)]


def requests_of(name: str, text_of: TextOf, artifact: str = ARTIFACT) -> list[loop.Request] | None:
    """Read one host's list of requests; None where it is missing or is none, which the rebuild from raw says."""
    text = text_of(f"{name}.{artifact}")
    if text is None:
        return None
    try:
        return loop.from_csv(text)
    except ValueError:
        return None


def judged(trial: str, facts: Mapping[str, Any], text_of: TextOf) -> dict[str, Any]:
    """Give a trial's facts, those of an open loop not valid where its own lists of requests say so.

    The module's rules on the figures of these lists: that a record calls a load valid is no proof of it.
    """
    if HOSTS in facts:
        hosts = [{**one, MODULE: _judged(f"{trial}.{one['load_host']}", one[MODULE], text_of)} for one in facts[HOSTS]]
        return {**facts, HOSTS: hosts}
    if MODULE in facts:
        return {**facts, MODULE: _judged(trial, facts[MODULE], text_of)}
    return dict(facts)


def pooled(parts: Sequence[Sequence[loop.Request]]) -> list[loop.Request]:
    """Give the requests of all hosts in the order in which they were due, each since its own host's begin."""
    return sorted((one for part in parts for one in part), key=lambda request: request.intended_seconds)


def achieved_rps(parts: Sequence[Sequence[loop.Request]], seconds: float) -> float | None:
    """Add up at which rate each host sent; None where one sent nothing."""
    rates = [loop.measure(part, seconds, 0.0)["achieved_rps"] for part in parts]
    return sum(rates) if rates and all(rates) else None


def merged(trial: str, facts: Mapping[str, Any], text_of: TextOf) -> dict[str, Any]:
    """Give the facts of ``open_loop_benchmark`` as one host would have given them for all.

    What stands of a single moment (window, clock, probes) is the first host's. Figures are left out where the requests
    of one cannot be read.
    """
    hosts = facts[HOSTS]
    parts = [part for _, part in parts_of(trial, facts)]
    first = parts[0]
    reasons = [
        f"{reason} (sent by {host['load_host']})"
        for host, part in zip(hosts, parts, strict=True)
        for reason in _reasons(part)
    ]
    reasons += [reason for reason in (_instances(parts), _apart(parts)) if reason is not None]
    found = [requests_of(name, text_of) for name, _ in parts_of(trial, facts)]
    known = [requests for requests in found if requests is not None]
    seconds = number_at(first, "seconds").value
    rate = _sum(parts, "rate_rps")
    figures: dict[str, Any] = {}
    if len(known) == len(parts) and seconds is not None and rate is not None:
        figures = loop.measure(pooled(known), seconds, rate)
        figures["achieved_rps"] = achieved_rps(known, seconds)
    return {
        "valid": not reasons,
        "invalid_reasons": reasons,
        "seconds": seconds,
        **figures,
        "rate_rps": rate,
        **{key: first.get(key) for key in ("window", "clock", "probes")},
        "client": {key: _sum(parts, "client", key) for key in ("cpu_seconds", "cpu_cores")},
    }


def _judged(name: str, facts: Mapping[str, Any], text_of: TextOf) -> Mapping[str, Any]:
    """Judge one host's facts; ``name`` is the beginning of its files' names. What is not valid by its word stays so."""
    if facts["valid"] is not True:
        return facts
    loads = [(load, requests_of(name, text_of, artifact)) for load, artifact in loads_of(facts)]
    against = [_against(requests, facts["seconds"], load["rate_rps"]) for load, requests in loads]
    if not any(against):
        return facts
    if not isinstance(facts.get("sweep"), Mapping):
        return {**facts, "valid": False, "invalid_reasons": against[0]}
    steps = [
        {**step, "valid": False, "invalid_reasons": why} if why else step
        for (step, _), why in zip(loads, against, strict=True)
    ]
    reasons = [f"{reason} (at {step['rate_rps']:.4g}/s)" for step in steps for reason in step["invalid_reasons"]]
    return {**facts, "valid": False, "invalid_reasons": reasons, "sweep": {**facts["sweep"], "steps": steps}}


def _against(requests: Sequence[loop.Request] | None, seconds: float, rate_rps: float) -> list[str]:
    """Give the module's reasons not to believe these requests; those that cannot be read the rebuild from raw says."""
    if requests is None:
        return []
    figures = loop.measure(requests, seconds, rate_rps)
    # A list does not say what ended its load before all were sent. Where a signal did, the record is not valid.
    ended_by = "deadline" if figures["requests"]["unsent"] else None
    return loop.invalid_reasons(figures, MAX_ERROR_RATE, ended_by)


def _reasons(part: Mapping[str, Any]) -> list[str]:
    if part.get("valid") is True:
        return []
    said = part.get("invalid_reasons")
    return [str(one) for one in said] if isinstance(said, list) and said else ["invalid without a reason"]


def _instances(parts: Sequence[Mapping[str, Any]]) -> str | None:
    """Say where the hosts were not answered by one instance; each one's own two probes it has compared itself."""
    seen = {
        instance
        for part in parts
        for edge in ("before", "after")
        if isinstance(instance := lookup(part, "probes", edge, "answer", "instance_id"), str)
    }
    return None if len(seen) <= 1 else f"instance_changed: the load hosts were answered by {' and '.join(sorted(seen))}"


def _apart(parts: Sequence[Mapping[str, Any]]) -> str | None:
    """Say where the hosts did not send at the same time, or it is not known whether they did."""
    windows = [_window(part) for part in parts]
    seconds = number_at(parts[0], "seconds").value
    known = [window for window in windows if window is not None]
    if len(known) < len(parts) or not seconds:
        return "hosts_apart: not every load host sent its part of the load"
    boots = {window.host_boot_id for window in known}
    if len(boots) > 1:
        # The service's own clock is the one that all of them read.
        boots = {boot for window in known for boot in clocks.boot_ids(window.clock)}
    if len(boots) != 1:
        return "hosts_apart: the load hosts read no common clock, so it is not known whether they sent together"
    (boot,) = boots
    placed = [clocks.seen_on(window, boot) for window in known]
    for one in placed:
        if isinstance(one, str):
            return f"hosts_apart: it is not known whether the load hosts sent together: {one}"
    on_one = [one for one in placed if isinstance(one, Window)]
    # An edge may be off by its slack: together is what they were for sure.
    apart = max(one.start + one.slack_seconds for one in on_one) - min(one.start - one.slack_seconds for one in on_one)
    together = max(0.0, seconds - apart)
    if together >= LEAST_TOGETHER * seconds:
        return None
    return (
        f"hosts_apart: all load hosts sent together for {together:.3g} of {seconds:g} s, less than "
        f"{percent(LEAST_TOGETHER)}: set their wall clocks (NTP), by which they begin"
    )


def _window(part: Mapping[str, Any]) -> Window | None:
    """Give the stretch in which a host's requests were due."""
    begin, seconds = number_at(part, "window", "start_monotonic_seconds").value, number_at(part, "seconds").value
    if begin is None or seconds is None:
        return None
    boot = lookup(part, "window", "host_boot_id")
    return Window(begin, begin + seconds, boot if isinstance(boot, str) else None, clocks.clock_of(part))


def _sum(parts: Sequence[Mapping[str, Any]], *keys: str) -> float | None:
    values = [number_at(part, *keys).value for part in parts]
    known = [value for value in values if value is not None]
    return sum(known) if len(known) == len(values) else None
