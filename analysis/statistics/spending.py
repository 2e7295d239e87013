# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks at a run before its end, each at its own critical p, so that all together keep one error rate.

Lan and DeMets (Biometrika 70, 1983): the error rate that may be spent until a look is a function of the fraction of the
blocks measured by then. Looks are declared before the run; how the data come out moves none of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cache

import numpy as np
from scipy import optimize, stats

Grid = np.ndarray[tuple[int, ...], np.dtype[np.float64]]

# Points of the numerical integration between two boundaries: the critical p are then good to 6 digits.
POINTS = 1001
# Beyond 8 standard deviations there are 1e-15 of a normal distribution.
FAR = 8.0


def obrien_fleming_spent(fraction: float, significance: float = 0.05) -> float:
    """Give what of a two-sided ``significance`` may be spent until ``fraction`` of the blocks are measured.

    The O'Brien-Fleming type of Lan and DeMets, on either side with half of it:
    ``2 (2 - 2 Phi(z(1 - significance / 4) / sqrt(fraction)))``.

    Raises ValueError where ``fraction`` is not above 0 and at most 1.
    """
    if not 0 < fraction <= 1:
        raise ValueError(f"the fraction of the blocks must be above 0 and at most 1; got {fraction}")
    return float(4 * stats.norm.sf(stats.norm.isf(significance / 4) / np.sqrt(fraction)))


def critical_p_values(looks: Sequence[int], significance: float = 0.05) -> list[float]:
    """Give the two-sided critical p at each look; ``looks`` are numbers of blocks, the last one the whole run.

    The standardised statistics of the looks are taken as a Brownian motion at the fractions of the blocks; the
    boundary of each look is where the probability to cross it first there is what may be spent since the look before
    (Armitage, McPherson and Rowe, 1969; Reboussin, DeMets, Kim and Lan, 2000).

    Raises ValueError where the looks do not ascend or there is none.
    """
    return list(_critical_p_values(tuple(looks), significance))


@cache
def _critical_p_values(looks: tuple[int, ...], significance: float) -> tuple[float, ...]:
    if not looks or any(later <= earlier for earlier, later in zip((0, *looks), looks, strict=False)):
        raise ValueError(f"looks must be ascending numbers of blocks above 0; got {list(looks)}")
    fractions = [look / looks[-1] for look in looks]
    critical: list[float] = []
    inside = _Inside.at_start()
    spent = 0.0
    for before, now in zip((0.0, *fractions), fractions, strict=False):
        allowed = obrien_fleming_spent(now, significance) - spent
        spent += allowed
        step = now - before
        bound = inside.boundary(step, allowed, FAR * np.sqrt(now))
        critical.append(float(2 * stats.norm.sf(bound / np.sqrt(now))))
        inside = inside.after(bound, step)
    return tuple(critical)


class _Inside:
    """The density of a Brownian motion that has crossed no boundary so far, on a grid between the boundaries."""

    def __init__(self, places: Grid, weights: Grid) -> None:
        self.places = places
        self.weights = weights

    @classmethod
    def at_start(cls) -> _Inside:
        return cls(np.zeros(1), np.ones(1))

    def leaves(self, bound: float, step: float) -> float:
        """Give the probability to be at ``bound`` or beyond on either side after ``step``, for the first time."""
        spread = np.sqrt(step)
        beyond = stats.norm.sf((bound - self.places) / spread) + stats.norm.sf((bound + self.places) / spread)
        return float((self.weights * beyond).sum())

    def boundary(self, step: float, allowed: float, farthest: float) -> float:
        """Give the bound that is passed with the probability ``allowed`` after ``step``.

        ``farthest`` where less is allowed than can be computed: nothing crosses it.
        """
        if self.leaves(farthest, step) >= allowed:
            return farthest
        return float(optimize.brentq(lambda bound: self.leaves(bound, step) - allowed, 0, farthest))

    def after(self, bound: float, step: float) -> _Inside:
        places = np.linspace(-bound, bound, POINTS)
        density = (stats.norm.pdf(places[:, None], self.places[None, :], np.sqrt(step)) * self.weights).sum(axis=1)
        # Simpson's rule.
        simpson = np.full(POINTS, 2.0)
        simpson[1::2] = 4.0
        simpson[[0, -1]] = 1.0
        return _Inside(places, density * simpson * (places[1] - places[0]) / 3)
