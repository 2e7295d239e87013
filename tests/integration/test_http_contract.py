# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Both arms as real processes, gunicorn beside waitress, asked the same: every answer must be the same to the byte."""

from __future__ import annotations

import contextlib
import io
import json
import os
import re
import shutil
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from http.client import HTTPConnection
from pathlib import Path
from typing import Any

import pytest
from cifar_cnn.datasets.prepared import prepare
from evenkeel import http, procfs
from PIL import Image

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
DATASET = {"train": 200, "test": 100, "classes": 4, "seed": 5}
SETTINGS: dict[str, Any] = {
    "schema_version": 1,
    "dataset": "synthetic",
    "engine": "reference",
    "recipe": "study",
    "epochs": 1,
    "batch_size": 50,
    "dropout": 0.2,
    "seed": 1,
    "start_with": "train",
    "request_threads": 8,
    "compute_threads": 1,
    "queue_limit": 6,
}
START_DEADLINE_SECONDS = 120


@dataclass
class Arm:
    """One running arm."""

    name: str
    url: str
    process: subprocess.Popen[bytes]
    log: Path

    def ask(self, method: str, path: str, body: bytes | None = None, seconds: float = 60) -> http.Response:
        return http.request(method, self.url + path, body, timeout_seconds=seconds)

    def until(self, path: str, status: int) -> http.Response:
        """The first answer of this status; fails with the arm's log at the deadline."""
        deadline = time.monotonic() + START_DEADLINE_SECONDS
        last = "no answer"
        while time.monotonic() < deadline:
            with contextlib.suppress(http.RequestFailed):
                answer = self.ask("GET", path)
                if answer.status == status:
                    return answer
                last = f"{answer.status} {answer.body!r}"
            time.sleep(0.05)
        raise AssertionError(f"{self.name}: {path} did not answer {status}; last: {last}\n{self.log.read_text()}")


@dataclass
class Arms:
    """The two arms of one service.json."""

    server: Arm
    serverless: Arm

    def both(self) -> tuple[Arm, Arm]:
        return self.server, self.serverless

    def ask(self, method: str, path: str, body: bytes | None = None) -> tuple[http.Response, http.Response]:
        return self.server.ask(method, path, body), self.serverless.ask(method, path, body)


def connect(arm: Arm) -> HTTPConnection:
    """A connection that is kept, as http.request's is not."""
    return HTTPConnection("127.0.0.1", int(arm.url.rpartition(":")[2]), timeout=30)


def send_raw(arm: Arm, head: bytes) -> bytes:
    """What comes back for bytes that no HTTP library would send, until the arm closes."""
    with socket.create_connection(("127.0.0.1", int(arm.url.rpartition(":")[2])), timeout=30) as connection:
        connection.sendall(head)
        connection.shutdown(socket.SHUT_WR)
        with connection.makefile("rb") as reader:
            return reader.read()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def stage_function(folder: Path) -> None:
    """The embedded layout: the template's index.py beside the package ``function`` that holds the handler."""
    (folder / "function").mkdir(parents=True)
    shutil.copy(ROOT / "function" / "template" / "python3-http-conda" / "index.py", folder)
    shutil.copy(ROOT / "function" / "cifar-cnn" / "handler.py", folder / "function")
    (folder / "function" / "__init__.py").touch()


