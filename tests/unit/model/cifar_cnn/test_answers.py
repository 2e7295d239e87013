# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from cifar_cnn import startup
from cifar_cnn.answers import Answer, Service
from cifar_cnn.checkpoint import model_sha256 as checkpoint_sha256
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.errors import TrainingError
from cifar_cnn.evaluation import Evaluation
from cifar_cnn.images import Pixels, decode_image, encode_png
from cifar_cnn.lifecycle import Lifecycle, Phase
from cifar_cnn.prediction import Prediction
from cifar_cnn.settings import Settings, read_settings
from cifar_cnn.startup import train_network

PATIENCE_SECONDS = 10
IMAGE = encode_png(np.full((32, 32, 3), 7, dtype=np.uint8))


class StandInClassifier:
    """A stand-in for the classifier: known answers, and an evaluation that lasts until it is released."""

    labels = ("cat", "dog")
    model_sha256 = "ab" * 32
    compute_threads = 2

    def __init__(self) -> None:
        self.evaluating, self.release = threading.Event(), threading.Event()
        self.release.set()

    def evaluate(self, between_batches: Callable[[], None]) -> Evaluation:
        self.evaluating.set()
        deadline = time.monotonic() + PATIENCE_SECONDS
        while not self.release.wait(0.01) and time.monotonic() < deadline:
            between_batches()
        return Evaluation(3, 4, 0.0125)

    def decode(self, data: bytes) -> Pixels:
        return decode_image(data)

    def predict(self, pixels: Pixels) -> Prediction:
        return Prediction(int(pixels[0, 0, 0]) % 2, 0.75)


class Start:
    """A stand-in for the start-up: it trains until it is told to end, well or badly."""

    def __init__(self) -> None:
        self.classifier = StandInClassifier()
        self.error: BaseException | None = None
        self.training, self.end = threading.Event(), threading.Event()

    def __call__(self, lifecycle: Lifecycle) -> Any:
        lifecycle.enter(Phase.DATA)
        lifecycle.enter(Phase.TRAIN)
        lifecycle.advance(1, 4)
        self.training.set()
        assert self.end.wait(PATIENCE_SECONDS)
        if self.error is not None:
            raise self.error
        lifecycle.enter(Phase.SELF_TEST)
        return self.classifier


@pytest.fixture
def start() -> Iterator[Start]:
    start = Start()
    yield start
    start.end.set()
    start.classifier.release.set()


@pytest.fixture
def service(start: Start, settings: Settings) -> Service:
    """A service that is training."""
    service = Service(settings, start)
    service.start(serving_threads=8)
    assert start.training.wait(PATIENCE_SECONDS)
    return service


@pytest.fixture
def ready(service: Service, start: Start) -> Service:
    """A service that is ready."""
    start.end.set()
    assert ask(service, "/ready", wait="10").status == 200
    return service


def ask(service: Service, path: str, method: str = "GET", body: bytes = b"", **query: str) -> Answer:
    return service.respond(method, path, query, {}, body)


def document(answer: Answer) -> dict[str, Any]:
    assert answer.headers["Content-Type"] == "application/json"
    parsed: dict[str, Any] = json.loads(answer.body)
    return parsed


@pytest.mark.parametrize(("path", "method"), [("/", "GET"), ("/ready", "GET"), ("/predict", "POST")])
def test_while_starting_the_answer_is_503_with_the_progress(service: Service, path: str, method: str) -> None:
    answer = ask(service, path, method, IMAGE)
    assert (answer.status, answer.headers["Retry-After"]) == (503, "1")
    assert document(answer) == {
        "phase": "train",
        "progress": 0.25,
        "elapsed_seconds": pytest.approx(document(answer)["elapsed_seconds"]),
    }


