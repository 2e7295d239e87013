# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""One load trial from its first probe to its last: what `ab_benchmark` does once its options are known to be good."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, replace
from typing import Any

from . import ab, http, round_trip
from .ab_report import parse_version
from .clock import Deadline, host_boot_id, monotonic, wall_clock_offset
from .clock_offset import Readings
from .expectation import mismatches, parse_answer
from .files import sha256_of, wait_for_files, write_atomically
from .process import Completed, run_with_deadline

INSTALL_AB = "install it: apt-get install apache2-utils (Debian, Ubuntu) or dnf install httpd-tools (Fedora, RHEL)"
INTERRUPT_GRACE_SECONDS = 5.0
VERSION_DEADLINE_SECONDS = 10.0
ANSWER_LIMIT_BYTES = 4096  # larger answers are checked and not repeated in the facts
TAIL_CHARACTERS = 2000
# Where the probe reached nobody, ab would only wait for its time-out once more.
_NOBODY_THERE = ("scheme", "dns", "refused", "unreachable", "timeout")


class LoadFailed(Exception):
    """The load could not be measured at all; `result` holds the keys of the module's failure beside the message."""

    def __init__(self, message: str, operation: str, next_step: str, **details: Any) -> None:
        super().__init__(message)
        self.result = {"operation": operation, "next_step": next_step, **details}


@dataclass(frozen=True)
class Probing:
    """How a single request is made and judged: the load's own, with what its JSON answer must hold."""

    load: ab.Load
    body: bytes | None = None
    expect: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Sizing:
    """Size the load by a probe: to last `at_least_seconds`, with no more than `at_most_requests`."""

    at_least_seconds: float
    at_most_requests: int


@dataclass(frozen=True)
class Surroundings:
    """What a trial needs beside the load: ab, folders, and the marks of those who watch it.

    `work_dir` is a folder of the trial's own; `artifact_dir`, where there is one, gets ab's stdout and CSV. `connects`
    connections are opened and closed before anything is sent, to know the network. `clock_url` is asked for the clock
    of the service's host before the load and after it, where that is another one.
    """

    ab_path: str
    work_dir: str
    artifact_dir: str | None = None
    ready_files: Sequence[str] = ()
    ready_deadline_seconds: float = 60.0
    deadline_seconds: float | None = None
    connects: int = 0
    clock_url: str | None = None


@dataclass(frozen=True)
class Probe:
    """One request on its own: what came, how long it took, and why it is not good (None where it is)."""

    seconds: float
    status: int | None = None
    body: bytes | None = None
    answer: Any = None
    problem: str | None = None
    nobody_there: bool = False

    def facts(self) -> dict[str, Any]:
        """For the facts: the answer only where it is JSON and small."""
        return {
            "seconds": round(self.seconds, 6),
            "status": self.status,
            "bytes": None if self.body is None else len(self.body),
            "answer": self.answer if self.body is not None and len(self.body) <= ANSWER_LIMIT_BYTES else None,
        }

    def good_body(self) -> bytes | None:
        """The body of a good answer, else None."""
        return self.body if self.problem is None else None


@dataclass(frozen=True)
class _Run:
    """ab's process and what it left: `csv_text` is None where it wrote no CSV."""

    ended: ab.Ended
    csv_text: str | None
    window: dict[str, Any]
    client: dict[str, float]


def check_program(ab_path: str) -> str:
    """The version that `ab_path -V` claims. Raises LoadFailed where it does not start or is not ApacheBench."""
    argv = [ab_path, "-V"]
    operation = "ask ab for its version"
    try:
        done = run_with_deadline(argv, VERSION_DEADLINE_SECONDS, 1.0)
    except OSError as error:
        raise LoadFailed(f"{ab_path} does not start: {error.strerror}", operation, INSTALL_AB, argv=argv) from error
    version = parse_version(done.stdout)
    if version is None:
        raise LoadFailed(
            f"{ab_path} is not ApacheBench: it answers -V with {done.stdout[:80]!r}",
            operation,
            f"set ab_path to ApacheBench, or {INSTALL_AB}",
            **_details(argv, done),
        )
    return version