@contextlib.contextmanager
def running(folder: Path, data: Path, **changes: Any) -> Iterator[Arms]:
    """Both arms with one service.json, in ``folder``; ended afterwards."""
    folder.mkdir()
    (folder / "service.json").write_text(json.dumps({**SETTINGS, **changes}))
    stage_function(folder / "staged")
    gunicorn = [sys.executable, "-m", "gunicorn", "--config", str(ROOT / "app" / "gunicorn.conf.py")]
    commands = {
        "server": ([*gunicorn, "--chdir", str(ROOT / "app"), "wsgi:app"], folder),
        "serverless": ([sys.executable, "index.py"], folder / "staged"),
    }
    arms = {}
    with contextlib.ExitStack() as ending:
        for name, (argv, working_folder) in commands.items():
            port = free_port()
            environment = {
                **os.environ,
                "PYTHONPATH": str(ROOT / "model"),
                "EVENKEEL_SERVICE_DIR": str(folder),
                "EVENKEEL_DATA_DIR": str(data),
                "EVENKEEL_PORT": str(port),
            }
            log = folder / f"{name}.log"
            with log.open("wb") as output:
                process = subprocess.Popen(
                    argv,
                    cwd=working_folder,
                    env=environment,
                    stdin=subprocess.DEVNULL,
                    stdout=output,
                    stderr=output,
                    start_new_session=True,
                )
            ending.callback(end, process)
            arms[name] = Arm(name, f"http://127.0.0.1:{port}", process, log)
        yield Arms(**arms)


def end(process: subprocess.Popen[bytes]) -> None:
    """Kill the process's whole group, workers included."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A small prepared data set: its folder and checksum."""
    folder = tmp_path_factory.mktemp("data") / "synthetic"
    prepared, _ = prepare("synthetic", DATASET, folder)
    return folder, prepared.sha256


@pytest.fixture(scope="module")
def ready(tmp_path_factory: pytest.TempPathFactory, data: tuple[Path, str]) -> Iterator[Arms]:
    """Both arms, ready."""
    folder, sha256 = data
    with running(tmp_path_factory.mktemp("ready") / "run", folder, dataset_sha256=sha256) as arms:
        for arm in arms.both():
            arm.until("/ready?wait=20", 200)
        yield arms


def picture(image_format: str) -> bytes:
    out = io.BytesIO()
    Image.frombytes("RGB", (40, 30), bytes(range(256)) * 14 + bytes(16)).save(out, image_format)
    return out.getvalue()


PNG, JPEG = picture("PNG"), picture("JPEG")


def without_identity(body: bytes) -> bytes:
    """The body with what is random in one process life, or is its clock, made equal; its length stays the same."""
    return re.sub(rb'("instance_id": )"[0-9a-f]{16}"', rb'\1"................"', body)


