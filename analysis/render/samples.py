# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``samples.csv``: one line a request, with units in the headers; the figures of a trial stand in run.json."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Mapping
from typing import Any

from analysis.schema import Kind

HEADERS = (
    "run_id",
    "trial",
    "order",
    "block",
    "arm",
    "kind",
    "mode",
    "counted",
    "sample",
    "percent_of_requests",
    "response_seconds",
    "at_least_seconds",
)


def samples_csv(run: Mapping[str, Any]) -> str:
    """Print every request of a run's ApacheBench loads, one a line, the ascending times of each load."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(HEADERS)
    writer.writerows(_rows(run))
    return stream.getvalue()


def _rows(run: Mapping[str, Any]) -> Iterator[tuple[Any, ...]]:
    """Give the requests of every load; of one that ab gives percentiles of alone, those, and what was cut off last."""
    for trial in run["trials"]:
        keys = ("id", "order", "block", "arm", "kind", "mode", "counted")
        about = (run["run_id"], *(trial[key] for key in keys))
        data = trial["data"]
        # run.json has none of an open loop's requests, but how many of them were censored.
        if trial["kind"] == Kind.OPEN_LOOP:
            continue
        samples = data.get("samples_seconds")
        if samples:
            yield from ((*about, index, None, seconds, None) for index, seconds in enumerate(samples, start=1))
        else:
            quantiles = data.get("quantiles_seconds") or []
            yield from ((*about, None, percent, seconds, None) for percent, seconds in enumerate(quantiles))
        # Where ab's own time-out fired, it is not known how many requests were cut off.
        censored = data.get("censored") or {"n": None, "at_least_seconds": None}
        for index in range(len(samples or ()) + 1, len(samples or ()) + 1 + (censored["n"] or 0)):
            yield (*about, index, None, None, censored["at_least_seconds"])
