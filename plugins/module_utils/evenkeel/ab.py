# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""ApacheBench as a measuring tool: its command line, and the figures that its output really supports.

Everything here is a pure function of ab's output, so that the figures of a run can be computed again from its raw
files. The reasons for each rule are ab's own habits: one bad request is counted under several headings, a rounded
millisecond text stands beside a microsecond CSV, three different "medians", and an exit code that is 0 for ten
refused connections.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .ab_report import (
    PercentagesUnusable,
    Report,
    ReportMissing,
    ReportUnusable,
    order_statistics,
    parse_percentages,
    parse_report,
    parse_version,
)
from .http import RequestFailed, check_url

# Why a load is not valid. A reason is one of these codes, a colon and a sentence.
REASON_CODES = (
    "probe_failed",  # the request before or after the load got no good answer
    "wrong_answer",  # a probe's answer does not hold what is expected of it
    "answer_changed",  # before and after differ where the body is declared to be constant
    "instance_changed",  # before and after were answered by two process lives
    "ab_timeout",  # ab's -s: silence on every socket, which loses all of ab's results
    "connection_refused",  # these five: ab gave up without a report
    "connection_reset",
    "connect_failures",
    "name_not_resolved",
    "no_report",
    "report_unusable",  # ab's report is cut off, garbled or contradicts itself
    "percentages_unusable",  # so is its -e file
    "deadline",  # our own deadline interrupted ab
    "exit_code",  # a report, and yet an exit code that is not 0
    "incomplete",  # fewer requests than planned came to an end
    "failed_requests",  # more of them failed than max_error_rate allows
    "body_bytes",  # the bodies do not add up to so many good answers: hidden failures
    "empty_answers",  # not one byte of body
    "keepalive_refused",  # keep-alive was asked for and the server never granted it
    "clock_disagrees",  # ab's wall clock was set during the load
)

# Fewest samples from which a percentile is printed: the count from which a 95 % interval of it has an upper end.
FEWEST_SAMPLES = {"p50": 5, "p90": 29, "p95": 59, "p99": 299}
SAMPLES_LIMIT = 100  # up to here the CSV's 101 rows hold every single time
CLOCK_TOLERANCE = 0.01  # of the wall seconds
CLOCK_FLOOR_SECONDS = 0.5  # ab's time leaves out its own start and end, some 10 ms, many more on a busy machine
STEP_FLOOR_SECONDS = 0.001  # resolution of ab's time
SIZING_RESERVE = 1.05  # a sized load is planned this much longer, so that a faster answer does not make it too short

# `requests` beside `planned`: what only a report can tell.
REQUEST_COUNTS = (
    "complete",
    "succeeded",
    "succeeded_min",
    "succeeded_max",
    "lost",
    "failed",
    "failed_connect",
    "failed_receive",
    "failed_length",
    "failed_exceptions",
    "non_2xx",
    "write_errors",
)

_STDERR_REASONS = (
    # In this order: after ten failures ab prints the eleventh one's cause too.
    ("Test aborted after", "connect_failures", "more than 10 connections failed"),
    (
        "timeout specified has expired",
        "ab_timeout",
        "no byte came on any connection for the time of timeout_seconds (ab -s), and ab then keeps no result; the"
        " server was silent, or reset a connection in a way that ab goes on to wait for",
    ),
    ("Connection refused", "connection_refused", "the server refused a connection"),
    ("Connection reset", "connection_reset", "the server reset a connection"),
    ("apr_sockaddr_info_get", "name_not_resolved", "the host's name does not resolve"),
)


class InvalidLoad(ValueError):
    """A load that ab could not send, or would send differently; the message names the value and what to do."""


@dataclass(frozen=True)
class Load:
    """What ab is asked to send; `timeout_seconds` is ab's -s, silence on all sockets."""

    url: str
    requests: int
    concurrency: int = 2
    timeout_seconds: int = 300
    method: str = "GET"
    content_type: str = "application/json"
    headers: Mapping[str, str] | None = None
    keepalive: bool = False
    variable_length: bool = True
    max_error_rate: float = 0.0


@dataclass(frozen=True)
class Ended:
    """How ab's process ended; by `clock_step_seconds` the wall clock, which ab times with, was set meanwhile."""

    rc: int
    stdout: str
    stderr: str
    interrupted: bool
    wall_seconds: float
    clock_step_seconds: float
    deadline_seconds: float


