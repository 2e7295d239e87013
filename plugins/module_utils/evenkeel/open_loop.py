# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""An open-loop load: its schedule, and the figures that the times of its requests support.

In an open loop requests arrive when they are due, whether or not the earlier ones were answered, as they do where many
independent clients ask. A closed loop such as ab's sends the next request when an earlier one is answered: it stops
asking while the server stalls, and so leaves out of its percentiles what clients would have met then (coordinated
omission). Here each latency runs from the moment at which its request was due.

Everything is a pure function of the schedule and the records, so that the figures of a run can be computed again from
its raw files.
"""

from __future__ import annotations

import csv
import io
import math
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .ab import FEWEST_SAMPLES, summarise_latency

ARRIVALS = ("poisson", "uniform")

# What became of a request, beside `ok`. The first two are censored: no answer came as long as we waited.
TIMEOUT = "timeout"  # none within timeout_seconds
UNFINISHED = "unfinished"  # none when the load was ended by its deadline or a signal
CENSORED = (TIMEOUT, UNFINISHED)
OK = "ok"
FAILURES = (
    "non_2xx",  # a whole answer that says so itself
    "wrong_answer",  # a 2xx whose body does not hold what is expected
    "refused",
    "reset",  # closed before or within the answer's head
    "protocol",  # not HTTP, a body cut off or over the limit, a TLS failure
    "unreachable",
    "client",  # this host gave no socket: descriptors or ports ran out
    "dropped",  # never sent: as many as max_under_way were under way
    "unsent",  # never sent: the load was ended before it was due
)
OUTCOMES = (OK, *CENSORED, *FAILURES)
NEVER_SENT = ("dropped", "unsent")

# Why a load is not valid. A reason is one of these codes, a colon and a sentence.
REASON_CODES = (
    "no_rate",  # a run knew no capacity to take a fraction of; the module never says this
    "probe_failed",  # the request before or after the load got no good answer
    "wrong_answer",  # an answer, or a probe's, does not hold what is expected of it
    "instance_changed",  # before and after were answered by two process lives
    "deadline",  # our own deadline ended the load
    "interrupted",  # a signal did
    "generator_lagged",  # requests were sent too long after they were due
    "rate_not_achieved",  # too few requests a second were sent
    "dropped_requests",  # a cap kept requests from being sent
    "client_failed",  # this host ran out of descriptors or ports
    "failed_requests",  # more failed than max_error_rate allows
    "too_few_arrivals",  # the schedule is empty
    "hosts_apart",  # a run's load hosts did not send at the same time; the module never says this
)

# A generator is late by its host's timers and scheduler. Its lag is part of every latency from the intended time, so
# at most so much of the median may be the generator's own.
MOST_LAG_OF_MEDIAN = 0.05
# Below this no lag is held against it: one tick of a kernel at 1000 Hz, and the accuracy to which load generators agree
# with each other. Without it a service of 2 ms would ask for timers of 0.1 ms, which a host that is busy does not have.
LAG_FLOOR_SECONDS = 0.001
LEAST_ACHIEVED = 0.99  # of the scheduled rate

MOST_ARRIVALS = 1_000_000
COLUMNS = ("intended_seconds", "sent_seconds", "end_seconds", "outcome", "status", "bytes")


class InvalidSchedule(ValueError):
    """A schedule that cannot be kept; the message names the option, its value and what to do."""


@dataclass(frozen=True)
class Request:
    """What became of one arrival. Times are seconds since the schedule's begin.

    `sent_seconds` is just before its connection was opened or taken, None where it never was; `end_seconds` when its
    last byte came, it failed, or we stopped waiting. `status` is None without an answer's head, `bytes` are the body's.
    """

    intended_seconds: float
    sent_seconds: float | None
    end_seconds: float | None
    outcome: str
    status: int | None = None
    bytes: int = 0

    @property
    def latency_seconds(self) -> float | None:
        """From when it was due until its end; a censored one had at least that."""
        return None if self.end_seconds is None else round(self.end_seconds - self.intended_seconds, 6)

    @property
    def service_seconds(self) -> float | None:
        """From when it was sent until its end: what a closed loop calls the latency."""
        if self.end_seconds is None or self.sent_seconds is None:
            return None
        return round(self.end_seconds - self.sent_seconds, 6)


def schedule(rate_rps: float, seconds: float, arrivals: str, seed: int) -> list[float]:
    """When the requests are due, in seconds since the begin, ascending and below `seconds`.

    `uniform`: every 1 / `rate_rps` seconds, round(rate x seconds) of them. `poisson`: exponential gaps of that mean, so
    that the number varies as well; the same seed gives the same times on every Python. Raises InvalidSchedule.
    """
    for name, value in (("rate_rps", rate_rps), ("seconds", seconds)):
        if not 0 < value < float("inf"):
            raise InvalidSchedule(f"{name} is {value}: a positive number is needed")
    if arrivals not in ARRIVALS:
        raise InvalidSchedule(f"arrivals is {arrivals!r}: one of {', '.join(ARRIVALS)} is needed")
    if rate_rps * seconds > MOST_ARRIVALS:
        raise InvalidSchedule(
            f"rate_rps {rate_rps:g} for {seconds:g} s are {rate_rps * seconds:.0f} requests: at most {MOST_ARRIVALS}"
            " are kept in memory; lower one of the two"
        )
    if arrivals == "uniform":
        return [index / rate_rps for index in range(round(rate_rps * seconds))]
    generator = random.Random(seed)
    due: list[float] = []
    moment = 0.0
    while True:
        # Not expovariate(), whose algorithm Python does not promise to keep; random() it does.
        moment -= math.log(1.0 - generator.random()) / rate_rps
        if moment >= seconds:
            return due
        due.append(moment)


def measure(requests: Sequence[Request], seconds: float, rate_rps: float) -> dict[str, Any]:
    """The figures of a load that was scheduled over `seconds` at `rate_rps`.

    - requests: each arrival once: planned, sent, succeeded, failed, censored, dropped, unsent.
    - offered_rps: what the schedule held (Poisson arrivals vary), planned / seconds. achieved_rps: what was sent, over
      the same time and what the last one of them was late by.
    - latency_seconds: of those that succeeded and the censored ones, which count as what they had at least. A failure
      is not a latency. `at_least` names the figures that are lower bounds because a censored request is in them.
    - lag_seconds: sent less due, the generator's own.
    """
    outcomes = Counter(request.outcome for request in requests)
    sent = [request for request in requests if request.sent_seconds is not None]
    timed = sorted(
        (request for request in sent if request.outcome == OK or request.outcome in CENSORED),
        key=lambda request: (request.latency_seconds or 0.0, request.outcome in CENSORED),
    )
    censored = [request.latency_seconds or 0.0 for request in timed if request.outcome in CENSORED]
    never_sent = sum(outcomes[name] for name in NEVER_SENT)
    planned = len(requests)
    failed = sum(outcomes[name] for name in FAILURES)
    lags = sorted(round((request.sent_seconds or 0.0) - request.intended_seconds, 6) for request in sent)
    achieved = _achieved_rps(sent, seconds)
    latency = summarise_latency([request.latency_seconds for request in timed], None)
    return {
        "requests": {
            "planned": planned,
            "sent": planned - never_sent,
            "succeeded": outcomes[OK],
            "failed": failed - never_sent,
            "censored": len(censored),
            "dropped": outcomes["dropped"],
            "unsent": outcomes["unsent"],
        },
        "errors": {name: outcomes[name] for name in (*CENSORED, *FAILURES) if outcomes[name]},
        "error_rate": (planned - outcomes[OK]) / planned if planned else None,
        "rate_rps": rate_rps,
        "offered_rps": planned / seconds,
        "achieved_rps": achieved,
        "latency_seconds": latency,
        "at_least": _lower_bounds(timed, latency),
        "service_seconds": summarise_latency(sorted(request.service_seconds or 0.0 for request in timed), None),
        "lag_seconds": summarise_latency(lags, None),
        "censored": {"n": len(censored), "at_least_seconds": min(censored) if censored else None},
        "bytes_body": sum(request.bytes for request in requests),
    }


def _achieved_rps(sent: Sequence[Request], seconds: float) -> float | None:
    if not sent:
        return None
    last = max(sent, key=lambda request: request.intended_seconds)
    return len(sent) / (seconds + max(0.0, (last.sent_seconds or 0.0) - last.intended_seconds))


def _lower_bounds(timed: Sequence[Request], latency: Mapping[str, Any]) -> list[str]:
    """The figures of `latency` that a censored time is part of; the times are ascending."""
    first = next((index for index, request in enumerate(timed) if request.outcome in CENSORED), None)
    if first is None:
        return []
    last = len(timed) - 1
    touched = {name: math.ceil(int(name[1:]) / 100 * last) >= first for name in FEWEST_SAMPLES}
    touched.update(mean=True, min=first == 0, max=True)
    return [name for name in latency if name != "n" and touched[name] and latency[name] is not None]


def lag_limit_seconds(median_seconds: float | None) -> float:
    """What 99 % of a valid load's lags may not exceed: 5 % of the median latency, and never less than 1 ms."""
    return max(LAG_FLOOR_SECONDS, MOST_LAG_OF_MEDIAN * (median_seconds or 0.0))


