# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A start-up is measured from a stand-in service's real processes, with known delays and known faults."""

from __future__ import annotations

import dataclasses
import json
import os
import shlex
import socket
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from evenkeel import http, procfs, startup
from evenkeel.clock import host_boot_id

from tests.standins import service
from tests.standins.gateway import gateway


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def codes(reasons: list[str]) -> list[str]:
    """What each reason begins with, up to its colon."""
    return [reason.partition(":")[0] for reason in reasons]


MakePlan = Callable[..., startup.Plan]


@pytest.fixture
def make_plan(tmp_path: Path) -> Iterator[MakePlan]:
    """A function from the stand-in's behaviour and the plan's options to a plan; what it starts is stopped later."""
    port = free_port()

    def make(behaviour: dict[str, Any] | None = None, **options: Any) -> startup.Plan:
        defaults: dict[str, Any] = {
            "start_argv": service.start_argv(tmp_path, port=port, **(behaviour or {})),
            "stop_argv": service.stop_argv(tmp_path),
            "url": f"http://127.0.0.1:{port}",
            "pid_file": str(tmp_path / "pid"),
            "log_path": str(tmp_path / "log"),
            "deadline_seconds": 20,
            "stop_deadline_seconds": 5,
        }
        return startup.Plan(**{**defaults, **options})

    yield make
    if (tmp_path / "pid").exists():
        subprocess.run(service.stop_argv(tmp_path), check=True)


def failure_of(plan: startup.Plan) -> startup.StartupFailed:
    with pytest.raises(startup.StartupFailed) as caught:
        startup.measure(plan)
    return caught.value


class TestAGoodStart:
    def test_stamps_are_in_order_and_right(self, make_plan: MakePlan) -> None:
        behaviour = {"listen_after": 0.3, "ready_after": 0.8, "evaluation_cpu_seconds": 0.3}
        plan = make_plan(behaviour, predict_body=b"image", expect_label="ship", expect={"total": 10, "accuracy": 0.5})
        facts = startup.measure(plan)
        assert facts["invalid_reasons"] == []
        assert facts["valid"]
        assert 0.3 < facts["first_reply_seconds"] < facts["ready_seconds"]
        assert 0.8 < facts["ready_seconds"] < facts["first_answer_seconds"] < facts["first_evaluation_seconds"]
        # The service stamps readiness itself, on the same clock.
        assert facts["ready_seconds"] - facts["resolution_seconds"] == pytest.approx(
            facts["phases"][-1]["begin_seconds"]
        )
        assert 0 <= facts["resolution_seconds"] < 0.3
        assert facts["mode"] == "train"
        assert facts["host_boot_id"] == host_boot_id()
        assert facts["answer"]["accuracy"] == 0.5
        assert facts["root_pid"] == int(Path(plan.pid_file or "").read_text())
        assert facts["granted"]["affinity_cpus"] == sorted(os.sched_getaffinity(0))

    def test_cpu_of_one_evaluation(self, make_plan: MakePlan) -> None:
        evaluation = startup.measure(make_plan({"evaluation_cpu_seconds": 0.4}))["evaluation"]
        assert evaluation["cpu_seconds"] == pytest.approx(0.4, abs=0.1)
        assert evaluation["wall_seconds"] >= 0.4
        assert 0 < evaluation["cpu_cores"] <= 1.1

    def test_a_restart_replaces_the_old_instance(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False)
        first, second = startup.measure(plan), startup.measure(plan)
        assert first["valid"] and second["valid"]
        assert first["instance_id"] != second["instance_id"]
        assert first["root_pid"] != second["root_pid"]

    def test_what_is_not_asked_for_is_null(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan(evaluate=False))
        assert facts["first_answer_seconds"] is None
        assert facts["first_evaluation_seconds"] is None
        assert facts["evaluation"] is None
        assert facts["answer"] is None

    def test_a_service_that_does_not_hold_is_polled(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"holds": False, "ready_after": 0.6}, evaluate=False))
        assert facts["valid"]
        assert facts["ready_seconds"] > 0.6
        assert facts["probe_attempts"] > 5
        assert facts["resolution_seconds"] < 0.5

    def test_without_a_common_clock_the_resolution_is_a_bound(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"holds": False, "ready_after": 0.4, "boot_id": "another"}, evaluate=False))
        assert facts["phases"] is None
        assert codes(facts["invalid_reasons"]) == ["clock_differs"]
        assert 0 < facts["resolution_seconds"] < 1

    def test_busy_predictions_are_asked_again(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"busy_first": 2}, predict_body=b"image", evaluate=False))
        assert facts["valid"]
        assert facts["first_answer_seconds"] > facts["ready_seconds"]


