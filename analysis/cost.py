# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The arithmetic of cost: a rate of requests on a server, by pay per use, and on a share of a cluster's node.

Money is in US dollars, rates are requests a second, CPU is in vCPU seconds a request. Nothing is read here.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

SECONDS_OF_HOUR = 3600
MILLION = 1_000_000
BYTES_OF_GB = 2**30

# What binary rounding adds to a time that is a whole number of units.
_ALLOWANCE = 1e-6


@dataclass(frozen=True)
class ServerPrice:
    """A server by the hour. CPU above ``baseline_vcpus`` on average costs ``surplus_vcpu_hour`` more.

    A server that does not burst has a ``surplus_vcpu_hour`` of 0.
    """

    hour: float
    baseline_vcpus: float = 0.0
    surplus_vcpu_hour: float = 0.0


@dataclass(frozen=True)
class PayPerUsePrice:
    """A fee for every request, and a price for a GB of memory held for a second, billed in whole units of time."""

    request: float
    gb_second: float
    rounding_seconds: float


def billed_seconds(seconds: float, unit: float) -> float:
    """Round a time up to whole units. Raises ValueError where either is not above 0."""
    if not seconds > 0 or not unit > 0:
        raise ValueError(f"a billed time needs a time and a unit above 0; got {seconds} and {unit}")
    return math.ceil(seconds / unit - _ALLOWANCE) * unit


def per_request(price: PayPerUsePrice, memory_bytes: float, seconds: float) -> float:
    """Give what one request of ``seconds`` costs: fee + GB x billed seconds x price."""
    billed = billed_seconds(seconds, price.rounding_seconds)
    return price.request + memory_bytes / BYTES_OF_GB * billed * price.gb_second


def server_hour(price: ServerPrice, rate: float, cpu_seconds: float) -> float:
    """Give what an hour of one server costs that answers ``rate`` requests a second of ``cpu_seconds`` each."""
    return price.hour + price.surplus_vcpu_hour * max(0.0, rate * cpu_seconds - price.baseline_vcpus)


def hosts(rate: float, capacity: float) -> int:
    """Give the servers that a rate needs, each up to its capacity. Raises ValueError where either is not above 0."""
    if not rate > 0 or not capacity > 0:
        raise ValueError(f"rate and capacity must be above 0; got {rate} and {capacity}")
    return max(1, math.ceil(rate / capacity - _ALLOWANCE))


def server_per_request(price: ServerPrice, rate: float, cpu_seconds: float, capacity: float) -> float:
    """Give a request's cost at a rate that is spread evenly over as many servers as it needs."""
    count = hosts(rate, capacity)
    return count * server_hour(price, rate / count, cpu_seconds) / (rate * SECONDS_OF_HOUR)


def reserved_per_request(hour: float, share: float, rate: float, capacity: float) -> float:
    """Give a request's cost where ``share`` of a node is kept for the arm, whether or not a request comes."""
    return hosts(rate, capacity) * hour * share / (rate * SECONDS_OF_HOUR)


def break_even_rate(price: ServerPrice, cpu_seconds: float, request: float) -> float | None:
    """Give the lowest rate at which one server costs no more than pay per use; None where there is none.

    ``request`` is what one request costs by pay per use. Whether the server can answer that rate is not asked. The
    server's cost an hour is a line with one bend, where its CPU leaves the baseline, and pay per use is a line through
    zero: below the bend they meet at hour / request, above it at (hour - surplus x baseline) / (request - surplus x
    CPU), all of an hour.
    """
    if not request > 0:
        raise ValueError(f"a request by pay per use must cost more than 0; got {request}")
    bend = price.baseline_vcpus / cpu_seconds if price.surplus_vcpu_hour > 0 and cpu_seconds > 0 else math.inf
    hourly = request * SECONDS_OF_HOUR
    if (flat := price.hour / hourly) <= bend:
        return flat
    slope = hourly - price.surplus_vcpu_hour * cpu_seconds
    if slope <= 0:
        return None
    return (price.hour - price.surplus_vcpu_hour * price.baseline_vcpus) / slope


def share_of_node(cpus: float, memory_bytes: float, node_cpus: float, node_memory_bytes: float) -> float:
    """Give the part of a node that is kept for an arm: of its CPU or of its memory, whichever is more, at least."""
    return max(cpus / node_cpus, memory_bytes / node_memory_bytes)


def rates(capacity: float, least_share: float = 1e-3, steps_a_decade: int = 10, most_hosts: int = 2) -> list[float]:
    """Give the rates at which a curve is drawn: evenly in the logarithm up to one server's capacity, then on to more.

    Each capacity of a whole number of servers is a rate of its own, and one just above it, where another is needed.
    """
    count = round(-math.log10(least_share) * steps_a_decade)
    found = [capacity * 10 ** ((step - count) / steps_a_decade) for step in range(count + 1)]
    for servers in range(1, most_hosts):
        found += [capacity * (servers + part) for part in (0.001, 0.25, 0.5, 0.75, 1.0)]
    return found
