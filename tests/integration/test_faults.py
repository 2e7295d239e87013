# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The fault scoreboard (docs/scoreboard.md): each fault is put into real services, and the playbooks must catch it.

One deployment serves all. A fault is a named stand-in for the function's handler, or is done to the service's process
from outside, for the time of one run. The reason codes that a run must have are judged apart from `parity_failed` of
the effective cores, which other work on the machine can bring about.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from analysis import statistics
from analysis.disturbances import STALL_FACTOR
from analysis.verdict import compare
from tests.integration.toolkit import ROOT, SHORT, Toolkit, free_port, last_line, run_json

pytestmark = pytest.mark.alone

# A stand-in for the handler: it asks the real service, and falsifies what the load generator is told.
HANDLER = """

# A stand-in for the handler, made by a test.
import json
import os
import time

honest, calls = handle, 0


def handle(event, context):
    global calls
    if event.path != "/":
        return honest(event, context)
    by_ab = event.headers.get("User-Agent", "").startswith("ApacheBench")
    calls += by_ab
    FAULT
"""
FAULTS = {
    "half of the answers are 502 of equal length": """
    answered = honest(event, context)
    return answered | {"statusCode": 502} if by_ab and calls % 2 == 0 else answered""",
    "valid JSON of changing length": """
    answered = honest(event, context)
    calls += 1
    return answered | {"body": json.dumps(json.loads(answered["body"]) | {"note": "x" * (calls % 50)})}""",
    "wrong answers at full speed": """
    if by_ab:
        return {"statusCode": 200, "headers": {"Content-Type": "application/json"}, "body": '{"accuracy": 0.99}'}
    return honest(event, context)""",
    "wrong answers of equal length at full speed": """
    if by_ab:
        return last | {"body": last["body"].replace('"correct": ', '"correct":7', 1)}
    globals()["last"] = honest(event, context)
    return last""",
    "a hung function": """
    if by_ab:
        time.sleep(3600)
    return honest(event, context)""",
    "half the CPUs": """
    return honest(event, context)


os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:1])""",
}
# After each evaluation the compute thread works on: a share SLOWDOWN of what the evaluation took, on as many CPUs, so
# that the arms' effective cores stay equal and the slowdown is all that differs.
SLOWER = """

# A stand-in for the handler's compute thread, made by a test: every evaluation takes longer.
import time

evaluates = service._compute.evaluate


def longer(job):
    def run(give_way):
        import torch

        begun = time.perf_counter()
        done = job(give_way)
        until = time.perf_counter() + SLOWDOWN * (time.perf_counter() - begun)
        matrix = torch.ones(192, 192)
        while time.perf_counter() < until:
            matrix @ matrix
        return done

    return evaluates(run)


service._compute.evaluate = longer
"""
# A training that ends at the worst moment: once the next starts are to load the model, the instance saves its own.
SAVES_LATE = """

# A stand-in for the handler's training, made by a test.
import json
import os
import pathlib
import threading
import time


folder = pathlib.Path(os.environ["EVENKEEL_SERVICE_DIR"])


def trains():
    return json.loads((folder / "service.json").read_text())["start_with"] == "train"


def save_late():
    while trains():
        time.sleep(0.005)
    while True:
        (folder / "model.pt").write_bytes(b"of another training")
        time.sleep(0.005)


if trains():
    threading.Thread(target=save_late, daemon=True).start()
"""
# In front of an instance that is never stopped, as a gateway that keeps a function warm is.
WARM = """# A stand-in for the handler, made by a test.
import urllib.error
import urllib.request


def handle(event, context):
    query = "".join(f"?{name}={value}" for name, value in event.query.items())
    asked = urllib.request.Request(
        f"http://127.0.0.1:PORT{event.path}{query}", data=event.body or None, method=event.method
    )
    try:
        answer = urllib.request.urlopen(asked, timeout=60)
    except urllib.error.HTTPError as error:
        answer = error
    with answer:
        kind = {"Content-Type": answer.headers["Content-Type"]}
        return {"statusCode": answer.status, "headers": kind, "body": answer.read().decode()}
"""


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    kit = Toolkit(tmp_path_factory.mktemp("kit"), {"profile": "demo", "dataset": "digits"})
    deployed = kit.play("site")
    assert deployed.returncode == 0, deployed.stdout
    yield kit
    for line in kit.processes():
        os.kill(int(line.split()[0]), signal.SIGKILL)


