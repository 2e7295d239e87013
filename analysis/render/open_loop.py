# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The open-loop part of a report in words and tables."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis import wording
from analysis.figures import percent
from analysis.table import Table

PERCENTILES = ("p50", "p90", "p95", "p99")
REQUESTS = {"predict": "POST /predict with one fixed image", "evaluate": "GET /, one evaluation"}
CONDITIONS = {
    "error_rate": "too many errors",
    "answered_share": "answers fell behind",
    "p99": "99th percentile too high",
}


def content(found: Mapping[str, Any]) -> tuple[tuple[str, ...], tuple[Table, ...]]:
    """Give the paragraphs and tables of ``run.json``'s ``open_loop``."""
    tables = [_rates(found), _loads(found), _sending(found)]
    tables = [table for table in tables if table.rows]
    if found["sweeps"]:
        tables += [_knees(found), _steps(found)]
    missing = _not_valid(found)
    return _paragraphs(found), (*tables, missing) if missing.rows else tuple(tables)


def _paragraphs(found: Mapping[str, Any]) -> tuple[str, ...]:
    capacity = ", ".join(
        f"{one['arm']} {wording.quantity(one['rps'], '/s') if one['rps'] is not None else _not_measured(one['reason'])}"
        for one in found["capacity"]
    )
    rates = (
        "both arms get the same rates, fractions of the lower one"
        if len(found["capacity"]) > 1
        else "the rates are fractions of it"
    )
    said = [
        f"Requests ({REQUESTS[found['request']]}) arrive on a schedule ({found['arrivals']}), whether or not "
        f"earlier ones were answered; each is timed from the moment it was due. Capacity in a closed loop: "
        f"{capacity}; {rates}.",
        "ab's closed loop sends a request only when an earlier one is answered, so that it stops asking while the "
        "service stalls, and the requests that would have met the stall are missing from its percentiles (coordinated "
        "omission). The open loop goes on sending: where its tail is longer than the closed loop's, the difference is "
        "the time that independent clients wait in the queue. A closed loop keeps as many requests under way as its "
        "concurrency at all times, so that at a low rate the open loop's latencies can be the shorter ones.",
        "A percentile needs 5 (median), 29, 59 and 299 requests. A request without an answer in "
        f"{found['timeout_seconds']:g} s counts as at least that (>=). A failure is not a latency and is counted "
        "beside it. The first table has the requests of all blocks together, and no interval: a start has its own "
        "level. In the table of the single loads an interval (95 %, two order statistics) says what chance among the "
        "requests of that load leaves open, and is too narrow where neighbours are alike beyond chance; how much "
        "starts differ is seen from load to load. Nothing is dropped as warm-up.",
    ]
    hosts = max((rate.get("load_hosts", 1) for rate in found["rates"]), default=1)
    if hosts > 1:
        said.append(
            f"{hosts} load hosts sent each load together, each its share of the rate; the percentiles are of all their "
            "requests, and each host's lag is held to the limit by itself."
        )
    knees = [sentence for sweep in found["sweeps"] if (sentence := _knee_sentence(sweep)) is not None]
    return (*said, *([" ".join(knees)] if knees else []))


def _knee_sentence(sweep: Mapping[str, Any]) -> str | None:
    if not sweep["valid"]:
        return None
    if sweep["state"] == "found":
        return (
            f"The {sweep['arm']} arm holds {wording.quantity(sweep['knee_rps'], '/s')} and no longer "
            f"{wording.quantity(sweep['upper_rps'], '/s')}."
        )
    if sweep["state"] == "not_reached":
        return (
            f"The {sweep['arm']} arm held every rate that was tried, up to "
            f"{wording.quantity(sweep['knee_rps'], '/s')}: its knee lies beyond."
        )
    return f"The {sweep['arm']} arm did not hold the first rate, {wording.quantity(sweep['upper_rps'], '/s')}."


def _rates(found: Mapping[str, Any]) -> Table:
    rows = [
        (
            f"{one['arm'].capitalize()}, closed loop (ab -c {one['concurrency'] or '?'})",
            "as fast as it answers",
            str(one["n"]) if one["reason"] is None else wording.NOT_MEASURED,
            *(_latency(one["latency_seconds"], name) for name in PERCENTILES),
            "0" if one["reason"] is None else "-",
        )
        for one in found["closed_loop"]
    ]
    for rate in found["rates"]:
        place = f"{rate['arm'].capitalize()}, open loop at {percent(rate['fraction'])}"
        asked = wording.quantity(rate["rate_rps"], "/s")
        if not rate["valid"]:
            rows.append((place, asked, "not valid", *("-" for _ in PERCENTILES), "-"))
            continue
        rows.append(
            (
                place,
                asked,
                str(rate["latency_seconds"]["n"]),
                *(_latency(rate["latency_seconds"], name, rate["at_least"]) for name in PERCENTILES),
                percent(rate["error_rate"] or 0.0, 2),
            )
        )
    return Table(
        "Latency at a given rate, beside the closed loop's",
        ("Load", "Rate", "n", "Median", "p90", "p95", "p99", "No good answer"),
        tuple(rows),
        frozenset(range(1, 8)),
    )