def test_the_accuracy(ready: Service, settings: Settings) -> None:
    answer = ask(ready, "/")
    assert answer.status == 200
    assert document(answer) == {
        "accuracy": 0.75,
        "correct": 3,
        "total": 4,
        "engine": "reference",
        "recipe": "study",
        "model_sha256": "ab" * 32,
        "dataset": "synthetic",
        "dataset_sha256": settings.dataset_sha256,
        "instance_id": ready.instance_id,
    }
    assert re.fullmatch(r"queue;dur=\d+\.\d{3}, evaluation;dur=12\.500", answer.headers["Server-Timing"])


def test_the_accuracys_body_is_the_same_every_time(ready: Service) -> None:
    assert len({ask(ready, "/").body for _ in range(5)}) == 1
    assert ask(ready, "").body == ask(ready, "/").body


def test_two_instances_differ(settings: Settings, start: Start) -> None:
    assert Service(settings, start).instance_id != Service(settings, start).instance_id


def test_every_accuracy_is_computed_on_its_request(ready: Service, start: Start) -> None:
    ask(ready, "/")
    start.classifier.evaluating.clear()
    ask(ready, "/")
    assert start.classifier.evaluating.is_set()


def test_a_prediction(ready: Service) -> None:
    assert document(ask(ready, "/predict", "POST", IMAGE)) == {
        "class": 1,
        "label": "dog",
        "probability": 0.75,
        "model_sha256": "ab" * 32,
    }


@pytest.mark.parametrize(
    ("body", "status", "message"),
    [
        (b"", 400, "empty"),
        (IMAGE[:50], 400, "truncated"),
        (b"hello", 415, "neither a PNG nor a JPEG"),
        (b"\0" * (2 * 1024 * 1024 + 1), 413, "at most 2097152 bytes"),
    ],
)
def test_a_body_that_is_no_image_is_refused(ready: Service, body: bytes, status: int, message: str) -> None:
    answer = ask(ready, "/predict", "POST", body)
    assert answer.status == status
    assert list(document(answer)) == ["error"] and message in document(answer)["error"]


def test_a_body_that_is_too_large_is_refused_before_readiness_is_asked(service: Service) -> None:
    assert ask(service, "/predict", "POST", b"\0" * (2 * 1024 * 1024 + 1)).status == 413


def test_a_prediction_does_not_wait_for_an_evaluation_to_end(ready: Service, start: Start) -> None:
    start.classifier.release.clear()
    start.classifier.evaluating.clear()
    evaluation = threading.Thread(target=ask, args=(ready, "/"))
    evaluation.start()
    assert start.classifier.evaluating.wait(PATIENCE_SECONDS)
    assert ask(ready, "/predict", "POST", IMAGE).status == 200
    assert evaluation.is_alive()
    start.classifier.release.set()
    evaluation.join(PATIENCE_SECONDS)


