# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Two or more runs, or runs and a stored baseline: what differs between them, and by how much their figures do.

The runs are independent samples of blocks. Every ratio is of a run over the reference, above 1 where the run needs
more.
"""

from __future__ import annotations

import hashlib
import json
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from analysis import independent, migrate, report, run_store, statistics, thresholds, verdict
from analysis.cold import NOT_COUNTED
from analysis.errors import RunUnreadable
from analysis.likeness import Difference, differences
from analysis.metrics import BY_NAME, RESOURCE, Metric
from analysis.schema import Arm, Verdict, first_violation
from analysis.statistics import Interval

COMPARISON_VERSION = 1
UNLIKE = "UNLIKE RUNS"
MOST_RUNS = 8
PARTS = thresholds.PARTS
BETWEEN_RUNS = (
    "The intervals hold what differs from block to block within the runs. What differs from one day, start or state of "
    "a machine to another is in the difference and not in its interval: compare a run with its own repeat to see it."
)


@dataclass(frozen=True)
class Source:
    """A run with where it was read from: a run folder, or a run.json that was stored."""

    run: Mapping[str, Any]
    path: str
    baseline: bool
    sha256: str | None

    def as_json(self) -> dict[str, Any]:
        """Give it as it stands in a comparison."""
        return {
            "run_id": self.run["run_id"],
            "baseline": self.baseline,
            "sha256": self.sha256,
            "created_utc": self.run["created_utc"],
            "profile": self.run["profile"]["name"],
            "status": self.run["status"],
            "platform": dict(self.run["platform"]),
        }


@dataclass(frozen=True)
class _Sample:
    """The figures of one part of a metric in one run; none of them with a reason where any is missing."""

    values: tuple[float, ...]
    reason: str | None = None


@dataclass(frozen=True)
class _Row:
    metric: Metric
    part: str
    reference: _Sample
    other: _Sample
    kinds: tuple[str | None, str | None]
    comparison: verdict.Comparison | None
    reason: str | None

    @property
    def p(self) -> float | None:
        """The p of its test; None where it has none."""
        return self.comparison.p if self.tested and self.comparison is not None else None

    @property
    def tested(self) -> bool:
        """Whether it belongs to a family of tests, also where its figures are too few for a p."""
        return self.metric.words is not None and self.comparison is not None

    @property
    def sizes(self) -> tuple[int, int]:
        """Number of figures of the reference and of the other run."""
        return len(self.reference.values), len(self.other.values)


@dataclass(frozen=True)
class _Test:
    """What a row's test comes to within its family.

    ``p`` is adjusted by Holm, None where the row has none. ``least`` is what it would be at the smallest p of so many
    figures, beside the others of the family as they are; ``enough`` figures of each run can show a difference whatever
    the others are.
    """

    p: float | None
    least: float
    enough: int


def read(results: Path, name: str) -> Source:
    """Read a run by its id under ``results``, by its folder, or from a run.json that was stored elsewhere.

    A folder's run is evaluated anew from its raw files. Raises RunUnreadable where it cannot be used, or is not valid.
    """
    folder = results / name
    path = folder if folder.is_dir() else Path(name)
    if path.is_dir():
        source = Source(report.evaluated(path), str(path), False, None)
    elif path.is_file():
        source = _stored(path)
    else:
        raise RunUnreadable(
            f"there is no run {name} in {results}, and no folder or file of that name; `ls {results}` names the runs"
        )
    if not source.run["valid"]:
        first = source.run["invalid_reasons"][0]
        raise RunUnreadable(
            f"the run {source.run['run_id']} is INVALID ({first['code']}: {first['message']}), so its figures are "
            "compared with nothing; name a valid run"
        )
    return source


def compare(sources: Sequence[Source], *, force: bool = False, rules: Sequence[str] = ()) -> dict[str, Any]:
    """Compare every run with the first one, and give what the comparison's JSON holds.

    Raises RunUnreadable where the runs are not two to eight different ones, one lacks the primary metric, or they are
    unlike and it is not forced; ThresholdInvalid where a rule cannot be read.
    """
    ids = [source.run["run_id"] for source in sources]
    if not 2 <= len(ids) <= MOST_RUNS or len(set(ids)) < len(ids):
        raise RunUnreadable(f"a comparison needs 2 to {MOST_RUNS} different runs; got {', '.join(ids) or 'none'}")
    asked = thresholds.parse(rules, of_runs=True)
    reference, others = sources[0], sources[1:]
    found = {other.run["run_id"]: differences(reference.run, other.run) for other in others}
    unlike = {run_id: [one for one in each if one.unlike] for run_id, each in found.items()}
    if any(unlike.values()) and not force:
        raise RunUnreadable(_refusal(ids[0], unlike))
    primary = reference.run["profile"]["run"]["primary"]
    for source in sources:
        if all(metric["name"] != primary for metric in source.run["metrics"]):
            raise RunUnreadable(
                f"{source.path} has no metric {primary}, the primary one of the reference {ids[0]}; a baseline is an "
                "unchanged copy of a run's run.json"
            )
    rows = {other.run["run_id"]: list(_rows(reference.run, other.run)) for other in others}
    families = _families(rows, primary)
    tests = {key: test for family in families for key, test in _tests(family).items()}
    margin = reference.run["profile"]["run"]["margin"]
    comparisons: list[dict[str, Any]] = [
        {
            "run": other.as_json(),
            "differences": [one.as_json() for one in found[other.run["run_id"]]],
            "metrics": [
                _metric(row, margin, tests.get(_key(other.run["run_id"], row))) for row in rows[other.run["run_id"]]
            ],
        }
        for other in others
    ]
    return {
        "schema_version": COMPARISON_VERSION,
        "stamp": UNLIKE if any(unlike.values()) else None,
        "reference": reference.as_json(),
        "margin": margin,
        "primary": primary,
        "family": sum(row.p is not None for row in families[0].values()),
        "comparisons": comparisons,
        "thresholds": [
            {"run_id": each["run"]["run_id"], **judged}
            for each in comparisons
            for judged in thresholds.judge_comparison(asked, each["metrics"])
        ],
        "notes": [BETWEEN_RUNS],
    }


def slowdown_rules(text: str, arms: Iterable[str], primary: str) -> list[str]:
    """Give the rules of ``max_slowdown=10%``: no arm's primary metric may be that much above the reference's.

    Raises ThresholdInvalid where the text is no percentage of at least 0.
    """
    found = re.fullmatch(r"\s*(\d+(?:\.\d+)?)\s*%\s*", text, re.ASCII)
    if found is None:
        raise thresholds.ThresholdInvalid(f"max_slowdown={text}: expected a percentage of at least 0, such as 10%")
    return [f"{primary}.{arm} <= {1 + float(found[1]) / 100:.10g}" for arm in arms]


def name_of(comparison: Mapping[str, Any]) -> str:
    """Give the name of a comparison's files, without a suffix."""
    return "-".join(
        ["compare", comparison["reference"]["run_id"], *(each["run"]["run_id"] for each in comparison["comparisons"])]
    )


