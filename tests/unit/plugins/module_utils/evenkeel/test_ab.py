# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

import dataclasses
import re
import statistics
from pathlib import Path
from typing import Any

import pytest
from evenkeel import ab
from evenkeel.ab_report import Report, parse_report
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.standins.ab_output import percentages

FIXTURES = Path(__file__).parents[3] / "fixtures" / "ab"
URL = "http://127.0.0.1:8081/"
BODY_LENGTHS = {"good": 25, "error": 5, "error_of_equal_length": 25, "reset": 0, "empty": 0}
NO_PROBES = ab.KnownLengths()
COUNTS = st.integers(0, 50)


def recorded(name: str) -> str:
    return (FIXTURES / name).read_text(encoding="utf-8")


def load(**changes: Any) -> ab.Load:
    return dataclasses.replace(ab.Load(URL, 10, 2, variable_length=False), **changes)


def report(**changes: Any) -> Report:
    return dataclasses.replace(parse_report(recorded("success.stdout")), **changes)


def ended(stdout: str, **changes: Any) -> ab.Ended:
    seconds = re.search(r"tests: +([\d.]+)", stdout)
    wall = float(seconds.group(1)) + 0.01 if seconds else 1.0
    return dataclasses.replace(ab.Ended(0, stdout, "", False, wall, 0.0, 1500.0), **changes)


def codes(reasons: list[str]) -> list[str]:
    found = [reason.split(": ", 1)[0] for reason in reasons]
    assert set(found) <= set(ab.REASON_CODES)
    return found


def judge(
    name: str, plan: ab.Load, lengths: ab.KnownLengths = NO_PROBES, **changes: Any
) -> tuple[dict[str, Any], list[str]]:
    """Figures and reason codes of a recorded output."""
    csv = FIXTURES / f"{name}.csv"
    error = FIXTURES / f"{name}.stderr"
    end = ended(recorded(f"{name}.stdout"), stderr=error.read_text() if error.exists() else "", **changes)
    csv_text = csv.read_text() if csv.exists() else None
    measured = ab.measure(end.stdout, csv_text, plan.requests, plan.variable_length, lengths=lengths, stderr=end.stderr)
    return measured.figures, codes(ab.invalid_reasons(plan, end, measured, lengths))


class TestCommandLine:
    def test_of_the_study(self) -> None:
        argv = ab.build_argv(ab.Load(URL, 10, 2), "/usr/bin/ab", "/tmp/t.csv")
        assert " ".join(argv) == f"/usr/bin/ab -q -r -e /tmp/t.csv -s 300 -n 10 -c 2 -l {URL}"

    def test_with_everything(self) -> None:
        plan = load(method="POST", content_type="image/png", keepalive=True, headers={"X-A": "b c"}, timeout_seconds=7)
        argv = ab.build_argv(plan, "ab", "c", "/tmp/body")
        assert argv[5:13] == ["-s", "7", "-n", "10", "-c", "2", "-k", "-p"]
        assert argv[13:] == ["/tmp/body", "-T", "image/png", "-H", "X-A: b c", URL]

    def test_put(self) -> None:
        assert "-u" in ab.build_argv(load(method="PUT"), "ab", "c", "/tmp/body")

    def test_a_post_without_a_body_is_a_mistake(self) -> None:
        with pytest.raises(ValueError, match="POST"):
            ab.build_argv(load(method="POST"), "ab", "c")

    @pytest.mark.parametrize(
        ("changes", "said"),
        [
            ({"requests": 1}, "requests is 1 and concurrency 2"),
            ({"requests": 0, "concurrency": 0}, "concurrency is 0"),
            ({"requests": -5}, "requests is -5"),
            ({"concurrency": -1}, "concurrency is -1"),
            ({"timeout_seconds": 0}, "timeout_seconds is 0"),
            ({"max_error_rate": -0.1}, "max_error_rate is -0.1"),
            ({"max_error_rate": 1.0}, "max_error_rate is 1.0"),
            ({"max_error_rate": float("nan")}, "max_error_rate is nan"),
            ({"url": "http://127.0.0.1:8081"}, "write http://127.0.0.1:8081/"),
            ({"url": "http://127.0.0.1?x=/"}, "no path"),
            ({"url": "ftp://127.0.0.1/"}, "http:// or https://"),
            ({"url": "127.0.0.1:8081/"}, "http:// or https://"),
            ({"url": "http:///x"}, "without a host"),
            ({"url": "http://127.0.0.1:99999/"}, "not a URL"),
            ({"url": "http://me:secret@127.0.0.1/"}, "user name"),
            ({"url": "http://127.0.0.1/#top"}, "fragment"),
            ({"url": "http://127.0.0.1/a b"}, "percent-encode"),
            ({"url": "http://127.0.0.1/ä"}, "percent-encode"),
            ({"url": ""}, "http:// or https://"),
            ({"headers": {"X": "a\r\nEvil: b"}}, "line breaks"),
            ({"headers": {"X: a": "b"}}, "colon"),
            ({"headers": {" ": "b"}}, "empty name"),
            ({"headers": {"content-type": "b"}}, "use content_type"),
            ({"content_type": "a\nb"}, "Content-Type"),
        ],
    )
    def test_what_ab_would_refuse_is_refused_before(self, changes: dict[str, Any], said: str) -> None:
        with pytest.raises(ab.InvalidLoad, match=re.escape(said)):
            ab.check_load(load(**changes))

    @pytest.mark.parametrize("url", [URL, "https://[::1]:8443/x?y=1", "http://localhost/"])
    def test_good_urls(self, url: str) -> None:
        ab.check_load(load(url=url))
        assert ab.build_argv(load(url=url), "ab", "c")[-1] == url

    def test_the_default_deadline_is_every_round_at_its_time_out(self) -> None:
        assert ab.default_deadline_seconds(load(requests=11, concurrency=2, timeout_seconds=300)) == 1800.0


