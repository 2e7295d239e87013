# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The cost section of ``run.json``: the prices that a run was begun with, put to what it measured.

OpenFaaS on a machine of one's own has no price a request: none is computed for it.
"""

from __future__ import annotations

import math
import statistics as stdlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from typing import Any

from evenkeel.counters import Figure

from analysis import cost, statistics
from analysis.errors import RunUnreadable
from analysis.figures import lookup, number_at
from analysis.metrics import BY_NAME
from analysis.prices import Prices, parse
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import Arm, Kind, Status
from analysis.verdict import FEWEST_PAIRS

PAY_PER_USE_LABEL = "Lambda-equivalent, not OpenFaaS"
METHOD = "exact signed-rank, Walsh averages of ln(break-even rate), block by block"
LEVEL = 0.95
PRICED, REFUSED, NOT_MEASURED = "priced", "refused", "not measured"
BYTES_OF_MB = 2**20

Record = tuple[PlannedTrial, Mapping[str, Any]]


@dataclass(frozen=True)
class _Block:
    """What one block measured of cost; a figure that it has not is None, with the first reason in ``reason``."""

    label: str
    capacity: float | None
    cpu_seconds: float | None
    evaluation_seconds: float | None
    serverless_capacity: float | None
    reason: str | None


def costs(run: RunFolder, records: Sequence[Record], *, valid: bool, status: Status) -> dict[str, Any]:
    """Give the cost section as it stands in ``run.json``. Raises RunUnreadable where the run's prices are no prices."""
    if run.prices is None:
        return _nothing(NOT_MEASURED, "no price: the run has no price file (prices_file)")
    prices = parse(run.prices.get("prices"), "raw/prices.json")
    most = lookup(run.prices, "max_age_days")
    if isinstance(most, bool) or not isinstance(most, int):
        raise RunUnreadable("raw/prices.json holds no whole number max_age_days; take it from a copy of the run")
    day = _day_of(run)
    dated = {
        "file": str(lookup(run.prices, "file")),
        "region": prices.region,
        "as_of": prices.as_of.isoformat(),
        "age_days": prices.age_days(day),
        "max_age_days": most,
        "currency": "USD",
        "items": prices.as_json(),
    }
    refusal = _refusal(prices, day, most)
    if refusal is not None:
        return _nothing(REFUSED, refusal, dated)
    if not valid or status is not Status.COMPLETE:
        why = "the run is not valid" if not valid else "the run did not measure both arms"
        return _nothing(NOT_MEASURED, why, dated)
    blocks = _blocks(records)
    server, server_price = _server(prices, blocks)
    pay_per_use, pay_price = _pay_per_use(prices, records, blocks)
    kubernetes, node_hour_share = _kubernetes(prices, run, records, blocks)
    return {
        "state": PRICED,
        "reason": None,
        "prices": dated,
        "server": server,
        "pay_per_use": pay_per_use,
        "kubernetes": kubernetes,
        "break_even": _break_even(blocks, server, server_price, pay_per_use, pay_price),
        "curve": _curve(server, server_price, pay_per_use, kubernetes, node_hour_share),
    }


def _day_of(run: RunFolder) -> date:
    """Give the day on which the run was planned. Raises RunUnreadable where its plan names none."""
    planned = run.plan["created_utc"]
    try:
        return date.fromisoformat(planned[:10])
    except ValueError as error:
        raise RunUnreadable(
            f"{run.path / 'plan.json'}: created_utc is {planned!r}, which begins with no day YYYY-MM-DD, so the age of "
            "the run's prices is not known; a plan is never edited by hand"
        ) from error


def _refusal(prices: Prices, day: date, most: int) -> str | None:
    """Say why the prices are not for a run of ``day``; None where they are. ``most`` is in days."""
    age = prices.age_days(day)
    if age > most:
        return (
            f"the prices are of {prices.as_of}, {age} days before the run, and prices_max_age_days is {most}; name a "
            "newer price file with prices_file, or allow older ones"
        )
    # Where the prices were written down it may be tomorrow already.
    if age < -1:
        return (
            f"the prices are of {prices.as_of} and the run is of {day}, so nobody knew them yet; correct as_of in the "
            "price file, or name another one with prices_file"
        )
    return None