@dataclass(frozen=True)
class KnownLengths:
    """What two probes tell of a body's length: `constant` where both were byte-identical, and the `least` of them."""

    constant: int | None = None
    least: int | None = None

    @classmethod
    def of(cls, before: bytes | None, after: bytes | None) -> KnownLengths:
        """From the bodies of two good probes, None for a probe that failed."""
        if before is None or after is None:
            return cls()
        return cls(len(before) if before == after else None, min(len(before), len(after)))


def check_load(load: Load) -> None:
    """Refuse what ab would refuse with a page of usage, or take and misread. Raises InvalidLoad."""
    _check_url(load.url)
    if load.concurrency < 1:
        raise InvalidLoad(f"concurrency is {load.concurrency}: at least 1 is needed")
    if load.requests < load.concurrency:
        raise InvalidLoad(
            f"requests is {load.requests} and concurrency {load.concurrency}: ab needs at least as many requests as"
            " connections; raise requests or lower concurrency"
        )
    if load.timeout_seconds < 1:
        raise InvalidLoad(f"timeout_seconds is {load.timeout_seconds}: ab takes whole seconds from 1 on")
    if not 0 <= load.max_error_rate < 1:
        raise InvalidLoad(f"max_error_rate is {load.max_error_rate}: a fraction of the requests, 0 or more, below 1")
    for name in load.headers or {}:
        if name.lower() in {"content-type", "content-length"}:
            raise InvalidLoad(f"header {name!r}: ab sets it from the body itself; use content_type")
    for name, value in {**(load.headers or {}), "Content-Type": load.content_type}.items():
        if not name.strip() or ":" in name or any(ord(mark) < 32 or ord(mark) == 127 for mark in f"{name}{value}"):
            raise InvalidLoad(f"header {name!r} with value {value!r}: no empty name, no colon in it, no line breaks")


def _check_url(url: str) -> None:
    try:
        parts = check_url(url)
    except RequestFailed as failure:
        raise InvalidLoad(f"url: {failure.message}") from failure
    if not parts.path.startswith("/"):
        raise InvalidLoad(f"url {url!r} has no path, which ab insists on: write {parts.scheme}://{parts.netloc}/")
    if "@" in parts.netloc or "#" in url:
        raise InvalidLoad(f"url {url!r}: ab takes neither a user name nor a fragment; use headers for the former")
    if not all(33 <= ord(mark) <= 126 for mark in url):
        raise InvalidLoad(f"url {url!r} holds a blank or a character that is not ASCII: percent-encode it")


def default_deadline_seconds(load: Load) -> float:
    """The longest that a load can take in which no request exceeds the time-out."""
    return float(math.ceil(load.requests / load.concurrency) * load.timeout_seconds)


def sized_requests(round_seconds: float, concurrency: int, at_least_seconds: float, fewest: int, most: int) -> int:
    """How many requests make a load of at least `at_least_seconds`, within `fewest` and `most`.

    `round_seconds` is what `concurrency` simultaneous requests took together, so that a service that computes in a
    queue and one that computes side by side are both planned rightly.
    """
    if round_seconds <= 0:
        return most
    planned = math.ceil(SIZING_RESERVE * at_least_seconds * concurrency / round_seconds)
    return max(fewest, min(most, planned))


def build_argv(load: Load, ab_path: str, csv_path: str, body_path: str | None = None) -> list[str]:
    """ab's command line. `body_path` is needed for POST and PUT.

    Always: -q (stderr is for errors alone), -r (a reset is counted and does not end the test), -e (the only output
    with microseconds).
    """
    argv = [ab_path, "-q", "-r", "-e", csv_path, "-s", str(load.timeout_seconds)]
    argv += ["-n", str(load.requests), "-c", str(load.concurrency)]
    argv += ["-l"] if load.variable_length else []
    argv += ["-k"] if load.keepalive else []
    if load.method in {"POST", "PUT"}:
        if body_path is None:
            raise ValueError(f"{load.method} needs a file with the body")
        argv += ["-p" if load.method == "POST" else "-u", body_path, "-T", load.content_type]
    for name, value in (load.headers or {}).items():
        argv += ["-H", f"{name}: {value}"]
    return [*argv, load.url]


