# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Starts a service and stamps, on one monotonic clock, when it answered, was ready, and gave its first right answers.

The order is: prove that the old instance is gone, take the stamp, run the start command, and from that instant ask over
HTTP until the service is ready. The command is not waited for first: what it does after the service's process exists
(supervisorctl's own exit, systemd's job) is no part of a start-up.
"""

from __future__ import annotations

import contextlib
import os
import subprocess
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NoReturn

from . import cgroup, http, procfs
from .clock import Deadline, host_boot_id, monotonic
from .docker_engine import EngineError, engine_from
from .expectation import mismatches
from .process import Completed, run_with_deadline

RETRY_SECONDS = 0.02
HELD_SECONDS = 10
"""For how long the service is asked to hold one /ready; below the time-outs of the gateways in between."""
HOLD_MARGIN_SECONDS = 10
"""How much later than HELD_SECONDS the answer may come."""
TICK_SECONDS = 0.01
"""The kernel gives a process's start in clock ticks, rounded down."""
PID_FILE_WAIT_SECONDS = 2
"""How long after the first answers the service's process id may still be unwritten."""
GONE_SECONDS = 10
"""For how long a service that had replied may refuse connections: what keeps it has restarted it by then, or never."""
ENDS_BEFORE_REPLY = 3
"""How many of the service's processes may end before the first reply: what keeps it starts it anew in vain by then."""
KEEPER_LOOK_SECONDS = 0.5
"""How often the container or unit of a service that does not answer is looked at."""
LOG_SECONDS = 5
"""How long the command that prints the service's log may take."""
TAIL_CHARACTERS = 4000


class StartupFailed(Exception):
    """There is no start-up to report. ``details`` are the keys that an Ansible failure carries beside its message."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class Plan:
    """What to start and how to recognise it; the options of the module service_startup, under the same names."""

    start_argv: Sequence[str]
    url: str
    stop_argv: Sequence[str] | None = None
    pid_file: str | None = None
    unit: str | None = None
    container: str | None = None
    instance: bool = False
    remote: bool = False
    behind_gateway: bool = False
    replaces: bool = False
    predict_body: bytes | None = None
    expect_label: str | None = None
    expect: Mapping[str, Any] = field(default_factory=dict)
    evaluate: bool = True
    until: str = "ready"
    deadline_seconds: float = 1800
    stop_deadline_seconds: float = 30
    log_path: str | None = None
    log_argv: Sequence[str] | None = None
    seen_instance_ids: Sequence[str] = ()

    def address(self, path: str) -> str:
        """The URL of one of the service's paths."""
        return self.url.rstrip("/") + path


# --- the service's processes ------------------------------------------------------------------------------------------


def root_pids(plan: Plan, startup: Mapping[str, Any] | None = None) -> list[int]:
    """The service's root processes on this host, as the plan names them; none where it runs on another host.

    ``startup`` is the document of GET /startup, needed where the service names its process itself. Raises
    ProcessNotFound where there are none.
    """
    if plan.remote:
        return []
    if plan.container is not None:
        try:
            return [engine_from(None).running(plan.container)["State"]["Pid"]]
        except EngineError as error:
            raise procfs.ProcessNotFound(str(error)) from error
    if plan.instance:
        return [_instance_pid(startup or {})]
    return procfs.resolve_pids(pid_file=plan.pid_file, unit=plan.unit)


def _instance_pid(startup: Mapping[str, Any]) -> int:
    """The process on this host that a service in a container calls its own.

    The id alone is only unique in the container's namespace; with the process's start it is unique on this host.
    """
    inner = (startup.get("effective") or {}).get("pid")
    begun = startup.get("process_start_monotonic_seconds")
    if not isinstance(inner, int) or not isinstance(begun, (int, float)):
        raise procfs.ProcessNotFound("GET /startup does not say which process the service is")
    for pid in procfs.in_namespaces(inner):
        if abs(monotonic() - _age_seconds(pid) - begun) <= 2 * TICK_SECONDS:
            return pid
    raise procfs.ProcessNotFound(
        f"the service says that it is process {inner} of its container, and no process of this host is; "
        "where it runs on another host, set remote"
    )


