# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The grammar of what ApacheBench writes: its report on stdout and its CSV of percentages (`-e`).

Read from ab.c of httpd 2.0 to 2.4 and trunk, checked against recorded outputs. Nothing here judges a figure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

BANNER = "This is ApacheBench, Version "
CSV_HEADER = "Percentage served,Time in ms"

_NUMBER = r"(\d+(?:\.\d+)?)"
# Lines that every report has. Server-controlled text (the Server header) stands behind a label of its own, and lines
# are split at newlines only, so no server can forge one of these.
_REQUIRED = {
    "seconds": ("Time taken for tests", rf"{_NUMBER} seconds"),
    "complete": ("Complete requests", r"(\d+)"),
    "failed": ("Failed requests", r"(\d+)"),
    "bytes_total": ("Total transferred", r"(\d+) bytes"),
    "bytes_body": ("HTML transferred", r"(\d+) bytes"),
}
# Lines that are printed only when there is something to say: absent means 0.
_OPTIONAL = {
    "write_errors": ("Write errors", r"(\d+)"),
    "non_2xx": ("Non-2xx responses", r"(\d+)"),
    "keepalive_requests": ("Keep-Alive requests", r"(\d+)"),
}
# Receive came with httpd 2.0.46; before it the three other parts stood alone.
_FAILED_PARTS = re.compile(r"^\s+\(Connect: (\d+), (?:Receive: (\d+), )?Length: (\d+), Exceptions: (\d+)\)\s*$", re.M)
_TOTAL_MEAN = re.compile(r"^Total:\s+\d+\s+(\d+)\s", re.M)


class ReportMissing(Exception):
    """ab has ended without a report, so that it keeps every result for itself; its stderr says why."""


class ReportUnusable(Exception):
    """There is a report, but not one that can be read; the message says what is wrong with it."""


class PercentagesUnusable(Exception):
    """The `-e` file is absent, cut off or garbled; the message says where."""


@dataclass(frozen=True)
class Report:
    """The report's lines as numbers; `seconds` has a resolution of 1 ms, `mean_milliseconds` of 1.

    `document_length` is the body's length of the first answer, even if that was an error page, and None where ab
    says `Variable` (with -l). `complete` counts every request that came to an end, failed ones included. The four
    failed parts may count one request several times. `mean_milliseconds` is None where ab prints no times.
    """

    version: str
    seconds: float
    complete: int
    failed: int
    failed_connect: int
    failed_receive: int
    failed_length: int
    failed_exceptions: int
    write_errors: int
    non_2xx: int
    keepalive_requests: int
    bytes_total: int
    bytes_body: int
    document_length: int | None
    mean_milliseconds: int | None


def parse_version(stdout: str) -> str | None:
    """What ab calls itself, `2.3 <$Revision$>` as it stands; None where the program is not ApacheBench."""
    for line in stdout.split("\n"):
        if line.startswith(BANNER):
            return line[len(BANNER) :].strip()
    return None


def parse_report(stdout: str) -> Report:
    """Read the report out of ab's stdout.

    Raises ReportMissing where ab printed none, ReportUnusable where it is cut off, garbled, contradicts itself or is
    HTML (-w, whose grammar is another and is refused).
    """
    if re.search(r"^\s*<(table|tr|p)\b", stdout, re.M):
        raise ReportUnusable("it is HTML (ab -w), whose grammar is not read here: run ab without -w")
    version = parse_version(stdout)
    if version is None:
        raise ReportUnusable(f"it does not begin with '{BANNER}': the program is not ApacheBench")
    if not re.search(r"^Server Software:", stdout, re.M):
        raise ReportMissing("ab printed no report")
    required = {name: _value(stdout, label, pattern, True) for name, (label, pattern) in _REQUIRED.items()}
    optional = {name: _value(stdout, label, pattern, False) for name, (label, pattern) in _OPTIONAL.items()}
    counts = {name: int(text) for name, text in {**required, **optional}.items() if name != "seconds"}
    connect, receive, length, exceptions = _failed_parts(stdout, counts["failed"])
    mean = _TOTAL_MEAN.search(stdout)
    return Report(
        version=version,
        seconds=float(required["seconds"]),
        failed_connect=connect,
        failed_receive=receive,
        failed_length=length,
        failed_exceptions=exceptions,
        document_length=_document_length(stdout),
        mean_milliseconds=int(mean.group(1)) if mean else None,
        **counts,
    )


