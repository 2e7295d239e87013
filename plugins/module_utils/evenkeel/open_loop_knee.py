# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The search for the knee: the highest rate that a service holds, by a sweep of open-loop loads.

A rate is held where all three are true:

- at most `max_error_rate` of the arrivals got no good answer,
- answers came at 99 % or more of the rate at which requests arrived,
- the 99th percentile of the latency, from the intended time, is at most `slowdown` times the median at the first rate.

The rate is raised by a factor until one is not held; then the gap between the highest rate held and the lowest one not
held is halved in the logarithm, a given number of times. The knee is the highest rate held; the lowest rate not held
bounds it from above.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .open_loop import OK, Request

LEAST_ANSWERED = 0.99
STATES = (
    "found",  # between a rate that was held and one that was not
    "not_reached",  # every rate was held, up to the most steps
    "below_first",  # the first rate was not held
    "not_valid",  # a step of the sweep could not be believed
)


class InvalidSweep(ValueError):
    """A sweep that cannot be made; the message names the option, its value and what to do."""


@dataclass(frozen=True)
class Sweep:
    """How the knee is searched: from `rate_rps` by `factor`, `seconds` a step."""

    rate_rps: float
    seconds: float
    factor: float = 1.5
    most_steps: int = 10
    refinements: int = 3
    slowdown: float = 5.0
    max_error_rate: float = 0.01

    def check(self) -> None:
        """Raises InvalidSweep where no such sweep can be made."""
        for name, low, high in (
            ("factor", 1.01, 10.0),
            ("most_steps", 1, 100),
            ("refinements", 0, 20),
            ("slowdown", 1.0, 1000.0),
            ("max_error_rate", 0.0, 0.99),
        ):
            value = getattr(self, name)
            if not low <= value <= high:
                raise InvalidSweep(f"sweep.{name} is {value}: a number from {low:g} to {high:g} is needed")

    @property
    def definition(self) -> str:
        """The knee in words, for whoever reads its figure."""
        return (
            f"the highest rate at which at most {self.max_error_rate * 100:g} % of the arrivals got no good answer,"
            f" answers came at {LEAST_ANSWERED * 100:g} % or more of the rate of arrivals, and the 99th percentile of"
            f" the latency was at most {self.slowdown:g} times the median at the sweep's first rate"
        )


@dataclass(frozen=True)
class Step:
    """One rate of a sweep; `broken` are the conditions that it did not keep, empty where it was held."""

    rate_rps: float
    valid: bool
    broken: tuple[str, ...]

    @property
    def held(self) -> bool:
        """Whether the service held this rate."""
        return not self.broken


def answered_share(requests: Sequence[Request], seconds: float, allowance_seconds: float) -> float:
    """The rate at which good answers came over the rate of arrivals.

    The last answers of a load come after its last arrival; `allowance_seconds`, the median latency of an idle service,
    of that is no lag of the service's. A share of 1 or nearly so: it keeps up. Below: a queue grows.
    """
    ends = [request.end_seconds for request in requests if request.outcome == OK and request.end_seconds is not None]
    if not requests or not ends:
        return 0.0
    taken = max(seconds, max(ends) - allowance_seconds)
    return len(ends) / len(requests) * seconds / taken


def broken_conditions(
    sweep: Sweep, figures: Mapping[str, Any], share: float, baseline_seconds: float | None
) -> tuple[str, ...]:
    """The conditions that a step did not keep, by its figures; `baseline_seconds` is the first rate's median."""
    broken = []
    if (figures["error_rate"] or 0.0) > sweep.max_error_rate:
        broken.append("error_rate")
    if share < LEAST_ANSWERED:
        broken.append("answered_share")
    # The largest latency speaks for a percentile that too few requests cannot have.
    latency = figures["latency_seconds"]
    tail = latency["p99"] if latency["p99"] is not None else latency["max"]
    if tail is None or baseline_seconds is None or tail > sweep.slowdown * baseline_seconds:
        broken.append("p99")
    return tuple(broken)


def next_rate(sweep: Sweep, steps: Sequence[Step]) -> float | None:
    """The rate to try after these, None when the search is over.

    The first not held ends the climb. A step that is not valid ends the search.
    """
    if not steps:
        return sweep.rate_rps
    if any(not step.valid for step in steps):
        return None
    lost = [step.rate_rps for step in steps if not step.held]
    held = [step.rate_rps for step in steps if step.held]
    if not lost:
        return None if len(steps) >= sweep.most_steps else steps[-1].rate_rps * sweep.factor
    climb = next(index for index, step in enumerate(steps) if not step.held) + 1
    if not held or len(steps) - climb >= sweep.refinements:
        return None
    return math.sqrt(max(held) * min(lost))


def result(sweep: Sweep, steps: Sequence[Step]) -> dict[str, Any]:
    """`{state, knee_rps, upper_rps, definition}`: the knee lies from `knee_rps` to below `upper_rps`.

    A held rate above one that was not held does not raise the knee: the search never goes there.
    """
    lost = [step.rate_rps for step in steps if not step.held]
    held = [step.rate_rps for step in steps if step.held]
    if not steps or any(not step.valid for step in steps):
        state = "not_valid"
    elif not held:
        state = "below_first"
    else:
        state = "found" if lost else "not_reached"
    usable = state != "not_valid"
    return {
        "state": state,
        "knee_rps": max(held) if usable and held else None,
        "upper_rps": min(lost) if usable and lost else None,
        "definition": sweep.definition,
    }
