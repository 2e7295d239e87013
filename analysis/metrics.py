# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The registry of every figure of a report: name, unit, definition, and how it is read from one trial's facts."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from evenkeel.counters import Figure

from analysis import watched
from analysis.clocks import Window
from analysis.figures import lookup, number_at
from analysis.schema import Kind, Verdict

Facts = Mapping[str, Any]

# The verdicts for a ratio under and over 1.
DURATION = (Verdict.FASTER, Verdict.SLOWER)
RESOURCE = (Verdict.LESS, Verdict.MORE)


class Role(StrEnum):
    """How a metric takes part in the verdict."""

    PRIMARY = "primary"
    FAMILY = "family"
    SHOWN = "shown"


@dataclass(frozen=True)
class Metric:
    """One figure a trial.

    ``words`` are the verdicts for a ratio under and over 1; None for a metric that is shown and never tested.
    ``cold``: on a cluster, only a start that was cold has this figure.
    """

    name: str
    title: str
    unit: str
    trial: Kind
    mode: str | None
    definition: str
    read: Callable[[Facts], Figure]
    words: tuple[Verdict, Verdict] | None = None
    kind_of: Callable[[Facts], str | None] | None = None
    cold: bool = False


def _latency(key: str) -> Callable[[Facts], Figure]:
    def read(facts: Facts) -> Figure:
        if lookup(facts, "ab_benchmark", "latency_seconds", key) is None:
            return Figure(reason="too few requests in one load for this percentile")
        return number_at(facts, "ab_benchmark", "latency_seconds", key)

    return read


def _fact(*keys: str) -> Callable[[Facts], Figure]:
    return lambda facts: number_at(facts, *keys)


def _idle_cores(facts: Facts) -> Figure:
    return watched.mean_cores(facts, watched.watch_window(facts))


def _idle_memory(facts: Facts) -> Figure:
    return watched.mean_memory(facts, watched.watch_window(facts))


def _busy_cores(facts: Facts) -> Figure:
    return watched.mean_cores(facts, watched.load_window(facts))


def _busy_memory(facts: Facts) -> Figure:
    return watched.mean_memory(facts, watched.load_window(facts))


def _busy_cpu_seconds_per_request(facts: Facts) -> Figure:
    window = watched.load_window(facts)
    succeeded = lookup(facts, "ab_benchmark", "requests", "succeeded")
    if window is None or not isinstance(succeeded, int) or succeeded < 1:
        return Figure(reason="the load has no window, or no request is known to have succeeded")
    cores = watched.mean_cores(facts, window)
    scale = window.seconds / succeeded
    return Figure(
        value=None if cores.value is None else cores.value * scale,
        less_than=None if cores.less_than is None else cores.less_than * scale,
        reason=cores.reason,
    )


WindowOf = Callable[[Facts], Window | None]


def _htop_mean(key: str, window_of: WindowOf) -> Callable[[Facts], Figure]:
    return lambda facts: watched.htop_mean(facts, key, window_of(facts))


def _docker_stats_mean(key: str, window_of: WindowOf) -> Callable[[Facts], Figure]:
    return lambda facts: watched.docker_stats_mean(facts, key, window_of(facts))


def _failed_requests(facts: Facts) -> Figure:
    planned, succeeded = (number_at(facts, "ab_benchmark", "requests", key).value for key in ("planned", "succeeded"))
    if planned is None or succeeded is None:
        return Figure(reason="the number of successful requests is known only within bounds")
    return Figure(value=planned - succeeded)


_LOAD_CPU = "CPU time of every process and thread of the service, interpolated at the edges of ab's own window"


def _tool_metrics() -> Iterator[Metric]:
    """Give what htop and docker stats themselves show, idle and busy: the figures the starting study printed."""
    windows: tuple[tuple[str, Kind, WindowOf, str], ...] = (
        ("idle", Kind.IDLE, watched.watch_window, "while no request is sent"),
        ("busy", Kind.LOAD, watched.load_window, "inside ab's own window"),
    )
    columns: tuple[tuple[str, str, Callable[[str, WindowOf], Callable[[Facts], Figure]], str, str], ...] = (
        ("htop", "CPU", _htop_mean, "cpu_percent_of_host", "htop's CPU meter, of the whole host"),
        ("htop", "memory", _htop_mean, "memory_percent", "htop's memory meter, of the whole host"),
        (
            "docker stats",
            "CPU",
            _docker_stats_mean,
            "cpu_percent_of_core",
            "docker stats' CPU %, 100 being one busy core",
        ),
        (
            "docker stats",
            "memory",
            _docker_stats_mean,
            "memory_percent",
            "docker stats' MEM %, of the limit or the host",
        ),
    )
    for state, kind, window_of, when in windows:
        for tool, quantity, mean, key, column in columns:
            yield Metric(
                name=f"{state}_{tool.replace(' ', '_')}_{quantity.lower()}_percent",
                title=f"{state.capitalize()} {quantity} as {tool} shows it",
                unit="%",
                trial=kind,
                mode=None,
                definition=f"Mean of {column}, over its whole frames {when}: at least 3 frames.",
                read=mean(key, window_of),
            )