def _value(stdout: str, label: str, pattern: str, required: bool) -> str:
    found = re.findall(rf"^{re.escape(label)}:[ \t]*(.*?)[ \t\r]*$", stdout, re.M)
    if not found and not required:
        return "0"
    if len(found) != 1:
        raise ReportUnusable(f"its line '{label}:' is there {len(found)} times instead of once")
    matched = re.fullmatch(pattern, found[0])
    if matched is None:
        raise ReportUnusable(f"its line '{label}:' holds {found[0]!r}")
    return matched.group(1)


def _failed_parts(stdout: str, failed: int) -> tuple[int, int, int, int]:
    found = _FAILED_PARTS.search(stdout)
    if found is None:
        if failed:
            raise ReportUnusable(f"it counts {failed} failed requests and does not say of which kind")
        return 0, 0, 0, 0
    connect, receive, length, exceptions = (int(part or 0) for part in found.groups())
    return connect, receive, length, exceptions


def _document_length(stdout: str) -> int | None:
    text = _value(stdout, "Document Length", r"(Variable|\d+ bytes)", True)
    return None if text == "Variable" else int(text.split()[0])


def parse_percentages(text: str) -> list[float]:
    """The 101 values of the `-e` file, row 0 to row 100, in seconds (ab writes milliseconds with three decimals).

    Which of them can be believed depends on the number of requests: see `order_statistics`. Raises
    PercentagesUnusable where the file is anything but the header and these 101 rows.
    """
    lines = text.split("\n")
    if lines[0].strip() != CSV_HEADER:
        raise PercentagesUnusable(f"line 1 is {lines[0][:60]!r} instead of {CSV_HEADER!r}")
    if lines[-1] != "" or len(lines) != 103:
        raise PercentagesUnusable(f"it has {len(lines) - 1} complete lines instead of 102: it was cut off or added to")
    values = []
    for percent, line in enumerate(lines[1:-1]):
        matched = re.fullmatch(rf"{percent},{_NUMBER}\s*", line)
        if matched is None:
            raise PercentagesUnusable(f"line {percent + 2} is {line[:60]!r} instead of '{percent},<milliseconds>'")
        values.append(round(float(matched.group(1)) / 1000, 6))
    return values


def row_index(percent: int, complete: int) -> int:
    """Which of the `complete` ascending times (from 0) ab writes in row `percent`; may lie behind the last one.

    ab.c, output_results: row 0 is the first and row 100 the last time, row i the one at (int)(0.5 + n * i / 100).
    For n <= 50 that index runs over the array's end in the rows below 100 and ab prints what lies in memory there.
    """
    if percent == 0:
        return 0
    if percent == 100:
        return complete - 1
    return int(0.5 + complete * percent / 100.0)


def order_statistics(rows: list[float], complete: int) -> list[float | None]:
    """The ascending times of all `complete` requests, as far as the 101 `rows` name them.

    Returns a list of length `complete`; up to 100 requests every entry is known, beyond that those that fall between
    two rows are None. Rows that ab read from behind its array are left out. Raises PercentagesUnusable where the
    believable rows do not ascend or two of them give one entry different values.
    """
    times: list[float | None] = [None] * complete
    before = 0.0
    for percent, value in enumerate(rows):
        index = row_index(percent, complete)
        if index >= complete:
            continue
        if value < before:
            raise PercentagesUnusable(f"row {percent} says {value} s after {before} s: the rows must ascend")
        known = times[index]
        if known is not None and known != value:
            raise PercentagesUnusable(f"row {percent} says {value} s where another row says {known} s")
        times[index] = before = value
    return times
