# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import re
from collections.abc import Callable
from itertools import pairwise
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis.charts import charts, theme
from analysis.charts.blocks import blocks
from analysis.charts.break_even import break_even
from analysis.charts.latency import latency
from analysis.charts.ratio import _ticks
from analysis.charts.tail import tail
from analysis.charts.theme import LAYOUTS, NARROW, WIDE, Layout

Make = Callable[..., dict[str, Any]]
ALL = [
    "ratios",
    "latency",
    "blocks",
    "phases-train",
    "phases-load",
    "course-cores",
    "course-memory-bytes",
    "shares-cpu",
    "shares-memory",
]


def drawn(run: dict[str, Any], name: str, layout: Layout = WIDE) -> ElementTree.Element:
    return ElementTree.fromstring(next(chart for chart in charts(run) if chart.id == name).svg(layout))


def named(drawing: ElementTree.Element, name: str) -> list[ElementTree.Element]:
    """Give the marks of the layer of this name."""
    groups = [found for found in drawing.iter() if f"{name}_marks" in (found.get("class") or "").split()]
    return [mark for group in groups for mark in group]


def texts(drawing: ElementTree.Element) -> list[str]:
    return [found.text or "" for found in drawing.iter() if found.tag.endswith("text")]


def test_every_chart_says_what_it_shows_how_it_is_read_and_has_a_table(evaluated: Make) -> None:
    found = charts(evaluated())
    assert [chart.id for chart in found] == ALL
    for chart in found:
        assert chart.finding.endswith(".") and re.search(r"\d", chart.finding), chart.finding
        assert chart.reading.endswith(".") and chart.table.rows
        assert {len(row) for row in chart.table.rows} == {len(chart.table.headers)}


def test_what_a_screen_reader_says_is_what_this_run_found(evaluated: Make) -> None:
    said = drawn(evaluated(effects={"response_mean_seconds": 1.1}), "ratios").get("aria-label") or ""
    assert "serverless is slower. It takes 1" in said and "interval" in said and "6 blocks" in said
    other = drawn(evaluated(effects={"response_mean_seconds": 0.8}), "ratios").get("aria-label") or ""
    assert "serverless is faster" in other


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
def test_every_place_is_a_number_and_every_id_its_own(evaluated: Make, truths: dict[str, Any]) -> None:
    ids: list[str] = []
    for chart in charts(evaluated(**truths)):
        for layout in LAYOUTS:
            text = chart.svg(layout)
            drawing = ElementTree.fromstring(text)
            assert (drawing.get("viewBox") or "").split()[2] == str(layout.width)
            assert not re.search(
                r"\b(nan|inf|infinity|undefined|null)\b", re.sub(r"<(text|title)>.*?<", "<", text), re.I
            )
            named_here = [found for element in drawing.iter() if (found := element.get("id")) is not None]
            assert set(re.findall(r"url\(#([^)]+)\)", text)) <= set(named_here)
            ids += named_here
    assert len(ids) == len(set(ids))


def test_a_drawing_has_the_same_bytes_each_time_and_no_colour_of_its_own(evaluated: Make) -> None:
    for chart in charts(evaluated()):
        text = chart.svg(NARROW)
        assert text == chart.svg(NARROW)
        assert set(re.findall(r' (?:fill|stroke)="([^"]+)"', text)) <= {
            "none",
            "transparent",
            *(f"var(--{name})" for name in COLOURS),
        }
        assert "style=" not in text


COLOURS = (
    *("ink", "quiet", "rule", "band", "panel", "server", "serverless"),
    *("interpreter", "imports", "data", "train", "load", "self_test"),
)


def test_a_run_without_trials_has_no_charts(evaluated: Make) -> None:
    run = evaluated()
    for trial in run["trials"]:
        trial.update(data={}, figures={})
    for metric in run["metrics"]:
        metric.update(ratio=None, pairs=[], server=None, serverless=None)
    assert charts(run) == []


def test_arms_differ_in_shape_and_line_and_not_in_colour_alone(evaluated: Make) -> None:
    run = evaluated()
    shapes: dict[str, set[str]] = {}
    for mark in named(drawn(run, "blocks"), "marks"):
        outline = re.sub(r"[-\d., ]+", "", mark.get("d") or "")
        shapes.setdefault(mark.get("fill") or "", set()).add(outline)
    assert len(shapes["var(--server)"]) == len(shapes["var(--serverless)"]) == 1
    assert shapes["var(--server)"] != shapes["var(--serverless)"]
    dashes = {found.get("stroke"): found.get("stroke-dasharray") for found in named(drawn(run, "latency"), "curve")}
    assert dashes["var(--server)"] != dashes["var(--serverless)"]