class TestSizing:
    @pytest.mark.parametrize(
        ("round_seconds", "concurrency", "expected"),
        [
            (0.5, 2, 21),  # two in half a second: four a second, for 5.25 s
            (5.0, 2, 10),  # never fewer than asked for
            (0.001, 2, 100),  # never more than allowed
            (0.0, 2, 100),
        ],
    )
    def test_a_load_of_five_seconds(self, round_seconds: float, concurrency: int, expected: int) -> None:
        assert ab.sized_requests(round_seconds, concurrency, 5.0, 10, 100) == expected

    @given(st.floats(0.001, 100), st.integers(1, 16), st.floats(0.1, 100))
    def test_it_lasts_long_enough_at_the_measured_rate(self, seconds: float, concurrency: int, least: float) -> None:
        requests = ab.sized_requests(seconds, concurrency, least, 1, 10**9)
        assert requests / concurrency * seconds >= least


class TestAccounting:
    @pytest.mark.parametrize(
        ("name", "variable_length", "expected"),
        [  # succeeded, its bounds, lost
            ("success", False, [10, 10, 10, 0]),
            ("all_500", False, [0, 0, 0, 0]),
            ("mixed_503", False, [None, 4, 7, 0]),
            ("reset_r", False, [None, 4, 7, 3]),
            ("empty_reply", False, [7, 7, 7, 0]),
            ("truncated", False, [4, 4, 4, 0]),
            ("refused_r", False, [0, 0, 0, 10]),
            ("varlen_l", True, [10, 10, 10, 0]),
            ("httpd_2_2", True, [88, 88, 88, 0]),
        ],
    )
    def test_recorded(self, name: str, variable_length: bool, expected: list[Any]) -> None:
        parsed = parse_report(recorded(f"{name}.stdout"))
        requests = ab.account_requests(parsed, parsed.complete, variable_length)
        assert [requests[key] for key in ("succeeded", "succeeded_min", "succeeded_max", "lost")] == expected

    def test_a_wrong_first_answer_makes_ab_call_the_right_ones_failed(self) -> None:
        parsed = report(document_length=1, failed=5, failed_length=5, non_2xx=5)
        requests = ab.account_requests(parsed, 10, False, ab.KnownLengths(25, 25))
        assert requests["succeeded_max"] == 5
        assert requests["succeeded_min"] == 0

    def test_equally_wrong_answers_are_no_success(self) -> None:
        requests = ab.account_requests(report(document_length=20), 10, False, ab.KnownLengths(25, 25))
        assert requests["succeeded"] == 0

    @given(
        st.fixed_dictionaries(
            {
                "complete": COUNTS,
                "failed": COUNTS,
                "failed_connect": COUNTS,
                "failed_receive": COUNTS,
                "failed_length": COUNTS,
                "failed_exceptions": COUNTS,
                "non_2xx": COUNTS,
                "document_length": st.none() | st.integers(0, 3),
            }
        ),
        COUNTS,
        st.none() | st.integers(0, 3),
        st.booleans(),
    )
    def test_never_negative_and_always_in_order(
        self, counts: dict[str, Any], more: int, constant: Any, variable_length: bool
    ) -> None:
        complete = counts["complete"]
        lengths = ab.KnownLengths(constant, constant)
        requests = ab.account_requests(report(**counts), complete + more, variable_length, lengths)
        assert all(value is None or value >= 0 for value in requests.values())
        low, high, planned = requests["succeeded_min"], requests["succeeded_max"], requests["planned"]
        assert low is not None and high is not None and planned is not None
        assert low <= high <= complete <= planned
        assert requests["succeeded"] in (None, low)
        assert set(requests) == {"planned", *ab.REQUEST_COUNTS}

    @given(st.lists(st.sampled_from(sorted(BODY_LENGTHS)), min_size=1, max_size=40), st.booleans())
    def test_the_truth_lies_within_the_bounds(self, outcomes: list[str], variable_length: bool) -> None:
        """Count as ab counts, request by request, and compare with what happened."""
        count = outcomes.count
        lengths = [BODY_LENGTHS[outcome] for outcome in outcomes]
        parsed = report(
            complete=len(outcomes),
            failed_receive=count("reset"),
            failed_exceptions=count("reset"),
            failed_length=0 if variable_length else sum(length != lengths[0] for length in lengths),
            non_2xx=count("error") + count("error_of_equal_length"),
            document_length=None if variable_length else lengths[0],
        )
        requests = ab.account_requests(parsed, len(outcomes), variable_length, ab.KnownLengths(25, 25))
        low, high = requests["succeeded_min"], requests["succeeded_max"]
        assert low is not None and high is not None
        truth = count("good") + (count("empty") if variable_length else 0)  # with -l ab cannot see empty answers
        assert low <= truth <= high