def invalid_reasons(figures: Mapping[str, Any], max_error_rate: float, ended_by: str | None) -> list[str]:
    """Every reason in the figures of `measure` not to believe them; empty for a valid load.

    `ended_by` is `deadline` or `interrupted` where the load was ended before its schedule was over.
    """
    reasons = []
    counts, errors = figures["requests"], figures["errors"]
    if counts["planned"] == 0:
        return ["too_few_arrivals: no request was due in this time; raise seconds or rate_rps"]
    if ended_by is not None:
        what = "its deadline_seconds were over" if ended_by == "deadline" else "a signal ended it"
        reasons.append(f"{ended_by}: {what}: {counts['unsent']} of {counts['planned']} requests were not sent")
    reasons += _of_generator(figures)
    if errors.get("wrong_answer"):
        reasons.append(f"wrong_answer: {errors['wrong_answer']} answers do not hold what is expected of them")
    rate = figures["error_rate"] or 0.0
    if rate > max_error_rate:
        named = ", ".join(f"{name} {count}" for name, count in errors.items())
        reasons.append(
            f"failed_requests: {counts['planned'] - counts['succeeded']} of {counts['planned']} got no good answer"
            f" ({named}), {math.floor(max_error_rate * counts['planned'])} allowed"
        )
    return reasons