# --- before the start -------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class OldInstance:
    """What ran before the start: its processes as (pid, start in ticks), and the instance it called itself."""

    processes: frozenset[tuple[int, int]]
    instance_id: str | None

    def alive(self) -> list[int]:
        """The pids among them that still run; a pid that another process got since is not one of them."""
        return sorted(pid for pid, start in self.processes if _start_ticks(pid) == start)


def _start_ticks(pid: int) -> int | None:
    found = procfs.status(pid)
    return None if found is None else found.start_ticks


def find_old_instance(plan: Plan) -> OldInstance:
    """The instance that runs now, so that the next one can be told from it; an empty one where none does."""
    startup: dict[str, Any] = {}
    with contextlib.suppress(http.RequestFailed):
        startup = http.json_object(http.request("GET", plan.address("/startup"), timeout_seconds=2).body)
    try:
        pids = procfs.process_tree(root_pids(plan, startup))
    except procfs.ProcessNotFound:
        pids = []
    stamped = ((pid, _start_ticks(pid)) for pid in pids)
    living = frozenset((pid, start) for pid, start in stamped if start is not None)
    return OldInstance(living, startup.get("instance_id"))


def stop(plan: Plan, old: OldInstance) -> None:
    """Run the stop command, if there is one, and wait until nothing of the old instance is left.

    The command's own exit code does not decide: where nothing ran, some say success and some do not. Where the start
    itself replaces the old instance, nothing is stopped first. Raises StartupFailed naming what is in the way.
    """
    if plan.replaces:
        return
    deadline = Deadline(plan.stop_deadline_seconds)
    done = _run_stop(plan.stop_argv, plan.stop_deadline_seconds) if plan.stop_argv else None
    while True:
        obstacle = _obstacle(plan, old)
        if obstacle is None:
            return
        # Only a command that has succeeded may need time to take effect.
        if done is None or done.rc != 0 or deadline.expired():
            raise StartupFailed(
                f"The old instance is not gone{_after(done, plan.stop_deadline_seconds)}: {obstacle}",
                operation="stop",
                argv=list(plan.stop_argv or []),
                rc=done and done.rc,
                stdout_tail=done.stdout[-TAIL_CHARACTERS:] if done else "",
                stderr_tail=done.stderr[-TAIL_CHARACTERS:] if done else "",
                next_step="end that process; a start is measured only from a stopped service",
            )
        time.sleep(RETRY_SECONDS)


def _run_stop(argv: Sequence[str], deadline_seconds: float) -> Completed:
    try:
        return run_with_deadline(argv, deadline_seconds, interrupt_grace_seconds=1)
    except OSError as error:
        raise _not_run("stop", argv, error) from error


def _after(done: Completed | None, deadline_seconds: float) -> str:
    """What was done about the old instance, in the words of a message."""
    if done is None:
        return " and no stop_argv was given"
    if done.interrupted:
        return f": the stop command did not end within {deadline_seconds:g} s"
    if done.rc != 0:
        return f": the stop command ended with {done.rc}"
    return f" {deadline_seconds:g} s after the stop command"


def _obstacle(plan: Plan, old: OldInstance) -> str | None:
    """What is still left of an old instance, or None."""
    left = old.alive()
    if left:
        return f"process {left[0]} ({procfs.command_line(left[0])}) still runs"
    try:
        answer = http.request("GET", plan.address("/healthz"), timeout_seconds=2)
    except http.RequestFailed as failure:
        if failure.kind == "refused":
            return None
        if failure.kind in {"scheme", "dns", "unreachable"}:
            raise StartupFailed(
                failure.message, operation="stop", next_step="correct url: it must lead to the host of the service"
            ) from failure
        said = failure.message
    else:
        said = f"{plan.address('/healthz')} answers with status {answer.status}"
        if plan.behind_gateway:
            return None if _is_gateways_own(answer) else f"{said}: an instance still serves"
    owner = procfs.listening_pid(_port(plan))
    if owner is None:
        return f"{said}, though no process of this host is seen to listen on port {_port(plan)}"
    return f"port {_port(plan)} is in use by pid {owner} ({procfs.command_line(owner)})"


def _port(plan: Plan) -> int:
    parts = http.check_url(plan.url)
    return parts.port or (443 if parts.scheme == "https" else 80)


