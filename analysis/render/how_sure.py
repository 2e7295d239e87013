# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The section that says how sure the verdicts are, and when and why a run with a rule ended."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

from analysis import wording
from analysis.figures import percent
from analysis.table import Table

Run = Mapping[str, Any]

TITLE = "How sure"
HEADERS = (
    "Metric",
    "Serverless is lower",
    "Half-width of the interval",
    "Blocks for the wished half-width",
    "Change a block",
    "p of the change",
)


def paragraphs(run: Run) -> tuple[str, ...]:
    """Explain the columns, and say why the run ended where its plan has a rule."""
    wished = next(found["certainty"]["precision"]["wished"] for found in _rows(run) if found["certainty"]["precision"])
    said = (
        "Serverless is lower: how often it had the lower figure, equal ones counted half; of the mean response time, "
        "that of a request of serverless against one of the server in the same block, the mean over the blocks and the "
        "least and the most of one. The half-width is the interval's, "
        f"as a part of the ratio; the number of blocks is an estimate from these for {percent(wished)}. The change a "
        "block is Theil and Sen's slope of serverless / server over the blocks, its p Kendall's.",
    )
    return (f"{run['stopping']['reason']}.", *said) if "stopping" in run else said


def tables(run: Run) -> tuple[Table, ...]:
    """Give the table of the tested metrics and, of a run with a rule, that of its looks."""
    rows = tuple(_row(metric) for metric in _rows(run))
    found = [Table("How sure each comparison is", HEADERS, rows, frozenset({2, 3, 4, 5}))]
    if run.get("stopping", {}).get("looks"):
        found.append(_looks(run["stopping"]))
    return tuple(found)


def is_told(run: Run) -> bool:
    """Whether anything was compared with an interval, so that there is something to say."""
    return any(found["certainty"]["precision"] for found in _rows(run))


def _rows(run: Run) -> list[Mapping[str, Any]]:
    return [metric for metric in run["metrics"] if metric.get("certainty")]


def _row(metric: Mapping[str, Any]) -> tuple[str, ...]:
    found = metric["certainty"]
    superiority, precision, drift = found["superiority"], found["precision"], found["drift"]
    return (
        metric["title"],
        _superiority(superiority) if superiority else "-",
        percent(precision["half_width"], 1) if precision else "-",
        _blocks(precision["blocks_needed"], metric["n"]) if precision else "-",
        f"{math.expm1(drift['slope']):+.2%}".replace("%", " %") if drift else "-",
        wording.probability(drift["p"]) if drift else "-",
    )


def _superiority(found: Mapping[str, Any]) -> str:
    said = f"in {percent(found['probability'])} of {found['of']}"
    return f"{said} ({percent(found['lowest'])} to {percent(found['highest'])})" if found["of"] == "requests" else said


def _blocks(needed: int, n: int) -> str:
    return f"{needed} (enough)" if needed <= n else str(needed)


def _looks(stopping: Mapping[str, Any]) -> Table:
    rows = tuple(
        (
            str(look["blocks"]),
            str(look["n"]),
            wording.NOT_MEASURED if look["half_width"] is None else percent(look["half_width"], 1),
            wording.probability(look["p"]),
            "-" if look["critical_p"] is None else f"{look['critical_p']:.2g}",
            "ended the run" if look["stop"] else "went on",
        )
        for look in stopping["looks"]
    )
    headers = ("After blocks", "Pairs", "Half-width", "p", "Critical p", "What followed")
    return Table(f"The looks of stop_when {stopping['rule']}", headers, rows, frozenset({0, 1, 2, 3, 4}))
