# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Thresholds: read strictly before a run, judged after it, and never met by what was not measured."""

from __future__ import annotations

import io
import json
import operator
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import thresholds
from analysis.__main__ import main
from analysis.metrics import REGISTRY
from analysis.render.document import document, stamp
from analysis.render.markdown import markdown
from analysis.report import build
from analysis.thresholds import ThresholdInvalid
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_plan

Make = Callable[..., dict[str, Any]]
PRIMARY = "response_mean_seconds"
COMPARISONS = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def judged(run: dict[str, Any], *rules: str) -> list[dict[str, Any]]:
    return thresholds.judge(rules, run["metrics"], valid=run["valid"])


@pytest.mark.parametrize(
    ("rule", "part", "statistic", "limit"),
    [
        (f"{PRIMARY}.serverless <= 2.0", "serverless", "median", 2.0),
        (f"  {PRIMARY}.ratio<=1.10 ", "ratio", "estimate", 1.1),
        ("ready_seconds.server.max < 5", "server", "max", 5.0),
        (f"{PRIMARY}.ratio.high >= 1e-3", "ratio", "high", 0.001),
        ("idle_memory_bytes.serverless.min > -1", "serverless", "min", -1.0),
        (f"{PRIMARY}.server >= .5", "server", "median", 0.5),
    ],
)
def test_a_rule_is_read(rule: str, part: str, statistic: str, limit: float) -> None:
    (found,) = thresholds.parse([rule])
    assert (found.part, found.statistic, found.limit) == (part, statistic, limit)
    assert found.metric.name == rule.split(".", maxsplit=1)[0].strip()


@pytest.mark.parametrize(
    ("rule", "said"),
    [
        ("", "expected METRIC.PART[.STATISTIC] OPERATOR NUMBER"),
        (PRIMARY, "expected METRIC.PART[.STATISTIC] OPERATOR NUMBER"),
        (f"{PRIMARY}.server = 2", "the operators are <=, <, >=, >"),
        (f"{PRIMARY}.server == 2", "the operators are <=, <, >=, >"),
        (f"{PRIMARY}.server <= 2 s", "expected METRIC"),
        (f"{PRIMARY}.server <= 2 and {PRIMARY}.ratio <= 1", "expected METRIC"),
        (f"2 >= {PRIMARY}.server", "there is no metric '2'"),
        (
            "respons_mean_seconds.server <= 2",
            "there is no metric 'respons_mean_seconds'; the metrics are response_mean",
        ),
        (f"{PRIMARY} <= 2", "'' is no part of a metric; the parts are server, serverless, ratio"),
        (f"{PRIMARY}.both <= 2", "'both' is no part of a metric"),
        (f"{PRIMARY}.server. <= 2", "'' is no statistic of server; those are median, min, max"),
        (f"{PRIMARY}.server.p95 <= 2", "'p95' is no statistic of server"),
        (f"{PRIMARY}.server.high <= 2", "'high' is no statistic of server"),
        (f"{PRIMARY}.ratio.max <= 2", "'max' is no statistic of ratio; those are estimate, low, high"),
        (f"{PRIMARY}.server.max.low <= 2", "'max.low' is no statistic"),
        (f"{PRIMARY}.server <= 2s", "'2s' is no number; give one in s, without its unit"),
        (f"{PRIMARY}.ratio <= 10%", "'10%' is no number"),
        (f"{PRIMARY}.server <= nan", "'nan' is no number"),
        (f"{PRIMARY}.server <= inf", "'inf' is no number"),
        (f"{PRIMARY}.server <= 1e999", "'1e999' is no number"),
        (f"{PRIMARY}.server <= 1_000", "'1_000' is no number"),
        (f"{PRIMARY}.server <== 1", "expected METRIC"),
        (None, "a rule is a text"),
        (2.0, "a rule is a text"),
        ({f"{PRIMARY}.server <= 2": None}, "a rule is a text"),
    ],
)
def test_a_rule_that_is_none_is_refused_with_what_is_allowed(rule: object, said: str) -> None:
    with pytest.raises(ThresholdInvalid) as refused:
        thresholds.parse([f"{PRIMARY}.ratio < 9", rule])
    assert said in str(refused.value)
    assert "\n" not in str(refused.value)