# --- the start --------------------------------------------------------------------------------------------------------


class StartCommand:
    """The running start command.

    Its output goes to files, since a daemon it leaves behind would keep pipes open; to files in memory, since a disk
    may be full.
    """

    def __init__(self, argv: Sequence[str]) -> None:
        self._argv = list(argv)
        self._stdout = os.fdopen(os.memfd_create("stdout"), "r+b")
        self._stderr = os.fdopen(os.memfd_create("stderr"), "r+b")
        self.begun = monotonic()
        try:
            self._process = subprocess.Popen(
                self._argv,
                stdin=subprocess.DEVNULL,
                stdout=self._stdout,
                stderr=self._stderr,
                start_new_session=True,
                env={**os.environ, "LC_ALL": "C", "LANGUAGE": "C"},
            )
        except OSError as error:
            raise _not_run("start", self._argv, error) from error

    def check(self) -> bool:
        """Whether the command has ended well. Raises StartupFailed where it has ended otherwise."""
        rc = self._process.poll()
        if rc:
            self._raise_failed(f"The start command ended with {rc}", rc)
        return rc == 0

    def finish(self, deadline: Deadline) -> None:
        """Wait for the command's end. Raises StartupFailed, and kills it, where it goes on past the deadline."""
        try:
            self._process.wait(max(RETRY_SECONDS, deadline.remaining()))
        except subprocess.TimeoutExpired:
            self.kill()
            self._raise_failed("The service is up but the start command did not return; it was killed", None)
        self.check()

    def kill(self) -> None:
        """End the command itself, if it still runs; never what it has started in sessions of its own."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.wait()

    def _raise_failed(self, message: str, rc: int | None) -> NoReturn:
        raise StartupFailed(
            message,
            operation="start",
            argv=self._argv,
            rc=rc,
            stdout_tail=_tail_of(self._stdout),
            stderr_tail=_tail_of(self._stderr),
            next_step="run the command by hand; it must start the service in the background and return",
        )


def _not_run(operation: str, argv: Sequence[str], error: OSError) -> StartupFailed:
    return StartupFailed(
        f"The {operation} command cannot be run: {argv[0]}: {error.strerror}",
        operation=operation,
        argv=list(argv),
        rc=error.errno,
        next_step=f"correct {operation}_argv: its first word must be a program that exists on this host",
    )


def _tail_of(file: Any) -> str:
    file.seek(0)
    return bytes(file.read()).decode("utf-8", errors="replace")[-TAIL_CHARACTERS:]


# --- asking -----------------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Ready:
    """The first answer that said ready.

    ``bound_seconds`` is the time since the last answer that said otherwise: by how much ``seconds`` may be late, as far
    as this side can tell.
    """

    seconds: float
    bound_seconds: float
    instance_id: str


@dataclass
class Probe:
    """Asks the service until it is ready, and remembers what it saw."""

    plan: Plan
    command: StartCommand
    deadline: Deadline
    log_offset: int
    attempts: int = 0
    last_seen: str = "no connection was tried"
    replied: bool = False
    stale_pid: int | None = None
    old_instance_id: str | None = None
    ended: set[int] = field(default_factory=set)
    went_away: str | None = None
    refused_since: float | None = None
    looked_at_keeper: float | None = None

    def ask(
        self, method: str, path: str, timeout_seconds: float | None = None, body: bytes | None = None
    ) -> http.Response | None:
        """One request: its answer, or None where no complete answer came. Raises StartupFailed at the deadline."""
        self.command.check()
        remaining = self.deadline.remaining()
        if remaining <= 0:
            self._fail(
                f"The start-up was not over within {self.plan.deadline_seconds:g} s; last seen: {self.last_seen}"
            )
        timeout = remaining if timeout_seconds is None else min(timeout_seconds, remaining)
        self.attempts += 1
        try:
            answer = http.request(method, self.plan.address(path), body=body, timeout_seconds=timeout)
        except http.RequestFailed as failure:
            self.last_seen = failure.message
            if not self.replied:
                self._note_end()
            elif failure.kind in {"refused", "reset"}:
                self._note_absence(failure.message)
            return None
        self.last_seen = f"{method} {path} -> {answer.status} {http.shown(answer.body)}"
        if self.plan.behind_gateway and self._is_not_the_new_ones(answer):
            if self.replied:
                self._note_absence(self.last_seen)
            return None
        self.replied, self.refused_since = True, None
        return answer

    def _is_not_the_new_ones(self, answer: http.Response) -> bool:
        """Whether a gateway or watchdog answered by itself, or the instance that is being replaced did."""
        instance_id = http.json_object(answer.body).get("instance_id")
        return _is_gateways_own(answer) or (instance_id is not None and instance_id == self.old_instance_id)

    def _note_end(self) -> None:
        """Raises StartupFailed where the pid file has named ENDS_BEFORE_REPLY processes, or the container, ended."""
        self._check_keeper()
        pid = named_pid(self.plan.pid_file)
        if pid is not None and pid != self.stale_pid and procfs.status(pid) is None:
            self.ended.add(pid)
        if len(self.ended) >= ENDS_BEFORE_REPLY:
            self._fail(f"The service was started {len(self.ended)} times and ended each time before its first reply")

    def _check_keeper(self) -> None:
        """Raises StartupFailed where the engine or systemd says that the service has ended."""
        now = monotonic()
        if (self.plan.container is None and self.plan.unit is None) or not self.command.check():
            return
        if self.looked_at_keeper is not None and now - self.looked_at_keeper < KEEPER_LOOK_SECONDS:
            return
        self.looked_at_keeper = now
        if self.plan.container is not None:
            self._check_container(self.plan.container)
        elif self.plan.unit is not None:
            self._check_unit(self.plan.unit)

    def _check_container(self, container: str) -> None:
        try:
            state = engine_from(None).inspect(container).get("State") or {}
        except EngineError as error:
            self._fail(f"The container {container} cannot be looked at: {error}")
        if not state.get("Running"):
            memory = ", out of memory" if state.get("OOMKilled") else ""
            self._fail(f"The container {container} ended with exit code {state.get('ExitCode')}{memory}")

    def _check_unit(self, unit: str) -> None:
        """A unit that systemd starts again has not ended, unless it did so ENDS_BEFORE_REPLY times."""
        try:
            properties = procfs.unit_properties(unit)
        except procfs.ProcessNotFound as error:
            self._fail(f"The unit {unit} cannot be looked at: {error}")
        if properties.get("ActiveState") in {"failed", "inactive"}:
            self._fail(f"The unit {unit} ended ({properties.get('Result', 'unknown')})")
        if int(properties.get("NRestarts") or 0) >= ENDS_BEFORE_REPLY:
            self._fail(f"The unit {unit} was started {int(properties['NRestarts']) + 1} times and ended each time")

    def _note_absence(self, said: str) -> None:
        now = monotonic()
        self.went_away = said
        self._check_keeper()
        self.refused_since = self.refused_since or now
        if now - self.refused_since > GONE_SECONDS:
            self._fail(f"The service went away after its first reply and stayed away for {GONE_SECONDS} s")

    def until_first_reply(self) -> float:
        """Seconds from the start to the first complete HTTP answer, whatever its status."""
        while self.ask("GET", "/healthz", HELD_SECONDS + HOLD_MARGIN_SECONDS) is None:
            time.sleep(RETRY_SECONDS)
        return self._since_start()

    def until_ready(self) -> Ready:
        """The first answer that says ready.

        A held request is answered the moment the service is ready. Where the service does not hold it (another client's
        is held already) it is asked again and again.
        """
        last_not_ready = self.command.begun
        while True:
            asked = monotonic()
            answer = self.ask("GET", f"/ready?wait={HELD_SECONDS}", HELD_SECONDS + HOLD_MARGIN_SECONDS)
            answered = monotonic()
            document = {} if answer is None else http.json_object(answer.body)
            if answer is not None and answer.status == 200 and document.get("ready") is True:
                seconds, bound_seconds = answered - self.command.begun, answered - last_not_ready
                return Ready(seconds, bound_seconds, str(document.get("instance_id")))
            self._check_not_failed(answer)
            last_not_ready = answered
            if answered - asked < HELD_SECONDS / 2:
                time.sleep(RETRY_SECONDS)

    def until_imported(self) -> dict[str, Any]:
        """The document of /startup as soon as the phase ``imports`` is over."""
        while True:
            startup = parse_startup(self.until_answered("GET", "/startup")[0])
            ended = {phase["name"] for phase in startup["phases"] if phase["end_seconds"] is not None}
            if "imports" in ended:
                self._check_not_failed(self.ask("GET", "/ready"))
                return startup
            time.sleep(RETRY_SECONDS)

    def _check_not_failed(self, answer: http.Response | None) -> None:
        """Raises StartupFailed where /ready says that the start-up has failed.

        Status 500 alone does not: of-watchdog gives it, too, while the function's process does not listen yet.
        """
        document = {} if answer is None else http.json_object(answer.body)
        if answer is not None and answer.status == 500 and document.get("phase") == "failed":
            self._fail(f"The service cannot become ready: {document.get('error') or http.shown(answer.body)}")

    def until_answered(self, method: str, path: str, body: bytes | None = None) -> tuple[http.Response, float, float]:
        """(response, seconds from the start to it, seconds of that request alone); a 503 is asked again."""
        while True:
            asked = monotonic()
            answer = self.ask(method, path, body=body)
            answered = monotonic()
            if answer is not None and answer.status != 503:
                return answer, answered - self.command.begun, answered - asked
            time.sleep(RETRY_SECONDS)

    def _since_start(self) -> float:
        return monotonic() - self.command.begun

    def _fail(self, message: str) -> NoReturn:
        raise StartupFailed(
            message,
            operation="wait for the service",
            argv=list(self.plan.start_argv),
            last_seen=self.last_seen,
            probe_attempts=self.attempts,
            log_tail=log_tail(self.plan, self.log_offset),
            next_step="read the log's tail; where the service only needs longer, raise deadline_seconds",
        )


def _is_gateways_own(answer: http.Response) -> bool:
    """Whether an answer is not the service's, whose every answer is a JSON object that names no cache may keep it.

    OpenFaaS's gateway, provider and watchdog answer their own errors with plain text or an empty body.
    """
    return not http.json_object(answer.body) or "no-store" not in answer.headers.get("cache-control", "")


def named_pid(pid_file: str | None) -> int | None:
    """The process id in the file, whether or not that process lives; None where there is none."""
    try:
        with open(pid_file or "", encoding="ascii") as file:
            return int(file.read())
    except (OSError, ValueError):
        return None


def log_size(path: str | None) -> int:
    """Bytes in the log now, 0 where there is none: what comes after them is the next start's."""
    try:
        return os.path.getsize(path) if path else 0
    except OSError:
        return 0