def test_the_line_at_1_lies_inside_the_margin_band(evaluated: Make) -> None:
    drawing = drawn(evaluated(), "ratios")
    (band,), (one,) = named(drawing, "band"), named(drawing, "one")
    left, width = re.match(r"M([\d.]+),0h([\d.]+)", band.get("d") or "").groups()  # type: ignore[union-attr]
    at = re.match(r"translate\(([\d.]+)", one.get("transform") or "").group(1)  # type: ignore[union-attr]
    assert float(left) < float(at) < float(left) + float(width)


def test_an_interval_is_drawn_only_where_there_is_one(evaluated: Make) -> None:
    run = evaluated()
    tested = [metric for metric in run["metrics"] if metric["role"] != "shown"]
    drawing = drawn(run, "ratios")
    assert len(named(drawing, "interval")) == sum(metric["interval"] is not None for metric in tested) < len(tested)
    assert len(named(drawing, "ratio")) == len(tested)


def test_a_mark_says_what_it_is(evaluated: Make) -> None:
    said = [title.text for title in drawn(evaluated(), "blocks").iter() if title.tag.endswith("title")]
    assert len(said) == 12
    assert any((text or "").startswith("b01-server-load: ") for text in said)


def test_the_curve_ends_at_every_request_answered(evaluated: Make) -> None:
    for curve in named(drawn(evaluated(), "latency"), "curve"):
        heights = [float(pair.split(",")[1]) for pair in re.findall(r"[\d.]+,[\d.]+", curve.get("d") or "")]
        assert heights[0] == 200 and heights[-1] == 0
        assert heights == sorted(heights, reverse=True)


def test_the_load_window_is_marked_inside_what_was_watched(evaluated: Make) -> None:
    run = evaluated()
    trial = next(one for one in run["trials"] if one["id"] == "b01-server-load")
    seconds = trial["window"]["end_monotonic_seconds"] - trial["window"]["start_monotonic_seconds"]
    moments = [moment for moment, _ in trial["data"]["cores"]]
    assert moments[0] < 0 and moments[-1] > seconds
    drawing = drawn(run, "course-cores")
    assert len(named(drawing, "window_0")) == len(named(drawing, "window_1")) == 1


def test_a_cluster_shows_the_shares_of_openfaas_and_the_node(evaluated: Make) -> None:
    run = evaluated(platforms={"server": "docker", "serverless": "kind"})
    chart = next(chart for chart in charts(run) if chart.id == "shares-cpu")
    assert [row[:2] for row in chart.table.rows if row[0] == "busy, serverless"] == [
        ("busy, serverless", "function's pod"),
        ("busy, serverless", "OpenFaaS"),
        ("busy, serverless", "whole node"),
    ]
    assert "0.05 cores (OpenFaaS)" in chart.finding


def test_percentiles_of_too_few_requests_are_not_printed(evaluated: Make) -> None:
    chart = latency(evaluated())
    assert chart is not None
    assert chart.table.rows[-1][1] == "n too small (needs 299)"


def test_percentiles_stand_for_all_the_requests_of_a_load(evaluated: Make) -> None:
    """Beyond 100 requests ab has 101 rows a load: the number is that of the requests."""
    chart = latency(evaluated(requests=500, blocks=2, trained_starts=0, idle_windows=0))
    assert chart is not None
    assert "Server: half of 1000 requests were answered" in chart.finding
    assert chart.table.headers[1:] == ("server, n = 1000", "serverless, n = 1000")
    assert chart.table.rows[-1][1] != "n too small (needs 299)"


def test_a_long_load_weighs_more_than_a_short_one(evaluated: Make) -> None:
    run = evaluated(blocks=2, trained_starts=0, idle_windows=0)
    loads = [trial["data"] for trial in run["trials"] if trial["kind"] == "load" and trial["arm"] == "server"]
    for data, seconds, count in zip(loads, (1.0, 3.0), (300, 900), strict=True):
        data |= {"samples_seconds": None, "quantiles_seconds": [seconds] * 101}
        data["latency_seconds"] |= {"n": count}
    chart = latency(run)
    assert chart is not None
    shares = {row[0]: row[1] for row in chart.table.rows}
    assert (shares["10 %"], shares["25 %"], shares["50 %"]) == ("1.00 s", "1.00 s", "3.00 s")