def handler_of(toolkit: Toolkit) -> Path:
    return toolkit.state / "serverless" / "app" / "function" / "handler.py"


@contextlib.contextmanager
def handler(toolkit: Toolkit, standin: str, *, appended: bool = True) -> Iterator[None]:
    """The function's handler with a stand-in, and afterwards as it was."""
    file = handler_of(toolkit)
    honest = file.read_text()
    file.write_text(honest + standin if appended else standin)
    try:
        yield
    finally:
        file.write_text(honest)


def reasons(run: dict[str, Any]) -> dict[str, str]:
    """What was found against a run: the first message of each code, but for what other work on the machine can do."""
    found: dict[str, str] = {}
    for reason in run["invalid_reasons"]:
        if not reason["message"].startswith("effective cores"):
            found.setdefault(reason["code"], reason["message"])
    return found


def caught(toolkit: Toolkit, done: subprocess.CompletedProcess[str]) -> dict[str, str]:
    """The reasons of an INVALID run, after checking that it is said wherever a user or a script looks."""
    assert done.returncode == 2, done.stdout
    folder = toolkit.newest_run()
    run = run_json(folder)
    assert not run["valid"]
    assert last_line(done) == f"INVALID {run['invalid_reasons'][0]['code']} {folder.name}"
    assert all(metric["verdict"] in (None, "not valid") for metric in run["metrics"])
    assert all(metric["ratio"] is None for metric in run["metrics"])
    return reasons(run)


# What is wrong with one arm needs no other one to be seen, and takes half the time.
ONE_ARM = ("--limit", "serverless")


def faulty(toolkit: Toolkit, fault: str, *options: str, **settings: Any) -> dict[str, str]:
    with handler(toolkit, HANDLER.replace("FAULT", FAULTS[fault].strip())):
        return caught(toolkit, toolkit.play("benchmark", *options, **(SHORT | settings)))


def test_errors_of_equal_length_are_counted(toolkit: Toolkit) -> None:
    found = faulty(toolkit, "half of the answers are 502 of equal length", *ONE_ARM)
    assert "non-2xx 2" in found["requests_failed"]


def test_answers_of_changing_length_are_not_taken_for_failures_of_the_network(toolkit: Toolkit) -> None:
    found = faulty(toolkit, "valid JSON of changing length", *ONE_ARM)
    assert "note is" in found["wrong_answer"]
    assert "lost 0, non-2xx 0" in found["requests_failed"]


@pytest.mark.parametrize(
    ("fault", "code"),
    [
        # The probes are answered honestly: only ab's own lengths tell.
        ("wrong answers at full speed", "requests_failed"),
        # ab takes them for good ones, and they cost the service nothing.
        ("wrong answers of equal length at full speed", "not_computed"),
    ],
)
def test_wrong_answers_make_no_fast_service(toolkit: Toolkit, fault: str, code: str) -> None:
    assert code in faulty(toolkit, fault, *ONE_ARM)


def test_a_hung_function_ends_the_load_at_its_deadline(toolkit: Toolkit) -> None:
    found = faulty(toolkit, "a hung function", *ONE_ARM, load_timeout_seconds=3)
    assert "ab_timeout" in found["load_invalid"]


def test_half_the_cpus_are_no_equal_ground(toolkit: Toolkit) -> None:
    if len(os.sched_getaffinity(0)) < 2:
        pytest.skip("this machine grants one CPU, which cannot be halved")
    found = faulty(toolkit, "half the CPUs")
    assert "CPUs granted" in found["parity_failed"]
    folder = toolkit.newest_run()
    for report in ("report.md", "report.html"):
        assert "PARITY FAILED" in (folder / report).read_text()


def test_what_still_trains_does_not_save_over_the_model_that_is_laid(toolkit: Toolkit) -> None:
    with handler(toolkit, SAVES_LATE):
        toolkit.play("benchmark", *ONE_ARM, **SHORT)
    run = run_json(toolkit.newest_run())
    assert reasons(run) == {}, run["invalid_reasons"]