def log_tail(plan: Plan, offset: int) -> str:
    """The last TAIL_CHARACTERS of the log, of a file only what follows ``offset``; why not, where it is unreadable."""
    if plan.log_argv:
        return _printed_log(plan.log_argv)
    path = plan.log_path
    if path is None:
        return ""
    try:
        with open(path, "rb") as file:
            size = file.seek(0, os.SEEK_END)
            # A log that is shorter than before was rotated: all of it is new.
            begin = offset if offset <= size else 0
            file.seek(max(begin, size - TAIL_CHARACTERS))
            return file.read().decode("utf-8", errors="replace")
    except OSError as error:
        return f"(the log {path} cannot be read: {error.strerror})"


def _printed_log(argv: Sequence[str]) -> str:
    try:
        done = run_with_deadline(argv, LOG_SECONDS, interrupt_grace_seconds=1)
    except OSError as error:
        return f"(the log cannot be read: {argv[0]}: {error.strerror})"
    # Containers' logs keep both streams apart; which of them a service used is not known here.
    return (done.stdout + done.stderr)[-TAIL_CHARACTERS:]


# --- after the start --------------------------------------------------------------------------------------------------


def parse_startup(answer: http.Response) -> dict[str, Any]:
    """The document of GET /startup. Raises StartupFailed where it is not what the service's contract says."""
    document = http.json_object(answer.body)
    try:
        if answer.status != 200:
            raise TypeError(f"status {answer.status}")
        str(document["instance_id"]), float(document["process_start_monotonic_seconds"])
        for phase in document["phases"]:
            str(phase["name"]), float(phase["begin_seconds"]), float(phase["end_seconds"] or 0)
    except (KeyError, TypeError, ValueError) as error:
        raise StartupFailed(
            f"GET /startup does not describe a start-up ({type(error).__name__}: {error}): {http.shown(answer.body)}",
            operation="read /startup",
            next_step="url must lead to a service of this toolkit, at its current version",
        ) from error
    return document