def _loads(found: Mapping[str, Any]) -> Table:
    """Say of each load its own percentiles, whether its requests are independent, and whether it warmed up."""
    rows = tuple(
        (
            _load(rate),
            trial["id"],
            *(_with_interval(trial, name) for name in PERCENTILES),
            _alike(trial["autocorrelation"]),
            _warm_up(trial["warm_up"]),
        )
        for rate in found["rates"]
        for trial in rate["trials"]
        if rate["valid"]
    )
    return Table(
        "Each open-loop load by itself, with 95 % intervals",
        ("Load", "Trial", "Median", "p90", "p95", "p99", "Neighbours", "Warm-up"),
        rows,
    )


def _with_interval(trial: Mapping[str, Any], name: str) -> str:
    interval = trial["intervals"][name]
    value = _latency(trial["latency_seconds"], name, trial["at_least"])
    if interval is None:
        return value
    return f"{value} ({wording.quantity(interval['low'], 's')} to {wording.quantity(interval['high'], 's')})"


def _load(rate: Mapping[str, Any]) -> str:
    return f"{rate['arm'].capitalize()} at {percent(rate['fraction'])}"


def _alike(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "n too small"
    word = "alike beyond chance" if abs(found["lag1"]) > found["bound"] else "within chance"
    return f"{word}: correlation {found['lag1']:+.2f}, by chance within {found['bound']:.2f}"


def _warm_up(found: Mapping[str, Any] | None) -> str:
    if found is None:
        return "n too small"
    if not found["settled"]:
        return "it did not settle: the whole first half is unlike the second"
    if not found["requests"]:
        return "none seen"
    return (
        f"{found['requests']} requests: median {wording.quantity(found['median_before_seconds'], 's')} in them, "
        f"{wording.quantity(found['median_after_seconds'], 's')} after"
    )


def _latency(latency: Mapping[str, Any], name: str, at_least: object = ()) -> str:
    value = latency[name]
    if value is None:
        return "n too small" if latency["n"] else wording.NOT_MEASURED
    bound = ">= " if isinstance(at_least, list) and name in at_least else ""
    return f"{bound}{wording.quantity(value, 's')}"


def _sending(found: Mapping[str, Any]) -> Table:
    """Say how well the load generator did its own part."""
    rows = []
    for rate in found["rates"]:
        counts, lag = rate["requests"], rate["lag_seconds"]
        rows.append(
            (
                _load(rate),
                f"{counts['sent']} of {counts['planned']}",
                f"{wording.quantity(rate['achieved_rps'], '/s')} of {wording.quantity(rate['offered_rps'], '/s')}",
                f"{wording.quantity(lag['p50'], 's')}, {wording.quantity(lag['p99'], 's')}",
                str(rate["censored"]["n"]),
                ", ".join(f"{name} {count}" for name, count in rate["errors"].items()) or "none",
                wording.quantity(rate["client_cpu_cores"], "cores"),
            )
        )
    return Table(
        "What the load generator sent, and how late",
        ("Load", "Sent", "Rate, achieved of scheduled", "Lag, median and p99", "Censored", "Errors", "Its own CPU"),
        tuple(rows),
        frozenset({4}),
    )


def _knees(found: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            sweep["arm"].capitalize(),
            wording.quantity(sweep["knee_rps"], "/s") if sweep["valid"] else "not valid",
            wording.quantity(sweep["upper_rps"], "/s") if sweep["valid"] else "not valid",
            wording.quantity(sweep["baseline_seconds"], "s"),
            sweep["definition"] or "",
        )
        for sweep in found["sweeps"]
    )
    return Table(
        "The knee: how much each arm holds",
        ("Arm", "Held", "Not held", "Median at the first rate", "Definition"),
        rows,
        frozenset({1, 2, 3}),
    )


def _steps(found: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            sweep["arm"].capitalize(),
            wording.quantity(step["rate_rps"], "/s"),
            percent(step["answered_share"], 1) if step["answered_share"] is not None else wording.NOT_MEASURED,
            percent(step["error_rate"] or 0.0, 1),
            wording.quantity(step["p50"], "s"),
            wording.quantity(step["p99"], "s") if step["p99"] is not None else "n too small",
            _step_word(step),
        )
        for sweep in found["sweeps"]
        for step in sweep["steps"]
    )
    return Table(
        "The sweep, in the order in which the rates were tried",
        ("Arm", "Rate", "Answered, of the rate", "No good answer", "Median", "p99", "Held?"),
        rows,
        frozenset(range(1, 6)),
    )


def _step_word(step: Mapping[str, Any]) -> str:
    if not step["valid"]:
        return f"not valid: {step['reason']}"
    return "held" if step["held"] else ", ".join(CONDITIONS[name] for name in step["broken"])


def _not_valid(found: Mapping[str, Any]) -> Table:
    rows = [(_load(rate), "not valid", rate["reason"]) for rate in found["rates"] if not rate["valid"]]
    rows += [
        (f"{sweep['arm'].capitalize()}, sweep", "not valid", sweep["reason"])
        for sweep in found["sweeps"]
        if not sweep["valid"]
    ]
    rows += [
        (f"{one['arm'].capitalize()}, closed loop", wording.NOT_MEASURED, one["reason"])
        for one in found["closed_loop"]
        if one["reason"] is not None
    ]
    return Table("Open-loop figures that are not printed", ("Load", "State", "Why"), tuple(rows))


def _not_measured(reason: str | None) -> str:
    return f"{wording.NOT_MEASURED} ({reason})" if reason else wording.NOT_MEASURED