class TestLatency:
    def test_of_samples(self) -> None:
        summary = ab.summarise_latency([0.1, 0.2, 0.3, 0.4, 0.5], 300)
        expected = {"n": 5, "mean": 0.3, "min": 0.1, "p50": 0.3, "p90": None, "p95": None, "p99": None, "max": 0.5}
        assert summary == pytest.approx(expected)

    @pytest.mark.parametrize(
        ("count", "given_percentiles"),
        [(4, []), (5, ["p50"]), (28, ["p50"]), (29, ["p50", "p90"]), (58, ["p50", "p90"]), (59, ["p50", "p90", "p95"])],
    )
    def test_a_percentile_needs_its_samples(self, count: int, given_percentiles: list[str]) -> None:
        summary = ab.summarise_latency([0.1] * count, 100)
        assert [name for name in ab.FEWEST_SAMPLES if summary[name] is not None] == given_percentiles

    def test_no_request_no_latency(self) -> None:
        assert set(ab.summarise_latency([], None).values()) == {0, None}

    @settings(max_examples=20)
    @given(st.lists(st.floats(1e-6, 100), min_size=59, max_size=100))
    def test_it_agrees_with_the_standard_library(self, values: list[float]) -> None:
        times = sorted(values)
        summary = ab.summarise_latency(list(times), None)
        cuts = statistics.quantiles(times, n=100, method="inclusive")
        assert summary["mean"] == pytest.approx(statistics.fmean(times))
        assert summary["p50"] == pytest.approx(statistics.median(times))
        assert summary["p90"] == pytest.approx(cuts[89])
        assert summary["p95"] == pytest.approx(cuts[94])

    @pytest.mark.parametrize("count", [101, 299, 5000])
    def test_beyond_a_hundred_it_is_close_to_the_truth(self, count: int) -> None:
        truth = [0.010 + 0.001 * (index / count) ** 3 for index in range(count)]
        csv = percentages(truth)
        mean = round(statistics.fmean(truth) * 1000)
        stdout = (
            recorded("success_n200.stdout")
            .replace("200", str(count))
            .replace("Total:          0    1", f"Total:  0 {mean}")
        )
        figures = ab.measure(stdout, csv, count, False).figures
        assert figures["samples_seconds"] is None
        assert len(figures["quantiles_seconds"]) == 101
        summary = figures["latency_seconds"]
        assert summary["mean"] == pytest.approx(statistics.fmean(truth), rel=0.002)
        assert summary["p50"] == pytest.approx(truth[count // 2], rel=0.002)
        assert summary["max"] == pytest.approx(truth[-1], abs=1e-6)
        assert (summary["p99"] is None) == (count < 299)

    def test_a_lonely_outlier_does_not_carry_the_mean_away(self) -> None:
        truth = [0.001] * 999 + [10.0]
        times: list[Any] = [0.001] * 990 + [None] * 9 + [10.0]
        assert ab.summarise_latency(times, 11)["mean"] == pytest.approx(statistics.fmean(truth), abs=0.0006)


class TestValidity:
    @pytest.mark.parametrize(("name", "requests"), [("success", 10), ("slow_c4", 40), ("first1s", 10)])
    def test_a_good_load(self, name: str, requests: int) -> None:
        figures, reasons = judge(name, load(requests=requests), ab.KnownLengths(25, 25))
        assert reasons == []
        assert figures["requests"]["succeeded"] == requests
        assert len(figures["samples_seconds"]) == requests
        assert figures["throughput_rps"] == pytest.approx(requests / figures["ab_seconds"])
        assert figures["latency_seconds"]["n"] == requests

    @pytest.mark.parametrize(
        ("name", "changes", "expected"),
        [
            ("all_500", {}, "failed_requests"),
            ("mixed_503", {}, "failed_requests"),
            ("reset_r", {}, "failed_requests"),
            ("reset_r", {"variable_length": True}, "failed_requests"),
            ("empty_reply", {}, "failed_requests"),
            ("empty_reply", {"variable_length": True}, "body_bytes"),
            ("truncated", {"requests": 6, "concurrency": 1, "variable_length": True}, "body_bytes"),
            ("refused_r", {}, "empty_answers"),
            ("refused", {}, "connection_refused"),
            ("timeout_partial", {}, "ab_timeout"),
            ("dnsfail", {}, "name_not_resolved"),
            ("success", {"requests": 11}, "incomplete"),
            ("success", {"requests": 9}, "report_unusable"),
            ("success", {"keepalive": True}, "keepalive_refused"),
            ("html", {"requests": 3}, "report_unusable"),
        ],
    )
    def test_no_bad_load_is_valid(self, name: str, changes: dict[str, Any], expected: str) -> None:
        figures, reasons = judge(name, load(**changes), ab.KnownLengths(25, 25))
        assert expected in reasons
        if figures["requests"]["succeeded"] != figures["requests"]["complete"]:
            assert figures["latency_seconds"]["mean"] is None, "a failure is not a latency"

    def test_a_report_that_was_lost_leaves_nothing_but_the_plan(self) -> None:
        figures, _ = judge("timeout_partial", load())
        assert figures["requests"] == {"planned": 10, **dict.fromkeys(ab.REQUEST_COUNTS)}
        assert figures["samples_seconds"] is None
        assert figures["ab_version"] == "2.3 <$Revision$>"

    def test_keepalive_that_was_granted(self) -> None:
        figures, reasons = judge("success_k", load(keepalive=True))
        assert "keepalive_refused" not in reasons
        assert figures["keepalive_requests"] == 10

    @pytest.mark.parametrize(
        ("stderr", "code"),
        [
            (
                "\nTest aborted after 10 failures\n\napr_socket_connect(): Connection refused (111)\n",
                "connect_failures",
            ),
            ("apr_socket_recv: Connection reset by peer (104)\n", "connection_reset"),
            ("ab: Segmentation fault\n", "no_report"),
            ("", "no_report"),
        ],
    )
    def test_what_stderr_says_names_the_reason(self, stderr: str, code: str) -> None:
        measured = ab.measure(recorded("refused.stdout"), None, 10, False, stderr=stderr)
        assert codes(measured.problems) == [code]

    def test_an_exit_code_with_a_report_counts(self) -> None:
        assert "exit_code" in judge("success", load(), rc=1)[1]

    @pytest.mark.parametrize("csv_text", [None, "", "Percentage served,Time in ms\n0,1.000\n"])
    def test_without_the_csv_the_counts_remain(self, csv_text: Any) -> None:
        end = ended(recorded("success.stdout"))
        measured = ab.measure(end.stdout, csv_text, 10, False)
        assert codes(ab.invalid_reasons(load(), end, measured, ab.KnownLengths())) == ["percentages_unusable"]
        assert measured.figures["requests"]["succeeded"] == 10
        assert measured.figures["samples_seconds"] is None
        assert measured.figures["latency_seconds"]["mean"] is None

    @pytest.mark.parametrize(
        ("name", "rate", "reasons"),
        [("httpd_2_2", 0.12, []), ("httpd_2_2", 0.11, ["failed_requests"]), ("httpd_2_2", 0.0, ["failed_requests"])],
    )
    def test_errors_that_are_allowed(self, name: str, rate: float, reasons: list[str]) -> None:
        plan = load(requests=100, concurrency=10, variable_length=True, max_error_rate=rate)
        csv = percentages([0.1] * 100)
        end = ended(recorded(f"{name}.stdout"))
        measured = ab.measure(end.stdout, csv, 100, True)
        assert codes(ab.invalid_reasons(plan, end, measured, ab.KnownLengths())) == reasons

    @pytest.mark.parametrize(
        ("body_bytes", "lengths", "valid"),
        [
            (250, ab.KnownLengths(25, 25), True),
            (249, ab.KnownLengths(25, 25), False),
            (251, ab.KnownLengths(25, 25), True),  # one that counts something may have a digit more
            (263, ab.KnownLengths(25, 25), False),
            (240, ab.KnownLengths(None, 25), True),  # answers that vary by a byte or two
            (225, ab.KnownLengths(None, 25), False),  # one whole answer is lacking
            (300, ab.KnownLengths(None, 25), True),
            (7, ab.KnownLengths(), True),  # nothing to compare with
            (0, ab.KnownLengths(), False),
        ],
    )
    def test_under_l_the_bodies_must_add_up(self, body_bytes: int, lengths: ab.KnownLengths, valid: bool) -> None:
        stdout = recorded("varlen_l.stdout").replace("215 bytes", f"{body_bytes} bytes")
        end = ended(stdout)
        measured = ab.measure(stdout, percentages([0.001] * 10), 10, True)
        assert (ab.invalid_reasons(load(variable_length=True), end, measured, lengths) == []) is valid

    @pytest.mark.parametrize(
        ("wall", "step", "agrees"),
        [
            (2.8, 0.0, True),
            (3.2, 0.0, True),  # a slow start of the process
            (2.8, 0.02, True),
            (2.8, 0.1, False),  # the clock was set forward during the load
            (2.8, -0.1, False),
            (4.0, 0.0, False),  # ab measured less than there was
            (2.0, 0.0, False),
        ],
    )
    def test_abs_clock_against_ours(self, wall: float, step: float, agrees: bool) -> None:
        reasons = judge("slow_c4", load(requests=40), wall_seconds=wall, clock_step_seconds=step)[1]
        assert ("clock_disagrees" not in reasons) is agrees

    def test_every_reason_code_is_said_once(self) -> None:
        assert len(set(ab.REASON_CODES)) == len(ab.REASON_CODES)

    @pytest.mark.parametrize("name", ["badurl", "c_gt_n"])
    def test_a_page_of_usage_is_told_from_a_failure(self, name: str) -> None:
        complaint = ab.usage_refused(ended("", stderr=recorded(f"{name}.stderr"), rc=22))
        assert complaint is not None
        assert complaint.startswith("ab: ")
        assert "Options" not in complaint
        assert ab.usage_refused(ended(recorded("refused.stdout"), stderr=recorded("refused.stderr"))) is None


class TestCensored:
    def measured(self, times: list[float], seconds: float) -> ab.Measured:
        stdout = re.sub(r"tests: .*", f"tests:   {seconds:.3f} seconds", recorded("success.stdout"))
        stdout = stdout.replace("requests:      10", f"requests:      {len(times)}")
        return ab.measure(stdout, percentages(times) if times else None, 10, True)

    def test_nothing_in_an_ordinary_load(self) -> None:
        end = ended(recorded("success.stdout"))
        assert ab.censored(load(), end, ab.measure(end.stdout, None, 10, True)) == ab.NONE_CENSORED

    def test_an_interrupted_stall(self) -> None:
        # Two connections, two good answers each, and then silence from 0.2 s on until 5 s.
        end = ended("", interrupted=True)
        assert ab.censored(load(), end, self.measured([0.1, 0.1, 0.1, 0.1], 5.0)) == {"n": 2, "at_least_seconds": 4.5}

    def test_one_connection_alone_is_exact(self) -> None:
        end = ended("", interrupted=True)
        found = ab.censored(load(concurrency=1), end, self.measured([1.0, 2.0], 5.0))
        assert found == {"n": 1, "at_least_seconds": 2.0}

    def test_not_one_answer(self) -> None:
        end = ended("", interrupted=True)
        assert ab.censored(load(), end, self.measured([], 5.0)) == {"n": 1, "at_least_seconds": 5.0}

    def test_all_finished_at_the_last_moment(self) -> None:
        end = ended("", interrupted=True)
        assert ab.censored(load(), end, self.measured([0.1] * 10, 5.0)) == ab.NONE_CENSORED

    def test_abs_own_time_out_does_not_say_how_many(self) -> None:
        end = ended(recorded("timeout_partial.stdout"), stderr=recorded("timeout_partial.stderr"))
        measured = ab.measure(end.stdout, None, 10, True, stderr=end.stderr)
        assert ab.censored(load(timeout_seconds=2), end, measured) == {"n": None, "at_least_seconds": 2}

    @given(st.integers(1, 4), st.lists(st.floats(0.05, 12), min_size=1, max_size=40))
    def test_the_bound_never_exceeds_the_truth(self, concurrency: int, durations: list[float]) -> None:
        """Simulate ab's closed loop: the first request alone until its answer, then every connection always in use."""
        deadline = 10.0
        free_at = [0.0]
        finished: list[float] = []
        under_way: list[float] = []
        durations.append(20.0)  # after these the server stalls
        while free_at:
            begin = free_at.pop(0)
            duration = durations.pop(0) if len(durations) > 1 else durations[0]
            if begin + duration >= deadline:
                under_way.append(deadline - begin)
                continue
            if not finished:
                free_at += [begin + duration] * (concurrency - 1)
            finished.append(duration)
            free_at = sorted([*free_at, begin + duration])
        latency = ab.summarise_latency(sorted(finished), None)
        parsed = report(complete=len(finished), seconds=deadline)
        measured = ab.Measured({}, latency, [], parsed)
        found = ab.censored(load(requests=1000, concurrency=concurrency), ended("", interrupted=True), measured)
        assert found["n"] == len(under_way)
        assert found["at_least_seconds"] <= min(under_way) + 1e-6


class TestSpoiltOutput:
    @given(
        st.sampled_from(["success", "mixed_503", "reset_r", "slow_c4", "sigint"]),
        st.integers(0, 1500),
        st.integers(0, 200),
        st.text(max_size=3),
        st.booleans(),
    )
    def test_whatever_is_cut_out_nothing_raises_and_no_count_is_impossible(
        self, name: str, begin: int, length: int, instead: str, spoil_the_csv: bool
    ) -> None:
        csv = FIXTURES / f"{name}.csv"
        stdout, csv_text = recorded(f"{name}.stdout"), csv.read_text() if csv.exists() else percentages([0.001] * 10)
        if spoil_the_csv:
            csv_text = csv_text[:begin] + instead + csv_text[begin + length :]
        else:
            stdout = stdout[:begin] + instead + stdout[begin + length :]
        measured = ab.measure(stdout, csv_text, 40, False, lengths=ab.KnownLengths(25, 25))
        reasons = codes(ab.invalid_reasons(load(requests=40), ended(stdout), measured, ab.KnownLengths(25, 25)))
        low, high = (measured.figures["requests"][key] for key in ("succeeded_min", "succeeded_max"))
        assert (low is None and reasons) or 0 <= low <= high <= 40
        samples = measured.figures["samples_seconds"]
        assert samples is None or samples == sorted(samples)
        if name != "slow_c4":
            assert reasons, "a load with failed or missing requests must not become valid by damage"
