# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.charts import charts, scale, svg
from analysis.charts.latency import latency

Make = Callable[..., dict[str, Any]]
ALL = ["ratios", "blocks", "latency", "phases-train", "phases-load", "course-cores", "course-memory-bytes"]


def drawn(run: dict[str, Any], name: str) -> ElementTree.Element:
    return ElementTree.fromstring(next(chart.svg for chart in charts(run) if chart.id == name))


def classes(drawing: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    return [element for element in drawing.iter() if name in (element.get("class") or "").split()]


def test_every_chart_is_drawn_with_a_reading_line_and_a_table(evaluated: Make) -> None:
    found = charts(evaluated())
    assert [chart.id for chart in found] == ALL
    for chart in found:
        assert chart.reading.endswith(".") and chart.table.rows
        assert {len(row) for row in chart.table.rows} == {len(chart.table.headers)}


@pytest.mark.parametrize(
    "truths",
    [
        {},
        {"arms": ("server",)},
        {"blocks": 1, "trained_starts": 0, "idle_windows": 0},
        {"blocks": 20, "requests": 60},
        {"effects": {"response_mean_seconds": 40.0, "idle_memory_bytes": 0.01}},
        {"noise": 0.0},
    ],
    ids=["usual", "one arm", "one block", "many blocks", "far apart", "no noise"],
)
def test_no_drawing_has_a_place_that_is_no_number(evaluated: Make, truths: dict[str, Any]) -> None:
    for chart in charts(evaluated(**truths)):
        ElementTree.fromstring(chart.svg)
        assert not re.search(r"\b(nan|inf)\b", chart.svg)


def test_a_run_without_trials_has_no_charts(evaluated: Make) -> None:
    run = evaluated()
    for trial in run["trials"]:
        trial.update(data={}, figures={})
    for metric in run["metrics"]:
        metric.update(ratio=None, pairs=[])
    assert charts(run) == []


def test_arms_differ_in_shape_and_line_and_not_in_colour_alone(evaluated: Make) -> None:
    drawing = drawn(evaluated(), "blocks")
    marks = {
        element.tag.rpartition("}")[2]
        for element in classes(drawing, "mark")
        if "server" in element.get("class", "").split()
    }
    assert marks == {"circle"}
    assert {
        element.tag.rpartition("}")[2]
        for element in classes(drawing, "mark")
        if "serverless" in element.get("class", "").split()
    } == {"polygon"}


def test_the_line_at_1_lies_inside_the_margin_band(evaluated: Make) -> None:
    drawing = drawn(evaluated(), "ratios")
    (band,), (one,) = classes(drawing, "band"), classes(drawing, "one")
    left, width = float(band.get("x", "")), float(band.get("width", ""))
    assert left < float(one.get("x1", "")) < left + width


def test_an_interval_is_drawn_only_where_there_is_one(evaluated: Make) -> None:
    run = evaluated()
    with_interval = sum(metric["interval"] is not None for metric in run["metrics"] if metric["role"] != "shown")
    assert len(classes(drawn(run, "ratios"), "interval")) == 3 * with_interval


def test_the_curve_ends_at_every_request_answered(evaluated: Make) -> None:
    run = evaluated()
    (curve, _) = [element for element in classes(drawn(run, "latency"), "series") if element.tag.endswith("polyline")]
    heights = [float(point.split(",")[1]) for point in curve.get("points", "").split()]
    assert heights[-1] == min(heights) and heights[0] == max(heights)
    assert heights == sorted(heights, reverse=True)


def test_percentiles_of_too_few_requests_are_not_printed(evaluated: Make) -> None:
    chart = latency(evaluated())
    assert chart is not None
    assert chart.table.rows[-1][1] == "n too small (needs 299)"


def test_a_failed_start_gets_no_invented_bar(evaluated: Make) -> None:
    run = evaluated()
    for trial in run["trials"]:
        if trial["kind"] == "start" and trial["arm"] == "server":
            trial["figures"] = {}
    chart = next(chart for chart in charts(run) if chart.id == "phases-load")
    assert chart.table.headers == ("Phase", "serverless")


def test_texts_in_a_drawing_are_escaped() -> None:
    assert svg.text(0, 0, "<b>&") == '<text x="0" y="0" text-anchor="start" class="label">&lt;b&gt;&amp;</text>'


@given(st.floats(1e-6, 1e9), st.floats(1e-6, 1e9))
def test_ticks_are_few_round_and_inside(first: float, second: float) -> None:
    low, high = min(first, second), max(first, second)
    if high - low < 1e-9 * high:
        return
    found = scale.ticks(low, high)
    assert 1 <= len(found) <= 8
    slack = (high - low) * 1e-6
    assert all(low - slack <= tick <= high + slack for tick in found)


@given(st.floats(0.001, 1.0), st.floats(1.0, 1000.0))
def test_ratio_ticks_lie_inside_and_hold_1(low: float, high: float) -> None:
    found = scale.ratio_ticks(low, high)
    assert 1.0 in found
    assert all(low <= tick <= high for tick in found)


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=5))
def test_a_scale_holds_its_values(values: list[float]) -> None:
    for from_zero in (True, False):
        place = scale.linear(values, 10, 110, from_zero=from_zero)
        assert all(10 - 1e-6 <= place(value) <= 110 + 1e-6 for value in values)


def test_a_start_on_a_cluster_begins_with_the_clusters_phases(evaluated: Make) -> None:
    run = evaluated(platforms={"server": "docker", "serverless": "kind"})
    drawing = drawn(run, "phases-load")
    bars = [element for element in classes(drawing, "cluster") if float(element.get("height", 0)) == 20]
    assert len(bars) == 3, "scheduled, image and container_started, of the one arm on a cluster"
    assert not classes(drawn(evaluated(), "phases-load"), "cluster")
    chart = next(chart for chart in charts(run) if chart.id == "phases-load")
    assert [row[0] for row in chart.table.rows][:3] == ["scheduled", "image", "container_started"]
    assert "cluster" in chart.reading