def phases_since_start(startup: Mapping[str, Any], start: float, boot_id: str) -> list[dict[str, Any]] | None:
    """The phases of /startup in seconds since ``start``, or None where they were stamped on another host's clock.

    The service counts its phases from its process's start, and gives that in CLOCK_MONOTONIC.
    """
    if startup.get("host_boot_id") != boot_id:
        return None
    shift = startup["process_start_monotonic_seconds"] - start
    return [
        {
            "name": phase["name"],
            "begin_seconds": phase["begin_seconds"] + shift,
            "end_seconds": None if phase["end_seconds"] is None else phase["end_seconds"] + shift,
        }
        for phase in startup["phases"]
    ]


def resolution_seconds(ready: Ready, phases: Sequence[Mapping[str, Any]] | None) -> float:
    """How much later than the service's own stamp, on the same clock, its readiness was seen; else the bound."""
    stamped = [phase["begin_seconds"] for phase in phases or () if phase["name"] == "ready"]
    # Not below 0: /startup rounds to microseconds.
    return max(0.0, ready.seconds - stamped[0]) if stamped else ready.bound_seconds


def newness_problems(
    plan: Plan,
    startup: Mapping[str, Any],
    *,
    start: float,
    boot_id: str,
    seen_instance_ids: Sequence[str],
    ready_instance_id: str,
) -> list[str]:
    """Why the instance that answered cannot be taken for the one that was started; empty where it can.

    Of a service on another host only the instance's name can tell.
    """
    problems = []
    instance_id = startup.get("instance_id")
    if instance_id in seen_instance_ids:
        problems.append(f"not_new: instance {instance_id} was already running before the start")
    if instance_id != ready_instance_id:
        problems.append(f"instance_changed: {ready_instance_id} was ready, {instance_id} answered /startup")
    if plan.remote:
        return problems
    if startup.get("host_boot_id") != boot_id:
        problems.append(f"clock_differs: the service runs under boot id {startup.get('host_boot_id')}, not {boot_id}")
    elif startup["process_start_monotonic_seconds"] < start - TICK_SECONDS:
        early = start - startup["process_start_monotonic_seconds"]
        problems.append(f"not_new: the service's process is {early:.2f} s older than the start command")
    return problems