def account_requests(
    report: Report, planned: int, variable_length: bool, lengths: KnownLengths = KnownLengths()
) -> dict[str, int | None]:
    """Each kind of request once: `requests` of design 4.2.

    ab counts a reset under Receive, under Exceptions and, without -l, under Length, and does not count an HTTP error
    as failed at all. So:

    - lost = receive + connect errors; exceptions are another name of the same.
    - with -l: succeeded = complete - lost - non_2xx. It is the lower bound; the upper one differs where one request
      can have been both, an error status whose body was cut off.
    - without -l a length error may be a lost or a non-2xx request or one of its own: succeeded lies between
      complete - lost - length - non_2xx and complete - max(receive, length, non_2xx), and is null where the two differ.
    - ab measures lengths against its first answer. Where that one had not the length that the probes know to be right,
      the right answers are at most those that ab calls length errors.

    Never negative, and 0 <= succeeded_min <= succeeded_max <= complete.
    """
    complete, receive, non_2xx = report.complete, report.failed_receive, report.non_2xx
    length = 0 if variable_length else report.failed_length
    lost = receive + report.failed_connect
    if _first_answer_was_wrong(report, lengths):
        low, high = 0, complete - max(receive, non_2xx, complete - length)
    else:
        low, high = complete - lost - length - non_2xx, complete - max(receive, non_2xx, length)
    low, high = max(0, low), max(0, high)
    return {
        "planned": planned,
        "complete": complete,
        "succeeded": low if variable_length or low == high else None,
        "succeeded_min": low,
        "succeeded_max": high,
        "lost": lost,
        "failed": report.failed,
        "failed_connect": report.failed_connect,
        "failed_receive": receive,
        "failed_length": report.failed_length,
        "failed_exceptions": report.failed_exceptions,
        "non_2xx": non_2xx,
        "write_errors": report.write_errors,
    }


def _first_answer_was_wrong(report: Report, lengths: KnownLengths) -> bool:
    return None not in (lengths.constant, report.document_length) and report.document_length != lengths.constant


def summarise_latency(times: Sequence[float | None], mean_milliseconds: int | None) -> dict[str, Any]:
    """`latency_seconds` from ascending times, None for those that the CSV does not name.

    Percentiles interpolate linearly between order statistics (Hyndman and Fan's type 7) and are null where too few
    samples support them. The mean is exact where every time is known. Beyond 100 requests it is the trapezoid over
    the known times, held within the half millisecond that ab's own rounded mean leaves.
    """
    count = len(times)
    known = [(index, value) for index, value in enumerate(times) if value is not None]
    if not known:
        return {"n": 0, **dict.fromkeys(("mean", "min", *FEWEST_SAMPLES, "max"))}
    summary: dict[str, Any] = {"n": count, "mean": _mean(known, count, mean_milliseconds), "min": known[0][1]}
    for name, fewest in FEWEST_SAMPLES.items():
        enough = count >= fewest
        summary[name] = _interpolated(known, int(name[1:]) / 100 * (count - 1)) if enough else None
    summary["max"] = known[-1][1]
    return summary


def _mean(known: Sequence[tuple[int, float]], count: int, mean_milliseconds: int | None) -> float:
    if len(known) == count:
        return math.fsum(value for _, value in known) / count
    areas = ((right - left) * (low + high) / 2 for (left, low), (right, high) in zip(known, known[1:]))
    # The first and last times each stand for half a step that the trapezoids leave out.
    estimate = (math.fsum(areas) + (known[0][1] + known[-1][1]) / 2) / count
    if mean_milliseconds is None:
        return estimate
    return min(max(estimate, (mean_milliseconds - 0.5) / 1000), (mean_milliseconds + 0.501) / 1000)


def _interpolated(known: Sequence[tuple[int, float]], position: float) -> float:
    """The time at a fractional index, on the straight line between the known times around it."""
    for (left, low), (right, high) in zip(known, known[1:]):
        if position <= right:
            return low + (high - low) * max(0.0, position - left) / (right - left)
    return known[-1][1]


@dataclass(frozen=True)
class Measured:
    """What ab's two outputs hold: the `figures` of the facts, and `problems`, reasons why some of them are null.

    `latency` is the summary of all finished requests, failed ones included; the one in `figures` is null where any
    failed, because a failure is not a latency.
    """

    figures: dict[str, Any]
    latency: dict[str, Any]
    problems: list[str]
    report: Report | None