def write(folder: Path, comparison: Mapping[str, Any], text: str) -> Path:
    """Write a comparison's JSON and Markdown; give the JSON's path.

    Raises ValueError, a program error, where it does not keep its schema.
    """
    violation = first_violation("comparison", comparison)
    if violation is not None:
        raise ValueError(f"the comparison to write does not keep its schema {violation}")
    stem = name_of(comparison)
    run_store.write_atomically(folder / f"{stem}.md", text)
    content = json.dumps(comparison, indent=1, ensure_ascii=False, allow_nan=False) + "\n"
    return run_store.write_atomically(folder / f"{stem}.json", content)


def _stored(path: Path) -> Source:
    run = migrate.migrated("run", run_store.read_object(path), str(path))
    violation = first_violation("run", run)
    if violation is not None:
        raise RunUnreadable(f"{path} is not a run.json, {violation}; a baseline is a copy of a run's run.json")
    if run["valid"] == bool(run["invalid_reasons"]):
        codes = ", ".join(reason["code"] for reason in run["invalid_reasons"]) or "none"
        raise RunUnreadable(
            f"{path} contradicts itself: valid is {str(run['valid']).lower()} and its invalid_reasons are {codes}; "
            "a baseline is an unchanged copy of a run's run.json"
        )
    return Source(run, str(path), True, hashlib.sha256(path.read_bytes()).hexdigest())


