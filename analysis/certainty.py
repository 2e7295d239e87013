# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How sure a metric's comparison is, beside its interval: how often one arm wins, any drift, what is missing."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict
from typing import Any, Protocol

from analysis import statistics, verdict, wording
from analysis.cautions import Remark
from analysis.figures import lookup
from analysis.metrics import Metric
from analysis.run_store import PlannedTrial
from analysis.schema import Arm, Caution, Kind

# The metric whose trials keep every request's own figure.
OF_REQUESTS = "response_mean_seconds"
# One in a hundred runs without a drift is told of one.
DRIFTS_AT = 0.01

Record = tuple[PlannedTrial, Mapping[str, Any]]
Blocks = list[tuple[list[float], list[float]]]


class Compared(Protocol):
    """A pair of trials that has a ratio."""

    @property
    def label(self) -> str:
        """Which pair."""

    @property
    def ratio(self) -> float | None:
        """serverless / server."""


def certainty(
    metric: Metric,
    comparison: verdict.Comparison | None,
    pairs: Sequence[Compared],
    records: Sequence[Record],
    *,
    wished: float,
    level: float,
) -> dict[str, Any] | None:
    """Give what ``run.json`` holds of it; None where nothing is tested.

    ``pairs`` are those that were compared, in the order of the run; ``wished`` is the relative half-width for which
    the number of blocks is estimated, and ``level`` the one at which the run's intervals are.
    """
    ratios = [pair.ratio for pair in pairs if pair.ratio is not None]
    if comparison is None or metric.words is None or len(ratios) < len(pairs):
        return None
    requests = _requests(pairs, records) if metric.name == OF_REQUESTS else None
    # A ratio below 1 is a trial in which serverless has the lower figure.
    superiority = statistics.superiority(requests or [([1.0], [ratio]) for ratio in ratios])
    drift = statistics.drift([math.log(ratio) for ratio in ratios])
    return {
        "superiority": {"of": "requests" if requests else "trials", **asdict(superiority)} if superiority else None,
        "drift": asdict(drift) if drift else None,
        "precision": _precision(comparison, wished, level),
    }


def cautions(metrics: Sequence[Mapping[str, Any]]) -> Iterator[Remark]:
    """Warn where the primary metric's ratio changed over the blocks."""
    for metric in metrics:
        drift = lookup(metric, "certainty", "drift")
        if metric["primary"] and isinstance(drift, Mapping) and drift["p"] <= DRIFTS_AT:
            change = f"{math.expm1(drift['slope']):+.1%}".replace("%", " %")
            yield Remark(
                Caution.DRIFT,
                f"{metric['title']}: serverless / server changed over the blocks, by {change} a block (Kendall's tau "
                f"{drift['tau']:+.2f}, p {wording.probability(drift['p'])}): one ratio for all blocks hides that. Look "
                "at the blocks one by one, and measure again when the machine is at rest.",
            )


def _requests(pairs: Sequence[Compared], records: Sequence[Record]) -> Blocks | None:
    """Give every request's time, block by block; None where a load kept only quantiles."""
    found: dict[tuple[str, Arm], list[float]] = {}
    for trial, record in records:
        samples = lookup(record["facts"], "ab_benchmark", "samples_seconds")
        if trial.kind is Kind.LOAD and isinstance(samples, list) and samples:
            found[f"block {trial.block}", trial.arm] = samples
    if any((pair.label, arm) not in found for pair in pairs for arm in Arm):
        return None
    return [(found[pair.label, Arm.SERVER], found[pair.label, Arm.SERVERLESS]) for pair in pairs]


def _precision(comparison: verdict.Comparison, wished: float, level: float) -> dict[str, Any] | None:
    if comparison.interval is None:
        return None
    return {
        "half_width": statistics.relative_half_width(comparison.interval),
        "wished": wished,
        "blocks_needed": statistics.blocks_needed(comparison.n, comparison.interval, wished, level),
    }