@contextlib.contextmanager
def warm_instance(toolkit: Toolkit) -> Iterator[int]:
    """The function's own service on another port, started before the run and never stopped by it."""
    port = free_port()
    here = toolkit.state / "serverless"
    lines = (here / "run.sh").read_text().splitlines()
    script = "\n".join(
        line.replace(str(toolkit.ports["serverless"]), str(port)) for line in lines if "service.pid" not in line
    )
    process = subprocess.Popen(["sh", "-c", script], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 120
        while True:
            try:
                urllib.request.urlopen(f"http://127.0.0.1:{port}/ready?wait=20", timeout=30).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.2)
        yield port
    finally:
        process.kill()
        process.wait()


def test_a_function_that_was_never_cold_has_no_start(toolkit: Toolkit) -> None:
    with warm_instance(toolkit) as port, handler(toolkit, WARM.replace("PORT", str(port)), appended=False):
        found = caught(toolkit, toolkit.play("benchmark", *ONE_ARM, **SHORT))
    assert "not_new" in found["start_invalid"]


def test_more_connections_than_requests_are_refused_before_anything_is_measured(toolkit: Toolkit) -> None:
    before = sorted(toolkit.results.iterdir()) if toolkit.results.exists() else []
    done = toolkit.play("benchmark", **(SHORT | {"load_requests": 3, "load_concurrency": 4}))
    assert done.returncode == 2, done.stdout
    assert "load_requests=3: give a whole number from 4" in " ".join(done.stdout.split())
    assert (sorted(toolkit.results.iterdir()) if toolkit.results.exists() else []) == before


def processes_with(argument: str, program: str) -> list[int]:
    listed = subprocess.run(["ps", "-wweo", "pid,args"], check=True, capture_output=True, text=True).stdout
    return [
        int(line.split()[0])
        for line in listed.splitlines()
        if argument in line and Path(line.split()[1]).name == program
    ]


def stop_for(pid: int, seconds: float) -> None:
    """Have a process stand still for a while, and go on whatever happens."""
    os.kill(pid, signal.SIGSTOP)
    try:
        time.sleep(seconds)
    finally:
        os.kill(pid, signal.SIGCONT)


class Stall(threading.Thread):
    """Stops the function's process for two seconds, once, in the middle of its load."""

    SECONDS = 2.0

    def __init__(self, toolkit: Toolkit) -> None:
        super().__init__(daemon=True)
        self._pid_file = toolkit.state / "serverless" / "service.pid"
        self._url = f"127.0.0.1:{toolkit.ports['serverless']}/"
        self.over = threading.Event()
        self.stalled = False

    def run(self) -> None:
        while not self.over.wait(0.02):
            if processes_with(self._url, "ab"):
                time.sleep(0.5)
                stop_for(int(self._pid_file.read_text()), self.SECONDS)
                self.stalled = True
                return


def test_a_stall_that_abs_percentiles_hide_is_kept_and_said(toolkit: Toolkit) -> None:
    stall = Stall(toolkit)
    stall.start()
    requests = 60
    try:
        done = toolkit.play("benchmark", *ONE_ARM, **(SHORT | {"load_requests": requests, "load_concurrency": 1}))
    finally:
        stall.over.set()
        stall.join()
    assert stall.stalled, done.stdout
    run = run_json(toolkit.newest_run())
    assert reasons(run) == {}, run["invalid_reasons"]
    load = next(trial for trial in run["trials"] if trial["id"] == "b01-serverless-load")["data"]
    # Nothing is dropped, and the longest time has the stall in it; ab's percentiles do not.
    assert len(load["samples_seconds"]) == requests
    latency = load["latency_seconds"]
    assert latency["max"] >= Stall.SECONDS
    assert latency["p95"] < latency["max"] - Stall.SECONDS / 2
    said = {warning["code"]: warning["message"] for warning in run["warnings"]}
    # Where other work makes every response as slow as the stall, nothing stands out, and nothing is to be said.
    assert ("stalled" in said) == (latency["max"] >= STALL_FACTOR * latency["p50"])
    if "stalled" in said:
        assert "b01-serverless-load" in said["stalled"]


