# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The open-loop part of a run: latencies at given rates, beside the closed loop's, and the knee of each arm.

The figures of a rate are computed from the records of all its trials together. One trial that is not valid makes them
not valid: leaving it out would choose among the blocks after the fact.
"""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from evenkeel import open_loop as loop
from evenkeel.ab import summarise_latency
from evenkeel.plan import open_loop_fraction

from analysis import histogram, load_hosts
from analysis import statistics as sampling
from analysis.figures import ABSENT, lookup
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import Arm, Kind

MODULE = load_hosts.MODULE

# The quantiles that are printed, each with its interval.
QUANTILES = {"p50": 0.50, "p90": 0.90, "p95": 0.95, "p99": 0.99}
LEVEL = 0.95

# Where a chart of the latency by percentile is drawn through.
SPECTRUM_PERCENTS = (0, 10, 20, 30, 40, 50, 60, 70, 75, 80, 85, 90, 92.5, 95, 97.5, 98, 99, 99.5, 99.9, 100)


def open_loop(run: RunFolder) -> dict[str, Any] | None:
    """Give the open-loop part of ``run.json``; None where the run's profile has none."""
    settings = run.plan["profile"]["run"].get("open_loop")
    if settings is None:
        return None
    capacity = [_capacity(run, arm, settings["request"]) for arm in _arms(run)]
    known = [found for found in capacity if found["rps"] is not None]
    weaker = min(known, key=lambda found: float(found["rps"]))["arm"] if len(known) == len(capacity) else None
    return {
        "request": settings["request"],
        "arrivals": settings["arrivals"],
        "seconds": settings["seconds"],
        "timeout_seconds": settings["timeout_seconds"],
        "capacity": capacity,
        "weaker": weaker,
        "rates": [_rate(run, arm, fraction) for fraction in sorted(settings["fractions"]) for arm in _arms(run)],
        "closed_loop": [_closed_loop(run, arm, settings["request"]) for arm in _arms(run)],
        "sweeps": [
            _sweep(run, trial)
            for trial in run.trials
            if trial.kind is Kind.OPEN_LOOP and trial.mode == "sweep" and run.needs(trial)
        ],
    }


def histogram_logs(evaluated: Mapping[str, Any]) -> dict[str, str]:
    """Give a histogram log an arm, by file name, from what ``run.json`` holds."""
    found = evaluated.get("open_loop")
    if found is None:
        return {}
    logs: dict[str, dict[str, str]] = {}
    seconds: dict[str, float] = {}
    for rate in found["rates"]:
        if rate["histogram"] is not None:
            tag = f"rate{round(100 * rate['fraction']):02}"
            logs.setdefault(rate["arm"], {})[tag] = rate["histogram"]
            seconds[tag] = found["seconds"] * len(rate["trials"])
    return {f"open-loop-{arm}.hdr": histogram.log_file(tagged, seconds) for arm, tagged in sorted(logs.items())}


def not_valid(evaluated: Mapping[str, Any] | None) -> list[str]:
    """Say of which rates and sweeps there are no valid figures, and why."""
    if evaluated is None:
        return []
    return [
        *(
            f"{rate['arm']} at {100 * rate['fraction']:.0f} % of the capacity: {rate['reason']}"
            for rate in evaluated["rates"]
            if not rate["valid"]
        ),
        *(f"{sweep['arm']}, sweep: {sweep['reason']}" for sweep in evaluated["sweeps"] if not sweep["valid"]),
    ]


def _arms(run: RunFolder) -> list[Arm]:
    return [arm for arm in Arm if arm in run.plan["arms"]]


def closed_loop_kind(request: str) -> Kind:
    """Give the kind of trial that sends the same request in a closed loop."""
    return Kind.LOAD if request == "evaluate" else Kind.CAPACITY


def _closed_facts(run: RunFolder, arm: Arm, request: str) -> list[Mapping[str, Any]]:
    """Give ab's facts of the first block's closed loop of the same request: what the rates were derived from."""
    kind = closed_loop_kind(request)
    found = (
        lookup(run.records.get(trial.id, {}), "facts", "ab_benchmark")
        for trial in run.trials
        if trial.arm is arm and trial.kind is kind and trial.block == 1
    )
    return [facts for facts in found if isinstance(facts, Mapping)]


def _why_no_closed_loop(facts: Sequence[Mapping[str, Any]]) -> str:
    if not facts:
        return "its closed-loop load was not measured"
    reasons = [str(reason) for one in facts for reason in one.get("invalid_reasons") or []]
    return reasons[0] if reasons else "its closed-loop load gave no figure"


