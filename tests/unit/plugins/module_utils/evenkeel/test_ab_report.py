# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

from pathlib import Path
from typing import Any

import pytest
from evenkeel.ab_report import (
    PercentagesUnusable,
    ReportMissing,
    ReportUnusable,
    order_statistics,
    parse_percentages,
    parse_report,
    parse_version,
    row_index,
)
from hypothesis import given
from hypothesis import strategies as st

from tests.standins.ab_output import GARBAGE_MILLISECONDS, percentages

FIXTURES = Path(__file__).parents[3] / "fixtures" / "ab"


def recorded(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


REPORTS: dict[str, dict[str, Any]] = {
    "success": {"complete": 10, "document_length": 25, "bytes_total": 1310, "bytes_body": 250, "seconds": 0.003},
    "success_k": {"complete": 10, "keepalive_requests": 10},
    "success_post": {"complete": 10, "bytes_body": 250},
    "success_n200": {"complete": 200, "mean_milliseconds": 1},
    "slow_c4": {"complete": 40, "seconds": 2.788, "mean_milliseconds": 253},
    "all_500": {"complete": 10, "failed": 0, "non_2xx": 10},
    "mixed_503": {"complete": 10, "failed": 3, "failed_length": 3, "non_2xx": 3},
    "mixed_v3": {"complete": 10, "failed": 3, "failed_length": 3, "non_2xx": 3},
    "refused_r": {"complete": 10, "failed": 15, "failed_receive": 10, "failed_exceptions": 5, "document_length": 0},
    "reset_r": {"complete": 10, "failed": 9, "failed_receive": 3, "failed_length": 3, "failed_exceptions": 3},
    "empty_reply": {"complete": 10, "failed": 3, "failed_length": 3},
    "truncated": {"complete": 6, "failed_length": 2, "bytes_body": 112},
    "varlen_l": {"complete": 10, "failed": 0, "document_length": None},
    "varlen_nol": {"complete": 10, "failed_length": 7, "document_length": 21},
    "sigint": {"complete": 9, "seconds": 1.496},
    "first1s": {"complete": 10, "mean_milliseconds": 146},
    "no_median": {"complete": 20, "mean_milliseconds": 2, "document_length": None},
    "httpd_2_0": {
        "version": "2.0.40-dev <$Revision: 1.146 $> apache-2.0",
        "seconds": 0.512634,
        "failed": 4,
        "failed_connect": 1,
        "failed_receive": 0,
        "failed_length": 3,
        "write_errors": 0,
    },
    "httpd_2_2": {
        "version": "2.3 <$Revision: 655654 $>",
        "write_errors": 2,
        "non_2xx": 12,
        "keepalive_requests": 88,
        "mean_milliseconds": 121,
    },
    "httpd_trunk_post": {"bytes_total": 9_000_000_000, "bytes_body": 8_999_996_000, "document_length": None},
}


@pytest.mark.parametrize("name", REPORTS)
def test_every_count_of_a_recorded_report(name: str) -> None:
    report = parse_report(recorded(f"{name}.stdout"))
    assert {key: getattr(report, key) for key in REPORTS[name]} == REPORTS[name]


def test_lines_that_ab_leaves_out_mean_zero() -> None:
    report = parse_report(recorded("success.stdout"))
    assert (report.failed_connect, report.non_2xx, report.write_errors, report.keepalive_requests) == (0, 0, 0, 0)


@pytest.mark.parametrize("name", ["refused", "timeout_partial", "dnsfail"])
def test_a_report_that_ab_never_printed(name: str) -> None:
    with pytest.raises(ReportMissing):
        parse_report(recorded(f"{name}.stdout"))


def test_html_is_refused() -> None:
    with pytest.raises(ReportUnusable, match="without -w"):
        parse_report(recorded("html.stdout"))


@pytest.mark.parametrize("text", ["", "Hello\n", "wrk 4.1.0\n", "\x00\xff"])
def test_a_program_that_is_not_apachebench(text: str) -> None:
    assert parse_version(text) is None
    with pytest.raises(ReportUnusable, match="not ApacheBench"):
        parse_report(text)


@pytest.mark.parametrize(
    ("line", "replacement"),
    [
        ("Complete requests:      10", "Complete requests:      ten"),
        ("Complete requests:      10", "Complete requests:      -1"),
        ("Complete requests:      10", ""),
        ("Complete requests:      10", "Complete requests:      10\nComplete requests:      11"),
        ("HTML transferred:       250 bytes", "HTML transferred:       -250 bytes"),
        ("Failed requests:        0", "Failed requests:        3"),
        ("Time taken for tests:   0.003 seconds", "Time taken for tests:   0,003 seconds"),
        ("Document Length:        25 bytes", "Document Length:        unknown"),
    ],
)
def test_a_garbled_report_is_told_from_a_missing_one(line: str, replacement: str) -> None:
    text = recorded("success.stdout")
    assert line in text
    with pytest.raises(ReportUnusable):
        parse_report(text.replace(line, replacement))


def test_a_report_cut_off_anywhere_never_reads_as_another_one() -> None:
    text = recorded("mixed_503.stdout")
    whole = parse_report(text)
    last_needed = text.index("HTML transferred:")
    for end in range(len(text)):
        try:
            report = parse_report(text[:end])
        except (ReportMissing, ReportUnusable):
            continue
        assert end > last_needed
        assert (report.complete, report.failed, report.non_2xx) == (whole.complete, whole.failed, whole.non_2xx)


def test_a_server_cannot_forge_a_line() -> None:
    text = recorded("success.stdout").replace("tiny/1", "x\rFailed requests:        7\x0bNon-2xx responses:      7")
    report = parse_report(text)
    assert (report.failed, report.non_2xx) == (0, 0)


@given(st.text())
def test_no_text_raises_anything_else(text: str) -> None:
    for candidate in (text, f"This is ApacheBench, Version 2.3\nServer Software:\n{text}"):
        with pytest.raises((ReportMissing, ReportUnusable)):
            parse_report(candidate)


@pytest.mark.parametrize(("name", "complete"), [("success", 10), ("slow_c4", 40), ("first1s", 10), ("reset_r", 10)])
def test_recorded_percentages_give_every_time_and_no_garbage(name: str, complete: int) -> None:
    times = order_statistics(parse_percentages(recorded(f"{name}.csv")), complete)
    assert None not in times
    assert times == sorted(times)  # type: ignore[type-var]
    assert GARBAGE_MILLISECONDS / 1000 not in times


def test_recorded_times_are_the_csvs_to_the_microsecond() -> None:
    times = order_statistics(parse_percentages(recorded("first1s.csv")), 10)
    assert (times[0], times[-1]) == (0.050793, 1.00537)


def test_an_interrupted_load_has_fewer_times_and_zeros_behind_them() -> None:
    times = order_statistics(parse_percentages(recorded("sigint.csv")), 9)
    assert len(times) == 9
    assert min(time for time in times if time is not None) == 0.251052


@given(st.lists(st.integers(0, 10**9), min_size=1, max_size=100))
def test_up_to_a_hundred_requests_every_time_comes_back(microseconds: list[int]) -> None:
    truth = sorted(value / 1e6 for value in microseconds)
    assert order_statistics(parse_percentages(percentages(truth)), len(truth)) == [round(time, 6) for time in truth]


@given(st.integers(101, 100_000))
def test_beyond_a_hundred_every_row_lies_inside(complete: int) -> None:
    assert all(row_index(percent, complete) < complete for percent in range(101))
    times = order_statistics([row_index(percent, complete) / 1e6 for percent in range(101)], complete)
    known = {index: time for index, time in enumerate(times) if time is not None}
    assert known == {index: index / 1e6 for index in known}
    assert {0, complete - 1} <= set(known)
    assert len(known) in (100, 101)


@pytest.mark.parametrize(
    "spoil",
    [
        lambda text: "",
        lambda text: text[: len(text) // 2],
        lambda text: text[:-1],
        lambda text: text.replace("Percentage served", "Prozent"),
        lambda text: text + "101,1.000\n",
        lambda text: text.replace("\n7,", "\n8,"),
        lambda text: text.replace("50,", "50;"),
        lambda text: text.replace("\n50,", "\n50,nan"),
        lambda text: text.replace("\n50,", "\n50,-"),
        lambda text: text.replace("\n50,", "\n50,9"),
        lambda text: text.replace("\n3,0.294", "\n3,0.295"),
        lambda text: text.replace("\n60,", "\n60,\x00"),
    ],
)
def test_a_spoilt_file_is_refused(spoil: Any) -> None:
    whole = recorded("success.csv")
    assert order_statistics(parse_percentages(whole), 10)
    with pytest.raises(PercentagesUnusable):
        order_statistics(parse_percentages(spoil(whole)), 10)