def _refusal(reference: str, unlike: Mapping[str, Sequence[Difference]]) -> str:
    said = "; ".join(
        f"{run_id}: {', '.join(one.sentence() for one in found)}" for run_id, found in unlike.items() if found
    )
    advice = ""
    if any("requests" in one.name for found in unlike.values() for one in found):
        advice = (
            " Loads that are sized differ from run to run: fix them with -e load_requests=N -e load_at_least_seconds=0."
        )
    return (
        f"these runs are unlike the reference {reference}, so a difference of their figures says nothing of one cause. "
        f"{said}.{advice} Name like runs, or set force=true, which stamps {UNLIKE} on the result"
    )


def _rows(reference: Mapping[str, Any], other: Mapping[str, Any]) -> Iterator[_Row]:
    theirs = {metric["name"]: metric for metric in other["metrics"]}
    for row in reference["metrics"]:
        if row["name"] not in BY_NAME or row["name"] not in theirs:
            continue
        for part in PARTS:
            # A run of one arm shows another run's arm beside it, and has not measured that.
            if any(arm not in run["platform"] for run in (reference, other) for arm in _arms_of(part)):
                continue
            samples = _sample(row, part), _sample(theirs[row["name"]], part)
            if not any(sample.values for sample in samples):
                continue
            kinds = row["kind"], theirs[row["name"]]["kind"]
            reason = next((sample.reason for sample in samples if sample.reason), None)
            if part != thresholds.RATIO and kinds[0] != kinds[1]:
                reason = f"different kinds are not compared: {kinds[0]} against {kinds[1]}"
            compared = None if reason else _compare(samples[0].values, samples[1].values)
            yield _Row(BY_NAME[row["name"]], part, *samples, kinds, compared, reason)


def _arms_of(part: str) -> tuple[str, ...]:
    return tuple(arm.value for arm in Arm) if part == thresholds.RATIO else (part,)


def _sample(metric: Mapping[str, Any], part: str) -> _Sample:
    """Give the figures of a part, all of them or a reason; a start that was not cold is no sample."""
    values: list[float] = []
    reason = None
    for pair in metric["pairs"]:
        if any((pair[arm]["reason"] or "").startswith(NOT_COUNTED) for arm in Arm):
            continue
        figure = pair[part] if part != thresholds.RATIO else {"value": pair["ratio"], "less_than": None, "reason": None}
        value = figure["value"]
        if value is not None and value > 0:
            values.append(float(value))
        elif figure["less_than"] is not None:
            reason = reason or f"{pair['pair']} is below what its counter can show, so there is no ratio"
        elif value is not None:
            reason = reason or f"{pair['pair']} has a figure of 0, which gives no ratio"
        else:
            reason = reason or f"{pair['pair']} has no figure, {figure['reason'] or 'and no ratio'}"
    if not metric["pairs"]:
        reason = metric["reason"] or "the run does not have it"
    elif not values and reason is None:
        reason = "no start of it was cold"
    return _Sample(tuple(values), reason)


def _compare(reference: Sequence[float], other: Sequence[float]) -> verdict.Comparison:
    first, second = ([math.log(value) for value in values] for values in (reference, other))
    interval = independent.shift_interval(first, second, 1 - verdict.SIGNIFICANCE)
    inner = independent.shift_interval(first, second, 1 - 2 * verdict.SIGNIFICANCE)
    return verdict.Comparison(
        n=min(len(first), len(second)),
        ratio=math.exp(independent.shift(first, second)),
        interval=_exp(interval),
        equivalence_interval=_exp(inner),
        p=independent.mann_whitney_p(first, second) if interval is not None else None,
    )