def _nothing(state: str, reason: str, dated: Mapping[str, Any] | None = None) -> dict[str, Any]:
    return {
        "state": state,
        "reason": reason,
        "prices": dated,
        "server": None,
        "pay_per_use": None,
        "kubernetes": None,
        "break_even": None,
        "curve": [],
    }


def _blocks(records: Sequence[Record]) -> list[_Block]:
    """Read every block: the starts that only serve their load too, since each of them evaluates once alone."""
    numbers = sorted({trial.block for trial, _ in records if trial.block is not None})
    found = {(trial.block, trial.arm, trial.kind): record["facts"] for trial, record in records}

    def read(metric: str, block: int, arm: Arm, kind: Kind) -> Figure:
        facts = found.get((block, arm, kind))
        return Figure(reason="no such trial of this arm") if facts is None else BY_NAME[metric].read(facts)

    made = []
    for number in numbers:
        figures = [
            read("throughput_rps", number, Arm.SERVER, Kind.LOAD),
            read("busy_cpu_seconds_per_request", number, Arm.SERVER, Kind.LOAD),
            read("evaluation_seconds", number, Arm.SERVERLESS, Kind.START),
            read("throughput_rps", number, Arm.SERVERLESS, Kind.LOAD),
        ]
        capacity, cpu, evaluation, other = (
            figure.value if figure.value is not None and figure.value > 0 else None for figure in figures
        )
        reason = next((figure.reason for figure in figures if figure.reason), None)
        made.append(_Block(f"block {number}", capacity, cpu, evaluation, other, reason))
    return made


def _median(blocks: Sequence[_Block], key: str) -> float | None:
    """Give the median over blocks; None where one has no figure, since leaving it out could flatter an arm."""
    values = [getattr(block, key) for block in blocks]
    return stdlib.median(values) if values and None not in values else None


def _why(blocks: Sequence[_Block]) -> str:
    return next((block.reason for block in blocks if block.reason), "a block has no such figure")


def _server(prices: Prices, blocks: Sequence[_Block]) -> tuple[dict[str, Any], cost.ServerPrice | None]:
    hour, surplus = prices.value("server_hour"), prices.value("server_surplus_vcpu_hour")
    machine = prices.machines.get("server")
    capacity, cpu = _median(blocks, "capacity"), _median(blocks, "cpu_seconds")
    share = prices.value("server_baseline_share") if surplus is not None else None
    baseline = share * machine.vcpus if share is not None and machine is not None else None
    reason = None
    if hour is None:
        reason = "no price: the price file has no server_hour"
    elif capacity is None:
        reason = _why(blocks)
    elif surplus is not None and cpu is None:
        reason = f"what its CPU time above the baseline costs is not known: {_why(blocks)}"
    price = None
    if reason is None and hour is not None:
        price = cost.ServerPrice(hour, baseline or 0.0, surplus or 0.0)
    at_capacity = None
    if price is not None and capacity is not None:
        at_capacity = cost.server_per_request(price, capacity, cpu or 0.0, capacity) * cost.MILLION
    return {
        "label": None if machine is None else machine.name,
        "hour_usd": hour,
        "surplus_vcpu_hour_usd": surplus,
        "baseline_vcpus": baseline,
        "capacity_rps": capacity,
        "cpu_seconds_per_request": cpu,
        "usd_per_million_at_capacity": at_capacity,
        "reason": reason,
    }, price


