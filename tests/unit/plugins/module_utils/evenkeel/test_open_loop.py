# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import math
import statistics
from itertools import pairwise
from typing import Any

import pytest
from evenkeel import open_loop
from evenkeel.open_loop import Request, from_csv, invalid_reasons, measure, rounded, schedule, to_csv
from hypothesis import given
from hypothesis import strategies as st

moments = st.floats(0, 1000, allow_nan=False)


@st.composite
def requests(draw: st.DrawFn) -> Request:
    intended = draw(moments)
    outcome = draw(st.sampled_from(open_loop.OUTCOMES))
    if outcome in open_loop.NEVER_SENT:
        return Request(intended, None, None, outcome)
    sent = intended + draw(st.floats(0, 1))
    status = draw(st.one_of(st.none(), st.integers(100, 599)))
    return Request(intended, sent, sent + draw(st.floats(0, 60)), outcome, status, draw(st.integers(0, 10**6)))


def at(intended: float, latency: float, outcome: str = "ok", lag: float = 0.0) -> Request:
    return Request(intended, intended + lag, intended + latency, outcome)


class TestSchedule:
    def test_uniform_arrivals_are_one_period_apart(self) -> None:
        assert schedule(4, 1, "uniform", 0) == [0, 0.25, 0.5, 0.75]
        assert len(schedule(50, 60, "uniform", 0)) == 3000

    def test_poisson_arrivals_of_a_seed_are_these(self) -> None:
        """Written down, so that another Python that drew others would be found out."""
        assert schedule(10, 60, "poisson", 7)[:3] == pytest.approx([0.039131, 0.055483, 0.160733], abs=1e-6)
        assert schedule(10, 60, "poisson", 7) == schedule(10, 60, "poisson", 7)
        assert schedule(10, 60, "poisson", 7) != schedule(10, 60, "poisson", 8)

    def test_poisson_gaps_are_exponential(self) -> None:
        due = schedule(100, 200, "poisson", 3)
        gaps = [later - earlier for earlier, later in pairwise(due)]
        # 20,000 gaps: mean and standard deviation are both 10 ms, within 5 of their standard errors.
        assert statistics.fmean(gaps) == pytest.approx(0.01, rel=5 / math.sqrt(20_000))
        assert statistics.stdev(gaps) == pytest.approx(0.01, rel=10 / math.sqrt(20_000))
        # A share of exp(-1) of them is longer than the mean.
        assert sum(gap > 0.01 for gap in gaps) / len(gaps) == pytest.approx(math.exp(-1), abs=0.02)

    @given(st.floats(0.1, 200), st.floats(0.1, 10), st.sampled_from(open_loop.ARRIVALS), st.integers(0, 99))
    def test_arrivals_ascend_within_their_time(self, rate: float, seconds: float, arrivals: str, seed: int) -> None:
        due = schedule(rate, seconds, arrivals, seed)
        assert due == sorted(due)
        assert all(0 <= moment < seconds + 1 / rate for moment in due)

    @pytest.mark.parametrize(
        ("rate", "seconds", "arrivals", "said"),
        [
            (0, 1, "uniform", "rate_rps is 0"),
            (math.nan, 1, "uniform", "rate_rps is nan"),
            (1, math.inf, "uniform", "seconds is inf"),
            (1e5, 1e5, "poisson", "lower one of the two"),
            (1, 1, "bursts", "arrivals is 'bursts'"),
        ],
    )
    def test_an_impossible_one_is_refused(self, rate: float, seconds: float, arrivals: str, said: str) -> None:
        with pytest.raises(open_loop.InvalidSchedule, match=said):
            schedule(rate, seconds, arrivals, 0)