REGISTRY: tuple[Metric, ...] = (
    Metric(
        name="response_mean_seconds",
        title="Mean response time",
        unit="s",
        trial=Kind.LOAD,
        mode=None,
        definition="Mean over one load's requests of the time ab measured for each, connection included. "
        "At a concurrency of 2, requests for an evaluation queue behind each other, so that this is more than "
        "one evaluation's time.",
        read=_fact("ab_benchmark", "latency_seconds", "mean"),
        words=DURATION,
    ),
    Metric(
        name="ready_seconds",
        title="Start-up, model loaded",
        unit="s",
        trial=Kind.START,
        mode="load",
        definition="From just before the start command until GET /ready answers 200, a saved model loaded.",
        read=_fact("service_startup", "ready_seconds"),
        words=DURATION,
        cold=True,
    ),
    Metric(
        name="idle_cpu_cores",
        title="Idle CPU",
        unit="cores",
        trial=Kind.IDLE,
        mode=None,
        definition="CPU seconds per second of every process and thread of the service while no request is sent.",
        read=_idle_cores,
        words=RESOURCE,
        kind_of=watched.source,
    ),
    Metric(
        name="idle_memory_bytes",
        title="Idle memory",
        unit="bytes",
        trial=Kind.IDLE,
        mode=None,
        definition="Mean memory of the service while no request is sent: proportional set size of its processes, "
        "or working set of its container.",
        read=_idle_memory,
        words=RESOURCE,
        kind_of=watched.memory_kind,
    ),
    Metric(
        name="busy_cpu_seconds_per_request",
        title="CPU time per request",
        unit="s",
        trial=Kind.LOAD,
        mode=None,
        definition=f"{_LOAD_CPU}, divided by the requests that succeeded.",
        read=_busy_cpu_seconds_per_request,
        words=RESOURCE,
        kind_of=watched.source,
    ),
    Metric(
        name="busy_memory_bytes",
        title="Memory under load",
        unit="bytes",
        trial=Kind.LOAD,
        mode=None,
        definition="Mean memory of the service inside ab's own window, of the same kind as idle memory.",
        read=_busy_memory,
        words=RESOURCE,
        kind_of=watched.memory_kind,
    ),
    Metric(
        name="trained_ready_seconds",
        title="Start-up, model trained",
        unit="s",
        trial=Kind.START,
        mode="train",
        definition="From just before the start command until GET /ready answers 200, the model trained in between.",
        read=_fact("service_startup", "ready_seconds"),
        cold=True,
    ),
    Metric(
        name="evaluation_seconds",
        title="One evaluation, nothing else running",
        unit="s",
        trial=Kind.START,
        mode=None,
        definition="Wall time of one GET / sent alone: the accuracy over the whole test set.",
        read=_fact("service_startup", "evaluation", "wall_seconds"),
    ),
    Metric(
        name="first_reply_seconds",
        title="Start-up until any HTTP reply",
        unit="s",
        trial=Kind.START,
        mode="load",
        definition="From just before the start command until the port answers anything in HTTP.",
        read=_fact("service_startup", "first_reply_seconds"),
        cold=True,
    ),
    Metric(
        name="first_evaluation_seconds",
        title="Start-up until the first correct GET /",
        unit="s",
        trial=Kind.START,
        mode="load",
        definition="From just before the start command until the first correct accuracy has arrived.",
        read=_fact("service_startup", "first_evaluation_seconds"),
        cold=True,
    ),
    Metric(
        name="throughput_rps",
        title="Throughput",
        unit="requests/s",
        trial=Kind.LOAD,
        mode=None,
        definition="Requests that succeeded, divided by the time ab took for all; the response time's mirror.",
        read=_fact("ab_benchmark", "throughput_rps"),
    ),
    Metric(
        name="response_p50_seconds",
        title="Median response time",
        unit="s",
        trial=Kind.LOAD,
        mode=None,
        definition="Median over one load's requests; printed from 5 requests a load.",
        read=_latency("p50"),
    ),
    Metric(
        name="response_p95_seconds",
        title="95th percentile of the response time",
        unit="s",
        trial=Kind.LOAD,
        mode=None,
        definition="95th percentile over one load's requests; printed from 59 requests a load.",
        read=_latency("p95"),
    ),
    Metric(
        name="busy_cpu_cores",
        title="CPU under load",
        unit="cores",
        trial=Kind.LOAD,
        mode=None,
        definition=f"{_LOAD_CPU}, divided by the window's length.",
        read=_busy_cores,
        kind_of=watched.source,
    ),
    Metric(
        name="failed_requests",
        title="Requests without a good answer",
        unit="requests",
        trial=Kind.LOAD,
        mode=None,
        definition="Requests planned less those that succeeded, in one load.",
        read=_failed_requests,
    ),
    Metric(
        name="client_cpu_cores",
        title="CPU of the load generator",
        unit="cores",
        trial=Kind.LOAD,
        mode=None,
        definition="CPU seconds per second that ab itself used.",
        read=_fact("ab_benchmark", "client", "cpu_cores"),
    ),
    *_tool_metrics(),
)

BY_NAME: Mapping[str, Metric] = {metric.name: metric for metric in REGISTRY}


def role_of(metric: Metric, primary: str) -> Role:
    """Give a metric's part in the verdict of a profile whose primary metric is named."""
    if metric.name == primary:
        return Role.PRIMARY
    return Role.SHOWN if metric.words is None else Role.FAMILY
