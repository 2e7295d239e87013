# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Thresholds: what a profile asks of a run's figures, so that a pipeline can be stopped by them.

A rule is ``METRIC.PART[.STATISTIC] OPERATOR NUMBER``: ``response_mean_seconds.serverless <= 2.0``,
``response_mean_seconds.ratio.high <= 1.10``. It is read before anything is measured, and judged on a valid run only.
What was not measured never meets a rule.
"""

from __future__ import annotations

import math
import operator
import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis.cold import NOT_COUNTED
from analysis.metrics import BY_NAME, REGISTRY, Metric
from analysis.schema import Arm
from analysis.verdict import FEWEST_PAIRS

RATIO = "ratio"
PARTS = (*(arm.value for arm in Arm), RATIO)
# The first of each is what a rule without a statistic means.
OF_AN_ARM = ("median", "min", "max")
OF_A_RATIO = ("estimate", "low", "high")
OPERATORS: Mapping[str, Callable[[float, float], bool]] = {
    "<=": operator.le,
    "<": operator.lt,
    ">=": operator.ge,
    ">": operator.gt,
}
FORM = "METRIC.PART[.STATISTIC] OPERATOR NUMBER, such as response_mean_seconds.serverless <= 2.0"

_RULE = re.compile(r"(?P<figure>\S+?)\s*(?P<operator><=|>=|<|>)\s*(?P<limit>\S+)")
_NUMBER = re.compile(r"[+-]?(\d+(\.\d*)?|\.\d+)([eE][+-]?\d+)?", re.ASCII)


class ThresholdInvalid(Exception):
    """A rule cannot be read, or the run can never meet it. The message says which, why, and what is allowed."""


@dataclass(frozen=True)
class Threshold:
    """One rule. ``limit`` is in the metric's unit; that of a ratio has none."""

    rule: str
    metric: Metric
    part: str
    statistic: str
    operator: str
    limit: float


@dataclass(frozen=True)
class _Measured:
    """What a rule is judged by.

    ``below`` is set where the figure is known only to be below it, by what its counter can show.
    """

    value: float | None
    reason: str
    below: float | None = None


def parse(rules: Iterable[object], *, of_runs: bool = False) -> list[Threshold]:
    """Read the rules of a profile, or with ``of_runs`` those of a comparison, where every part is a ratio of two runs.

    Raises ThresholdInvalid on the first that cannot be read, or stands there twice.
    """
    read: list[Threshold] = []
    for rule in rules:
        found = _parse(rule, of_runs=of_runs)
        if any((found.metric, found.part, found.statistic, found.operator) == _what(other) for other in read):
            raise ThresholdInvalid(
                f"threshold {found.rule!r}: another rule bounds the same figure with {found.operator}; "
                "keep the stricter one"
            )
        read.append(found)
    return read


def fit(thresholds: Sequence[Threshold], trials: Sequence[Mapping[str, Any]]) -> None:
    """Check that a run of these planned trials can have the figures that the rules are about.

    Raises ThresholdInvalid where it cannot: a rule that is sure to be missed is a mistake, to be told before a run is
    made for it.
    """
    for threshold in thresholds:
        metric = threshold.metric
        counts = {
            arm: sum(
                trial["arm"] == arm
                and trial["counted"]
                and trial["kind"] == metric.trial
                and metric.mode in (None, trial["mode"])
                for trial in trials
            )
            for arm in Arm
        }
        for arm in Arm if threshold.part == RATIO else (Arm(threshold.part),):
            if not counts[arm]:
                mode = f"{metric.mode} " if metric.mode else ""
                raise ThresholdInvalid(
                    f"threshold {threshold.rule!r}: this run has no counted {mode}{metric.trial.value} trial of the "
                    f"{arm.value} arm, so the figure cannot be measured; leave the rule out of "
                    "thresholds, or measure it"
                )
        if threshold.statistic in ("low", "high") and min(counts.values()) < FEWEST_PAIRS:
            raise ThresholdInvalid(
                f"threshold {threshold.rule!r}: an interval needs {FEWEST_PAIRS} pairs, and this run has "
                f"{min(counts.values())}; have more, or ask for {metric.name}.ratio"
            )


def judge(rules: Sequence[str], metrics: Sequence[Mapping[str, Any]], *, valid: bool) -> list[dict[str, Any]]:
    """Judge the rules by the metrics of ``run.json``, and give its ``thresholds``.

    No rule is met by a run that is not ``valid``. Raises ThresholdInvalid as ``parse`` does.
    """
    rows = {metric["name"]: metric for metric in metrics}
    return [_judge(threshold, rows.get(threshold.metric.name), valid=valid) for threshold in parse(rules)]