def run_load(
    probing: Probing, surroundings: Surroundings, sizing: Sizing | None = None
) -> tuple[dict[str, Any], dict[str, str]]:
    """Probe, size, wait for the watchers, run ab, probe again.

    Returns the facts of design 4.2, and ab's outputs (stdout, stderr, csv), each empty where there is none.
    Raises LoadFailed where there is nothing to give facts about: a watcher that never got ready, an ab that refuses its
    command line, a folder that cannot be written.
    """
    connected = round_trip.connect_seconds(probing.load.url, surroundings.connects) if surroundings.connects else None
    before = send_probe(probing)
    reasons = [] if before.problem is None else [f"{before.problem} (before the load)"]
    sized = None
    if sizing is not None and before.problem is None:
        requests, sized, problem = _size(probing, sizing)
        probing = replace(probing, load=replace(probing.load, requests=requests))
        reasons += [] if problem is None else [f"{problem} (while sizing the load)"]
    load = probing.load
    deadline_seconds = surroundings.deadline_seconds or ab.default_deadline_seconds(load)
    csv_path = os.path.join(surroundings.work_dir, "ab.csv")
    argv = ab.build_argv(load, surroundings.ab_path, csv_path, _body_file(probing, surroundings.work_dir))
    wait_for_watchers(surroundings.ready_files, surroundings.ready_deadline_seconds)
    measured = ab.nothing_measured(load.requests)
    lengths = ab.KnownLengths()
    run = after = None
    clock = Readings(surroundings.clock_url)
    if not before.nobody_there:
        clock.before()
        run = _run_ab(argv, csv_path, deadline_seconds)
        after = send_probe(probing)
        clock.after()
        reasons += [] if after.problem is None else [f"{after.problem} (after the load)"]
        lengths = ab.KnownLengths.of(before.good_body(), after.good_body())
        measured = ab.measure(
            run.ended.stdout,
            run.csv_text,
            planned=load.requests,
            variable_length=load.variable_length,
            lengths=lengths,
            stderr=run.ended.stderr,
        )
        reasons += ab.invalid_reasons(load, run.ended, measured, lengths) + _changes(load, before, after)
    facts = {
        "valid": not reasons,
        "invalid_reasons": reasons,
        "argv": argv,
        **measured.figures,
        "concurrency": load.concurrency,
        "timeout_seconds": load.timeout_seconds,
        "deadline_seconds": deadline_seconds,
        "window": run.window if run else None,
        "wall_seconds": run.ended.wall_seconds if run else None,
        "censored": ab.censored(load, run.ended, measured) if run else ab.NONE_CENSORED,
        "first_request_seconds": None if before.good_body() is None else round(before.seconds, 6),
        "connect_seconds": connected,
        "clock": clock.facts(),
        "body_lengths": asdict(lengths),
        "probes": {"before": before.facts(), "after": after.facts() if after else None},
        "sizing": sized,
        "client": run.client if run else None,
        "exit_code": run.ended.rc if run else None,
        "artifacts": _keep(surroundings.artifact_dir, run) if run and surroundings.artifact_dir else [],
    }
    outputs = {"stdout": "", "stderr": "", "csv": ""}
    if run:
        outputs = {"stdout": run.ended.stdout, "stderr": run.ended.stderr, "csv": run.csv_text or ""}
    return facts, outputs


def send_probe(probing: Probing) -> Probe:
    """Make one request as ab would make it, and judge its answer; never raises for what the server does."""
    load = probing.load
    headers = dict(load.headers or {})
    if probing.body is not None:
        headers.setdefault("Content-Type", load.content_type)
    begun = monotonic()
    try:
        reply = http.request(load.method, load.url, probing.body, headers, timeout_seconds=load.timeout_seconds)
    except http.RequestFailed as failure:
        problem = f"probe_failed: {failure.message}"
        return Probe(monotonic() - begun, problem=problem, nobody_there=failure.kind in _NOBODY_THERE)
    seconds = monotonic() - begun
    answer, fault = _judge(reply, probing)
    return Probe(seconds, reply.status, reply.body, answer, fault)


def _judge(reply: http.Response, probing: Probing) -> tuple[Any, str | None]:
    """The answer's JSON (None where it is none) and what is wrong with the answer."""
    answer, unreadable = None, None
    try:
        answer = parse_answer(reply.body)
    except ValueError as error:
        unreadable = str(error)
    if not 200 <= reply.status <= 299:
        load = probing.load
        return answer, f"probe_failed: {load.method} {load.url} answered {reply.status}: {reply.body[:200]!r}"
    if probing.expect is None:
        return answer, None
    wrong = [unreadable] if unreadable else mismatches(probing.expect, answer)
    return answer, f"wrong_answer: {'; '.join(wrong)}" if wrong else None


def _size(probing: Probing, sizing: Sizing) -> tuple[int, dict[str, Any], str | None]:
    """The number of requests, the facts about how it came about, and what was wrong with the probes that say it.

    As many requests as ab will have under way are sent at once, after the first probe, which may have been a cold one.
    """
    load = probing.load
    begun = monotonic()
    with ThreadPoolExecutor(load.concurrency) as pool:
        probes = list(pool.map(send_probe, [probing] * load.concurrency))
    seconds = monotonic() - begun
    problem = next((probe.problem for probe in probes if probe.problem is not None), None)
    requests = load.requests
    if problem is None:
        requests = ab.sized_requests(
            seconds, load.concurrency, sizing.at_least_seconds, load.requests, sizing.at_most_requests
        )
    facts = {
        "at_least_seconds": sizing.at_least_seconds,
        "at_most_requests": sizing.at_most_requests,
        "probe_requests": load.concurrency,
        "probe_seconds": round(seconds, 6),
    }
    return requests, facts, problem


