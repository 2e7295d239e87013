# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The calibration scores of the arms' machines: how fast each computes the network by itself, before and after a run.

Scores before and after every block, where a run has them, normalise the study's table; no figure of the verdict is
scaled by them.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis.figures import lookup, number_at, percent
from analysis.run_store import RunFolder
from analysis.schema import Arm

EDGES = ("before", "after")
HALVES = ("training", "evaluation")
MOST_DRIFT = 0.05

Scores = Mapping[str, float | None]


def of_arm(run: RunFolder, host: str) -> dict[str, Any] | None:
    """Give what the host of one arm scored, as it stands in ``run.json``; None where it was not asked to.

    Scores are images a second. ``score`` is the mean of before and after, or the one there is; ``drift`` is
    after / before - 1. What is missing is None, with the first reason there is.
    """
    records = run.calibrations.get(host)
    if not records:
        return None
    edges: dict[str, Scores | None] = {edge: _scores(records.get(edge)) for edge in EDGES}
    threads = next((found for edge in EDGES if (found := number_at(records.get(edge), "threads").value)), None)
    return {
        "threads": None if threads is None else round(threads),
        **edges,
        "score": {half: _mean([_of(edges[edge], half) for edge in EDGES]) for half in HALVES},
        "drift": {half: _drift(_of(edges["before"], half), _of(edges["after"], half)) for half in HALVES},
        "reason": next((why for edge in EDGES if (why := _reason(records.get(edge), edge)) is not None), None),
    }


def around(run: RunFolder, host: str, block: int | None) -> dict[str, float | None]:
    """Give the geometric mean of the scores before and after a block, or before and after all that precedes block 1.

    None where either was not taken: a score from another time is no neighbour.
    """
    records = run.calibrations.get(host, {})
    # A run that ended early planned more blocks than it has.
    last = max((trial.block for trial in run.trials if trial.block is not None and trial.id in run.records), default=0)
    before = "before" if block is None else edge(block)
    after = edge(1) if block is None else "after" if block == last else edge(block + 1)
    found = {}
    for half in HALVES:
        first, second = (_of(_scores(records.get(one)), half) for one in (before, after))
        found[half] = math.sqrt(first * second) if first and second else None
    return found


def edge(block: int) -> str:
    """Give the name of the scores that were taken before a block."""
    return f"b{block:02}"


def spread(run: RunFolder, host: str, half: str) -> float | None:
    """Give how far apart a host's scores of one half lie over the whole run: largest / smallest - 1."""
    values = [value for record in run.calibrations.get(host, {}).values() if (value := _of(_scores(record), half))]
    return max(values) / min(values) - 1 if len(values) > 1 else None


def ratio(arms: Mapping[str, Mapping[str, Any]]) -> dict[str, float | None] | None:
    """Give serverless / server of the scores; None where no machine was calibrated."""
    found = {arm: lookup(arms, arm, "calibration", "score") for arm in Arm}
    if not any(isinstance(score, Mapping) for score in found.values()):
        return None
    pairs = {half: [_of(found[arm], half) for arm in (Arm.SERVER, Arm.SERVERLESS)] for half in HALVES}
    return {half: above / below if below and above is not None else None for half, (below, above) in pairs.items()}


def drifts(calibration: Mapping[str, Any]) -> dict[str, float]:
    """Give each half's drift that is larger than it may be."""
    found: Mapping[str, float | None] = calibration["drift"]
    return {half: drift for half, drift in found.items() if drift is not None and abs(drift) > MOST_DRIFT}


def drift_text(half: str, drift: float) -> str:
    """Say how one half's score changed over the run."""
    return f"{half} {percent(abs(drift), 1)} {'faster' if drift > 0 else 'slower'}"


def _scores(record: object) -> Scores | None:
    found = {half: number_at(record, half, "images_per_second").value for half in HALVES}
    return found if any(value is not None for value in found.values()) else None


def _of(scores: object, half: str) -> float | None:
    return number_at(scores, half).value


def _mean(values: list[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known else None


def _drift(before: float | None, after: float | None) -> float | None:
    return after / before - 1 if before and after is not None else None


def _reason(record: object, edge: str) -> str | None:
    if record is None:
        return f"it was not calibrated {edge} the run"
    failure = lookup(record, "failure")
    if isinstance(failure, str):
        return failure
    return None if _scores(record) is not None else f"the record of the calibration {edge} the run holds no score"