@pytest.mark.parametrize(("change", "counted"), [({}, True), ({"valid": False}, False), ({"base_run": "x"}, False)])
def test_blocks_are_only_counted_where_the_arms_are_compared(
    evaluated: Make, change: dict[str, Any], counted: bool
) -> None:
    chart = blocks(evaluated() | change)
    assert chart is not None
    assert ("Serverless has the higher figure" in chart.finding) is counted


def test_a_failed_start_gets_no_invented_bar(evaluated: Make) -> None:
    run = evaluated()
    for trial in run["trials"]:
        if trial["kind"] == "start" and trial["arm"] == "server":
            trial["figures"] = {}
    chart = next(chart for chart in charts(run) if chart.id == "phases-load")
    assert chart.table.headers == ("Phase", "serverless")


def test_texts_in_a_drawing_are_escaped(evaluated: Make) -> None:
    run = evaluated()
    hostile = "<b>&\"'</svg>"
    for metric in run["metrics"]:
        metric["title"] = hostile
    drawing = drawn(run, "ratios")
    assert any(text.startswith(hostile) for text in texts(drawing))
    assert hostile in (drawing.get("aria-label") or "")


@given(st.floats(1e-7, 1.0), st.floats(1.0, 1e7))
def test_ratio_ticks_are_few_lie_inside_and_apart_and_hold_1(low: float, high: float) -> None:
    low, high = low / 1.03, high * 1.03
    found = _ticks(low, high)
    assert 1.0 in found and len(found) <= 8
    assert all(low <= tick <= high for tick in found)
    # 7 % of the narrow chart's axis: the room that the letters of a value take.
    assert all(math.log(above / below) > 0.07 * math.log(high / low) for below, above in pairwise(found))


@pytest.mark.parametrize("ratio", [1e6, 1e-6])
def test_a_ratio_far_from_1_has_a_chart_of_a_few_powers_of_ten(evaluated: Make, ratio: float) -> None:
    drawing = drawn(evaluated(effects={"busy_memory_bytes": ratio}), "ratios", NARROW)
    values = [text for text in texts(drawing) if re.fullmatch(r"[\d,.]+", text)]
    assert 3 <= len(values) <= 8
    assert {math.log10(float(value.replace(",", ""))) % 1 for value in values} == {0}


@given(st.lists(st.floats(0.001, 1e6), min_size=1, max_size=5))
def test_bounds_hold_their_values(values: list[float]) -> None:
    for from_zero in (True, False):
        low, high = theme.around(values, from_zero=from_zero)
        assert low <= min(values) <= max(values) < high


def test_a_start_on_a_cluster_begins_with_the_clusters_phases(evaluated: Make) -> None:
    run = evaluated(platforms={"server": "docker", "serverless": "kind"})
    bars = named(drawn(run, "phases-load"), "part")
    assert sum(bar.get("fill") == "var(--band)" for bar in bars) == 3, "scheduled, image and container_started"
    assert not [bar for bar in named(drawn(evaluated(), "phases-load"), "part") if bar.get("fill") == "var(--band)"]
    chart = next(chart for chart in charts(run) if chart.id == "phases-load")
    assert [row[0] for row in chart.table.rows][:3] == ["scheduled", "image", "container_started"]
    assert "cluster" in chart.reading


def open_loop(arm: str, fraction: float, *, valid: bool = True, scale: float = 1.0) -> dict[str, Any]:
    """Give a rate of an open loop as run.json has it, with what the chart reads."""
    latency = {"n": 400, "p50": 0.1 * scale, "p90": 0.2 * scale, "p95": 0.4 * scale, "p99": 2.0 * scale}
    spectrum = [[0, 0.05 * scale], [50, 0.1 * scale], [90, 0.2 * scale], [99, 2.0 * scale], [100, 2.1 * scale]]
    return {
        "arm": arm,
        "fraction": fraction,
        "valid": valid,
        "latency_seconds": latency,
        "at_least": ["p99"] if scale > 1 else [],
        "requests": {"planned": 400},
        "spectrum": spectrum,
    }