def _capacity(run: RunFolder, arm: Arm, request: str) -> dict[str, Any]:
    facts = _closed_facts(run, arm, request)
    rates = [float(rps) for one in facts if one.get("valid") is True and (rps := one.get("throughput_rps"))]
    return {
        "arm": arm.value,
        "rps": statistics.median(rates) if rates else None,
        "n": len(rates),
        "reason": None if rates else _why_no_closed_loop(facts),
    }


def _closed_loop(run: RunFolder, arm: Arm, request: str) -> dict[str, Any]:
    facts = [one for one in _closed_facts(run, arm, request) if one.get("valid") is True]
    latency = lookup(facts[0], "latency_seconds") if facts else ABSENT
    if not isinstance(latency, Mapping):
        latency = summarise_latency([], None)
    rows = facts[0].get("quantiles_seconds") if facts else None
    samples = facts[0].get("samples_seconds") if facts else None
    spectrum: list[list[float]] = []
    if isinstance(rows, list):
        spectrum = [[float(percent), float(rows[percent])] for percent in range(0, len(rows), 5)]
    elif isinstance(samples, list):
        spectrum = _spectrum([float(value) for value in samples if value is not None])
    return {
        "arm": arm.value,
        "n": latency["n"],
        "concurrency": facts[0].get("concurrency") if facts else None,
        "latency_seconds": dict(latency),
        "spectrum": spectrum,
        "reason": None if facts else _why_no_closed_loop(_closed_facts(run, arm, request)),
    }


def _rate(run: RunFolder, arm: Arm, fraction: float) -> dict[str, Any]:
    """Give what one arm did at one rate, over all its trials."""
    trials = [
        trial
        for trial in run.trials
        if trial.kind is Kind.OPEN_LOOP
        and trial.arm is arm
        and open_loop_fraction(trial.mode) == round(fraction, 2)
        # A run that ended early owes nothing of the blocks after its end.
        and run.needs(trial)
    ]
    facts = [lookup(run.records.get(trial.id, {}), "facts", MODULE) for trial in trials]
    reason = next((why for why in map(_why_not_valid, trials, facts) if why is not None), None)
    pooled, achieved_over, seconds, cores, told = [], 0.0, 0.0, [], []
    logs: list[str] = []
    rate_rps = None
    for trial, one in zip(trials, facts, strict=True):
        parts = _parts(run, trial)
        requests = None if parts is None else load_hosts.pooled(parts)
        why = _why_not_valid(trial, one)
        if requests is None and why is None:
            why = reason = f"{trial.id}: its file of requests is missing or cannot be read"
        covered = float(one["seconds"]) if isinstance(one, Mapping) and one.get("seconds") else 0.0
        if parts and requests and covered:
            rate_rps = one["rate_rps"]
            figures = loop.measure(requests, covered, one["rate_rps"])
            achieved = load_hosts.achieved_rps(parts, covered)
            if achieved:
                achieved_over += figures["requests"]["sent"] / achieved
            logs += [log for part in parts if (log := histogram.of_latencies(_timed(part))) is not None]
            pooled += requests
            seconds += covered
            cores.append(lookup(one, "client", "cpu_cores"))
            latency, at_least = figures["latency_seconds"], figures["at_least"]
            censored_from = figures["censored"]["at_least_seconds"]
        else:
            latency, at_least, censored_from = summarise_latency([], None), [], None
        told.append(
            {
                "id": trial.id,
                "valid": why is None,
                "reason": why,
                "latency_seconds": latency,
                "at_least": at_least,
                "intervals": _intervals(_timed(requests or ()), censored_from),
                **_in_order(_timed(requests or ())),
            }
        )
    if not trials:
        reason = "the run had no block with this rate before it ended"
    measured = loop.measure(pooled, seconds or 1.0, rate_rps or 0.0)
    counts = measured["requests"]
    timed = _timed(pooled)
    valid = reason is None
    known = [float(value) for value in cores if isinstance(value, int | float)]
    hosts = max((len(trial.load_hosts) for trial in trials), default=1)
    return {
        "arm": arm.value,
        "fraction": fraction,
        "valid": valid,
        "reason": reason,
        "rate_rps": rate_rps,
        "offered_rps": measured["offered_rps"] if pooled else None,
        "achieved_rps": counts["sent"] / achieved_over if achieved_over else None,
        "requests": counts,
        "error_rate": measured["error_rate"],
        "errors": measured["errors"],
        "censored": measured["censored"],
        "latency_seconds": measured["latency_seconds"],
        "at_least": measured["at_least"],
        "service_seconds": measured["service_seconds"],
        "lag_seconds": measured["lag_seconds"],
        "client_cpu_cores": statistics.fmean(known) if known else None,
        "spectrum": _spectrum(timed, measured["censored"]["at_least_seconds"]) if valid else [],
        "histogram": histogram.merge(logs) if valid else None,
        "trials": told,
        **({"load_hosts": hosts} if hosts > 1 else {}),
    }