def measure(
    stdout: str,
    csv_text: str | None,
    planned: int,
    variable_length: bool,
    *,
    lengths: KnownLengths = KnownLengths(),
    stderr: str = "",
) -> Measured:
    """The figures that ab's report and CSV (None where ab wrote none) support; never raises for what they hold.

    Keys: ab_version, requests, ab_seconds, throughput_rps, latency_seconds, samples_seconds, quantiles_seconds,
    keepalive_requests, bytes_total, bytes_body, document_length. What cannot be known is null. `lengths` stands in the
    facts as body_lengths; `stderr` only says why there is no report.
    """
    try:
        report = parse_report(stdout)
    except (ReportMissing, ReportUnusable) as error:
        problem = (
            _why_no_report(stderr) if isinstance(error, ReportMissing) else f"report_unusable: ab's report: {error}"
        )
        return _without_report(stdout, planned, [problem])
    if report.complete > planned:
        problem = f"report_unusable: ab's report: {report.complete} requests are complete of {planned} planned"
        return _without_report(stdout, planned, [problem])
    requests = account_requests(report, planned, variable_length, lengths)
    times, rows, problems = _times(csv_text, report.complete)
    latency = summarise_latency(times, report.mean_milliseconds)
    all_good = requests["succeeded"] == report.complete
    succeeded = requests["succeeded"]
    figures = {
        "ab_version": report.version,
        "requests": requests,
        "ab_seconds": report.seconds,
        "throughput_rps": succeeded / report.seconds if succeeded is not None and report.seconds > 0 else None,
        "latency_seconds": latency if all_good else summarise_latency([], None),
        "samples_seconds": times if report.complete <= SAMPLES_LIMIT and not problems else None,
        "quantiles_seconds": rows if report.complete > SAMPLES_LIMIT else None,
        "keepalive_requests": report.keepalive_requests,
        "bytes_total": report.bytes_total,
        "bytes_body": report.bytes_body,
        "document_length": report.document_length,
    }
    return Measured(figures, latency, problems, report)


def nothing_measured(planned: int) -> Measured:
    """The figures of a load that was never sent: every one null but what was planned."""
    return _without_report("", planned, [])


def _without_report(stdout: str, planned: int, problems: list[str]) -> Measured:
    unknown = (
        "ab_seconds",
        "throughput_rps",
        "samples_seconds",
        "quantiles_seconds",
        "keepalive_requests",
        "bytes_total",
        "bytes_body",
        "document_length",
    )
    latency = summarise_latency([], None)
    figures = {
        "ab_version": parse_version(stdout),
        "requests": {"planned": planned, **dict.fromkeys(REQUEST_COUNTS)},
        "latency_seconds": latency,
        **dict.fromkeys(unknown),
    }
    return Measured(figures, latency, problems, None)


def _times(csv_text: str | None, complete: int) -> tuple[list[float | None], list[float] | None, list[str]]:
    """Ascending times, the CSV's 101 rows, and what is wrong with it; ab writes no CSV where nothing completed."""
    if complete == 0:
        return [], None, []
    try:
        if csv_text is None:
            raise PercentagesUnusable("ab did not write it")
        rows = parse_percentages(csv_text)
        return order_statistics(rows, complete), rows, []
    except PercentagesUnusable as error:
        return [], None, [f"percentages_unusable: ab's -e file: {error}"]


def _why_no_report(stderr: str) -> str:
    """The reason that stderr's text names; ab's exit code is an error number modulo 256 and names nothing."""
    said = " ".join(stderr.split()) or "nothing"
    for text, code, meaning in _STDERR_REASONS:
        if text in stderr:
            return f"{code}: {meaning}; ab said: {said[-300:]}"
    return f"no_report: ab ended without a report and said: {said[-300:]}"


def usage_refused(ended: Ended) -> str | None:
    """ab's complaint where it printed its usage instead of measuring, else None."""
    if "Usage:" not in ended.stderr or parse_version(ended.stdout) is not None:
        return None
    return ended.stderr.split("Usage:")[0].strip() or "no complaint"


def invalid_reasons(load: Load, ended: Ended, measured: Measured, lengths: KnownLengths) -> list[str]:
    """Every reason in ab's output not to believe the load; empty for a valid one."""
    reasons = []
    if ended.interrupted:
        reasons.append(
            f"deadline: after {ended.deadline_seconds:g} s ab was interrupted; raise deadline_seconds or ask for less"
        )
    if measured.report is None and ended.interrupted:
        return reasons
    reasons += measured.problems
    if measured.report is None:
        return reasons
    report = measured.report
    if ended.rc != 0 and not ended.interrupted:
        reasons.append(f"exit_code: ab ended with {ended.rc} and said: {' '.join(ended.stderr.split())[-300:]}")
    if report.complete != load.requests:
        reasons.append(f"incomplete: {report.complete} of {load.requests} requests came to an end")
    reasons += _failure_reasons(load, report, measured.figures["requests"], lengths)
    if load.keepalive and report.complete and not report.keepalive_requests:
        reasons.append("keepalive_refused: the server closed the connection after every answer; set keepalive to false")
    disagreement = _clock_step(ended) or clock_disagreement(ended.wall_seconds, report.seconds)
    return reasons + ([f"clock_disagrees: {disagreement}"] if disagreement else [])


