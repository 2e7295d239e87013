# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Latencies as HdrHistograms: small, mergeable over trials and load hosts, and read by the tools of that format.

Values are microseconds with three significant digits, so that a percentile is at most 0.1 % off. A histogram is handed
on as its V2 log in base64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from hdrh.histogram import HdrHistogram

LEAST_MICROSECONDS = 1
MOST_MICROSECONDS = 24 * 3600 * 1_000_000
SIGNIFICANT_DIGITS = 3


def of_latencies(seconds: Iterable[float]) -> str | None:
    """Give the histogram of these latencies, None where there are none. A shorter one than 1 us counts as 1 us."""
    histogram = _empty()
    for value in seconds:
        histogram.record_value(min(max(round(value * 1e6), LEAST_MICROSECONDS), MOST_MICROSECONDS))
    return _encoded(histogram)


def merge(logs: Iterable[str]) -> str | None:
    """Give the histogram of all values that are in any of these, None where there are none.

    Equal to the histogram of the union: counts of equal buckets are added, so that nothing is lost. Raises ValueError
    for a text that is no such log.
    """
    histogram = _empty()
    for log in logs:
        histogram.add(_decoded(log))
    return _encoded(histogram)


def count(log: str) -> int:
    """Give how many values a histogram holds."""
    return int(_decoded(log).get_total_count())


def percentile_seconds(log: str, percent: float) -> float:
    """Give the value whose rank is ``percent`` of their number, rounded, to three significant digits."""
    return float(_decoded(log).get_value_at_percentile(percent)) / 1e6


def log_file(tagged: Mapping[str, str], seconds: Mapping[str, float]) -> str:
    """Print histograms as a histogram log (format 1.2): a line each, tagged, with the seconds that it covers.

    The times of the lines are relative: each begins where the one before it ended.
    """
    lines = [
        "#[Histogram log format version 1.2]",
        "#Evenkeel, open loop: latencies in microseconds from the moment a request was due; maxima in seconds",
        '"StartTimestamp","Interval_Length","Interval_Max","Interval_Compressed_Histogram"',
    ]
    begin = 0.0
    for tag, log in tagged.items():
        most = float(_decoded(log).get_max_value()) / 1e6
        lines.append(f"Tag={tag},{begin:.3f},{seconds[tag]:.3f},{most:.6f},{log}")
        begin += seconds[tag]
    return "\n".join(lines) + "\n"


def _empty() -> HdrHistogram:
    return HdrHistogram(LEAST_MICROSECONDS, MOST_MICROSECONDS, SIGNIFICANT_DIGITS)


def _encoded(histogram: HdrHistogram) -> str | None:
    return histogram.encode().decode("ascii") if histogram.get_total_count() else None


def _decoded(log: str) -> HdrHistogram:
    try:
        return HdrHistogram.decode(log)
    except Exception as error:  # the package raises what its parts happen to raise
        raise ValueError(f"not an HdrHistogram V2 log: {log[:40]!r} ({type(error).__name__}: {error})") from error