def find_root(plan: Plan, start: float, startup: Mapping[str, Any] | None = None) -> tuple[int | None, list[str]]:
    """(pid, problems): the service's root process, as soon as what the plan says names one that is new.

    The pid is None where none is named in time, and the problems then say why; it is None without a problem where the
    service runs on another host. ``startup`` as for root_pids.
    """
    if plan.remote:
        return None, []
    wait = Deadline(PID_FILE_WAIT_SECONDS)
    while True:
        found: int | None = None
        try:
            found = pid = root_pids(plan, startup)[0]
        except procfs.ProcessNotFound as missing:
            problem = f"process_unknown: {missing}"
        else:
            # Both the process's start and the host's uptime are cut to ticks.
            early = start - (monotonic() - _age_seconds(pid))
            if early <= 2 * TICK_SECONDS:
                return pid, _listener_problems(plan, pid, startup or {})
            problem = f"not_new: process {pid} is {early:.2f} s older than the start command"
        if wait.expired():
            return found, [problem]
        time.sleep(RETRY_SECONDS)


def _age_seconds(pid: int) -> float:
    start = _start_ticks(pid)
    # A process that has just ended is of no age; the next look finds out that it is gone.
    return 0.0 if start is None else procfs.uptime_seconds() - start / procfs.TICKS_PER_SECOND