def test_over_the_queue_limit_it_is_503_at_once_and_health_still_answers(ready: Service, start: Start) -> None:
    start.classifier.release.clear()
    answers: list[Answer] = []
    threads = [threading.Thread(target=lambda: answers.append(ask(ready, "/"))) for _ in range(6)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + PATIENCE_SECONDS
    while (refused := ask(ready, "/predict", "POST", IMAGE)).status == 200 and time.monotonic() < deadline:
        time.sleep(0.01)
    assert (refused.status, refused.headers["Retry-After"]) == (503, "1")
    assert "6 requests are already inside" in document(refused)["error"]
    assert ask(ready, "/healthz").status == ask(ready, "/ready").status == ask(ready, "/startup").status == 200
    start.classifier.release.set()
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
    assert [answer.status for answer in answers] == [200] * 6


@pytest.mark.parametrize("error", [TrainingError("the loss is nan"), MemoryError("no more"), SystemExit(3)])
def test_a_failed_start_is_answered_with_its_reason(service: Service, start: Start, error: BaseException) -> None:
    start.error = error
    start.end.set()
    answer = ask(service, "/ready", wait="10")
    assert answer.status == 500
    assert str(error) in document(answer)["error"] and document(answer)["phase"] == "failed"
    assert ask(service, "/").status == ask(service, "/predict", "POST", IMAGE).status == 500
    assert ask(service, "/", "HEAD").status == 500
    assert ask(service, "/healthz").status == 200
    assert document(ask(service, "/startup"))["phases"][-1]["name"] == "failed"


def test_ready_is_held_until_ready(service: Service, start: Start) -> None:
    threading.Timer(0.1, start.end.set).start()
    begin = time.monotonic()
    answer = ask(service, "/ready", wait="20")
    assert 0.05 < time.monotonic() - begin < PATIENCE_SECONDS
    assert (answer.status, document(answer)) == (200, {"ready": True, "instance_id": service.instance_id})


def test_ready_is_held_no_longer_than_asked(service: Service) -> None:
    begin = time.monotonic()
    assert ask(service, "/ready", wait="0.1").status == 503
    assert 0.09 < time.monotonic() - begin < PATIENCE_SECONDS


def test_only_one_ready_is_held(service: Service, start: Start) -> None:
    held = threading.Thread(target=ask, args=(service, "/ready"), kwargs={"wait": "20"})
    held.start()
    time.sleep(0.1)
    begin = time.monotonic()
    assert ask(service, "/ready", wait="20").status == 503
    assert time.monotonic() - begin < 5
    start.end.set()
    held.join(PATIENCE_SECONDS)
    assert not held.is_alive()
    assert ask(service, "/ready", wait="20").status == 200


@pytest.mark.parametrize("wait", ["", "x", "-1", "20.1", "21", "nan", "inf", "1e1", "1_0", " 1", "٣", "9" * 500])
def test_a_wrong_wait_is_refused(service: Service, wait: str) -> None:
    answer = ask(service, "/ready", wait=wait)
    assert answer.status == 400
    assert "wait: expected seconds from 0 to 20" in document(answer)["error"]


def test_the_startup_report(ready: Service, settings: Settings) -> None:
    report = document(ask(ready, "/startup"))
    assert report["clock"] == "CLOCK_MONOTONIC"
    assert report["instance_id"] == ready.instance_id
    assert 0 < report["process_start_monotonic_seconds"] < time.monotonic()
    names = [phase["name"] for phase in report["phases"]]
    assert names == ["interpreter", "imports", "data", "train", "self_test", "ready"]
    assert report["phases"][0]["begin_seconds"] == 0
    for phase, following in zip(report["phases"], report["phases"][1:], strict=False):
        assert phase["begin_seconds"] <= phase["end_seconds"] == following["begin_seconds"]
    assert report["phases"][-1]["end_seconds"] is None
    effective = report["effective"]
    versions = effective.pop("packages")
    assert set(versions) == {"numpy", "pillow", "torch"}
    assert versions.items() <= effective.pop("installed").items()
    assert effective.pop("python_build").startswith(f"CPython {sys.version.split()[0]} ")
    assert effective == {
        "request_threads": 8,
        "serving_processes": 1,
        "compute_threads": 2,
        "queue_limit": 6,
        "service_sha256": settings.sha256,
        "dataset_sha256": settings.dataset_sha256,
        "model_sha256": "ab" * 32,
        "python": sys.version.split()[0],
        "pid": os.getpid(),
    }


def test_what_is_not_known_is_null_in_the_startup_report(start: Start, settings: Settings) -> None:
    service = Service(settings, start)
    service.start(first_pid=os.getppid())
    report = document(ask(service, "/startup"))
    assert [report["effective"][name] for name in ("request_threads", "compute_threads", "model_sha256")] == [None] * 3
    assert report["process_start_monotonic_seconds"] < time.monotonic()


@pytest.mark.parametrize("path", ["/nope", "/ready/", "//", "/%00", "/\udcff", "/" + "x" * 5000])
def test_unknown_paths(ready: Service, path: str) -> None:
    answer = ask(ready, path)
    assert answer.status == 404
    assert len(answer.body) < 1000
    assert document(answer)["error"].startswith("no such path: /")


@pytest.mark.parametrize(
    ("method", "path", "allowed"),
    [
        ("POST", "/", "GET, HEAD"),
        ("GET", "/predict", "POST"),
        ("HEAD", "/predict", "POST"),
        ("DELETE", "/ready", "GET, HEAD"),
        ("OPTIONS", "/healthz", "GET, HEAD"),
        ("get", "/startup", "GET, HEAD"),
    ],
)
def test_other_methods(ready: Service, method: str, path: str, allowed: str) -> None:
    answer = ask(ready, path, method)
    assert (answer.status, answer.headers["Allow"]) == (405, allowed)
    assert method == "HEAD" or document(answer)["error"] == f"{path} does not take {method}"


def test_the_clock_of_its_host_is_said_at_all_times(service: Service) -> None:
    begun = time.clock_gettime(time.CLOCK_MONOTONIC)
    answer = ask(service, "/clock")
    said = document(answer)
    assert (answer.status, said["clock"]) == (200, "CLOCK_MONOTONIC")
    assert begun - 1e-6 <= said["monotonic_seconds"] <= time.clock_gettime(time.CLOCK_MONOTONIC) + 1e-6
    assert said["host_boot_id"] == Path("/proc/sys/kernel/random/boot_id").read_text().strip()


@pytest.mark.parametrize("path", ["/", "/healthz", "/ready", "/startup", "/clock"])
def test_head_has_gets_status_and_no_body(service: Service, start: Start, path: str) -> None:
    for _ in range(2):
        answer = ask(service, path, "HEAD")
        assert (answer.status, answer.body) == (ask(service, path).status, b"")
        start.end.set()
        ask(service, "/ready", wait="10")


def test_head_of_the_accuracy_evaluates_nothing(ready: Service, start: Start) -> None:
    assert ask(ready, "/", "HEAD").status == 200
    assert not start.classifier.evaluating.is_set()


def test_an_unexpected_error_is_a_500_and_the_service_goes_on(
    ready: Service, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(between_batches: Callable[[], None]) -> Evaluation:
        raise ZeroDivisionError("oops")

    with monkeypatch.context() as patch:
        patch.setattr(start.classifier, "evaluate", broken)
        answer = ask(ready, "/")
    assert (answer.status, document(answer)) == (500, {"error": "internal error: ZeroDivisionError: oops"})
    assert ask(ready, "/").status == 200


@pytest.mark.parametrize(
    ("service_dir", "data_dir", "reason"),
    [
        (None, "data", "EVENKEEL_SERVICE_DIR is not set"),
        ("service", None, "EVENKEEL_DATA_DIR is not set"),
        ("nowhere", "data", "cannot read the settings"),
    ],
)
def test_a_bad_environment_is_answered_as_a_failed_start(
    monkeypatch: pytest.MonkeyPatch,
    write_service: Callable[..., Path],
    service_dir: str | None,
    data_dir: str | None,
    reason: str,
) -> None:
    folder = write_service().parent
    for variable, name in (("EVENKEEL_SERVICE_DIR", service_dir), ("EVENKEEL_DATA_DIR", data_dir)):
        if name is None:
            monkeypatch.delenv(variable, raising=False)
        else:
            monkeypatch.setenv(variable, str(folder / name))
    service = Service.from_environment()
    service.start()
    answer = ask(service, "/ready", wait="10")
    assert answer.status == 500 and reason in document(answer)["error"]
    assert service.request_threads == 8
    assert document(ask(service, "/startup"))["effective"]["service_sha256"] is None


@pytest.mark.parametrize(("variable", "expected"), [(None, "service"), ("", "service"), ("model", "model")])
def test_where_a_trained_model_is_saved(
    monkeypatch: pytest.MonkeyPatch, write_service: Callable[..., Path], variable: str | None, expected: str
) -> None:
    folder = write_service().parent
    monkeypatch.setenv("EVENKEEL_SERVICE_DIR", str(folder / "service"))
    monkeypatch.setenv("EVENKEEL_DATA_DIR", str(folder / "data"))
    if variable is None:
        monkeypatch.delenv("EVENKEEL_MODEL_DIR", raising=False)
    else:
        monkeypatch.setenv("EVENKEEL_MODEL_DIR", str(folder / variable) if variable else "")
    asked: list[tuple[Path, Path]] = []

    def start_up(settings: Settings, service_dir: Path, data_dir: Path, lifecycle: Lifecycle, model_dir: Path) -> Any:
        asked.append((service_dir, model_dir))
        raise TrainingError("enough is known")

    monkeypatch.setattr(startup, "start_up", start_up)
    service = Service.from_environment()
    service.start()
    assert ask(service, "/ready", wait="10").status == 500
    assert asked == [(folder / "service", folder / expected)]


def run_python(code: str, service_dir: Path, data_dir: Path, stdin: bytes = b"") -> subprocess.CompletedProcess[bytes]:
    """Runs `code` in a process of its own, with the environment of a service."""
    environment = {
        **os.environ,
        "PYTHONPATH": ":".join(sys.path),
        "EVENKEEL_SERVICE_DIR": str(service_dir),
        "EVENKEEL_DATA_DIR": str(data_dir),
    }
    return subprocess.run(
        [sys.executable, "-c", code], env=environment, input=stdin, capture_output=True, timeout=120, check=False
    )


def test_a_process_that_ends_while_training_ends_well(data_dir: Path, write_service: Callable[..., Path]) -> None:
    """PyTorch aborts a process whose interpreter goes away under a thread that trains."""
    code = """
import json, time
from cifar_cnn.answers import Service
service = Service.from_environment()
service.start()
progress = 0
while progress == 0:
    time.sleep(0.01)
    progress = json.loads(service.respond("GET", "/ready", {}, {}, b"").body)["progress"]
"""
    done = run_python(code, write_service(epochs=1000), data_dir)
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_the_real_service_from_its_environment(
    data_dir: Path, arrays: ImageArrays, write_service: Callable[..., Path]
) -> None:
    """Everything in a process of its own: what is imported when, training to the same weights as here, the answers."""
    code = """
import json, sys
from cifar_cnn.answers import Service
heavy = {"torch", "numpy", "PIL"}
service = Service.from_environment()
imported = sorted(heavy & set(sys.modules))
service.start(serving_threads=8)
health = service.respond("GET", "/healthz", {}, {}, b"").status
ready = 503
while ready == 503:
    ready = service.respond("GET", "/ready", {"wait": "20"}, {}, b"").status
accuracy = json.loads(service.respond("GET", "/", {}, {}, b"").body)
label = json.loads(service.respond("POST", "/predict", {}, {}, sys.stdin.buffer.read()).body)["label"]
needless = sorted({"torchvision", "sklearn"} & set(sys.modules))
print(json.dumps([imported, health, ready, accuracy["total"], accuracy["model_sha256"], label, needless]))
"""
    folder = write_service(compute_threads=2)
    done = run_python(code, folder, data_dir, encode_png(arrays.test_images[0]))
    assert done.returncode == 0, done.stderr
    imported, health, ready, total, model_sha256, label, needless = json.loads(done.stdout)
    assert (imported, health, ready, total, needless) == ([], 200, 200, 40, [])
    torch.set_num_threads(2)
    try:
        here = train_network(read_settings(folder / "service.json"), arrays, lambda done, total: None)
    finally:
        torch.set_num_threads(1)
    assert model_sha256 == checkpoint_sha256(here)
    assert label in arrays.classes
    assert (folder / "model.pt").exists()