def _timed(requests: Iterable[loop.Request]) -> list[float]:
    """Give the latencies, in the order in which the requests were due; censored ones are what they were at least."""
    return [
        request.latency_seconds
        for request in requests
        if request.sent_seconds is not None
        and request.latency_seconds is not None
        and (request.outcome == loop.OK or request.outcome in loop.CENSORED)
    ]


def _in_order(latencies: Sequence[float]) -> dict[str, Any]:
    """Say whether neighbours in one load are alike, and how many requests at its begin are unlike the rest."""
    alike, begin = sampling.autocorrelation(latencies), sampling.warm_up(latencies)
    return {
        "autocorrelation": None if alike is None else {"lag1": alike.lag1, "bound": alike.bound},
        "warm_up": None
        if begin is None
        else {
            "requests": begin.values,
            "settled": begin.settled,
            "median_before_seconds": begin.median_before,
            "median_after_seconds": begin.median_after,
        },
    }


def _intervals(latencies: Sequence[float], censored_from: float | None) -> dict[str, Any]:
    """Give the order-statistic interval of each quantile of one load.

    Null where there are too few requests, or a bound is censored. Not of several loads' requests together: those of
    one start are more alike than those of two, and it takes them for independent.
    """
    ordered = sorted(latencies)
    found: dict[str, Any] = {}
    for name, fraction in QUANTILES.items():
        interval = sampling.quantile_interval(ordered, fraction, LEVEL)
        if interval is None or (censored_from is not None and interval.high >= censored_from):
            found[name] = None
        else:
            found[name] = {"low": interval.low, "high": interval.high, "level": interval.level}
    return found


def _why_not_valid(trial: PlannedTrial, facts: object) -> str | None:
    if not isinstance(facts, Mapping):
        return f"{trial.id}: not measured"
    if facts.get("valid") is True:
        return None
    reasons = facts.get("invalid_reasons")
    said = "; ".join(map(str, reasons)) if isinstance(reasons, list) and reasons else "invalid without a reason"
    return f"{trial.id}: {said}"


def _parts(run: RunFolder, trial: PlannedTrial) -> list[list[loop.Request]] | None:
    """Read the requests of each of the hosts that sent the load; None where those of one are missing."""
    names = [name for name, _ in load_hosts.parts_of(trial.id, run.records.get(trial.id, {}).get("facts"))]
    found = [load_hosts.requests_of(name, run.raw_text) for name in names]
    known = [requests for requests in found if requests is not None]
    return known if known and len(known) == len(names) else None


def _spectrum(values: Iterable[float], censored_from: float | None = None) -> list[list[float]]:
    """Give the percentiles of these values (type 7) that so many allow; those among censored ones are left out."""
    ordered = sorted(values)
    found: list[list[float]] = []
    for percent in _allowed(len(ordered)):
        position = percent / 100 * (len(ordered) - 1)
        low = int(position)
        high = min(low + 1, len(ordered) - 1)
        value = ordered[low] + (ordered[high] - ordered[low]) * (position - low)
        if censored_from is None or value < censored_from:
            found.append([float(percent), value])
    return found


def _allowed(count: int) -> list[float]:
    """Give the percentiles of a spectrum that so many values allow, by the rule of those that are printed."""
    return [
        percent
        for percent in SPECTRUM_PERCENTS
        # The shortest and the longest are values themselves, as every sample has them.
        if count and (percent in (0, 100) or count >= sampling.smallest_sample_for_quantile(percent / 100))
    ]


def _sweep(run: RunFolder, trial: PlannedTrial) -> dict[str, Any]:
    facts = lookup(run.records.get(trial.id, {}), "facts", MODULE)
    reason = _why_not_valid(trial, facts)
    found = lookup(facts, "sweep")
    known: Mapping[str, Any] = found if isinstance(found, Mapping) else {}
    if not known and reason is None:
        reason = f"{trial.id}: its facts hold no sweep"
    return {
        "arm": trial.arm.value,
        "trial": trial.id,
        "valid": reason is None,
        "reason": reason,
        "state": known.get("state"),
        "knee_rps": known.get("knee_rps") if reason is None else None,
        "upper_rps": known.get("upper_rps") if reason is None else None,
        "definition": known.get("definition"),
        "baseline_seconds": known.get("baseline_seconds"),
        "steps": [
            {
                "rate_rps": step["rate_rps"],
                "achieved_rps": step["achieved_rps"],
                "answered_share": step["answered_share"],
                "error_rate": step["error_rate"],
                **{key: step["latency_seconds"][key] for key in ("p50", "p99", "max")},
                "held": step["held"],
                "broken": step["broken"],
                "valid": step["valid"],
                "reason": "; ".join(step["invalid_reasons"]) or None,
            }
            for step in known.get("steps") or []
        ],
    }