def _of_generator(figures: Mapping[str, Any]) -> list[str]:
    """What is against the load generator itself."""
    reasons = []
    counts, errors, lag = figures["requests"], figures["errors"], figures["lag_seconds"]
    # The highest percentile that so many requests allow, and never the median, which says nothing of who came late.
    name = next((name for name in ("p99", "p95", "p90") if lag[name] is not None), "max")
    worst = lag[name]
    limit = lag_limit_seconds(figures["latency_seconds"]["p50"])
    if worst is not None and worst > limit:
        share = "all" if name == "max" else f"{name[1:]} %"
        reasons.append(
            f"generator_lagged: {share} of the requests were sent up to {worst * 1000:.3g} ms after they were due,"
            f" {limit * 1000:.3g} ms are allowed (5 % of the median latency, at least 1 ms): free a CPU for the load"
            " generator, or lower the rate"
        )
    achieved, offered = figures["achieved_rps"], figures["offered_rps"]
    if achieved is not None and counts["unsent"] == 0 and achieved < LEAST_ACHIEVED * offered:
        reasons.append(
            f"rate_not_achieved: {achieved:.4g} requests a second were sent of {offered:.4g} scheduled, less than 99 %"
        )
    if counts["dropped"]:
        reasons.append(f"dropped_requests: max_under_way kept {counts['dropped']} requests from being sent; raise it")
    if errors.get("client"):
        reasons.append(
            f"client_failed: for {errors['client']} requests this host had no socket left: raise its limit of open"
            " files (ulimit -n), or lower the rate"
        )
    return reasons


def to_csv(requests: Iterable[Request]) -> str:
    """The records as text, a line each in the order in which they were due; times with a resolution of 1 us."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for request in requests:
        writer.writerow(
            (
                f"{request.intended_seconds:.6f}",
                _cell(request.sent_seconds),
                _cell(request.end_seconds),
                request.outcome,
                "" if request.status is None else request.status,
                request.bytes,
            )
        )
    return text.getvalue()


def rounded(request: Request) -> Request:
    """The request as its line holds it, so that figures from the file equal those from memory."""
    return Request(
        round(request.intended_seconds, 6),
        None if request.sent_seconds is None else round(request.sent_seconds, 6),
        None if request.end_seconds is None else round(request.end_seconds, 6),
        request.outcome,
        request.status,
        request.bytes,
    )


def from_csv(text: str) -> list[Request]:
    """Read what `to_csv` wrote. Raises ValueError naming the line that is not of that form."""
    rows = list(csv.reader(io.StringIO(text)))
    if not rows or tuple(rows[0]) != COLUMNS:
        raise ValueError(f"the first line must be {','.join(COLUMNS)}")
    found = []
    for number, row in enumerate(rows[1:], start=2):
        try:
            intended, sent, end, outcome, status, size = row
            if outcome not in OUTCOMES:
                raise ValueError(f"outcome {outcome!r} is unknown")
            found.append(
                Request(
                    float(intended), _number(sent), _number(end), outcome, int(status) if status else None, int(size)
                )
            )
        except ValueError as error:
            raise ValueError(f"line {number} is no request: {error}") from error
    return found


def _cell(seconds: float | None) -> str:
    return "" if seconds is None else f"{seconds:.6f}"


def _number(cell: str) -> float | None:
    return float(cell) if cell else None