def _pay_per_use(
    prices: Prices, records: Sequence[Record], blocks: Sequence[_Block]
) -> tuple[dict[str, Any], cost.PayPerUsePrice | None]:
    fee, gb_second = prices.value("pay_per_use_million_requests"), prices.value("pay_per_use_gb_second")
    unit = prices.value("pay_per_use_rounding_seconds")
    seconds = _median(blocks, "evaluation_seconds")
    memory, memory_from, reason = None, None, None
    if fee is None or gb_second is None or unit is None:
        reason = "no price: the price file has no pay_per_use_million_requests or no pay_per_use_gb_second"
    else:
        memory, memory_from, reason = _memory(prices, records)
        reason = reason or (None if seconds is not None else _why(blocks))
    price = None
    if reason is None and fee is not None and gb_second is not None and unit is not None:
        price = cost.PayPerUsePrice(fee / cost.MILLION, gb_second, unit)
    priced = price is not None and memory is not None and seconds is not None
    return {
        "label": PAY_PER_USE_LABEL,
        "memory_bytes": memory,
        "memory_from": memory_from,
        "seconds": seconds,
        "billed_seconds": cost.billed_seconds(seconds, unit) if seconds is not None and unit is not None else None,
        "usd_per_million": cost.per_request(price, memory, seconds) * cost.MILLION
        if priced and price is not None and memory is not None and seconds is not None
        else None,
        "reason": reason,
    }, price


def _memory(prices: Prices, records: Sequence[Record]) -> tuple[float | None, str | None, str | None]:
    """Give the memory that pay per use would be asked for, where it is from, or why there is none.

    There CPU comes with memory: it is what the provider asks for as many vCPUs as the arm had, or the arm's memory
    limit where that is more.
    """
    limit = _granted(records, "memory_limit_bytes")
    a_vcpu, least, most = (
        prices.value(f"pay_per_use_{name}") or 0.0 for name in ("mb_per_vcpu", "least_mb", "most_mb")
    )
    cpus = _cpus(records)
    if limit is None and cpus is None:
        return None, None, "neither the arm's memory limit nor its CPUs are known"
    limited = math.ceil((limit or 0.0) / BYTES_OF_MB)
    with_cpus = math.ceil((cpus or 0.0) * a_vcpu)
    megabytes, source = limited, "the arm's memory limit"
    if with_cpus > limited:
        megabytes = with_cpus
        least_of_all = (
            "since it had no memory limit" if limit is None else f"more than its memory limit of {limited} MB"
        )
        source = f"the memory that comes with the arm's {cpus:g} CPUs, {least_of_all}"
    if megabytes > most:
        return None, source, f"{source} is {megabytes} MB, and no function may have more than {most:g} MB"
    return max(megabytes, least) * BYTES_OF_MB, source, None


def _granted(records: Sequence[Record], key: str) -> float | None:
    """Give the smallest grant of the serverless arm's starts in blocks."""
    values = [
        value
        for trial, record in records
        if trial.arm is Arm.SERVERLESS and trial.kind is Kind.START and trial.block is not None
        if (value := number_at(record["facts"], "service_startup", "granted", key).value) is not None
    ]
    return min(values, default=None)


def _cpus(records: Sequence[Record]) -> float | None:
    counts = [
        float(len(found))
        for trial, record in records
        if trial.arm is Arm.SERVERLESS and trial.kind is Kind.START and trial.block is not None
        if isinstance(found := lookup(record["facts"], "service_startup", "granted", "affinity_cpus"), list)
    ]
    quota = _granted(records, "cpu_quota_cores")
    return min([*counts, *([] if quota is None else [quota])], default=None)


def _kubernetes(
    prices: Prices, run: RunFolder, records: Sequence[Record], blocks: Sequence[_Block]
) -> tuple[dict[str, Any], float | None]:
    """Price the node hours that are kept for the arm, idle ones included; give the section and USD an hour."""
    platform = run.plan["arms"][Arm.SERVERLESS]["platform"]
    hour, node = prices.value("kubernetes_node_hour"), prices.machines.get("kubernetes_node")
    cpus, memory = _cpus(records), _granted(records, "memory_limit_bytes")
    capacity = _median(blocks, "serverless_capacity")
    share, reason = None, None
    if platform != "kubernetes":
        reason = (
            "OpenFaaS on one's own machine has no price a request"
            if platform == "kind"
            else "the serverless arm did not run on an existing cluster"
        )
    elif hour is None or node is None or node.memory_gib is None:
        reason = "no price: the price file has no kubernetes_node_hour"
    elif cpus is None or memory is None:
        reason = "the CPUs or the memory that the cluster granted the arm are not known"
    elif capacity is None:
        reason = _why(blocks)
    else:
        share = cost.share_of_node(cpus, memory, node.vcpus, node.memory_gib * cost.BYTES_OF_GB)
        if share > 1:
            reason = f"a {node.name} is smaller than what the arm was granted ({share:.2f} of it)"
    priced = reason is None and hour is not None and share is not None and capacity is not None
    return {
        "label": None if node is None else node.name,
        "hour_usd": hour,
        "share": share,
        "capacity_rps": capacity if priced else None,
        "usd_per_million_at_capacity": cost.reserved_per_request(hour, share, capacity, capacity) * cost.MILLION
        if priced and hour is not None and share is not None and capacity is not None
        else None,
        "reason": reason,
    }, hour * share if priced and hour is not None and share is not None else None