def _listener_problems(plan: Plan, root_pid: int, startup: Mapping[str, Any]) -> list[str]:
    """Whether the process that answers at the URL is the service's; nothing is said where it is hidden."""
    if plan.instance:
        return []
    if plan.container is not None:
        # The engine's proxy listens for it; who answers behind that is said by the service itself.
        inner = (startup.get("effective") or {}).get("pid")
        if set(procfs.in_namespaces(inner)) & set(procfs.process_tree([root_pid])):
            return []
        return [f"process_unknown: process {inner} answers, and container {plan.container} has none of this id"]
    owners = procfs.listening_pids(_port(plan))
    service = procfs.process_tree([root_pid])
    # systemd keeps the socket that it hands to a service, and is the older one of both.
    if not owners or not set(owners).isdisjoint(service) or any(procfs.hides_descriptors(pid) for pid in service):
        return []
    listener = f"pid {owners[0]} ({procfs.command_line(owners[0])})"
    return [f"process_unknown: port {_port(plan)} belongs to {listener}, which is no child of process {root_pid}"]


def _overlap_problems(old: OldInstance) -> list[str]:
    """Whether a process of the old instance still runs beside the new one, as it may after a start that replaces it."""
    left = old.alive()
    return [f"not_new: process {left[0]} of the old instance still runs beside the new one"] if left else []


def granted(pid: int) -> dict[str, Any]:
    """The CPUs and memory a process may use: its affinity, and the tightest limits of its control groups."""
    return {
        "affinity_cpus": procfs.affinity(pid),
        "cpu_quota_cores": cgroup.cpu_quota_cores(pid),
        "memory_limit_bytes": cgroup.memory_limit_bytes(pid),
    }


def measure(plan: Plan) -> dict[str, Any]:
    """Start the service and return the facts of the module service_startup.

    Raises StartupFailed where there is no start-up to report: an old instance in the way, a command that fails, a
    service whose start-up fails or is not over at the deadline. What makes a finished one doubtful is in
    ``invalid_reasons``.
    """
    old = find_old_instance(plan)
    stop(plan, old)
    log_offset, stale_pid = log_size(plan.log_path), named_pid(plan.pid_file)
    boot_id = host_boot_id()
    deadline = Deadline(plan.deadline_seconds)
    command = StartCommand(plan.start_argv)
    try:
        if plan.replaces and not plan.behind_gateway:
            _await_end(old, command, Deadline(plan.stop_deadline_seconds))
        probe = Probe(plan, command, deadline, log_offset, stale_pid=stale_pid, old_instance_id=old.instance_id)
        return _observe(plan, old, probe, boot_id)
    except procfs.ProcessNotFound as gone:
        raise StartupFailed(
            f"The service's process ended while it was being measured: {gone}",
            operation="read the service's process",
            argv=list(plan.start_argv),
            log_tail=log_tail(plan, log_offset),
            next_step="read the log's tail",
        ) from gone
    except StartupFailed as failed:
        # A start command that fails says less than the service's own log.
        failed.details.setdefault("log_tail", log_tail(plan, log_offset))
        raise
    finally:
        command.kill()


def _await_end(old: OldInstance, command: StartCommand, deadline: Deadline) -> None:
    """Wait while a restart in place still ends the old instance: until then it is that one which answers.

    Raises StartupFailed where it does not end, or the command fails.
    """
    while left := old.alive():
        command.check()
        if deadline.expired():
            raise StartupFailed(
                f"The old instance is not gone: process {left[0]} ({procfs.command_line(left[0])}) still runs",
                operation="stop",
                next_step="end that process; what answers meanwhile is the old instance",
            )
        time.sleep(RETRY_SECONDS)


