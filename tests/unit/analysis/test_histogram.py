# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path

import pytest
from hdrh.log import HistogramLogReader
from hypothesis import given, settings
from hypothesis import strategies as st

from analysis import histogram

latencies = st.lists(st.floats(1e-6, 3600, allow_nan=False), max_size=60)


@settings(max_examples=30)
@given(st.lists(latencies, max_size=4))
def test_merging_equals_the_histogram_of_the_union(hosts: list[list[float]]) -> None:
    logs = [log for host in hosts if (log := histogram.of_latencies(host)) is not None]
    union = [value for host in hosts for value in host]
    assert histogram.merge(logs) == histogram.of_latencies(union)
    if union:
        assert histogram.count(histogram.merge(logs) or "") == len(union)


@settings(max_examples=30)
@given(st.lists(st.floats(1e-3, 3600), min_size=1, max_size=200), st.sampled_from([50, 90, 95, 99, 100]))
def test_a_percentile_has_three_significant_digits(values: list[float], percent: float) -> None:
    log = histogram.of_latencies(values)
    assert log is not None
    exact = sorted(values)[max(1, int(percent / 100 * len(values) + 0.5)) - 1]
    # 0.1 % of the value, and half a microsecond from the rounding to whole ones.
    assert histogram.percentile_seconds(log, percent) == pytest.approx(exact, rel=1e-3, abs=1e-6)


def test_nothing_measured_has_no_histogram() -> None:
    assert histogram.of_latencies([]) is None
    assert histogram.merge([]) is None


def test_a_text_that_is_none_is_refused() -> None:
    with pytest.raises(ValueError, match="not an HdrHistogram"):
        histogram.merge(["HIST nonsense"])


def test_the_log_file_is_read_by_the_formats_own_reader(tmp_path: Path) -> None:
    logs = {
        tag: log
        for tag, values in (("rate30", [0.01, 0.02]), ("rate60", [0.5]))
        if (log := histogram.of_latencies(values)) is not None
    }
    path = tmp_path / "open-loop-server.hdr"
    path.write_text(histogram.log_file(logs, {"rate30": 20.0, "rate60": 20.0}))
    accumulated = histogram._empty()
    reader = HistogramLogReader(str(path), accumulated)
    assert reader.add_next_interval_histogram().get_total_count() == 2
    assert reader.add_next_interval_histogram().get_total_count() == 3, "the reader adds them up"
    assert accumulated.get_max_value() / 1e6 == pytest.approx(0.5, rel=1e-3)