def with_open_loop(run: dict[str, Any]) -> dict[str, Any]:
    rates = [open_loop(arm, fraction) for fraction in (0.3, 0.6) for arm in theme.ARMS]
    rates += [open_loop("server", 0.9, scale=2.0), open_loop("serverless", 0.9, valid=False)]
    closed = [open_loop(arm, 1.0, scale=0.25) for arm in theme.ARMS]
    return {**run, "open_loop": {"rates": rates, "closed_loop": closed}}


def test_the_tail_is_drawn_at_the_highest_rate_that_is_valid_for_both(evaluated: Make) -> None:
    assert tail(evaluated()) is None
    run = with_open_loop(evaluated())
    chart = tail(run)
    assert chart is not None
    assert "p99 is 2.00 s in the open loop at 60 %, 500 ms in the closed loop." in chart.finding
    assert "ends where its requests are too few for a further percentile" in chart.reading
    assert [row[0] for row in chart.table.rows] == [
        "server, open loop",
        "server, closed loop (ab)",
        "serverless, open loop",
        "serverless, closed loop (ab)",
    ]
    for layout in LAYOUTS:
        drawing = ElementTree.fromstring(chart.svg(layout))
        assert {"0", "50", "90", "99"} <= set(texts(drawing))
    for rate in run["open_loop"]["rates"]:
        rate["valid"] = False
    assert tail(run) is None


def test_a_censored_percentile_is_at_least_that(evaluated: Make) -> None:
    run = with_open_loop(evaluated())
    run["open_loop"]["rates"][-1]["valid"] = True
    chart = tail(run)
    assert chart is not None and "Server: p99 is at least 4.00 s in the open loop at 90 %" in chart.finding


def test_the_tail_says_how_many_arrivals_are_not_in_it(evaluated: Make) -> None:
    run = with_open_loop(evaluated())
    run["open_loop"]["rates"][3]["requests"]["planned"] = 500
    chart = tail(run)
    assert chart is not None
    assert chart.finding.count("failed") == 1
    assert chart.finding.endswith("in the closed loop. 20.00 % of its arrivals failed and have no latency.")


def with_cost(run: dict[str, Any], **even: Any) -> dict[str, Any]:
    curve = [
        {
            "rate_rps": rate,
            "server_usd_per_million": 11.0 / rate,
            "pay_per_use_usd_per_million": 18.0,
            "kubernetes_usd_per_million": None,
        }
        for rate in (0.01, 0.1, 0.5, 1.0, 2.0)
    ]
    met = {"rate_rps": 0.611, "interval": {"low": 0.59, "high": 0.64}, "n": 6, "beyond_capacity": False, "reason": None}
    return {
        **run,
        "cost": {"curve": curve, "break_even": met | even, "pay_per_use": {"label": "Lambda-equivalent, not OpenFaaS"}},
    }


def test_the_ways_of_paying_meet_at_the_break_even(evaluated: Make) -> None:
    assert break_even(evaluated()) is None
    chart = break_even(with_cost(evaluated()))
    assert chart is not None
    assert chart.finding == (
        "Below 0.611 requests/s (95 % interval 0.59 to 0.64, 6 blocks) pay per use costs less, above it the server, up "
        "to what one server answers."
    )
    assert "Lambda-equivalent, not OpenFaaS" in chart.reading
    for layout in LAYOUTS:
        drawing = ElementTree.fromstring(chart.svg(layout))
        assert [len(named(drawing, name)) for name in ("way_0", "way_1", "band", "even")] == [1, 1, 1, 1]
        assert len({line.get("stroke-dasharray") for name in ("way_0", "way_1") for line in named(drawing, name)}) == 2
    assert {len(row) for row in chart.table.rows} == {3}


def test_a_break_even_that_is_not_known_is_said_and_not_drawn(evaluated: Make) -> None:
    chart = break_even(with_cost(evaluated(), rate_rps=None, interval=None, reason="no block has both figures"))
    assert chart is not None and "not measured; no block has both figures" in chart.finding
    assert not named(ElementTree.fromstring(chart.svg(WIDE)), "even")
    refused = with_cost(evaluated())
    refused["cost"]["curve"] = []
    assert break_even(refused) is None
