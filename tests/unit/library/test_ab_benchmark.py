# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The module with real ab against a server whose every answer is known."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule
from evenkeel import ab

from tests.standins.http_server import (
    GOOD_ANSWER,
    GOOD_BODY,
    HttpServer,
    Reply,
    always,
    between,
    every_second,
    http_server,
)

REFUSED_URL = "http://127.0.0.1:1/"
FACTS = {
    "valid",
    "invalid_reasons",
    "argv",
    "ab_version",
    "requests",
    "window",
    "wall_seconds",
    "ab_seconds",
    "throughput_rps",
    "latency_seconds",
    "samples_seconds",
    "censored",
    "bytes_total",
    "bytes_body",
    "document_length",
    "first_request_seconds",
}


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("ab_benchmark")


@pytest.fixture
def run(module: ModuleType, run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def run(target: HttpServer | str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        url = target if isinstance(target, str) else target.url
        return run_module(module, {"url": url, "timeout_seconds": 20, **options}, check_mode)

    return run


def facts_of(result: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = result["ansible_facts"]["ab_benchmark"]
    assert set(facts) >= FACTS
    assert facts["valid"] is (facts["invalid_reasons"] == [])
    assert codes(facts) <= set(ab.REASON_CODES)
    return facts


def codes(facts: dict[str, Any]) -> set[str]:
    return {reason.split(": ", 1)[0] for reason in facts["invalid_reasons"]}


def fake_ab(folder: Path, script: str) -> str:
    """A stand-in for ab: a shell script that answers -V as ApacheBench does and then does as it is told."""
    path = folder / "ab-stand-in"
    banner = "This is ApacheBench, Version 2.3 <$Revision: 0 $>"
    path.write_text(f"#!/bin/sh\n[ \"$1\" = -V ] && echo '{banner}' && exit 0\n{script}\n")
    path.chmod(0o755)
    return str(path)


class TestGoodLoad:
    def test_every_figure(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(always(Reply(delay_seconds=0.02))) as server:
            result = run(
                server,
                requests=40,
                concurrency=4,
                variable_length=False,
                expect=GOOD_ANSWER,
                artifact_dir=str(tmp_path / "artifacts"),
            )
            arrivals = [request.at_seconds for request in server.received]
        facts = facts_of(result)
        assert not result["failed"]
        assert not result["changed"]
        assert facts["valid"]
        counts = facts["requests"]
        assert counts.pop("planned") == counts.pop("complete") == counts.pop("succeeded") == 40
        assert counts.pop("succeeded_min") == counts.pop("succeeded_max") == 40
        assert set(counts.values()) == {0}
        assert len(arrivals) == 42, "one probe before, one after"
        assert facts["window"]["start_monotonic_seconds"] < arrivals[1]
        assert arrivals[40] < facts["window"]["end_monotonic_seconds"] < arrivals[41]
        assert facts["wall_seconds"] >= facts["ab_seconds"] >= 0.2
        assert facts["throughput_rps"] == pytest.approx(40 / facts["ab_seconds"])
        assert facts["bytes_body"] == 40 * len(GOOD_BODY)
        assert facts["document_length"] == len(GOOD_BODY)
        assert facts["first_request_seconds"] >= 0.02
        assert facts["censored"] == {"n": 0, "at_least_seconds": None}
        assert 0 < facts["client"]["cpu_seconds"] < facts["wall_seconds"] * os.cpu_count()  # type: ignore[operator]
        assert facts["probes"]["before"]["answer"] == GOOD_ANSWER

    def test_the_network_is_timed_where_it_is_asked_for(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            asked = facts_of(run(server, requests=4, connects=6))
            requests = len(server.received)
            silent = facts_of(run(server, requests=4))
        assert asked["valid"]
        assert (asked["connect_seconds"]["n"], asked["connect_seconds"]["reason"]) == (6, None)
        assert 0 < asked["connect_seconds"]["min"] <= asked["connect_seconds"]["p50"] < 1
        assert requests == 6, "a connection alone is no request"
        assert silent["connect_seconds"] is None

    def test_the_clock_of_the_services_host_is_read_before_and_after_where_it_is_asked_for(
        self, run: Callable[..., dict[str, Any]]
    ) -> None:
        said = json.dumps({"monotonic_seconds": 1e6, "host_boot_id": "another"}).encode()
        with http_server(always(Reply())) as server, http_server(always(Reply(body=said))) as clock:
            asked = facts_of(run(server, requests=4, clock_url=f"{clock.url}clock"))
            times = [one.at_seconds for one in clock.received]
            silent = facts_of(run(server, requests=4))
        assert asked["valid"]
        assert [asked["clock"][edge]["host_boot_id"] for edge in ("before", "after")] == ["another"] * 2
        assert len(times) == 40
        assert times[19] < asked["window"]["start_monotonic_seconds"]
        assert asked["window"]["end_monotonic_seconds"] < times[20]
        assert silent["clock"] is None

    def test_samples_are_the_csvs(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(lambda number: Reply(delay_seconds=0.01 * (number % 5))) as server:
            facts = facts_of(run(server, requests=20, artifact_dir=str(tmp_path)))
        csv = (tmp_path / "ab.csv").read_text()
        rows = {float(line.split(",")[1]) / 1000 for line in csv.splitlines()[1:]}
        assert len(facts["samples_seconds"]) == 20
        assert all(min(abs(sample - row) for row in rows) < 1e-9 for sample in facts["samples_seconds"])
        assert facts["latency_seconds"]["mean"] == pytest.approx(sum(facts["samples_seconds"]) / 20)
        assert facts["latency_seconds"]["max"] == facts["samples_seconds"][-1] >= 0.04
        for artifact in facts["artifacts"]:
            assert artifact["sha256"] == hashlib.sha256(Path(artifact["path"]).read_bytes()).hexdigest()
        assert {Path(artifact["path"]).name for artifact in facts["artifacts"]} == {"ab.txt", "ab.csv"}

    def test_figures_follow_from_the_artifacts_alone(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(every_second(Reply(), Reply(502, b"no"))) as server:
            options = {"variable_length": False, "fail_on_invalid": False, "artifact_dir": str(tmp_path)}
            result = run(server, **options)
        facts = facts_of(result)
        assert (tmp_path / "ab.txt").read_text() == result["report"]
        assert (tmp_path / "ab.csv").read_text() == result["csv"]
        lengths = ab.KnownLengths(**facts["body_lengths"])
        again = ab.measure(
            (tmp_path / "ab.txt").read_text(), (tmp_path / "ab.csv").read_text(), 10, False, lengths=lengths
        )
        assert {key: facts[key] for key in again.figures} == again.figures

    def test_beyond_a_hundred_requests(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, requests=300))
        assert facts["valid"]
        assert facts["samples_seconds"] is None
        assert len(facts["quantiles_seconds"]) == 101
        assert facts["latency_seconds"]["p99"] <= facts["latency_seconds"]["max"]

    def test_a_post_sends_the_file_byte_by_byte(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        image = bytes(range(256)) * 4
        (tmp_path / "image.png").write_bytes(image)
        with http_server(always(Reply())) as server:
            options = {"method": "POST", "body_path": str(tmp_path / "image.png"), "content_type": "image/png"}
            facts = facts_of(run(server, headers={"X-Trial": "b 01"}, **options))
            received = list(server.received)
        assert facts["valid"]
        assert {(request.method, request.body) for request in received} == {("POST", image)}
        assert {request.headers["content-type"] for request in received} == {"image/png"}
        assert {request.headers["x-trial"] for request in received} == {"b 01"}

    def test_keepalive(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, keepalive=True))
        assert facts["valid"]
        assert facts["keepalive_requests"] == 10

    def test_it_is_sized_to_last(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(between(0, 1, Reply(delay_seconds=0.3), Reply(delay_seconds=0.02))) as server:
            facts = facts_of(run(server, at_least_seconds=0.2, at_most_requests=60))
        assert 10 <= facts["requests"]["planned"] <= 22, "the cold first request must not count"
        assert facts["requests"]["planned"] >= 0.2 * 2 / facts["sizing"]["probe_seconds"]
        assert facts["requests"]["complete"] == facts["requests"]["planned"]
        assert facts["first_request_seconds"] >= 0.3
        assert facts["sizing"]["probe_requests"] == 2

    def test_watchers_are_waited_for_and_stopped(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        ready, stop = tmp_path / "ready", tmp_path / "stop"
        stamped: list[float] = []

        def get_ready() -> None:
            stamped.append(time.clock_gettime(time.CLOCK_MONOTONIC))
            ready.touch()

        timer = threading.Timer(0.3, get_ready)
        timer.start()
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, ready_file=str(ready), stop_file=str(stop)))
        timer.join()
        assert facts["window"]["start_monotonic_seconds"] > stamped[0]
        assert stop.exists()


class TestBadLoad:
    """No default load with a failed request is valid, and every count is what the server did."""

    @pytest.mark.parametrize("body", [GOOD_BODY, b"bad gateway"], ids=["same length", "other length"])
    @pytest.mark.parametrize("variable_length", [True, False])
    def test_half_502(self, run: Callable[..., dict[str, Any]], body: bytes, variable_length: bool) -> None:
        with http_server(every_second(Reply(), Reply(502, body))) as server:
            result = run(server, requests=20, variable_length=variable_length)
        facts = facts_of(result)
        assert result["failed"]
        assert "failed_requests" in codes(facts)
        assert {"msg", "operation", "argv", "rc", "stdout_tail", "stderr_tail", "next_step"} <= set(result)
        assert facts["requests"]["non_2xx"] == 10
        assert facts["requests"]["succeeded_min"] <= 10 <= facts["requests"]["succeeded_max"]
        assert facts["requests"]["succeeded"] == (10 if variable_length else facts["requests"]["succeeded"])
        assert len(facts["samples_seconds"]) == 20
        assert facts["latency_seconds"]["mean"] is None

    @pytest.mark.parametrize("status", [301, 404, 500, 503])
    def test_nothing_but_errors(self, run: Callable[..., dict[str, Any]], status: int) -> None:
        with http_server(always(Reply(status))) as server:
            facts = facts_of(run(server))
        assert codes(facts) == {"probe_failed", "failed_requests"}
        assert facts["requests"]["succeeded"] == 0
        assert facts["throughput_rps"] == 0
        assert facts["first_request_seconds"] is None, "a failure is not a latency"

    @pytest.mark.parametrize("fault", ["empty", "truncate", "garbage"])
    def test_faults_that_l_hides(self, run: Callable[..., dict[str, Any]], fault: Any) -> None:
        with http_server(lambda number: Reply(fault=fault if number in (2, 4, 6) else "none")) as server:
            result = run(server)
        facts = facts_of(result)
        assert result["failed"]
        assert codes(facts) == {"body_bytes"}
        assert facts["requests"]["complete"] == 10
        assert facts["requests"]["failed"] == 0

    def test_a_reset(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(lambda number: Reply(fault="reset" if number == 3 else "none")) as server:
            result = run(server, timeout_seconds=1)
        facts = facts_of(result)
        assert result["failed"]
        # ab either counts the reset or, if it came with an error of poll(), waits for a request that it forgot.
        if codes(facts) == {"failed_requests"}:
            assert facts["requests"]["lost"] == 1
            assert facts["requests"]["succeeded"] == 9
        else:
            assert codes(facts) == {"ab_timeout"}
            assert facts["requests"]["complete"] is None

    def test_one_answer_cut_off_among_varying_ones(self, run: Callable[..., dict[str, Any]]) -> None:
        def reply(number: int) -> Reply:
            return Reply(body=b'{"time": %d, "padding": "%s"}' % (1000 + number, b"x" * (100 + number % 3)))

        with http_server(reply) as server:
            assert facts_of(run(server, requests=20))["valid"]
        with http_server(lambda number: Reply(fault="empty") if number == 7 else reply(number)) as server:
            assert codes(facts_of(run(server, requests=20))) == {"body_bytes"}

    def test_a_length_error_is_a_wrong_answer_where_the_body_is_constant(
        self, run: Callable[..., dict[str, Any]]
    ) -> None:
        with http_server(between(4, 7, Reply(body=GOOD_BODY + b" "), Reply())) as server:
            facts = facts_of(run(server, variable_length=False))
        assert "failed_requests" in codes(facts)
        assert facts["requests"]["failed_length"] == 3
        assert facts["requests"]["succeeded"] == 7

    def test_a_wrong_first_answer_in_the_load(self, run: Callable[..., dict[str, Any]]) -> None:
        # One at a time: of two under way, a busy host may count the second one first.
        with http_server(between(1, 2, Reply(500, b"x"), Reply())) as server:
            facts = facts_of(run(server, variable_length=False, concurrency=1))
        assert facts["document_length"] == 1
        assert facts["requests"]["failed_length"] == 9
        assert facts["requests"]["succeeded_max"] == 9
        assert "failed_requests" in codes(facts)

    def test_wrong_answers_at_full_speed(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            result = run(server, expect={"accuracy": 0.75, "missing": 1})
        facts = facts_of(result)
        assert codes(facts) == {"wrong_answer"}
        assert "accuracy is 0.7421, expected 0.75; missing is missing (before the load)" in result["msg"]
        assert len(facts["samples_seconds"]) == 10, "the raw figures are kept"

    def test_an_answer_that_turns_wrong_during_the_load(self, run: Callable[..., dict[str, Any]]) -> None:
        wrong = Reply(body=GOOD_BODY.replace(b"0.7421", b"0.1000"))
        with http_server(between(0, 6, Reply(), wrong)) as server:
            facts = facts_of(run(server, expect={"accuracy": 0.7421}))
        assert codes(facts) == {"wrong_answer"}
        assert "after the load" in facts["invalid_reasons"][0]

    def test_an_answer_that_is_not_json(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply(body=b"<html>hello</html>"))) as server:
            assert codes(facts_of(run(server, expect={"accuracy": 0.7}))) == {"wrong_answer"}
            assert facts_of(run(server))["valid"], "without expect any body will do"

    def test_two_probes_that_differ(self, run: Callable[..., dict[str, Any]]) -> None:
        other = Reply(body=GOOD_BODY.replace(b"7421", b"7422"))
        with http_server(between(0, 6, Reply(), other)) as server:
            assert codes(facts_of(run(server, variable_length=False))) == {"answer_changed"}

    def test_a_restart_during_the_load(self, run: Callable[..., dict[str, Any]]) -> None:
        first, second = (Reply(body=b'{"instance_id": "%s"}' % name) for name in (b"aa", b"bb"))
        with http_server(between(0, 6, first, second)) as server:
            assert codes(facts_of(run(server))) == {"instance_changed"}

    def test_a_server_that_dies_in_the_middle(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply(delay_seconds=0.05))) as server:
            timer = threading.Timer(0.4, server.close)
            timer.start()
            result = run(server, requests=40, timeout_seconds=2)
            timer.join()
        facts = facts_of(result)
        assert result["failed"]
        assert "probe_failed" in codes(facts)
        assert {"failed_requests", "connect_failures", "connection_refused", "no_report", "ab_timeout"} & codes(facts)

    def test_errors_that_are_allowed(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(between(5, 6, Reply(503), Reply())) as server:
            facts = facts_of(run(server, requests=20, max_error_rate=0.05))
        assert facts["valid"]
        assert facts["requests"]["succeeded"] == 19

    def test_no_body_at_all(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply(body=b""))) as server:
            assert codes(facts_of(run(server))) == {"empty_answers"}

    def test_facts_without_failing(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply(500))) as server:
            result = run(server, fail_on_invalid=False)
        assert not result["failed"]
        assert not facts_of(result)["valid"]

    def test_nobody_there(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        result = run(REFUSED_URL, stop_file=str(tmp_path / "stop"))
        facts = facts_of(result)
        assert result["failed"]
        assert codes(facts) == {"probe_failed"}
        assert "connection refused" in result["msg"]
        assert facts["window"] is None
        assert facts["requests"]["complete"] is None
        assert ab.measure(result["report"], result["csv"], 10, True).figures.items() <= facts.items()
        assert (tmp_path / "stop").exists()


class TestTimes:
    def test_abs_time_out_loses_everything(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(between(5, 7, Reply(fault="stall"), Reply())) as server:
            result = run(server, timeout_seconds=1)
        facts = facts_of(result)
        assert "ab_timeout" in codes(facts)
        assert facts["requests"]["complete"] is None
        assert facts["samples_seconds"] is None
        assert facts["censored"] == {"n": None, "at_least_seconds": 1}

    def test_at_the_deadline_what_was_finished_is_kept(
        self, run: Callable[..., dict[str, Any]], tmp_path: Path
    ) -> None:
        # The load's requests are number 1 and on; after the fourth both connections stall.
        script = between(5, 7, Reply(fault="stall"), Reply(delay_seconds=0.05))
        with http_server(script) as server:
            result = run(server, deadline_seconds=0.8, artifact_dir=str(tmp_path))
        facts = facts_of(result)
        assert result["failed"]
        assert codes(facts) == {"deadline", "incomplete"}
        assert facts["requests"]["complete"] == facts["requests"]["succeeded"] == 4
        assert len(facts["samples_seconds"]) == 4
        assert facts["latency_seconds"]["n"] == 4
        assert facts["censored"]["n"] == 2
        assert 0.1 < facts["censored"]["at_least_seconds"] < 0.75
        assert 0.8 <= facts["wall_seconds"] < 5
        assert (tmp_path / "ab.csv").exists()

    def test_at_the_deadline_without_one_answer(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(between(1, 2, Reply(fault="stall"), Reply())) as server:
            facts = facts_of(run(server, deadline_seconds=0.5, timeout_seconds=1))
        assert {"deadline", "incomplete"} <= codes(facts)
        assert facts["requests"]["complete"] == 0
        assert facts["samples_seconds"] == []
        assert facts["censored"]["n"] == 1

    def test_a_slow_first_answer_is_told_apart(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(between(0, 1, Reply(delay_seconds=0.5), Reply())) as server:
            facts = facts_of(run(server))
        assert facts["valid"]
        assert facts["first_request_seconds"] >= 0.5
        assert facts["latency_seconds"]["max"] < 0.4

    def test_a_watcher_that_never_gets_ready(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(always(Reply())) as server:
            result = run(
                server,
                ready_file=str(tmp_path / "never"),
                ready_deadline_seconds=0.1,
                stop_file=str(tmp_path / "stop"),
            )
            received = len(server.received)
        assert result["failed"]
        assert f"waited 0.1 s for {tmp_path}/never" in result["msg"]
        assert result["operation"] == "wait for ready_file"
        assert received == 1, "no load was sent"
        assert (tmp_path / "stop").exists()


class TestOptions:
    @pytest.mark.parametrize(
        ("options", "said"),
        [
            ({"requests": 1}, "requests is 1 and concurrency 2"),
            ({"concurrency": 0}, "concurrency is 0"),
            ({"timeout_seconds": 0}, "timeout_seconds is 0"),
            ({"timeout_seconds": -3}, "timeout_seconds is -3"),
            ({"deadline_seconds": 0}, "deadline_seconds is 0.0"),
            ({"deadline_seconds": "inf"}, "deadline_seconds is inf"),
            ({"deadline_seconds": "nan"}, "deadline_seconds is nan"),
            ({"connects": -1}, "connects is -1: from 0 to 1000 connections are opened"),
            ({"ready_deadline_seconds": -1}, "ready_deadline_seconds is -1"),
            ({"clock_url": "10.0.0.7/clock"}, "clock_url: unsupported URL '10.0.0.7/clock'"),
            ({"at_least_seconds": -1}, "at_least_seconds is -1"),
            ({"at_least_seconds": 1, "requests": 200}, "at_most_requests is 100 and requests, the fewest, 200"),
            ({"url": "http://127.0.0.1:8081"}, "no path"),
            ({"url": "gopher://127.0.0.1/"}, "http:// or https://"),
            ({"method": "POST"}, "needs body or body_path"),
            ({"body": "x"}, "set method to POST or PUT"),
            ({"method": "POST", "body_path": "/nonexistent"}, "/nonexistent cannot be read"),
            ({"method": "BREW"}, "method must be one of"),
            ({"requests": "many"}, "requests"),
        ],
    )
    def test_bad_values_are_named_before_any_traffic(
        self, run: Callable[..., dict[str, Any]], options: dict[str, Any], said: str
    ) -> None:
        with http_server(always(Reply())) as server:
            result = run(options.pop("url", server.url), **options)
            assert server.received == []
        assert result["failed"]
        assert said in result["msg"]

    def test_bad_options_stop_the_watchers_too(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        assert run(REFUSED_URL, requests=0, stop_file=str(tmp_path / "stop"))["failed"]
        assert (tmp_path / "stop").exists()

    def test_check_mode_sends_nothing_and_needs_no_ab(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(always(Reply())) as server:
            result = run(server, check_mode=True, ab_path="ab-not-there", stop_file=str(tmp_path / "stop"))
            assert server.received == []
        assert not result["failed"]
        assert not result["changed"]
        assert result["argv"][0] == "ab-not-there"
        assert "ansible_facts" not in result
        assert list(tmp_path.glob("stop")) == []

    def test_check_mode_refuses_bad_values_too(self, run: Callable[..., dict[str, Any]]) -> None:
        assert run(REFUSED_URL, check_mode=True, requests=0)["failed"]

    def test_every_fact_is_documented(self, module: ModuleType, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server))
        returned = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["ab_benchmark"]["contains"]
        assert set(facts) == set(returned)


class TestProgram:
    def test_missing(self, run: Callable[..., dict[str, Any]]) -> None:
        result = run(REFUSED_URL, ab_path="ab-that-is-not-there")
        assert result["failed"]
        assert "ab-that-is-not-there" in result["msg"]
        assert "apt-get install apache2-utils" in result["next_step"]

    def test_another_program(self, run: Callable[..., dict[str, Any]]) -> None:
        with http_server(always(Reply())) as server:
            result = run(server, ab_path="echo")
            assert server.received == []
        assert result["failed"]
        assert "is not ApacheBench" in result["msg"]

    def test_one_that_does_not_know_an_option(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        usage = "echo \"ab: invalid option -- 'l'\" >&2; echo 'Usage: ab [options] [http://]hostname/path' >&2; exit 22"
        with http_server(always(Reply())) as server:
            result = run(server, ab_path=fake_ab(tmp_path, usage))
        assert result["failed"]
        assert "invalid option -- 'l'" in result["msg"]
        assert "2.4.7" in result["next_step"]
        assert result["rc"] == 22

    def test_one_that_crashes(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(always(Reply())) as server:
            result = run(server, ab_path=fake_ab(tmp_path, "echo 'This is ApacheBench, Version 2.3'; kill -SEGV $$"))
        assert codes(facts_of(result)) == {"no_report"}
        assert result["rc"] == -11

    def test_one_that_ignores_the_interrupt_is_killed(
        self, run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr("ansible.module_utils.evenkeel.ab_load.INTERRUPT_GRACE_SECONDS", 0.2)
        stubborn = "trap '' INT; while :; do sleep 1; done"
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, ab_path=fake_ab(tmp_path, stubborn), deadline_seconds=0.2))
        assert codes(facts) == {"deadline"}
        assert facts["exit_code"] == -9
        assert facts["wall_seconds"] < 10

    @pytest.mark.parametrize(
        ("spoil", "said"),
        [
            ("rm $4", "did not write it"),
            (": > $4", "line 1 is ''"),
            ("head -c 300 $4 > $4.new; mv $4.new $4", "cut off"),
            ("sed -i 's/^50,.*/50,-1/' $4", "line 52"),
        ],
    )
    def test_a_spoilt_csv_keeps_the_counts(
        self, run: Callable[..., dict[str, Any]], tmp_path: Path, spoil: str, said: str
    ) -> None:
        # -q -r -e FILE: the file is the fourth argument.
        program = fake_ab(tmp_path, f'{shutil.which("ab")} "$@"; {spoil}')
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, ab_path=program))
        assert codes(facts) == {"percentages_unusable"}
        assert said in facts["invalid_reasons"][0]
        assert facts["requests"]["succeeded"] == 10
        assert facts["samples_seconds"] is None

    def test_html(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with http_server(always(Reply())) as server:
            facts = facts_of(run(server, ab_path=fake_ab(tmp_path, f'{shutil.which("ab")} -w "$@"')))
        assert codes(facts) == {"report_unusable"}
        assert "-w" in facts["invalid_reasons"][0]

    def test_artifacts_that_cannot_be_kept(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        (tmp_path / "file").touch()
        with http_server(always(Reply())) as server:
            result = run(server, artifact_dir=str(tmp_path / "file" / "below"), stop_file=str(tmp_path / "stop"))
        assert result["failed"]
        assert result["operation"] == "keep ab's output"
        assert (tmp_path / "stop").exists()

    def test_a_stop_file_that_cannot_be_made_is_said(
        self, run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        # Where Ansible's controller is loaded into this process, as other tests do, a warning goes to its display.
        said: list[str] = []
        monkeypatch.setattr(AnsibleModule, "warn", lambda _module, text: said.append(text))
        (tmp_path / "file").touch()
        with http_server(always(Reply())) as server:
            result = run(server, stop_file=str(tmp_path / "file" / "stop"))
        assert not result["failed"]
        assert re.search("stop_file .* cannot be made", str(said))