class TestUntilImported:
    def test_leaves_when_the_imports_are_over(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"imports_until": 0.4, "ready_after": 60}, until="imports"))
        assert facts["valid"]
        assert facts["phases"][0]["name"] == "imports" and facts["phases"][0]["end_seconds"] > 0.4
        assert facts["root_pid"]
        for name in ("ready_seconds", "resolution_seconds", "answer", "evaluation", "first_evaluation_seconds"):
            assert facts[name] is None

    def test_a_failed_start_is_not_taken_for_imported(self, make_plan: MakePlan) -> None:
        behaviour = {"imports_until": 0.1, "ready_after": 0.1, "fails": "no such engine"}
        assert "no such engine" in str(failure_of(make_plan(behaviour, until="imports")))


class TestADoubtfulStart:
    def test_wrong_answers_leave_no_figure(self, make_plan: MakePlan) -> None:
        plan = make_plan(predict_body=b"image", expect_label="cat", expect={"accuracy": 1.0})
        facts = startup.measure(plan)
        assert codes(facts["invalid_reasons"]) == ["wrong_answer", "wrong_evaluation"]
        assert not facts["valid"]
        assert facts["first_answer_seconds"] is None
        assert facts["first_evaluation_seconds"] is None
        assert "cat" in facts["invalid_reasons"][0] and "ship" in facts["invalid_reasons"][0]

    @pytest.mark.parametrize(("correct", "wrong"), [(5, []), (4, ["wrong_evaluation"])])
    def test_an_answer_that_contradicts_itself(self, make_plan: MakePlan, correct: int, wrong: list[str]) -> None:
        facts = startup.measure(make_plan({"correct": correct}))
        assert codes(facts["invalid_reasons"]) == wrong

    def test_a_service_that_dies_and_is_started_again(self, make_plan: MakePlan, tmp_path: Path) -> None:
        """As a keeper with autorestart does; the start command goes on meanwhile."""
        plan = make_plan(evaluate=False)
        port = int(plan.url.rpartition(":")[2])
        dying = shlex.join(service.start_argv(tmp_path, port=port, never_ready=True, dies_after=0.5))
        script = f"{dying}; sleep 0.7; {shlex.join(plan.start_argv)}"
        facts = startup.measure(dataclasses.replace(plan, start_argv=["sh", "-c", script]))
        assert codes(facts["invalid_reasons"]) == ["restarted"]
        assert facts["ready_seconds"] > 0.7

    def test_an_answer_without_a_label(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"label": None}, predict_body=b"image", evaluate=False))
        assert codes(facts["invalid_reasons"]) == ["wrong_answer"]

    def test_an_instance_seen_before(self, make_plan: MakePlan) -> None:
        facts = startup.measure(make_plan({"instance_id": "same"}, seen_instance_ids=["same"], evaluate=False))
        assert codes(facts["invalid_reasons"]) == ["not_new"]

    def test_a_pid_file_that_is_not_there(
        self, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(startup, "PID_FILE_WAIT_SECONDS", 0.05)
        facts = startup.measure(make_plan(pid_file=str(tmp_path / "nowhere")))
        assert facts["root_pid"] is None and facts["granted"] is None
        assert facts["evaluation"]["cpu_cores"] is None
        assert codes(facts["invalid_reasons"]) == ["process_unknown"]

    def test_a_pid_file_that_names_an_older_process(
        self, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(startup, "PID_FILE_WAIT_SECONDS", 0.05)
        mine = tmp_path / "mine"
        mine.write_text(str(os.getpid()))
        # Only once the service is up: before, the process would count as an old instance in the way.
        plan = make_plan(pid_file=str(tmp_path / "pid"), evaluate=False)
        startup.measure(plan)
        found, problems = startup.find_root(
            startup.Plan(start_argv=[], url=plan.url, pid_file=str(mine)), startup.monotonic()
        )
        assert found == os.getpid()
        assert codes(problems) == ["not_new"]

    def test_a_port_that_another_process_serves(self, make_plan: MakePlan, tmp_path: Path) -> None:
        plan = make_plan(evaluate=False)
        startup.measure(plan)
        with subprocess.Popen(["sleep", "30"]) as stranger:
            try:
                (tmp_path / "stranger").write_text(str(stranger.pid))
                found, problems = startup.find_root(
                    startup.Plan(start_argv=[], url=plan.url, pid_file=str(tmp_path / "stranger")), startup.monotonic()
                )
            finally:
                stranger.kill()
        assert found == stranger.pid
        assert codes(problems) == ["process_unknown"]
        assert "service.py" in problems[0]


class TestARestartInPlace:
    """As `systemctl restart` does it: the old instance answers on while it is being stopped."""

    def test_the_old_instance_s_answers_do_not_count(self, make_plan: MakePlan) -> None:
        old = make_plan({"ready_after": 0.0}, evaluate=False)
        first = startup.measure(old)
        replace = shlex.join(old.stop_argv or []) + "; " + shlex.join(old.start_argv)
        slowly = ["sh", "-c", f"(sleep 0.4; {replace}) >/dev/null 2>&1 &"]
        second = startup.measure(dataclasses.replace(old, start_argv=slowly, stop_argv=None, replaces=True))
        assert second["invalid_reasons"] == []
        assert second["instance_id"] != first["instance_id"]
        assert 0.4 < second["first_reply_seconds"] <= second["ready_seconds"]

    def test_an_old_instance_that_does_not_end(self, make_plan: MakePlan) -> None:
        old = make_plan({"ready_after": 0.0}, evaluate=False)
        startup.measure(old)
        stuck = dataclasses.replace(old, start_argv=["true"], stop_argv=None, replaces=True, stop_deadline_seconds=0.3)
        assert "The old instance is not gone: process" in str(failure_of(stuck))


class TestAFailedStart:
    def test_failed_training_ends_at_once_with_its_reason(self, make_plan: MakePlan) -> None:
        begun = time.monotonic()
        failure = failure_of(make_plan({"fails": "the loss is not finite"}))
        assert time.monotonic() - begun < 15
        assert "the loss is not finite" in str(failure)
        assert failure.details["log_tail"] == "stand-in service: starting\n"

    def test_the_deadline_names_the_last_progress(self, make_plan: MakePlan) -> None:
        failure = failure_of(make_plan({"never_ready": True}, deadline_seconds=1))
        assert "not over within 1 s" in str(failure)
        assert "train" in failure.details["last_seen"] or "no complete answer" in failure.details["last_seen"]
        assert failure.details["probe_attempts"] >= 2
        assert "deadline_seconds" in failure.details["next_step"]

    def test_a_service_that_stays_away(self, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(startup, "GONE_SECONDS", 0.2)
        failure = failure_of(make_plan({"never_ready": True, "dies_after": 0.4}, evaluate=False))
        assert "went away" in str(failure)
        assert failure.details["log_tail"] == "stand-in service: starting\n"

    def test_a_process_that_ends_while_it_is_looked_at(
        self, make_plan: MakePlan, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def gone(pid: int) -> list[int]:
            raise procfs.ProcessNotFound(f"process {pid} does not run")

        monkeypatch.setattr(startup.procfs, "affinity", gone)
        assert "ended while it was being measured" in str(failure_of(make_plan(evaluate=False)))

    def test_a_service_that_never_listens(self, make_plan: MakePlan) -> None:
        failure = failure_of(make_plan({"listen_after": 60}, deadline_seconds=0.5))
        assert "refused" in failure.details["last_seen"]

    def test_a_service_that_is_started_again_and_again_in_vain(self, make_plan: MakePlan, tmp_path: Path) -> None:
        """As a keeper with autorestart does; the pid file of an instance before it counts for nothing."""
        (tmp_path / "pid").write_text("99999999")
        dying = f"sh -c 'echo $$ >{tmp_path}/pid; echo no module >>{tmp_path}/log; exec sleep 0.2'"
        begun = time.monotonic()
        failure = failure_of(make_plan(start_argv=["sh", "-c", f"for _ in 1 2 3 4 5 6; do {dying}; sleep 0.1; done"]))
        assert time.monotonic() - begun < 15
        assert "started 3 times and ended each time before its first reply" in str(failure)
        assert failure.details["log_tail"] == "no module\n" * 3

    @pytest.mark.parametrize(
        ("said", "message"),
        [
            ("ActiveState=failed\nResult=exit-code", "The unit web.service ended (exit-code)"),
            ("ActiveState=activating\nNRestarts=3", "The unit web.service was started 4 times and ended each time"),
        ],
    )
    def test_a_unit_that_ended_is_not_waited_for(
        self, make_plan: MakePlan, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, said: str, message: str
    ) -> None:
        systemctl = tmp_path / "systemctl"
        systemctl.write_text(f"#!/bin/sh\n# stand-in\ncat <<'END'\n{said}\nEND\n")
        systemctl.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
        failure = failure_of(make_plan(start_argv=["true"], unit="web.service", deadline_seconds=60))
        assert message in str(failure)

    def test_a_service_that_is_started_at_the_second_attempt(self, make_plan: MakePlan, tmp_path: Path) -> None:
        plan = make_plan(evaluate=False)
        script = f"sh -c 'echo $$ >{tmp_path}/pid'; sleep 0.2; {shlex.join(plan.start_argv)}"
        assert startup.measure(dataclasses.replace(plan, start_argv=["sh", "-c", script]))["valid"]

    def test_the_start_command_fails(self, make_plan: MakePlan) -> None:
        argv = ["sh", "-c", "echo no such program >&2; exit 7"]
        failure = failure_of(make_plan(start_argv=argv))
        assert failure.details["rc"] == 7
        assert failure.details["argv"] == argv
        assert failure.details["stderr_tail"] == "no such program\n"

    def test_the_start_command_does_not_exist(self, make_plan: MakePlan) -> None:
        failure = failure_of(make_plan(start_argv=["/nowhere/supervisorctl", "start", "server"]))
        assert "/nowhere/supervisorctl" in str(failure)
        assert failure.details["operation"] == "start"

    def test_a_start_command_that_does_not_return_is_killed(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False, deadline_seconds=1.5)
        script = f"{shlex.join(plan.start_argv)}; exec sleep 60"
        failure = failure_of(dataclasses.replace(plan, start_argv=["sh", "-c", script]))
        assert "did not return" in str(failure)

    def test_an_old_instance_without_a_stop_command(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False)
        pid = startup.measure(plan)["root_pid"]
        failure = failure_of(dataclasses.replace(plan, stop_argv=None))
        assert f"process {pid} " in str(failure)

    def test_a_port_in_use_names_its_owner(self, make_plan: MakePlan, tmp_path: Path) -> None:
        plan = make_plan(evaluate=False)
        pid = startup.measure(plan)["root_pid"]
        stranger = dataclasses.replace(plan, stop_argv=None, pid_file=str(tmp_path / "another"))
        port = plan.url.rpartition(":")[2]
        assert f"port {port} is in use by pid {pid} (" in str(failure_of(stranger))

    def test_a_stop_command_that_leaves_the_service_running(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False)
        pid = startup.measure(plan)["root_pid"]
        failure = failure_of(dataclasses.replace(plan, stop_argv=["true"], stop_deadline_seconds=0.3))
        assert "0.3 s after the stop command" in str(failure) and f"process {pid} " in str(failure)

    def test_a_stop_command_that_fails_while_the_service_runs(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False)
        startup.measure(plan)
        failing = ["sh", "-c", "echo no supervisor >&2; exit 2"]
        failure = failure_of(dataclasses.replace(plan, stop_argv=failing))
        assert "the stop command ended with 2" in str(failure)
        assert failure.details["rc"] == 2
        assert failure.details["stderr_tail"] == "no supervisor\n"

    def test_a_stop_command_may_fail_where_nothing_runs(self, make_plan: MakePlan) -> None:
        assert startup.measure(make_plan(stop_argv=["false"], evaluate=False))["valid"]

    def test_a_stop_command_that_hangs(self, make_plan: MakePlan) -> None:
        plan = make_plan(evaluate=False)
        startup.measure(plan)
        failure = failure_of(dataclasses.replace(plan, stop_argv=["sleep", "60"], stop_deadline_seconds=0.3))
        assert "did not end within 0.3 s" in str(failure)

    def test_something_else_answers_at_the_url(self, make_plan: MakePlan) -> None:
        failure = failure_of(make_plan({"startup_status": 404}, evaluate=False))
        assert "/startup" in str(failure) and "404" in str(failure)


STARTUP = {
    "instance_id": "new",
    "host_boot_id": "boot",
    "process_start_monotonic_seconds": 100.5,
    "phases": [
        {"name": "train", "begin_seconds": 0.0, "end_seconds": 2.0},
        {"name": "ready", "begin_seconds": 2.0, "end_seconds": None},
    ],
}


LOCAL = startup.Plan(start_argv=[], url="http://127.0.0.1", pid_file="pid")
ELSEWHERE = startup.Plan(start_argv=[], url="http://127.0.0.1", remote=True)


class TestPhases:
    def test_counted_from_the_start_command(self) -> None:
        assert startup.phases_since_start(STARTUP, 100.0, "boot") == [
            {"name": "train", "begin_seconds": 0.5, "end_seconds": 2.5},
            {"name": "ready", "begin_seconds": 2.5, "end_seconds": None},
        ]

    def test_unknown_on_another_clock(self) -> None:
        assert startup.phases_since_start(STARTUP, 100.0, "another boot") is None


class TestResolution:
    READY = startup.Ready(seconds=2.6, bound_seconds=1.9, instance_id="new")

    def test_is_the_lateness_against_the_service_s_own_stamp(self) -> None:
        phases = startup.phases_since_start(STARTUP, 100.0, "boot")
        assert startup.resolution_seconds(self.READY, phases) == pytest.approx(0.1)

    @pytest.mark.parametrize("phases", [None, []])
    def test_is_the_bound_without_that_stamp(self, phases: list[dict[str, Any]] | None) -> None:
        assert startup.resolution_seconds(self.READY, phases) == 1.9

    def test_is_never_below_zero(self) -> None:
        phases = [{"name": "ready", "begin_seconds": 2.6000004, "end_seconds": None}]
        assert startup.resolution_seconds(self.READY, phases) == 0.0


def newness_problems(plan: startup.Plan, start: float, boot_id: str, seen: list[str], ready: str) -> list[str]:
    return startup.newness_problems(
        plan, STARTUP, start=start, boot_id=boot_id, seen_instance_ids=seen, ready_instance_id=ready
    )


class TestNewness:
    def test_a_new_instance(self) -> None:
        assert newness_problems(LOCAL, 100.0, "boot", ["old"], "new") == []

    def test_the_kernel_cuts_a_start_down_to_a_tick(self) -> None:
        assert newness_problems(LOCAL, 100.509, "boot", [], "new") == []

    @pytest.mark.parametrize(
        ("start", "boot_id", "seen", "ready", "code"),
        [
            (100.0, "boot", ["new"], "new", "not_new"),
            (100.6, "boot", [], "new", "not_new"),
            (100.0, "another boot", [], "new", "clock_differs"),
            (100.0, "boot", [], "the one before", "instance_changed"),
        ],
    )
    def test_one_problem_each(self, start: float, boot_id: str, seen: list[str], ready: str, code: str) -> None:
        assert codes(newness_problems(LOCAL, start, boot_id, seen, ready)) == [code]

    def test_elsewhere_only_the_name_tells(self) -> None:
        assert newness_problems(ELSEWHERE, 100.6, "another boot", ["old"], "new") == []
        assert codes(newness_problems(ELSEWHERE, 100.6, "another boot", ["new"], "new")) == ["not_new"]


class TestParseStartup:
    @pytest.mark.parametrize(
        "body",
        [
            b"",
            b"<html>",
            b"[]",
            b"{}",
            json.dumps({**STARTUP, "phases": None}).encode(),
            json.dumps({**STARTUP, "phases": [{"name": "train"}]}).encode(),
            json.dumps({**STARTUP, "process_start_monotonic_seconds": "soon"}).encode(),
        ],
    )
    def test_refuses_what_is_no_startup(self, body: bytes) -> None:
        with pytest.raises(startup.StartupFailed, match="does not describe a start-up"):
            startup.parse_startup(http.Response(200, {}, body))


def logged(path: Path) -> startup.Plan:
    return dataclasses.replace(LOCAL, log_path=str(path))


class TestLogTail:
    def test_only_what_came_after(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text("old\n")
        offset = startup.log_size(str(log))
        log.write_text("old\nnew\n")
        assert startup.log_tail(logged(log), offset) == "new\n"

    def test_a_rotated_log_is_new(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_text("new\n")
        assert startup.log_tail(logged(log), 1000) == "new\n"

    def test_is_short(self, tmp_path: Path) -> None:
        log = tmp_path / "log"
        log.write_bytes(b"x" * 100_000)
        assert len(startup.log_tail(logged(log), 0)) == startup.TAIL_CHARACTERS

    def test_says_what_it_cannot_read(self, tmp_path: Path) -> None:
        assert "cannot be read" in startup.log_tail(logged(tmp_path / "none"), 0)
        assert startup.log_tail(LOCAL, 0) == ""

    def test_a_printed_log(self) -> None:
        printed = dataclasses.replace(LOCAL, log_argv=["sh", "-c", "echo out; echo err >&2"])
        assert startup.log_tail(printed, 0) == "out\nerr\n"
        missing = dataclasses.replace(LOCAL, log_argv=["/no/such/program"])
        assert "cannot be read: /no/such/program" in startup.log_tail(missing, 0)


class TestBehindAGateway:
    @pytest.fixture
    def elsewhere(self, make_plan: MakePlan) -> Iterator[MakePlan]:
        """Plans of a service that is only reached through a stand-in gateway."""
        with ExitStack() as stack:

            def make(behaviour: dict[str, Any] | None = None, **options: Any) -> startup.Plan:
                plan = make_plan(behaviour, pid_file=None, remote=True, behind_gateway=True, **options)
                address = stack.enter_context(gateway(plan.url))
                return dataclasses.replace(plan, url=address)

            yield make

    def test_its_own_answers_are_not_the_service_s(self, elsewhere: MakePlan) -> None:
        facts = startup.measure(elsewhere({"listen_after": 0.4, "ready_after": 0.6}, expect={"total": 10}))
        assert facts["invalid_reasons"] == []
        assert 0.4 < facts["first_reply_seconds"] < facts["ready_seconds"]
        assert facts["ready_seconds"] > 0.6
        assert facts["answer"]["total"] == 10
        assert facts["root_pid"] is None and facts["granted"] is None

    def test_a_start_that_replaces_waits_for_the_new_instance(self, elsewhere: MakePlan, tmp_path: Path) -> None:
        old = elsewhere({"ready_after": 0.0}, evaluate=False)
        first = startup.measure(old)
        # As a pod is replaced: the old one answers on for a while after the command, then nobody, then the new one.
        replace = shlex.join(old.stop_argv or []) + "; " + shlex.join(old.start_argv)
        plan = dataclasses.replace(
            old, start_argv=["sh", "-c", f"(sleep 0.4; {replace}) >/dev/null 2>&1 &"], stop_argv=None, replaces=True
        )
        second = startup.measure(plan)
        assert second["invalid_reasons"] == []
        assert second["instance_id"] != first["instance_id"]
        assert second["first_reply_seconds"] > 0.4

    def test_an_instance_that_still_serves_is_in_the_way(self, elsewhere: MakePlan) -> None:
        plan = elsewhere(evaluate=False)
        startup.measure(plan)
        failure = failure_of(dataclasses.replace(plan, stop_argv=["true"], stop_deadline_seconds=0.3))
        assert "an instance still serves" in str(failure)

    def test_a_service_that_goes_away_is_noticed(self, elsewhere: MakePlan, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(startup, "GONE_SECONDS", 0.3)
        failure = failure_of(elsewhere({"never_ready": True, "dies_after": 0.5}))
        assert "went away after its first reply" in str(failure)
        assert "No endpoints available" in failure.details["last_seen"]