def _observe(plan: Plan, old: OldInstance, probe: Probe, boot_id: str) -> dict[str, Any]:
    start = probe.command.begun
    first_reply_seconds = probe.until_first_reply()
    ready = probe.until_ready() if plan.until == "ready" else None
    imported = None if ready else probe.until_imported()
    probe_attempts = probe.attempts

    answer = _first_answer(plan, probe) if ready and plan.predict_body is not None else FirstAnswer()
    # In a container the service's own word is needed to find its process.
    described = plan.instance or plan.container is not None
    named = parse_startup(probe.until_answered("GET", "/startup")[0]) if described else None
    root_pid, root_problems = find_root(plan, start, named)
    evaluation = _first_evaluation(plan, probe, root_pid) if ready and plan.evaluate else FirstEvaluation()
    startup = imported or parse_startup(probe.until_answered("GET", "/startup")[0])

    seen = [*plan.seen_instance_ids, *([old.instance_id] if old.instance_id else [])]
    ready_instance_id = ready.instance_id if ready else startup["instance_id"]
    problems = [
        *answer.problems,
        *root_problems,
        *evaluation.problems,
        *newness_problems(
            plan,
            startup,
            start=start,
            boot_id=boot_id,
            seen_instance_ids=seen,
            ready_instance_id=ready_instance_id,
        ),
        *_overlap_problems(old),
    ]
    if probe.went_away:
        problems.append(f"restarted: the service went away after its first reply ({probe.went_away})")
    probe.command.finish(probe.deadline)
    phases = phases_since_start(startup, start, boot_id)
    return {
        "valid": not problems,
        "invalid_reasons": problems,
        "mode": next((phase["name"] for phase in startup["phases"] if phase["name"] in {"train", "load"}), None),
        "instance_id": startup["instance_id"],
        "host_boot_id": boot_id,
        "start_monotonic_seconds": start,
        "first_reply_seconds": first_reply_seconds,
        "ready_seconds": ready.seconds if ready else None,
        "first_answer_seconds": answer.seconds,
        "first_evaluation_seconds": evaluation.seconds,
        "resolution_seconds": resolution_seconds(ready, phases) if ready else None,
        "probe_attempts": probe_attempts,
        "phases": phases,
        "answer": evaluation.document,
        "startup": startup,
        "evaluation": evaluation.cost,
        "granted": None if root_pid is None else granted(root_pid),
        "root_pid": root_pid,
    }


@dataclass(frozen=True)
class FirstAnswer:
    """The first POST /predict; without ``seconds`` where none was asked for or it was wrong."""

    seconds: float | None = None
    problems: Sequence[str] = ()


def _first_answer(plan: Plan, probe: Probe) -> FirstAnswer:
    answer, seconds, _ = probe.until_answered("POST", "/predict", plan.predict_body)
    label = http.json_object(answer.body).get("label")
    if answer.status == 200 and label is not None and plan.expect_label in {None, label}:
        return FirstAnswer(seconds)
    wanted = "a label" if plan.expect_label is None else f"the label {plan.expect_label}"
    return FirstAnswer(None, [f"wrong_answer: POST /predict must answer {wanted}, got {probe.last_seen}"])


@dataclass(frozen=True)
class FirstEvaluation:
    """The first GET /; without ``seconds`` where none was asked for or it was wrong."""

    seconds: float | None = None
    problems: Sequence[str] = ()
    document: Mapping[str, Any] | None = None
    cost: Mapping[str, Any] | None = None


def _first_evaluation(plan: Plan, probe: Probe, root_pid: int | None) -> FirstEvaluation:
    counter = None if root_pid is None else procfs.cpu_counter([root_pid])
    before = counter.read()[1] if counter else 0.0
    answer, seconds, wall_seconds = probe.until_answered("GET", "/")
    cpu_seconds = counter.read()[1] - before if counter else None
    cost = {
        "wall_seconds": wall_seconds,
        "cpu_seconds": cpu_seconds,
        "cpu_cores": None if cpu_seconds is None else cpu_seconds / wall_seconds,
        "model_seconds": http.server_timing_seconds(answer.headers.get("server-timing", ""), "evaluation"),
    }
    document = http.json_object(answer.body)
    wrong = [f"the status is {answer.status}"]
    if answer.status == 200:
        wrong = [*mismatches(plan.expect, document), *_contradictions(document)]
    if wrong:
        return FirstEvaluation(None, [f"wrong_evaluation: {'; '.join(wrong)}"], document, cost)
    return FirstEvaluation(seconds, (), document, cost)


def _contradictions(document: Mapping[str, Any]) -> list[str]:
    """What an evaluation's answer says against itself: the accuracy is the correct answers out of all."""
    accuracy, correct, total = (document.get(name) for name in ("accuracy", "correct", "total"))
    if not all(isinstance(value, (int, float)) for value in (accuracy, correct, total)) or not total:
        return []
    # The service rounds to six decimals.
    if abs(accuracy - correct / total) <= 1e-6:
        return []
    return [f"accuracy {accuracy} is not {correct} of {total}"]