def test_one_bound_of_a_figure_is_given_once() -> None:
    with pytest.raises(ThresholdInvalid, match="keep the stricter one"):
        thresholds.parse([f"{PRIMARY}.server <= 2", f"{PRIMARY}.server.median <= 3"])
    assert len(thresholds.parse([f"{PRIMARY}.server <= 2", f"{PRIMARY}.server >= 1"])) == 2


@given(
    metric=st.sampled_from([metric.name for metric in REGISTRY]),
    part=st.sampled_from(thresholds.PARTS),
    sign=st.sampled_from(sorted(COMPARISONS)),
    limit=st.floats(allow_nan=False, allow_infinity=False),
)
def test_every_rule_of_the_grammar_is_read_as_it_is_written(metric: str, part: str, sign: str, limit: float) -> None:
    (found,) = thresholds.parse([f"{metric}.{part} {sign} {limit!r}"])
    assert (found.metric.name, found.part, found.operator, found.limit) == (metric, part, sign, limit)


@given(st.text(max_size=60))
def test_no_text_breaks_the_reader(rule: str) -> None:
    try:
        found = thresholds.parse([rule])
    except ThresholdInvalid as error:
        assert str(error).startswith("threshold ")
    else:
        assert len(found) == 1


@pytest.mark.parametrize("sign", sorted(COMPARISONS))
@pytest.mark.parametrize("factor", [0.9, 1.0, 1.1])
@pytest.mark.parametrize(
    "figure", ["server", "serverless.min", "serverless.max", "ratio", "ratio.low", "ratio.high", "server.median"]
)
def test_a_figure_is_compared_as_the_rule_says(evaluated: Make, figure: str, factor: float, sign: str) -> None:
    run = evaluated(effects={PRIMARY: 1.1})
    metric = next(metric for metric in run["metrics"] if metric["name"] == PRIMARY)
    part, _, statistic = figure.partition(".")
    if part == "ratio":
        value = metric["interval"][statistic] if statistic else metric["ratio"]
    else:
        value = metric[part][statistic or "median"]
    limit = value * factor
    (found,) = judged(run, f"{PRIMARY}.{figure} {sign} {limit!r}")
    assert found["measured"] == value
    assert found["met"] is COMPARISONS[sign](value, limit)
    assert found["reason"].startswith("measured ")


@pytest.mark.parametrize("sign", sorted(COMPARISONS))
@pytest.mark.parametrize("figure", ["server", "ratio", "ratio.low", "server.max"])
def test_no_data_meet_no_rule(evaluated: Make, figure: str, sign: str) -> None:
    limit = "-1e9" if ">" in sign else "1e9"
    # Without idle windows there are no idle figures; docker's own column is not there where no container is.
    runs = (evaluated(idle_windows=0), evaluated())
    for run, metric in zip(runs, ("idle_cpu_cores", "idle_docker_stats_cpu_percent"), strict=True):
        (found,) = judged(run, f"{metric}.{figure} {sign} {limit}")
        assert (found["met"], found["measured"]) == (False, None)
        assert found["reason"].startswith("not measured: ")
    (unknown,) = thresholds.judge([f"{PRIMARY}.{figure} {sign} {limit}"], [], valid=True)
    assert (unknown["met"], unknown["measured"]) == (False, None)


def test_an_interval_that_is_none_meets_no_rule(evaluated: Make) -> None:
    (found,) = judged(evaluated(blocks=3), f"{PRIMARY}.ratio.low >= 0")
    assert not found["met"]
    assert found["reason"] == "not measured: no interval, 3 pairs, and an interval at 95 % needs 6"