class TestMeasure:
    @given(st.lists(requests(), max_size=60))
    def test_each_arrival_counts_once_and_no_failure_is_a_latency(self, records: list[Request]) -> None:
        figures = measure(records, 10.0, 5.0)
        counts = figures["requests"]
        assert counts["planned"] == len(records)
        parts = ("succeeded", "failed", "censored", "dropped", "unsent")
        assert sum(counts[name] for name in parts) == len(records)
        assert sum(figures["errors"].values()) == len(records) - counts["succeeded"]
        timed = [one.latency_seconds for one in records if one.outcome in ("ok", "timeout", "unfinished")]
        latency = figures["latency_seconds"]
        assert latency["n"] == len(timed) == counts["succeeded"] + counts["censored"]
        if timed:
            assert latency["mean"] == pytest.approx(statistics.fmean(t for t in timed if t is not None))
            assert (latency["min"], latency["max"]) == (min(timed), max(timed))  # type: ignore[type-var]
        for name, fewest in (("p50", 5), ("p90", 29), ("p95", 59), ("p99", 299)):
            assert (latency[name] is None) is (len(timed) < fewest)

    @given(st.lists(requests(), min_size=1, max_size=40))
    def test_the_file_holds_all_that_the_figures_need(self, records: list[Request]) -> None:
        kept = [rounded(one) for one in records]
        assert from_csv(to_csv(records)) == kept
        assert measure(from_csv(to_csv(kept)), 10.0, 5.0) == measure(kept, 10.0, 5.0)

    def test_latency_is_from_the_intended_time_and_service_from_the_sent_one(self) -> None:
        figures = measure([at(index, 0.5, lag=0.2) for index in range(10)], 10, 1)
        assert figures["latency_seconds"]["p50"] == pytest.approx(0.5)
        assert figures["service_seconds"]["p50"] == pytest.approx(0.3)
        assert figures["lag_seconds"]["max"] == pytest.approx(0.2)

    def test_a_percentile_among_censored_values_is_a_lower_bound(self) -> None:
        records = [at(index, 0.01) for index in range(92)] + [at(92 + index, 2.0, "timeout") for index in range(8)]
        figures = measure(records, 100, 1)
        assert figures["censored"] == {"n": 8, "at_least_seconds": 2.0}
        assert figures["at_least"] == ["mean", "p95", "max"]
        assert figures["latency_seconds"]["p90"] == pytest.approx(0.01)

    def test_the_achieved_rate_is_that_of_sending(self) -> None:
        late = [at(index, 12, lag=10 if index == 9 else 0) for index in range(10)]
        assert measure(late, 10, 1)["achieved_rps"] == pytest.approx(10 / 20)
        assert measure([], 10, 1)["achieved_rps"] is None


class TestReasons:
    def of(self, records: list[Request], allowed: float = 0.0, ended_by: str | None = None) -> set[str]:
        figures: dict[str, Any] = measure(records, len(records) or 1, 1)
        return {reason.split(":")[0] for reason in invalid_reasons(figures, allowed, ended_by)}

    def test_a_good_load_has_none(self) -> None:
        assert self.of([at(index, 0.05, lag=0.0009) for index in range(300)]) == set()

    @pytest.mark.parametrize(
        ("latency", "lag", "lagged"),
        [
            (0.010, 0.0009, False),  # below the floor of 1 ms, though 9 % of the median
            (0.010, 0.0011, True),
            (1.000, 0.0490, False),  # below 5 % of the median
            (1.000, 0.0510, True),
        ],
    )
    def test_a_lag_is_held_against_its_limit(self, latency: float, lag: float, lagged: bool) -> None:
        # 2 % of the requests are late: the 99th percentile is.
        records = [at(index, latency, lag=lag if index % 50 == 0 else 0.0) for index in range(400)]
        assert self.of(records) == ({"generator_lagged"} if lagged else set())

    def test_one_late_request_of_many_is_none(self) -> None:
        assert self.of([at(index, 0.05, lag=0.04 if index == 5 else 0.0) for index in range(400)]) == set()

    def test_what_else_there_is(self) -> None:
        good = [at(index, 0.05) for index in range(100)]
        assert self.of([]) == {"too_few_arrivals"}
        assert self.of([*good, Request(100, None, None, "dropped")], 0.5) == {"dropped_requests"}
        assert self.of([*good, at(100, 0.1, "client")], 0.5) == {"client_failed"}
        assert self.of([*good, at(100, 0.1, "wrong_answer")], 0.5) == {"wrong_answer"}
        assert self.of([*good, at(100, 0.1, "refused")]) == {"failed_requests"}
        assert self.of([*good, at(100, 0.1, "refused")], 0.01) == set()
        assert self.of([*good, Request(100, None, None, "unsent")], 0.5, "deadline") == {"deadline"}
        assert self.of([at(index, 60, lag=5.0) for index in range(100)]) >= {"rate_not_achieved"}


@pytest.mark.parametrize(
    "text", ["", "a,b\n", ",".join(open_loop.COLUMNS) + "\n1,2,3\n", to_csv([]) + "1,2,3,odd,,0\n"]
)
def test_another_file_is_refused_by_its_line(text: str) -> None:
    with pytest.raises(ValueError, match="line"):
        from_csv(text)
