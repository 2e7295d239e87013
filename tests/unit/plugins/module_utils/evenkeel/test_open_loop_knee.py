# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest
from evenkeel.open_loop import Request
from evenkeel.open_loop_knee import InvalidSweep, Step, Sweep, answered_share, broken_conditions, next_rate, result
from hypothesis import given
from hypothesis import strategies as st


def searched(sweep: Sweep, knee: float) -> list[Step]:
    """The steps of a search on a service that holds every rate up to `knee`."""
    steps: list[Step] = []
    while (rate := next_rate(sweep, steps)) is not None:
        steps.append(Step(rate, True, () if rate <= knee else ("p99",)))
    return steps


@given(st.floats(1, 5000), st.floats(1.1, 3), st.integers(0, 6))
def test_the_knee_lies_between_its_bounds(knee: float, factor: float, refinements: int) -> None:
    sweep = Sweep(10, 5, factor=factor, most_steps=12, refinements=refinements)
    steps = searched(sweep, knee)
    found = result(sweep, steps)
    assert len(steps) <= 12 + refinements
    if found["state"] == "below_first":
        assert knee < 10 and found["knee_rps"] is None and found["upper_rps"] == 10
    elif found["state"] == "not_reached":
        assert found["knee_rps"] == pytest.approx(10 * factor**11) and found["upper_rps"] is None
    else:
        assert found["knee_rps"] <= knee < found["upper_rps"]
        assert found["upper_rps"] / found["knee_rps"] == pytest.approx(factor ** (0.5**refinements))


def test_a_step_that_cannot_be_believed_ends_the_search_without_a_knee() -> None:
    sweep = Sweep(10, 5)
    steps = [Step(10, True, ()), Step(15, False, ())]
    assert next_rate(sweep, steps) is None
    assert result(sweep, steps)["state"] == "not_valid"
    assert result(sweep, steps)["knee_rps"] is None
    assert result(sweep, [])["state"] == "not_valid"


def figures(p99: float | None, largest: float | None, errors: float) -> dict[str, Any]:
    return {"error_rate": errors, "latency_seconds": {"p99": p99, "max": largest}}


@pytest.mark.parametrize(
    ("p99", "largest", "errors", "share", "broken"),
    [
        (0.05, 0.2, 0.0, 1.0, ()),
        (0.051, 0.2, 0.0, 1.0, ("p99",)),
        (None, 0.04, 0.0, 1.0, ()),
        (None, 0.2, 0.0, 1.0, ("p99",)),
        (None, None, 1.0, 0.0, ("error_rate", "answered_share", "p99")),
        (0.01, 0.01, 0.02, 0.98, ("error_rate", "answered_share")),
    ],
)
def test_the_three_conditions(
    p99: float | None, largest: float | None, errors: float, share: float, broken: tuple[str, ...]
) -> None:
    assert broken_conditions(Sweep(10, 5, slowdown=5), figures(p99, largest, errors), share, 0.01) == broken


def test_the_share_answered_tells_a_growing_queue_from_a_last_answer() -> None:
    keeps_up = [Request(index / 10, index / 10, index / 10 + 0.3, "ok") for index in range(100)]
    # 10 arrive a second, 5 are answered: the last one of 10 s is answered at 20 s.
    falls_behind = [Request(index / 10, index / 10, (index + 1) / 5, "ok") for index in range(100)]
    assert answered_share(keeps_up, 10, 0.3) == pytest.approx(1.0)
    assert answered_share(falls_behind, 10, 0.2) == pytest.approx(0.5, abs=0.01)
    assert answered_share([], 10, 0.2) == 0


@pytest.mark.parametrize("odd", [{"factor": 1.0}, {"most_steps": 0}, {"refinements": -1}, {"slowdown": 0.5}])
def test_an_impossible_sweep_is_refused_by_name(odd: dict[str, Any]) -> None:
    with pytest.raises(InvalidSweep, match=f"sweep.{next(iter(odd))}"):
        Sweep(10, 5, **odd).check()
