# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The module against real servers whose every answer is known."""

from __future__ import annotations

import asyncio
import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from ansible.module_utils.evenkeel import open_loop as module_utils_open_loop
from ansible.module_utils.evenkeel import open_loop_run
from evenkeel import open_loop, open_loop_client

from tests.standins.raw_server import GOOD_BODY, answer, good_after, raw_server

REFUSED_URL = "http://127.0.0.1:1/"
ROOT = Path(__file__).resolve().parents[3]
# The lag of a busy machine is not what these tests are about; those that are say so.
LAG_CODES = {"generator_lagged", "rate_not_achieved"}


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("open_loop_benchmark")


@pytest.fixture
def run(module: ModuleType, run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def run(url: str, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        defaults = {"url": url, "rate_rps": 100, "seconds": 0.5, "arrivals": "uniform", "fail_on_invalid": False}
        return run_module(module, {**defaults, **options}, check_mode)

    return run


def facts_of(result: dict[str, Any]) -> dict[str, Any]:
    facts: dict[str, Any] = result["ansible_facts"]["open_loop_benchmark"]
    assert facts["valid"] is (facts["invalid_reasons"] == [])
    assert codes(facts) <= set(open_loop.REASON_CODES)
    counts = facts["requests"]
    parts = ("succeeded", "failed", "censored", "dropped", "unsent")
    assert counts["planned"] == sum(counts[name] for name in parts), "each arrival is counted once"
    assert counts["sent"] == counts["planned"] - counts["dropped"] - counts["unsent"]
    return facts


def codes(facts: dict[str, Any]) -> set[str]:
    return {reason.split(": ", 1)[0] for reason in facts["invalid_reasons"]}


class TestGoodLoad:
    def test_every_figure(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with raw_server(good_after(lambda _: 0.03)) as server:
            result = run(
                server.url, method="POST", body="image", expect={"class": 3}, artifact_dir=str(tmp_path / "kept")
            )
            arrived = list(server.arrived)
            bodies = set(server.bodies)
        facts = facts_of(result)
        assert not result["failed"]
        assert not result["changed"]
        assert codes(facts) <= LAG_CODES
        assert facts["requests"]["planned"] == facts["requests"]["succeeded"] == 50
        assert (facts["errors"], facts["error_rate"]) == ({}, 0)
        assert len(arrived) == 52, "one probe before, one after"
        assert bodies == {b"image"}
        assert facts["offered_rps"] == 100
        assert facts["latency_seconds"]["n"] == 50
        assert facts["latency_seconds"]["min"] >= 0.03
        assert facts["latency_seconds"]["p99"] is None, "50 requests have no 99th percentile"
        assert facts["at_least"] == []
        assert facts["bytes_body"] == 50 * len(GOOD_BODY)
        assert facts["window"]["start_monotonic_seconds"] <= arrived[1]
        assert arrived[50] <= facts["window"]["end_monotonic_seconds"] <= arrived[51]
        assert 0 < facts["client"]["cpu_seconds"] < 10
        assert len(facts["samples_seconds"]) == 50
        rows = open_loop.from_csv((tmp_path / "kept" / "open_loop.csv").read_text())
        assert [row.intended_seconds for row in rows] == [index / 100 for index in range(50)]
        assert [row.latency_seconds for row in rows] == facts["samples_seconds"]
        measured = open_loop.measure(rows, 0.5, 100.0)
        assert {key: facts[key] for key in measured} == measured, "figures follow from the artifact alone"
        (kept,) = facts["artifacts"]
        assert kept["sha256"] == hashlib.sha256(Path(kept["path"]).read_bytes()).hexdigest()

    def test_more_than_1000_values_are_in_the_file_alone(
        self, run: Callable[..., dict[str, Any]], tmp_path: Path
    ) -> None:
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts = facts_of(run(server.url, rate_rps=700, seconds=1.5, artifact_dir=str(tmp_path)))
        assert facts["requests"]["planned"] == 1050
        assert facts["samples_seconds"] is None
        assert len((tmp_path / "open_loop.csv").read_text().splitlines()) == 1051

    def test_a_new_connection_for_each_request_unless_keepalive(self, run: Callable[..., dict[str, Any]]) -> None:
        with raw_server(good_after(lambda _: 0.0)) as server:
            closed = facts_of(run(server.url))
            connections = server.connections
        with raw_server(good_after(lambda _: 0.0, keep=True), keep=True) as server:
            kept = facts_of(run(server.url, keepalive=True))
            reused = server.connections
        assert closed["requests"]["succeeded"] == kept["requests"]["succeeded"] == 50
        assert connections == 52
        assert reused < 52

    def test_poisson_with_a_seed_is_the_same_again(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        intended = []
        with raw_server(good_after(lambda _: 0.0)) as server:
            for number, seed in enumerate((7, 7, 8)):
                folder = tmp_path / str(number)
                run(server.url, arrivals="poisson", seed=seed, artifact_dir=str(folder))
                rows = open_loop.from_csv((folder / "open_loop.csv").read_text())
                intended.append([row.intended_seconds for row in rows])
        assert intended[0] == intended[1] != intended[2]

    def test_check_mode_sends_nothing(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        with raw_server(good_after(lambda _: 0.0)) as server:
            result = run(server.url, check_mode=True, stop_file=str(tmp_path / "stop"))
            assert server.arrived == []
        assert result["plan"]["requests"] == 50
        assert not (tmp_path / "stop").exists()

    def test_watchers_are_waited_for_and_told(self, run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
        (tmp_path / "ready").touch()
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts_of(run(server.url, ready_file=[str(tmp_path / "ready")], stop_file=str(tmp_path / "stop")))
            missing = run(server.url, ready_file=[str(tmp_path / "never")], ready_deadline_seconds=0.1)
        assert (tmp_path / "stop").exists()
        assert missing["failed"] and "never" in missing["msg"]

    def test_the_clock_of_the_services_host_is_read_before_and_after(self, run: Callable[..., dict[str, Any]]) -> None:
        body = json.dumps({"monotonic_seconds": 1e6, "host_boot_id": "another"}).encode()

        async def script(_number: int, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(body))

        with raw_server(good_after(lambda _: 0.0)) as server, raw_server(script) as clock:
            facts = facts_of(run(server.url, clock_url=clock.url))
            arrived = list(clock.arrived)
        assert [facts["clock"][edge]["n"] for edge in ("before", "after")] == [20, 20]
        assert arrived[19] < facts["window"]["start_monotonic_seconds"]
        assert facts["window"]["end_monotonic_seconds"] < arrived[20]

    def test_it_begins_at_a_moment_that_several_hosts_can_be_told(self, run: Callable[..., dict[str, Any]]) -> None:
        moment = time.time() + 1.5
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts = facts_of(run(server.url, seconds=0.1, begin_utc_seconds=moment))
        assert facts["begin"]["planned_utc_seconds"] == pytest.approx(moment)
        assert 0 <= facts["begin"]["utc_seconds"] - moment + 0.001 < 1

    def test_a_moment_that_is_over_is_begun_at_once(self, run: Callable[..., dict[str, Any]]) -> None:
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts = facts_of(run(server.url, seconds=0.1, begin_utc_seconds=1000.0))
            assert facts_of(run(server.url, seconds=0.1))["begin"] is None
        assert facts["begin"]["utc_seconds"] > 1e9

    def test_a_moment_of_a_clock_that_is_wrong_is_not_waited_for(self, run: Callable[..., dict[str, Any]]) -> None:
        with raw_server(good_after(lambda _: 0.0)) as server:
            result = run(server.url, begin_utc_seconds=time.time() + 3600)
        assert result["failed"]
        assert "s ahead of this host's wall clock" in result["msg"]
        assert "set this host's clock" in result["next_step"]

    def test_a_cpu_of_its_own(self, run: Callable[..., dict[str, Any]]) -> None:
        before = os.sched_getaffinity(0)
        one = min(before)
        try:
            with raw_server(good_after(lambda _: 0.0)) as server:
                facts = facts_of(run(server.url, cpus=[one]))
                absent = run(server.url, cpus=[100_000])
        finally:
            os.sched_setaffinity(0, before)
        assert facts["cpus"] == [one]
        assert absent["failed"] and "100000" in absent["msg"]

    def test_it_comes_first_where_it_may_and_as_usual_afterwards(self, run: Callable[..., dict[str, Any]]) -> None:
        usual = os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)
        asked = [sys.executable, "-c", "import os; os.sched_setscheduler(0, os.SCHED_FIFO, os.sched_param(1))"]
        may = subprocess.run(asked, capture_output=True, check=False).returncode == 0
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts = facts_of(run(server.url))
        assert facts["policy"] == ("fifo" if may else "other")
        assert (os.sched_getscheduler(0), os.getpriority(os.PRIO_PROCESS, 0)) == usual


class TestStall:
    def test_a_stall_of_2_s_is_met_by_all_that_arrive_meanwhile(self, run: Callable[..., dict[str, Any]]) -> None:
        """Arithmetic: 50/s for 8 s are 400 arrivals, 20 ms apart. From 2 s to 4 s after the begin nothing is answered.

        A request that is due at t in [2, 4) is answered at 4: it waits 4 - t, so the 100 of them wait 2.00, 1.98 ...
        0.02 s; the other 300 wait next to nothing. In ascending order the k-th of the 100 (k from 1) waits 0.02 k and
        is number 299 + k, counted from 0. A percentile q by type 7 is at 399 q: p90 at 359.1 is k = 60.1, 1.202 s; p95
        at 379.05 is k = 80.05, 1.601 s; p99 at 395.01 is k = 96.01, 1.9202 s. The mean is 100 x 1.01 / 400 = 0.2525 s.
        """
        begun: list[float] = []

        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            now = time.monotonic()
            if number == 1:
                begun.append(now)  # the first of the load; number 0 is the probe
            since = now - begun[0] if begun else 0.0
            if 2.0 - 0.002 <= since < 4.0:
                await asyncio.sleep(4.0 - since)
            writer.write(answer())

        with raw_server(script) as server:
            facts = facts_of(run(server.url, rate_rps=50, seconds=8))
        latency = facts["latency_seconds"]
        assert facts["requests"]["succeeded"] == latency["n"] == 400
        assert latency["p90"] == pytest.approx(1.202, rel=0.05)
        assert latency["p95"] == pytest.approx(1.601, rel=0.05)
        assert latency["p99"] == pytest.approx(1.9202, rel=0.05)
        assert latency["max"] == pytest.approx(2.0, rel=0.05)
        assert latency["mean"] == pytest.approx(0.2525, rel=0.05)
        assert 90 <= facts["most_under_way"] <= 110, "nobody waited for an answer before sending"

    def test_a_server_that_hangs_is_censored_and_not_dropped(self, run: Callable[..., dict[str, Any]]) -> None:
        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            if number % 2 == 1:
                await asyncio.sleep(30)
            writer.write(answer())

        with raw_server(script) as server:
            facts = facts_of(run(server.url, seconds=0.4, timeout_seconds=0.6))
        assert facts["requests"]["censored"] == facts["errors"]["timeout"] == facts["censored"]["n"] == 20
        assert facts["censored"]["at_least_seconds"] >= 0.6
        assert facts["latency_seconds"]["n"] == 40
        assert facts["latency_seconds"]["p90"] >= 0.6
        assert {"p90", "mean", "max"} <= set(facts["at_least"])
        assert "failed_requests" in codes(facts)


class TestFailures:
    @pytest.mark.parametrize(
        ("written", "outcome"),
        [
            (answer(b"busy", 503), "non_2xx"),
            (answer(b'{"class": 4}'), "wrong_answer"),
            (answer(b"no json"), "wrong_answer"),
            (answer(b""), "wrong_answer"),
            (answer()[:-5], "protocol"),
            (b"this is not HTTP\r\n\r\n", "protocol"),
            (b"HTTP/1.1 200 OK\r\nContent-Length: 9999999999\r\n\r\n", "protocol"),
            (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n", "protocol"),
            (b"", "reset"),
            (b"HTTP/1.1 20", "reset"),
        ],
    )
    def test_each_counts_once_and_is_no_latency(
        self, run: Callable[..., dict[str, Any]], written: bytes, outcome: str
    ) -> None:
        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            # Bad from the second to the last but one of 22: the probes are good.
            writer.write(written if 1 <= number <= 10 else answer())

        with raw_server(script) as server:
            facts = facts_of(run(server.url, seconds=0.2, expect={"class": 3}))
        assert facts["errors"] == {outcome: 10}
        assert facts["requests"]["succeeded"] == facts["latency_seconds"]["n"] == 10
        assert "failed_requests" in codes(facts)
        assert ("wrong_answer" in codes(facts)) is (outcome == "wrong_answer")

    def test_nobody_listens(self, run: Callable[..., dict[str, Any]]) -> None:
        facts = facts_of(run(REFUSED_URL))
        assert codes(facts) == {"probe_failed"}
        assert facts["window"] is None

    def test_a_server_that_dies_within_the_load(self, run: Callable[..., dict[str, Any]]) -> None:
        servers: list[Any] = []

        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            writer.write(answer())
            if number == 10:
                servers[0].die()

        with raw_server(script) as server:
            servers.append(server)
            facts = facts_of(run(server.url))
        assert facts["errors"].get("refused", 0) > 20
        assert {"probe_failed", "failed_requests"} <= codes(facts)

    def test_an_allowed_share_of_failures_is_valid(self, run: Callable[..., dict[str, Any]]) -> None:
        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(b"busy", 503) if number % 5 == 2 else answer())

        with raw_server(script) as server:
            facts = facts_of(run(server.url, max_error_rate=0.5))
        assert facts["error_rate"] == pytest.approx(0.2)
        assert codes(facts) <= LAG_CODES

    def test_an_invalid_load_fails_the_task_and_keeps_its_facts(self, run: Callable[..., dict[str, Any]]) -> None:
        result = run(REFUSED_URL, fail_on_invalid=True)
        assert result["failed"]
        assert "not valid" in result["msg"]
        assert not facts_of(result)["valid"]


class TestWholeAnswers:
    @pytest.mark.parametrize(
        "pieces",
        [
            [b"HTTP/1.1 100 Continue\r\n\r\n", answer()],
            [bytes([byte]) for byte in answer()],
            [
                b'HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n{"cla\r\n',
                b'7;x=1\r\nss": 3}\r\n0\r\nT: 1\r\n\r\n',
            ],
            [b"HTTP/1.0 200 OK\r\n\r\n", b'{"class": 3}'],
        ],
        ids=["interim", "slow loris", "chunked", "until closed"],
    )
    def test_come_in_pieces(self, run: Callable[..., dict[str, Any]], pieces: list[bytes]) -> None:
        async def script(_number: int, writer: asyncio.StreamWriter) -> None:
            for piece in pieces:
                writer.write(piece)
                await writer.drain()
                await asyncio.sleep(0.0005)

        with raw_server(script) as server:
            facts = facts_of(run(server.url, seconds=0.2, expect={"class": 3}))
        assert facts["errors"] == {}
        assert facts["requests"]["succeeded"] == 20

    def test_a_loris_slower_than_the_time_out_is_censored(self, run: Callable[..., dict[str, Any]]) -> None:
        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            for byte in answer() if 1 <= number <= 5 else [answer()]:
                writer.write(bytes([byte]) if isinstance(byte, int) else byte)
                await writer.drain()
                await asyncio.sleep(0.02)

        with raw_server(script) as server:
            facts = facts_of(run(server.url, seconds=0.2, timeout_seconds=0.5))
        assert facts["errors"] == {"timeout": 5}

    def test_a_huge_body_is_refused_at_its_limit(self, run: Callable[..., dict[str, Any]]) -> None:
        async def script(number: int, writer: asyncio.StreamWriter) -> None:
            if 1 <= number <= 3:
                writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
                for _ in range(200):
                    writer.write(b"x" * 65536)
                    await writer.drain()
            else:
                writer.write(answer())

        with raw_server(script) as server:
            facts = facts_of(run(server.url, seconds=0.2))
        assert facts["errors"] == {"protocol": 3}


class TestEnds:
    def test_a_cap_counts_what_it_drops_and_is_not_valid(self, run: Callable[..., dict[str, Any]]) -> None:
        with raw_server(good_after(lambda _: 0.3)) as server:
            facts = facts_of(run(server.url, max_under_way=5))
        assert facts["most_under_way"] == 5
        assert facts["requests"]["dropped"] == facts["errors"]["dropped"] >= 30
        assert "dropped_requests" in codes(facts)

    def test_its_own_deadline_keeps_what_was_finished(self, run: Callable[..., dict[str, Any]]) -> None:
        with raw_server(good_after(lambda _: 0.15)) as server:
            facts = facts_of(run(server.url, seconds=5, deadline_seconds=0.5))
        counts = facts["requests"]
        assert "deadline" in codes(facts)
        assert counts["succeeded"] > 0 and facts["errors"]["unfinished"] > 0
        assert counts["unsent"] >= 400
        assert facts["window"]["end_monotonic_seconds"] - facts["window"]["start_monotonic_seconds"] < 3

    def test_a_signal_ends_it_and_keeps_what_was_finished(self) -> None:
        code = (
            "import json, sys; from evenkeel import ab, ab_load, open_loop_run as r;"
            "p = r.Plan(ab_load.Probing(ab.Load(sys.argv[1], 1, 1, 5)), 100, 60, 'uniform');"
            "print(json.dumps(r.run(p, r.Surroundings())))"
        )
        with raw_server(good_after(lambda _: 0.0)) as server:
            process = subprocess.Popen(
                [sys.executable, "-c", code, server.url],
                stdout=subprocess.PIPE,
                text=True,
                env={**os.environ, "PYTHONPATH": str(ROOT / "plugins" / "module_utils")},
            )
            deadline = time.monotonic() + 30
            while len(server.arrived) < 20 and time.monotonic() < deadline:
                time.sleep(0.05)
            process.send_signal(signal.SIGTERM)
            said, _ = process.communicate(timeout=30)
        facts = json.loads(said)
        assert "interrupted" in codes(facts)
        assert facts["requests"]["succeeded"] >= 10
        assert facts["requests"]["unsent"] > 5000

    def test_a_generator_that_lags_says_so(
        self, run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """Each judgement of an answer takes 30 ms of the generator's own time, at 100 answers a second."""

        def slow_judge(*_: Any) -> open_loop_client.Judge:
            def judge(_body: bytes) -> bool:
                time.sleep(0.03)
                return True

            return judge

        monkeypatch.setattr(open_loop_run, "judge_of", slow_judge)
        with raw_server(good_after(lambda _: 0.0)) as server:
            facts = facts_of(run(server.url))
        assert {"generator_lagged", "rate_not_achieved"} <= codes(facts)
        assert facts["lag_seconds"]["max"] > 0.1
        assert facts["latency_seconds"]["max"] >= facts["lag_seconds"]["max"], "the lag is in the latency"


class TestSweep:
    def test_the_knee_of_a_server_that_answers_50_a_second(
        self, run: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """One request at a time, 20 ms each or more: at most 50/s, and beyond it the queue only grows."""
        # Other tests run beside this one, and a lag of theirs would end the search.
        monkeypatch.setattr(module_utils_open_loop, "LAG_FLOOR_SECONDS", 0.2)
        monkeypatch.setattr(module_utils_open_loop, "LEAST_ACHIEVED", 0.5)
        lock = asyncio.Lock()

        async def script(_number: int, writer: asyncio.StreamWriter) -> None:
            async with lock:
                await asyncio.sleep(0.02)
            writer.write(answer())

        with raw_server(script) as server:
            sweep = {"factor": 2, "refinements": 1, "slowdown": 20, "most_steps": 6}
            facts = facts_of(run(server.url, rate_rps=10, seconds=2, sweep=sweep))
        found = facts["sweep"]
        assert facts["valid"], facts["invalid_reasons"]
        assert found["state"] == "found"
        assert 10 <= found["knee_rps"] < 55
        assert found["knee_rps"] < found["upper_rps"] <= 80
        assert found["steps"][0]["held"]
        assert found["steps"][-1]["broken"] or found["steps"][-1]["held"]
        assert "the highest rate" in found["definition"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"rate_rps": 0}, "rate_rps is 0"),
        ({"seconds": -1}, "seconds is -1"),
        ({"rate_rps": 1e6, "seconds": 60}, "at most 1000000"),
        ({"timeout_seconds": 0}, "timeout_seconds is 0"),
        ({"max_error_rate": 2}, "max_error_rate is 2"),
        ({"max_under_way": 0}, "max_under_way is 0"),
        ({"cpus": [-1]}, "cpus is"),
        ({"method": "POST"}, "needs body or body_path"),
        ({"body": "x"}, "a GET request has no body"),
        ({"sweep": {"factor": 1}}, "sweep.factor is 1"),
        ({"url": "ftp://127.0.0.1/"}, "http://"),
        ({"clock_url": "nowhere"}, "clock_url: unsupported URL 'nowhere'"),
        ({"begin_utc_seconds": -1}, "begin_utc_seconds is -1"),
    ],
)
def test_impossible_options_are_refused_by_name(
    run: Callable[..., dict[str, Any]], options: dict[str, Any], said: str
) -> None:
    result = run(**{"url": REFUSED_URL, **options})
    assert result["failed"]
    assert said in result["msg"]
    assert result["next_step"]


def test_a_load_that_ran_beside_others_is_taken_by_its_recording(
    module: ModuleType, run_module: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "j7.1"
    path.write_text(json.dumps({"ansible_facts": {"open_loop_benchmark": {"valid": True}}, "changed": False}))
    job = {"ansible_job_id": "j7.1", "results_file": str(path), "started": 1, "finished": 0}
    result = run_module(module, {"recording": job})
    assert result["ansible_facts"] == {"open_loop_benchmark": {"valid": True}}
    assert not path.exists()


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one of the following is required: url, recording"),
        ({"url": REFUSED_URL}, "missing parameter(s) required by 'url': rate_rps"),
        ({"url": REFUSED_URL, "rate_rps": 1, "recording": {}}, "mutually exclusive"),
    ],
)
def test_a_load_is_sent_or_taken(
    module: ModuleType, run_module: Callable[..., dict[str, Any]], options: dict[str, Any], said: str
) -> None:
    result = run_module(module, options)
    assert result["failed"]
    assert said in result["msg"]