def judge_comparison(rules: Sequence[Threshold], metrics: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Judge rules that were read with ``of_runs`` by the metrics of a comparison of two runs."""
    rows = {(metric["name"], metric["part"]): metric for metric in metrics}
    return [_judge_ratio(threshold, rows.get((threshold.metric.name, threshold.part))) for threshold in rules]


def missed(thresholds: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Give the judged rules that are missed."""
    return [threshold for threshold in thresholds if not threshold["met"]]


def sentence(threshold: Mapping[str, Any]) -> str:
    """Say a judged rule with what was measured."""
    return f"{threshold['rule']}: {'met' if threshold['met'] else 'MISSED'}, {threshold['reason']}"


def _what(threshold: Threshold) -> tuple[Metric, str, str, str]:
    return threshold.metric, threshold.part, threshold.statistic, threshold.operator


def _parse(rule: object, *, of_runs: bool) -> Threshold:
    if not isinstance(rule, str):
        raise ThresholdInvalid(f"threshold {rule!r}: a rule is a text: {FORM}")
    text = " ".join(rule.split())
    found = _RULE.fullmatch(text)
    if found is None:
        raise ThresholdInvalid(f"threshold {text!r}: expected {FORM}; the operators are {', '.join(OPERATORS)}")
    name, _, rest = found["figure"].partition(".")
    if name not in BY_NAME:
        raise ThresholdInvalid(
            f"threshold {text!r}: there is no metric {name!r}; the metrics are "
            f"{', '.join(metric.name for metric in REGISTRY)}"
        )
    part, dot, statistic = rest.partition(".")
    if part not in PARTS:
        raise ThresholdInvalid(f"threshold {text!r}: {part!r} is no part of a metric; the parts are {', '.join(PARTS)}")
    is_ratio = of_runs or part == RATIO
    allowed = OF_A_RATIO if is_ratio else OF_AN_ARM
    if dot and statistic not in allowed:
        raise ThresholdInvalid(
            f"threshold {text!r}: {statistic!r} is no statistic of {part}; those are {', '.join(allowed)}"
        )
    limit = float(found["limit"]) if _NUMBER.fullmatch(found["limit"]) else math.nan
    if not math.isfinite(limit):
        raise ThresholdInvalid(
            f"threshold {text!r}: {found['limit']!r} is no number; give one in "
            f"{'digits' if is_ratio else BY_NAME[name].unit}, without its unit"
        )
    return Threshold(text, BY_NAME[name], part, statistic or allowed[0], found["operator"], limit)


def _judge(threshold: Threshold, metric: Mapping[str, Any] | None, *, valid: bool) -> dict[str, Any]:
    if not valid:
        measured = _Measured(None, "the run is not valid, so none of its figures counts")
    elif metric is None:
        measured = _Measured(None, "not measured: the run does not have this metric")
    elif threshold.part == RATIO:
        measured = _of_ratio(threshold, metric)
    else:
        measured = _of_arm(threshold, metric)
    return _judged(threshold, measured)


def _judge_ratio(threshold: Threshold, metric: Mapping[str, Any] | None) -> dict[str, Any]:
    if metric is None:
        return _judged(threshold, _Measured(None, "not measured: neither run has this figure"))
    return _judged(threshold, _of_ratio(threshold, metric))


def _judged(threshold: Threshold, measured: _Measured) -> dict[str, Any]:
    if measured.below is not None:
        # Something that is below b is certainly below every limit from b on, and certainly above none.
        met = threshold.operator in ("<", "<=") and measured.below <= threshold.limit
    else:
        met = measured.value is not None and OPERATORS[threshold.operator](measured.value, threshold.limit)
    return {"rule": threshold.rule, "measured": measured.value, "met": met, "reason": measured.reason}


def _of_ratio(threshold: Threshold, metric: Mapping[str, Any]) -> _Measured:
    bounds = metric["interval"]
    if metric["ratio"] is None:
        return _Measured(None, f"not measured: {metric['reason']}")
    if threshold.statistic == "estimate":
        return _measured(metric["ratio"], "")
    if bounds is None:
        return _Measured(None, f"not measured: no interval, {metric['reason']}")
    return _measured(bounds[threshold.statistic], "")


def _of_arm(threshold: Threshold, metric: Mapping[str, Any]) -> _Measured:
    for pair in metric["pairs"]:
        figure = pair[threshold.part]
        # A pair with a start that was not cold is no sample; every other figure that is missing leaves a gap, and what
        # would have stood there is not known.
        if any((pair[arm]["reason"] or "").startswith(NOT_COUNTED) for arm in Arm):
            continue
        if figure["value"] is None and figure["less_than"] is None:
            return _Measured(None, f"not measured: {pair['pair']} has no figure, {figure['reason']}")
    summary = metric[threshold.part]
    unit = _unit(threshold.metric, threshold.part)
    if summary is None:
        return _Measured(None, f"not measured: {metric['reason']}")
    if summary["less_than"] is not None:
        return _Measured(
            None,
            f"below {_number(summary['less_than'])} {unit}, which is what the counter can show",
            below=float(summary["less_than"]),
        )
    return _measured(summary[threshold.statistic], unit)


def _measured(value: float, unit: str) -> _Measured:
    return _Measured(float(value), f"measured {_number(value)} {unit}".rstrip())


def _number(value: float) -> str:
    return f"{value:.6g}"


def _unit(metric: Metric, part: str) -> str:
    return "" if part == RATIO else metric.unit
