# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.counters: figures of a window."""

from __future__ import annotations

import pytest
from evenkeel import counters
from hypothesis import given
from hypothesis import strategies as st

STEADY = [[10.0, 0.0], [11.0, 0.5], [12.0, 1.0], [13.0, 1.5]]


def frame(begin: float, end: float, value: float | None = 1.0) -> dict[str, float | None]:
    return {"begin_monotonic_seconds": begin, "monotonic_seconds": end, "cpu": value}


@pytest.mark.parametrize(
    ("moment", "value"),
    [(10.0, 0.0), (10.5, 0.25), (11.0, 0.5), (12.9, 1.45), (13.0, 1.5), (9.99, None), (13.01, None)],
)
def test_interpolation(moment: float, value: float | None) -> None:
    found = counters.interpolate(STEADY, moment)
    assert found == (None if value is None else pytest.approx(value))


def test_mean_cores_interpolates_both_edges() -> None:
    burst = [[0.0, 0.0], [1.0, 0.0], [2.0, 1.0], [3.0, 1.0]]
    assert counters.mean_cores(burst, 1.5, 2.5) == counters.Figure(value=pytest.approx(0.5))
    assert counters.counted_seconds(burst, 1.5, 2.5) == counters.Figure(value=pytest.approx(0.5))
    assert counters.mean_cores(burst, 1.0, 2.0) == counters.Figure(value=pytest.approx(1.0))


@pytest.mark.parametrize(("start", "end"), [(9.0, 11.0), (12.0, 13.5), (20.0, 30.0)])
def test_a_window_that_is_not_covered_has_no_figure(start: float, end: float) -> None:
    figure = counters.mean_cores(STEADY, start, end)
    assert (figure.value, figure.less_than) == (None, None)
    assert figure.reason is not None and "covers 10.000000 to 13.000000 s" in figure.reason


def test_no_samples_no_figure() -> None:
    assert "covers nothing" in str(counters.mean_cores([], 1, 2).reason)


@pytest.mark.parametrize(("start", "end"), [(11.0, 11.0), (12.0, 11.0), (11.0, float("nan"))])
def test_an_empty_window_has_no_figure(start: float, end: float) -> None:
    assert "the window is empty" in str(counters.mean_cores(STEADY, start, end).reason)


def test_below_the_resolution_is_less_than_never_zero() -> None:
    idle = [[0.0, 3.0], [10.0, 3.0]]
    figure = counters.mean_cores(idle, 0.0, 10.0, resolution_seconds=0.01)
    assert figure == counters.Figure(less_than=pytest.approx(0.001))
    assert counters.counted_seconds(idle, 0.0, 10.0, 0.01) == counters.Figure(less_than=0.01)


def test_a_counter_that_goes_backwards_has_no_figure() -> None:
    assert "went backwards" in str(counters.mean_cores([[0.0, 5.0], [1.0, 0.1]], 0.0, 1.0).reason)


def test_mean_level() -> None:
    samples = [[0.0, 100.0], [1.0, 200.0], [2.0, 300.0], [3.0, 900.0]]
    assert counters.mean_level(samples, 1.0, 2.0) == counters.Figure(value=250.0)
    assert counters.mean_level(samples, 1.1, 1.9).reason == "no sample was taken within the 0.8 s of the window"


def test_only_whole_frames_count() -> None:
    frames = [frame(0, 1), frame(1, 2), frame(2, 3), frame(3, 4)]
    assert counters.frames_inside(frames, 1, 3) == frames[1:3]
    assert counters.frames_inside(frames, 0.5, 3.5) == frames[1:3]
    assert counters.frames_inside(frames, 10, 20) == []


def test_fewer_than_three_whole_frames_are_not_measured() -> None:
    frames = [frame(0, 1, 10.0), frame(1, 2, 20.0), frame(2, 3, 60.0), frame(3, 4, None)]
    assert counters.frame_mean(frames, "cpu", 0, 4) == counters.Figure(value=30.0)
    assert "not measured: 2 whole frames" in str(counters.frame_mean(frames, "cpu", 0, 2.5).reason)
    assert "not measured: 2 whole frames" in str(counters.frame_mean(frames, "cpu", 1, 4).reason)


@pytest.mark.parametrize(
    ("samples", "start", "figures"),
    [
        (STEADY, 11.0, (0.5, 1.0, None)),
        (STEADY, 5.0, (0.5, 1.5, None)),
        ([[10.0, 3.0], [11.0, 3.0]], 10.0, (None, None, 1e-6)),
        ([[10.0, 3.0]], 10.0, (None, None, None)),
        (STEADY, 99.0, (None, None, None)),
        ([], 10.0, (None, None, None)),
    ],
)
def test_figures_since_a_moment(
    samples: list[list[float]], start: float, figures: tuple[float | None, float | None, float | None]
) -> None:
    found = counters.since(samples, start, 1e-6)
    assert (found["cpu_cores"], found["cpu_seconds"], found["cpu_seconds_less_than"]) == pytest.approx(figures)


@given(
    st.lists(st.tuples(st.floats(0.001, 5), st.floats(0, 4)), min_size=2, max_size=40),
    st.floats(0, 1),
    st.floats(0, 1),
    st.floats(0, 1),
)
def test_parts_of_a_window_add_up(steps: list[tuple[float, float]], one: float, two: float, three: float) -> None:
    samples = [[0.0, 0.0]]
    for seconds, used in steps:
        samples.append([samples[-1][0] + seconds, samples[-1][1] + used])
    begin, middle, end = (samples[-1][0] * share for share in sorted((one, two, three)))
    whole = counters.counted_seconds(samples, begin, end)
    parts = [counters.counted_seconds(samples, begin, middle), counters.counted_seconds(samples, middle, end)]
    if all(part.value is not None for part in parts):
        assert whole.value == pytest.approx(sum(part.value or 0 for part in parts), abs=1e-9)
    if whole.value is not None:
        assert -1e-9 <= whole.value <= samples[-1][1] + 1e-9