def _break_even(
    blocks: Sequence[_Block],
    server: Mapping[str, Any],
    server_price: cost.ServerPrice | None,
    pay_per_use: Mapping[str, Any],
    pay_price: cost.PayPerUsePrice | None,
) -> dict[str, Any]:
    """Find the rate from which the server costs less, block by block, and its interval as the verdict has them."""
    empty: dict[str, Any] = {"rate_rps": None, "interval": None, "n": 0, "blocks": []}
    empty |= {"share_of_capacity": None, "beyond_capacity": None}
    reason = server["reason"] or pay_per_use["reason"]
    if reason is not None or server_price is None or pay_price is None:
        return {**empty, "reason": reason}
    found = [
        (
            block.label,
            cost.break_even_rate(
                server_price,
                block.cpu_seconds or 0.0,
                cost.per_request(pay_price, pay_per_use["memory_bytes"], block.evaluation_seconds),
            ),
        )
        for block in blocks
        if block.evaluation_seconds is not None
    ]
    shown = [{"pair": label, "rate_rps": rate} for label, rate in found]
    rates = [rate for _, rate in found if rate is not None]
    if len(rates) < len(blocks):
        missing = len(blocks) - len(rates)
        why = f"in {missing} of {len(blocks)} blocks pay per use costs less than the server at every rate"
        return {**empty, "blocks": shown, "reason": why}
    logarithms = [math.log(rate) for rate in rates]
    rate = math.exp(statistics.hodges_lehmann(logarithms))
    interval = statistics.signed_rank_interval(logarithms, LEVEL) if len(rates) >= FEWEST_PAIRS else None
    beyond = rate > server["capacity_rps"]
    return {
        "rate_rps": rate,
        "interval": None
        if interval is None
        else {
            "low": math.exp(interval.low),
            "high": math.exp(interval.high),
            "level": interval.level,
            "method": METHOD,
        },
        "n": len(rates),
        "blocks": shown,
        "share_of_capacity": rate / server["capacity_rps"],
        "beyond_capacity": beyond,
        "reason": "one server cannot answer that rate, so that pay per use costs less at every rate up to its capacity"
        if beyond
        else None,
    }


def _curve(
    server: Mapping[str, Any],
    server_price: cost.ServerPrice | None,
    pay_per_use: Mapping[str, Any],
    kubernetes: Mapping[str, Any],
    node_hour_share: float | None,
) -> list[dict[str, Any]]:
    """Give US dollars a million requests over the rate; empty where the server has no price to draw it for."""
    if server_price is None:
        return []
    capacity, cpu = server["capacity_rps"], server["cpu_seconds_per_request"] or 0.0
    return [
        {
            "rate_rps": rate,
            "server_hosts": cost.hosts(rate, capacity),
            "server_usd_per_million": cost.server_per_request(server_price, rate, cpu, capacity) * cost.MILLION,
            "pay_per_use_usd_per_million": pay_per_use["usd_per_million"],
            "kubernetes_usd_per_million": None
            if node_hour_share is None
            else cost.reserved_per_request(node_hour_share, 1.0, rate, kubernetes["capacity_rps"]) * cost.MILLION,
        }
        for rate in cost.rates(capacity)
    ]
