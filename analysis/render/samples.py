# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``samples.csv``: one line a figure of every trial, and one a request; base units only."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

HEADERS = (
    "run_id",
    "trial",
    "order",
    "block",
    "arm",
    "kind",
    "mode",
    "counted",
    "name",
    "index",
    "value",
    "less_than",
    "reason",
)


def samples_csv(run: Mapping[str, Any]) -> str:
    """Print every figure and every sample of a run. What was not measured has an empty value and a reason."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADERS)
    writer.writerows(_rows(run))
    return stream.getvalue()


def _rows(run: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    for trial in run["trials"]:
        keys = ("id", "order", "block", "arm", "kind", "mode", "counted")
        about = (run["run_id"], *(trial[key] for key in keys))
        for name, figure in trial["figures"].items():
            yield (*about, name, None, figure["value"], figure["less_than"], figure["reason"])
        for index, seconds in enumerate(trial["data"].get("samples_seconds") or [], start=1):
            yield (*about, "response_seconds", index, seconds, None, None)