def test_a_gap_in_an_arms_figures_meets_no_rule() -> None:
    metrics = [{**_metric("ready_seconds"), "pairs": [_pair(1.0), _pair(None)]}]
    (found,) = thresholds.judge(["ready_seconds.server <= 9"], metrics, valid=True)
    assert (found["met"], found["reason"]) == (False, "not measured: block 1 has no figure, it broke")


def _metric(name: str) -> dict[str, Any]:
    summary = {"n": 1, "median": 1.0, "min": 1.0, "max": 1.0, "less_than": None, "values": [1.0]}
    return {
        "name": name,
        "server": summary,
        "serverless": summary,
        "ratio": None,
        "interval": None,
        "reason": "it broke",
    }


def _pair(value: float | None, reason: str = "it broke", bound: float | None = None) -> dict[str, Any]:
    figure = {"value": value, "less_than": bound, "reason": None if value is not None else reason}
    return {"pair": "block 1", "server": figure, "serverless": figure, "ratio": None}


def test_a_start_that_was_not_cold_leaves_no_gap() -> None:
    metrics = [{**_metric("ready_seconds"), "pairs": [_pair(1.0), _pair(None, "the start is not counted: not_cold")]}]
    (found,) = thresholds.judge(["ready_seconds.server <= 9"], metrics, valid=True)
    assert found["met"]


@pytest.mark.parametrize(
    ("rule", "met"),
    [("< 0.01", True), ("<= 0.005", True), ("<= 0.004", False), ("> 0.001", False), (">= 0", False), ("> -1", False)],
)
def test_what_is_below_a_counters_resolution_is_below_what_lies_above_it(rule: str, met: bool) -> None:
    summary = {"n": 1, "median": None, "min": None, "max": None, "less_than": 0.005, "values": []}
    metrics = [{**_metric("idle_cpu_cores"), "server": summary, "pairs": [_pair(None, bound=0.005)]}]
    (found,) = thresholds.judge([f"idle_cpu_cores.server {rule}"], metrics, valid=True)
    assert (found["met"], found["measured"]) == (met, None)
    assert found["reason"] == "below 0.005 cores, which is what the counter can show"


def with_rules(folder: Path, *rules: str) -> Path:
    change_plan(folder, lambda plan: plan["profile"]["run"].update(thresholds=list(rules)))
    return folder