def _exp(found: Interval | None) -> Interval | None:
    return None if found is None else Interval(math.exp(found.low), math.exp(found.high), found.level)


def _families(rows: Mapping[str, Sequence[_Row]], primary: str) -> list[dict[str, _Row]]:
    """Give the rows that are tested together: all but the primary metric's of all runs, then the primary's by run."""
    tested = [(run_id, row) for run_id, each in rows.items() for row in each if row.tested]
    return [
        {_key(run_id, row): row for run_id, row in tested if row.metric.name != primary},
        *(
            {_key(run_id, row): row for run_id, row in tested if row.metric.name == primary and run_id == one}
            for one in rows
        ),
    ]


def _key(run_id: str, row: _Row) -> str:
    return f"{run_id} {row.metric.name} {row.part}"


def _tests(family: Mapping[str, _Row]) -> dict[str, _Test]:
    found = {key: row.p for key, row in family.items() if row.p is not None}
    adjusted = statistics.holm(found)
    enough = independent.fewest_values(len(family), verdict.SIGNIFICANCE)
    return {
        key: _Test(
            p=adjusted.get(key),
            least=statistics.holm({**found, key: independent.smallest_p(*row.sizes)})[key],
            enough=enough,
        )
        for key, row in family.items()
    }


def _metric(row: _Row, margin: float, test: _Test | None) -> dict[str, Any]:
    word, reason = _word(row, margin, test)
    found = row.comparison
    return {
        "name": row.metric.name,
        "title": row.metric.title,
        "unit": row.metric.unit,
        "part": row.part,
        "tested": row.metric.words is not None,
        "reference": _summary(row.reference),
        "other": _summary(row.other),
        "ratio": None if found is None else found.ratio,
        "interval": _interval(row, found.interval if found else None),
        "equivalence_interval": _interval(row, found.equivalence_interval if found else None),
        "p": row.p,
        "p_adjusted": None if test is None else test.p,
        "verdict": None if word is None else word.value,
        "reason": reason,
    }


def _word(row: _Row, margin: float, test: _Test | None) -> tuple[Verdict | None, str]:
    if row.comparison is None:
        return Verdict.NOT_MEASURED, row.reason or "not measured"
    if row.metric.words is None or test is None:
        return None, "shown, not tested"
    figures = "{} and {} figures".format(*row.sizes)
    needed = f"it takes {test.enough} blocks (or idle windows, or trained starts) of each run to show a difference"
    if row.comparison.interval is None or test.p is None:
        return Verdict.TOO_FEW_BLOCKS, f"{figures} give no interval at 95 %; 4 and 4 would, and {needed}"
    # Below 1 a run's ratio of the arms is less than the reference's, which makes neither arm faster.
    below, above = row.metric.words if row.part != thresholds.RATIO else RESOURCE
    decision = verdict.decide(row.comparison, test.p, margin, below, above, fewest=0)
    if decision.verdict is Verdict.INCONCLUSIVE and test.least > verdict.SIGNIFICANCE:
        least = f"{figures} can give no adjusted p below {test.least:.3g}"
        return decision.verdict, f"{decision.reason}; {least}, and {needed}"
    return decision.verdict, decision.reason


def _summary(sample: _Sample) -> dict[str, Any] | None:
    if not sample.values:
        return None
    ordered = sorted(sample.values)
    middle = (ordered[(len(ordered) - 1) // 2] + ordered[len(ordered) // 2]) / 2
    return {"n": len(ordered), "median": middle, "min": ordered[0], "max": ordered[-1]}


def _interval(row: _Row, found: Interval | None) -> dict[str, Any] | None:
    if found is None:
        return None
    method = independent.method(row.reference.values, row.other.values)
    return {"low": found.low, "high": found.high, "level": found.level, "method": method}