def connections_to(port: int) -> int:
    """How many connections to the port this host knows, closed ones included for a minute (proc_net_tcp of Linux)."""
    lines = Path("/proc/net/tcp").read_text().splitlines()[1:]
    return sum(f":{port:04X}" in " ".join(line.split()[1:3]) for line in lines)


def test_an_open_loop_shows_the_same_stall_in_its_percentiles(toolkit: Toolkit) -> None:
    """50/s for 8 s are 400 arrivals. The 100 that are due while the service stands still wait 2 s less, each 20 ms less
    than the one before: their 80th is the load's p95, and waits 1.6 s. What else slows a request only adds to that.
    """
    toolkit.wait_until_ready("serverless")
    port = toolkit.ports["serverless"]
    load = {"url": f"http://127.0.0.1:{port}/healthz", "rate_rps": 50, "seconds": 8, "arrivals": "uniform"}
    ansible = str(Path(sys.executable).with_name("ansible"))
    argv = [ansible, "localhost", "-i", "localhost,", "-m", "open_loop_benchmark"]
    local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
    before = connections_to(port)
    process = subprocess.Popen(
        [*argv, "-a", json.dumps({**load, "fail_on_invalid": False}), "-e", json.dumps(local)],
        cwd=ROOT,
        env=os.environ | {"ANSIBLE_CALLBACK_RESULT_FORMAT": "json"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    try:
        deadline = time.monotonic() + 120
        while connections_to(port) < before + 25:
            assert process.poll() is None and time.monotonic() < deadline
            time.sleep(0.02)
        stop_for(int((toolkit.state / "serverless" / "service.pid").read_text()), Stall.SECONDS)
        shown, _ = process.communicate(timeout=120)
    finally:
        process.kill()
    facts = json.loads(shown[shown.index("=> {") + 3 :])["ansible_facts"]["open_loop_benchmark"]
    latency = facts["latency_seconds"]
    assert facts["requests"]["succeeded"] == latency["n"] == 400, "nothing is dropped"
    assert latency["max"] >= 0.95 * Stall.SECONDS
    assert latency["p95"] >= 0.95 * 1.6
    assert facts["most_under_way"] >= 90, "nobody waited for an answer before sending"


SLOWDOWN, MARGIN = 0.10, 0.05


def slowed(toolkit: Toolkit, seed: int) -> tuple[subprocess.CompletedProcess[str], dict[str, Any]]:
    """A run at as many blocks as the tool asks for: it ends when the ratio is known to within the margin."""
    counts = {"blocks": 16, "loading_starts": 16, "load_requests": 40, "run_seed": seed, "margin": MARGIN}
    with handler(toolkit, SLOWER.replace("SLOWDOWN", str(SLOWDOWN))):
        done = toolkit.play("benchmark", **(SHORT | counts), stop_when=f"ci_half_width<={MARGIN:.0%}")
    run = run_json(toolkit.newest_run())
    assert reasons(run) == {}, run["invalid_reasons"]
    return done, run


def test_an_arm_that_is_slower_by_ten_percent_is_found_slower(toolkit: Toolkit) -> None:
    """A ratio known to within 5 % lies by chance below 1.05 in one run of 50 or so, and hardly in two."""
    for seed in (5, 6):
        done, run = slowed(toolkit, seed)
        primary = next(metric for metric in run["metrics"] if metric["primary"])
        # By the figures of the pairs themselves, which an INVALID run shows too.
        found = compare([pair["serverless"]["value"] / pair["server"]["value"] for pair in primary["pairs"]])
        assert found.interval is not None
        if statistics.relative_half_width(found.interval) > MARGIN:
            # Other work on this machine moved the blocks by more than that: then it must not be called a gain.
            assert primary["verdict"] in ("slower", "inconclusive", "not valid"), primary
            return
        assert found.interval.high > 1, primary["pairs"]
        if found.interval.low > 1 and found.ratio > 1 + MARGIN:
            break
    else:
        pytest.fail(f"not found with two seeds: {primary}")
    if run["valid"]:
        assert done.returncode == 0, done.stdout
        assert primary["verdict"] == "slower", primary