def _body_file(probing: Probing, work_dir: str) -> str | None:
    if probing.body is None:
        return None
    path = os.path.join(work_dir, "body")
    try:
        write_atomically(path, probing.body)
    except OSError as error:
        raise LoadFailed(
            f"{path} cannot be written: {error.strerror}", "write the body for ab", "free space or fix the folder"
        ) from error
    return path


def wait_for_watchers(ready_files: Sequence[str], deadline_seconds: float) -> None:
    """Wait until each watcher of a load has made its file. Raises LoadFailed where one has not by the deadline."""
    missing = wait_for_files(ready_files, Deadline(deadline_seconds))
    if missing:
        raise LoadFailed(
            f"waited {deadline_seconds:g} s for {', '.join(missing)}: the watcher that makes it"
            " did not get ready, and no load was sent",
            "wait for ready_file",
            "look at the watcher's own result (async_status)",
        )


def _run_ab(argv: list[str], csv_path: str, deadline_seconds: float) -> _Run:
    offset = wall_clock_offset()
    try:
        done = run_with_deadline(argv, deadline_seconds, INTERRUPT_GRACE_SECONDS)
    except OSError as error:
        raise LoadFailed(f"{argv[0]} does not start: {error.strerror}", "run ab", INSTALL_AB, argv=argv) from error
    ended = ab.Ended(
        rc=done.rc,
        stdout=done.stdout,
        stderr=done.stderr,
        interrupted=done.interrupted,
        wall_seconds=done.wall_seconds,
        clock_step_seconds=wall_clock_offset() - offset,
        deadline_seconds=deadline_seconds,
    )
    refusal = ab.usage_refused(ended)
    if refusal is not None:
        raise LoadFailed(
            f"ab refused its command line: {refusal}",
            "run ab",
            "use ApacheBench 2.4.7 or later (it brought -l), and options that it knows",
            **_details(argv, done),
        )
    window = {
        "start_monotonic_seconds": done.started_monotonic,
        "end_monotonic_seconds": done.ended_monotonic,
        "host_boot_id": host_boot_id(),
    }
    client = {"cpu_seconds": done.cpu_seconds, "cpu_cores": done.cpu_seconds / done.wall_seconds}
    return _Run(ended, _text_of(csv_path), window, client)


def _text_of(path: str) -> str | None:
    try:
        with open(path, encoding="ascii", errors="replace") as file:
            return file.read()
    except FileNotFoundError:
        return None


def instance_changes(before: Probe, after: Probe) -> list[str]:
    """Say where another instance answered after a load than before it; nothing where either gave no good answer."""
    if before.good_body() is None or after.good_body() is None:
        return []
    instances = [
        probe.answer.get("instance_id") if isinstance(probe.answer, dict) else None for probe in (before, after)
    ]
    if instances[0] == instances[1]:
        return []
    return [f"instance_changed: instance {instances[0]} answered before the load and {instances[1]} after it"]


def _changes(load: ab.Load, before: Probe, after: Probe) -> list[str]:
    """What must not change between the two probes of one load."""
    if before.good_body() is None or after.good_body() is None:
        return []
    replaced = instance_changes(before, after)
    if replaced:
        return replaced
    if not load.variable_length and before.body != after.body:
        return ["answer_changed: the answers before and after the load differ; set variable_length to true if they may"]
    return []


def _keep(artifact_dir: str, run: _Run) -> list[dict[str, str]]:
    """Put ab's outputs into `artifact_dir`; the facts about them."""
    kept = []
    for name, text in (("ab.txt", run.ended.stdout), ("ab.csv", run.csv_text)):
        if text is None:
            continue
        path = os.path.join(artifact_dir, name)
        try:
            write_atomically(path, text.encode("utf-8"))
        except OSError as error:
            raise LoadFailed(
                f"{path} cannot be written: {error.strerror}", "keep ab's output", "free space or set artifact_dir"
            ) from error
        kept.append({"path": path, "sha256": sha256_of(path)})
    return kept


def _details(argv: list[str], done: Completed) -> dict[str, Any]:
    return {
        "argv": argv,
        "rc": done.rc,
        "stdout_tail": done.stdout[-TAIL_CHARACTERS:],
        "stderr_tail": done.stderr[-TAIL_CHARACTERS:],
    }