def _failure_reasons(
    load: Load, report: Report, requests: Mapping[str, int | None], lengths: KnownLengths
) -> list[str]:
    reasons = []
    allowed = load.max_error_rate * report.complete
    low = requests["succeeded_min"] or 0
    bad = max(report.complete - low, report.failed_connect, report.failed_exceptions, report.write_errors)
    if bad > allowed:
        reasons.append(
            f"failed_requests: up to {bad} of {report.complete} failed (lost {requests['lost']}, non-2xx"
            f" {report.non_2xx}, wrong length {0 if load.variable_length else report.failed_length}),"
            f" {math.floor(allowed)} allowed"
        )
    hidden = _hidden_failures(report, low, lengths, load.variable_length)
    if hidden and hidden + bad > allowed:
        reasons.append(
            f"body_bytes: the bodies add up to {report.bytes_body} bytes, {low} answers of"
            f" {lengths.constant or lengths.least} bytes as the probes got would be"
            f" {low * (lengths.constant or lengths.least or 0)}: some were empty, cut off or others"
        )
    if report.complete and not report.bytes_body:
        reasons.append("empty_answers: no answer had a body")
    return reasons


def _hidden_failures(report: Report, succeeded: int, lengths: KnownLengths, variable_length: bool) -> int:
    """At least so many of the `succeeded` answers were empty, cut off or others, by the sum of their bodies.

    With a constant body every byte counts, unless failed requests brought bytes of their own: then only a lack does.
    Where good answers may differ (-l), one that is longer than both probes is no fault before half a body is too much.
    With a varying one half a body must be lacking, since the probes need not have met the shortest.
    """
    pure = succeeded == report.complete
    if lengths.constant:
        bodies = (report.bytes_body - succeeded * lengths.constant) / lengths.constant
        if bodies < 0:
            return math.ceil(-bodies)
        return 0 if not pure else math.floor(bodies + 0.5) if variable_length else math.ceil(bodies)
    if lengths.least:
        return math.floor(max(0, succeeded * lengths.least - report.bytes_body) / lengths.least + 0.5)
    return 0


NONE_CENSORED = {"n": 0, "at_least_seconds": None}


def censored(load: Load, ended: Ended, measured: Measured) -> dict[str, Any]:
    """The requests that were begun and never came to an end: how many, and the least time that each of them had.

    None in an ordinary run. When ab's -s fires, the connections that were open had been silent for that long, but ab
    does not say how many they were. When our deadline interrupts it, see `_under_way`. What is not known is null.
    """
    if measured.report is not None:
        return _under_way(load, measured.report.seconds, measured.latency) if ended.interrupted else NONE_CENSORED
    timed_out = any(problem.startswith("ab_timeout:") for problem in measured.problems)
    return {"n": None, "at_least_seconds": load.timeout_seconds if timed_out else None}


def _under_way(load: Load, ab_seconds: float, latency: Mapping[str, Any]) -> dict[str, Any]:
    """The requests under way when ab was interrupted after `ab_seconds`.

    ab forgets when they began. But its connections are never idle: the first one is in use all the time, the others
    from the first answer on, so what their finished requests do not account for was spent on the unfinished ones. The
    least that one of `n` can have had is that sum minus the whole time for each of the others. 0.0 says nothing.
    """
    finished = latency["n"]
    under_way = min(load.concurrency, load.requests - finished)
    if under_way == 0:
        return NONE_CENSORED
    if finished == 0:
        # Until the first answer begins ab opens one connection alone.
        return {"n": 1, "at_least_seconds": ab_seconds}
    in_use = load.concurrency * ab_seconds - (load.concurrency - 1) * latency["max"]
    least = in_use - finished * latency["mean"] - (under_way - 1) * ab_seconds
    return {"n": under_way, "at_least_seconds": round(min(max(0.0, least), ab_seconds), 6)}


def _clock_step(ended: Ended) -> str | None:
    """ab times with the wall clock, which may be set; our own clock cannot be."""
    step = ended.clock_step_seconds
    if abs(step) > max(CLOCK_TOLERANCE * ended.wall_seconds, STEP_FLOOR_SECONDS):
        return f"the wall clock was set by {step:+.3f} s during the load, and ab times with it"
    return None


def clock_disagreement(wall_seconds: float, ab_seconds: float) -> str | None:
    """How ab's own time is not that of its process by the monotonic clock; None where it is."""
    if abs(ab_seconds - wall_seconds) > max(CLOCK_TOLERANCE * wall_seconds, CLOCK_FLOOR_SECONDS):
        return f"ab says {ab_seconds:.3f} s for what took {wall_seconds:.3f} s"
    return None