def test_a_run_that_misses_a_rule_is_valid_and_says_missed(
    run_folder: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with_rules(run_folder, f"{PRIMARY}.ratio <= 1.05", f"{PRIMARY}.serverless <= 5")
    assert main(["report", str(run_folder)]) == 4
    out = capsys.readouterr().out
    run = json.loads((run_folder / "run.json").read_text("utf-8"))
    measured = run["thresholds"][0]["measured"]
    assert run["valid"] is True
    assert [(rule["rule"], rule["met"]) for rule in run["thresholds"]] == [
        (f"{PRIMARY}.ratio <= 1.05", False),
        (f"{PRIMARY}.serverless <= 5", True),
    ]
    said = f"{PRIMARY}.ratio <= 1.05: MISSED, measured {measured:.6g}"
    assert out.splitlines()[-1] == f"MISSED threshold_missed {run_folder.name}: {said}"
    assert f"Threshold {said}" in out and f"Threshold {PRIMARY}.serverless <= 5: met, measured " in out
    # A run that misses a rule is a good measurement all the same.
    assert (run_folder.parent / "latest").resolve() == run_folder.resolve()
    assert stamp(run) == "VALID, complete, MISSED 1 of 2 thresholds"
    of_thresholds = [rule for rule in document(run).rules if rule.said.startswith("Threshold ")]
    assert [rule.met for rule in of_thresholds] == [False, True]
    assert "- missed: Threshold response\\_mean\\_seconds.ratio \\<= 1.05: measured" in markdown(document(run))


def test_a_run_that_meets_its_rules_ends_with_0(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_rules(run_folder, f"{PRIMARY}.ratio <= 1.2")
    assert main(["report", str(run_folder)]) == 0
    out = capsys.readouterr().out
    assert out.splitlines()[-1] == f"VALID {run_folder.name}"
    assert "Thresholds: the one rule is met." in out


def test_an_invalid_run_is_invalid_and_meets_no_rule(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_rules(run_folder, f"{PRIMARY}.ratio <= 1000")
    (run_folder / "raw" / "b01-server-load.json").unlink()
    assert main(["report", str(run_folder)]) == 2
    assert capsys.readouterr().out.splitlines()[-1] == f"INVALID trial_missing {run_folder.name}"
    (rule,) = json.loads((run_folder / "run.json").read_text("utf-8"))["thresholds"]
    assert (rule["met"], rule["measured"]) == (False, None)
    assert rule["reason"] == "the run is not valid, so none of its figures counts"


def test_without_rules_nothing_is_said_of_them(run_folder: Path) -> None:
    run = build(run_folder)
    assert run["thresholds"] == []
    assert "hreshold" not in markdown(document(run))


def test_a_plan_with_a_rule_that_is_none_is_refused(run_folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with_rules(run_folder, "speed.server <= 1")
    assert main(["report", str(run_folder)]) == 3
    assert "there is no metric 'speed'" in capsys.readouterr().err


def planned(**truths: Any) -> list[dict[str, Any]]:
    trials: list[dict[str, Any]] = SyntheticRun(**truths)._plan()["trials"]
    return trials


@pytest.mark.parametrize(
    ("rule", "truths", "said"),
    [
        ("idle_cpu_cores.server < 1", {"idle_windows": 0}, "no counted idle trial of the server arm"),
        (
            "trained_ready_seconds.serverless < 99",
            {"trained_starts": 0},
            "no counted train start trial of the serverless",
        ),
        (f"{PRIMARY}.ratio <= 1.1", {"arms": ("server",)}, "no counted load trial of the serverless arm"),
        (f"{PRIMARY}.serverless <= 1.1", {"arms": ("server",)}, "no counted load trial of the serverless arm"),
        (f"{PRIMARY}.ratio.high <= 1.1", {"blocks": 5}, "an interval needs 6 pairs, and this run has 5"),
    ],
)
def test_a_rule_that_a_run_is_sure_to_miss_is_refused_before_it(rule: str, truths: dict[str, Any], said: str) -> None:
    with pytest.raises(ThresholdInvalid) as refused:
        thresholds.fit(thresholds.parse([rule]), planned(**truths))
    assert said in str(refused.value) and rule in str(refused.value)


def test_a_rule_that_can_be_met_passes() -> None:
    rules = [f"{PRIMARY}.ratio.high <= 1.1", "trained_ready_seconds.server < 9", "idle_cpu_cores.server < 1"]
    thresholds.fit(thresholds.parse(rules), planned())
    thresholds.fit(thresholds.parse([f"{PRIMARY}.server < 9"]), planned(arms=("server",), blocks=1))


@pytest.mark.parametrize(
    ("asked", "code", "said"),
    [
        ({"thresholds": []}, 0, ""),
        ({"thresholds": [f"{PRIMARY}.ratio <= 1"]}, 0, ""),
        ({"thresholds": [f"{PRIMARY}.ratio <= 1"], "trials": []}, 3, "no counted load trial of the server arm"),
        ({"thresholds": ["x"]}, 3, "error: threshold 'x': expected METRIC.PART"),
    ],
)
def test_the_command_checks_rules_from_standard_input(
    asked: dict[str, Any],
    code: int,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("sys.stdin", io.StringIO(json.dumps(asked)))
    assert main(["thresholds"]) == code
    captured = capsys.readouterr()
    assert captured.out == ""
    assert said in captured.err and captured.err.count("\n") == (1 if said else 0)


def test_a_rule_of_an_old_run_is_none(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path)
    change_json(folder / "plan.json", lambda plan: plan.update(schema_version=1))
    assert build(folder)["thresholds"] == []
