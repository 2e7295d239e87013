# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How sure a comparison is: who is lower how often, drift, and the blocks that are missing."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from analysis import certainty
from analysis.render.document import document
from analysis.render.markdown import markdown

Make = Callable[..., dict[str, Any]]


def metric(run: dict[str, Any], name: str) -> dict[str, Any]:
    found: dict[str, Any] = next(each for each in run["metrics"] if each["name"] == name)
    return found


def test_the_response_time_compares_requests_within_their_block(evaluated: Make) -> None:
    slower = metric(evaluated(effects={"response_mean_seconds": 1.5}), "response_mean_seconds")["certainty"]
    assert slower["superiority"]["of"] == "requests" and slower["superiority"]["blocks"] == 6
    # The generator's first request of ten takes about half the time of the others.
    assert slower["superiority"]["probability"] == pytest.approx(0.1, abs=0.03)
    same = metric(evaluated(), "response_mean_seconds")["certainty"]["superiority"]
    assert same["lowest"] <= same["probability"] <= same["highest"]


def test_other_metrics_compare_trials(evaluated: Make) -> None:
    found = metric(evaluated(effects={"ready_seconds": 3.0}), "ready_seconds")["certainty"]
    assert found["superiority"] == {"of": "trials", "probability": 0.0, "lowest": 0.0, "highest": 0.0, "blocks": 6}


def test_the_half_width_follows_from_the_interval(evaluated: Make) -> None:
    found = metric(evaluated(), "response_mean_seconds")
    interval, precision = found["interval"], found["certainty"]["precision"]
    assert precision["half_width"] == pytest.approx((interval["high"] / interval["low"]) ** 0.5 - 1)
    assert precision["wished"] == 0.05 and precision["blocks_needed"] >= 2


def test_what_is_not_tested_has_none_and_few_blocks_no_width(evaluated: Make) -> None:
    assert metric(evaluated(), "trained_ready_seconds")["certainty"] is None
    few = metric(evaluated(blocks=4), "response_mean_seconds")["certainty"]
    assert (few["precision"], few["drift"]) == (None, None)
    assert "How sure" not in markdown(document(evaluated(blocks=4)))


def drifting(p: float) -> list[dict[str, Any]]:
    drift = {"tau": 0.8, "p": p, "slope": 0.01}
    return [{"title": "Mean response time", "primary": True, "certainty": {"drift": drift}}]


def test_a_drift_of_the_primary_metric_is_a_caution() -> None:
    (remark,) = certainty.cautions(drifting(0.004))
    assert remark.code == "drift" and "by +1.0 % a block" in remark.message
    assert list(certainty.cautions(drifting(0.04))) == []
    assert list(certainty.cautions([{"title": "x", "primary": True, "certainty": None}])) == []


def test_the_report_says_how_sure_it_is(evaluated: Make) -> None:
    text = markdown(document(evaluated(effects={"response_mean_seconds": 1.1})))
    section = text[text.index("How sure") :][:3000]
    assert "of requests" in section and "Half-width of the interval" in section
