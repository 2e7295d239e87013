# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The verdict for a terminal: sentences, the table, where the report lies, and last VALID, INVALID or MISSED."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from typing import Any

from analysis import thresholds, wording
from analysis.render import document
from analysis.schema import THRESHOLD_MISSED
from analysis.table import Table

WIDTH = 100


def terminal(run: Mapping[str, Any], folder: str) -> str:
    """Print the verdict of a run whose reports lie in ``folder``."""
    lines = [line for sentence in wording.opening(run) for line in textwrap.wrap(sentence, WIDTH)]
    if run["thresholds"]:
        lines += ["", *(line for rule in run["thresholds"] for line in _rule(rule))]
    lines += ["", *aligned(document.verdict_table(run)), ""]
    for caution in run["warnings"]:
        lines += textwrap.wrap(f"Note: {caution['message']}", WIDTH, subsequent_indent="      ")
    for reason in run["invalid_reasons"]:
        place = f" in {reason['trial']}" if reason["trial"] else ""
        lines += textwrap.wrap(
            f"Reason: {reason['code']}{place}: {reason['message']}", WIDTH, subsequent_indent="        "
        )
    lines += [f"Report: {folder}/report.html (in short: report.md)", last_line(run)]
    return "\n".join(printable(line) for line in lines) + "\n"


def _rule(rule: Mapping[str, Any]) -> list[str]:
    return textwrap.wrap(f"Threshold {thresholds.sentence(rule)}", WIDTH, subsequent_indent="          ")


def last_line(run: Mapping[str, Any]) -> str:
    """Print ``VALID <run id>``, or ``INVALID <reason code> <run id>`` with the first reason's code.

    A valid run that misses a threshold of its profile ends with ``MISSED threshold_missed <run id>: <each missed rule
    with its measured value>``.
    """
    if run["valid"] and (against := thresholds.missed(run["thresholds"])):
        said = "; ".join(thresholds.sentence(rule) for rule in against)
        return f"MISSED {THRESHOLD_MISSED} {run['run_id']}: {said}"
    if run["valid"]:
        return f"VALID {run['run_id']}"
    return f"INVALID {run['invalid_reasons'][0]['code']} {run['run_id']}"


def aligned(table: Table) -> list[str]:
    """Print a table in columns as wide as their widest cell, numbers flush right."""
    rows = [table.headers, *table.rows]
    widths = [max(len(row[column]) for row in rows) for column in range(len(table.headers))]
    lines = [
        "  ".join(
            cell.rjust(width) if column in table.numeric else cell.ljust(width)
            for column, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in rows
    ]
    return [lines[0], "  ".join("-" * width for width in widths), *lines[1:]]


def printable(line: str) -> str:
    """Drop what a terminal would act upon: a measured text may hold escape sequences."""
    return "".join(mark if mark.isprintable() else "?" for mark in line)