REQUESTS = [
    ("GET", "/", None, 200),
    ("HEAD", "/", None, 200),
    ("GET", "/?a=1", None, 200),
    ("POST", "/", b"", 405),
    ("DELETE", "/", None, 405),
    ("OPTIONS", "/", None, 405),
    ("BREW", "/", None, 405),
    ("GET", "/healthz", None, 200),
    ("HEAD", "/healthz", None, 200),
    ("PUT", "/healthz", b"x", 405),
    ("GET", "/healthz/", None, 404),
    ("GET", "/ready", None, 200),
    ("GET", "/ready?wait=1", None, 200),
    ("GET", "/ready?wait=1&wait=x", None, 200),
    ("GET", "/ready?wait=21", None, 400),
    ("GET", "/ready?wait=", None, 400),
    ("GET", "/ready?wait=-1", None, 400),
    ("GET", "/ready?wait=%F0%9F%90%8B", None, 400),
    ("GET", "/nowhere", None, 404),
    ("GET", "/static/x", None, 404),
    ("GET", "/%2e%2e/healthz", None, 404),
    ("GET", "/caf%C3%A9", None, 404),
    ("GET", "/%ff", None, 404),
    ("GET", "/a%2Fb", None, 404),
    ("GET", "/startup/../healthz", None, 404),
    ("GET", "/predict", None, 405),
    ("POST", "/predict", PNG, 200),
    ("POST", "/predict?x=1", JPEG, 200),
    ("POST", "/predict", None, 400),
    ("POST", "/predict", b"", 400),
    ("POST", "/predict", PNG[:-20], 400),
    ("POST", "/predict", JPEG[: len(JPEG) // 2], 400),
    ("POST", "/predict", b"this is not an image", 415),
    ("POST", "/predict", b"GIF89a" + bytes(50), 415),
    ("POST", "/predict", PNG + bytes(2 * 1024 * 1024), 413),
    ("POST", "/predict", bytes(2 * 1024 * 1024), 415),
    ("POST", "/predict", bytes(2 * 1024 * 1024 + 1), 413),
    ("POST", "/predict", bytes(10 * 1024 * 1024), 413),
]


class TestReadyArms:
    @pytest.mark.parametrize(
        ("method", "path", "body", "status"),
        REQUESTS,
        ids=[f"{method} {path} {len(body or b'')} bytes" for method, path, body, _ in REQUESTS],
    )
    def test_same_answer(self, ready: Arms, method: str, path: str, body: bytes | None, status: int) -> None:
        server, serverless = ready.ask(method, path, body)
        assert (server.status, serverless.status) == (status, status)
        assert without_identity(server.body) == without_identity(serverless.body)
        for name in ("content-type", "content-length", "allow", "retry-after", "cache-control"):
            assert server.headers.get(name) == serverless.headers.get(name)
        if status >= 400 and method != "HEAD":
            assert list(json.loads(server.body)) == ["error"]

    def test_the_evaluation_is_the_same_model_and_byte_stable(self, ready: Arms) -> None:
        first, second = ready.ask("GET", "/"), ready.ask("GET", "/")
        for arm in (0, 1):
            assert first[arm].body == second[arm].body
            assert "evaluation;dur=" in first[arm].headers["server-timing"]
        server, serverless = (json.loads(answer.body) for answer in first)
        assert server.pop("instance_id") != serverless.pop("instance_id")
        assert server == serverless
        assert server["total"] == DATASET["test"]

    def test_both_say_the_time_of_their_hosts_clock(self, ready: Arms) -> None:
        boot = Path("/proc/sys/kernel/random/boot_id").read_text().strip()
        for arm in ready.both():
            begun = time.clock_gettime(time.CLOCK_MONOTONIC)
            said = json.loads(arm.ask("GET", "/clock").body)
            assert begun - 1e-6 <= said["monotonic_seconds"] <= time.clock_gettime(time.CLOCK_MONOTONIC) + 1e-6
            assert (said["clock"], said["host_boot_id"]) == ("CLOCK_MONOTONIC", boot)

    def test_both_read_back_the_same_settings(self, ready: Arms) -> None:
        server, serverless = (json.loads(answer.body) for answer in ready.ask("GET", "/startup"))
        assert server["effective"].pop("pid") != serverless["effective"].pop("pid")
        assert server["effective"] == serverless["effective"]
        assert server["effective"]["request_threads"] == SETTINGS["request_threads"]
        assert [phase["name"] for phase in server["phases"]] == [phase["name"] for phase in serverless["phases"]]

    def test_a_start_counts_from_the_first_process(self, ready: Arms) -> None:
        """gunicorn's master begins the start-up, not the worker that it forks."""
        for arm in ready.both():
            document = json.loads(arm.ask("GET", "/startup").body)
            assert document["phases"][0]["name"] == "interpreter"
            ticks = Path(f"/proc/{arm.process.pid}/stat").read_text().rpartition(")")[2].split()[19]
            started = int(ticks) / os.sysconf("SC_CLK_TCK")
            suspended = time.clock_gettime(time.CLOCK_BOOTTIME) - time.clock_gettime(time.CLOCK_MONOTONIC)
            assert document["process_start_monotonic_seconds"] == pytest.approx(started - suspended, abs=0.02)

    def test_one_process_with_the_threads_that_were_set(self, ready: Arms) -> None:
        # gunicorn's master only watches; waitress has no master.
        trees = {arm.name: procfs.process_tree([arm.process.pid]) for arm in ready.both()}
        assert len(trees["server"]) == 2
        assert trees["serverless"] == [ready.serverless.process.pid]
        for arm in ready.both():
            assert json.loads(arm.ask("GET", "/startup").body)["effective"]["pid"] in trees[arm.name]

    def test_keep_alive(self, ready: Arms) -> None:
        for arm in ready.both():
            connection = connect(arm)
            bodies = []
            for path in ("/healthz", "/nowhere", "/", "/healthz"):
                connection.request("GET", path)
                bodies.append(connection.getresponse().read())
                socket_number = connection.sock.fileno()
            assert bodies[0] == bodies[3]
            assert connection.sock.fileno() == socket_number
            connection.close()

    def test_chunked_body(self, ready: Arms) -> None:
        answers = []
        for arm in ready.both():
            connection = connect(arm)
            pieces = (PNG[start : start + 100] for start in range(0, len(PNG), 100))
            headers = {"Transfer-Encoding": "chunked"}
            connection.request("POST", "/predict", body=pieces, encode_chunked=True, headers=headers)
            reply = connection.getresponse()
            answers.append((reply.status, reply.read()))
            connection.close()
        assert answers[0] == answers[1]
        assert answers[0][0] == 200

    def test_a_body_without_end_is_refused_without_being_read_to_its_end(self, ready: Arms) -> None:
        """100 MiB are announced; the answer comes although far from all of it was sent."""
        answers = []
        for arm in ready.both():
            connection = connect(arm)
            connection.putrequest("POST", "/predict")
            connection.putheader("Content-Length", str(100 * 1024 * 1024))
            connection.endheaders()
            for _ in range(17):
                with contextlib.suppress(OSError):
                    connection.send(bytes(1024 * 1024))
            reply = connection.getresponse()
            answers.append((reply.status, reply.read()))
            connection.close()
        assert answers[0] == answers[1]
        assert answers[0][0] == 413

    def test_healthz_answers_under_ab(self, ready: Arms) -> None:
        ab = shutil.which("ab")
        assert ab, "ApacheBench is not installed: apt-get install apache2-utils"
        for arm in ready.both():
            argv = [ab, "-n", "10", "-c", "2", "-s", "60", f"{arm.url}/"]
            with subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True) as load:
                while load.poll() is None:
                    assert arm.ask("GET", "/healthz", seconds=10).status == 200
                report = load.stdout.read() if load.stdout else ""
            assert load.returncode == 0, report
            assert re.search(r"^Complete requests:\s+10$", report, re.MULTILINE), report
            assert re.search(r"^Failed requests:\s+0$", report, re.MULTILINE), report
            assert "Non-2xx" not in report

    def test_ab_keeps_its_connections_when_asked_to(self, ready: Arms) -> None:
        for arm in ready.both():
            argv = ["ab", "-k", "-n", "20", "-c", "2", f"{arm.url}/healthz"]
            report = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout
            assert re.search(r"^Keep-Alive requests:\s+20$", report, re.MULTILINE), report

    def test_a_client_that_waits_for_100_continue(self, ready: Arms) -> None:
        for arm in ready.both():
            with socket.create_connection(("127.0.0.1", int(arm.url.rpartition(":")[2])), timeout=30) as connection:
                head = (
                    f"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: {len(PNG)}\r\nExpect: 100-continue\r\n\r\n"
                )
                connection.sendall(head.encode())
                assert connection.recv(1000).startswith(b"HTTP/1.1 100 ")
                connection.sendall(PNG)
                assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")

    def test_over_the_queue_limit_503_at_once(self, ready: Arms) -> None:
        for arm in ready.both():
            with ThreadPoolExecutor(30) as clients:
                answers = list(clients.map(lambda _, arm=arm: arm.ask("GET", "/"), range(30)))
            statuses = {answer.status for answer in answers}
            assert statuses == {200, 503}
            refused = [answer for answer in answers if answer.status == 503]
            assert all("busy" in json.loads(answer.body)["error"] for answer in refused)
            assert all(answer.headers["retry-after"] == "1" for answer in refused)

    @pytest.mark.parametrize("target", [b"//healthz", b"/healthz?", b"/healthz#x", b"/ready?wait=0;wait=1"])
    def test_targets_that_http_libraries_clean_up(self, ready: Arms, target: bytes) -> None:
        heads = [send_raw(arm, b"GET " + target + b" HTTP/1.0\r\n\r\n") for arm in ready.both()]
        (status, body), other = ((head.split()[1], head.partition(b"\r\n\r\n")[2]) for head in heads)
        assert (status, without_identity(body)) == (other[0], without_identity(other[1]))

    def test_a_client_that_leaves_in_the_middle(self, ready: Arms) -> None:
        for arm in ready.both():
            with socket.create_connection(("127.0.0.1", int(arm.url.rpartition(":")[2])), timeout=30) as connection:
                connection.sendall(b"POST /predict HTTP/1.1\r\nHost: x\r\nContent-Length: 1000\r\n\r\nhalf")
            assert arm.ask("GET", "/healthz").status == 200


@pytest.fixture(scope="module")
def starting(tmp_path_factory: pytest.TempPathFactory, data: tuple[Path, str]) -> Iterator[Arms]:
    """Both arms in a training that does not end within this test."""
    folder, sha256 = data
    with running(tmp_path_factory.mktemp("starting") / "run", folder, dataset_sha256=sha256, epochs=10_000) as arms:
        yield arms


class TestArmsThatAreNotReady:
    def test_the_port_answers_while_the_model_is_not_there(self, starting: Arms) -> None:
        for arm in starting.both():
            assert arm.until("/healthz", 200)
            for path in ("/", "/ready"):
                answer = arm.ask("GET", path)
                assert answer.status == 503
                assert answer.headers["retry-after"] == "1"
                document = json.loads(answer.body)
                assert list(document) == ["phase", "progress", "elapsed_seconds"]
                assert 0 <= document["progress"] <= 1
            assert arm.ask("POST", "/predict", PNG).status == 503

    def test_one_ready_is_held_and_the_others_are_not(self, starting: Arms) -> None:
        for arm in starting.both():
            arm.until("/healthz", 200)
            held = threading.Thread(target=arm.ask, args=("GET", "/ready?wait=3"))
            held.start()
            time.sleep(0.3)
            begun = time.monotonic()
            assert arm.ask("GET", "/ready?wait=3").status == 503
            assert time.monotonic() - begun < 2
            held.join()

    def test_it_ends_when_it_is_told_to(self, starting: Arms) -> None:
        """Last of its class: neither training nor a held request keeps an arm from stopping."""
        for arm in starting.both():
            arm.until("/healthz", 200)
            arm.process.send_signal(signal.SIGTERM)
            arm.process.wait(timeout=15)

    def test_a_failed_start_leaves_the_port_alive(self, tmp_path: Path, data: tuple[Path, str]) -> None:
        with running(tmp_path / "run", data[0], dataset_sha256="0" * 64) as arms:
            answers = [arm.until("/ready?wait=20", 500) for arm in arms.both()]
            for arm, answer in zip(arms.both(), answers, strict=True):
                document = json.loads(answer.body)
                assert document["phase"] == "failed"
                assert "0" * 64 in document["error"]
                assert arm.ask("GET", "/healthz").status == 200
                assert arm.process.poll() is None

    def test_a_service_json_that_is_wrong_is_said_over_http(self, tmp_path: Path, data: tuple[Path, str]) -> None:
        with running(tmp_path / "run", data[0], dataset_sha256="0" * 64, epochs=-3) as arms:
            errors = {json.loads(arm.until("/ready?wait=20", 500).body)["error"] for arm in arms.both()}
        assert len(errors) == 1
        assert "epochs" in errors.pop()
