# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The answers of both arms to every HTTP request, without any web framework.

An adapter makes one `Service`, starts it in the process that serves, and forwards each request to `respond`.
"""

from __future__ import annotations

import atexit
import json
import logging
import os
import platform
import re
import secrets
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING

from cifar_cnn import installed
from cifar_cnn.compute import ComputeThread
from cifar_cnn.errors import (
    DamagedImageError,
    EmptyImageError,
    ImageError,
    ImageTooLargeError,
    ModelError,
    NotAnImageError,
    QueueFullError,
    SettingsError,
    StoppedError,
)
from cifar_cnn.lifecycle import Lifecycle, Phase, host_boot_id, process_start_monotonic
from cifar_cnn.settings import (
    DEFAULT_REQUEST_THREADS,
    MODEL_DIR,
    RESERVED_THREADS,
    SERVICE_DIR,
    Settings,
    read_settings,
)

if TYPE_CHECKING:
    from cifar_cnn.classifier import Classifier
    from cifar_cnn.evaluation import Evaluation

DATA_DIR = "EVENKEEL_DATA_DIR"
"""The environment variable with the folder of the prepared arrays."""

LONGEST_WAIT_SECONDS = 20
"""The longest /ready?wait=, below every gateway's time-out."""

MAX_BODY_BYTES = 2 * 1024 * 1024
"""The largest image file that POST /predict takes."""

_RETRY_SECONDS = "1"
_STOP_SECONDS = 5
_PACKAGES = ("numpy", "pillow", "torch")
_IMAGE_STATUS: dict[type[ImageError], int] = {
    EmptyImageError: 400,
    DamagedImageError: 400,
    ImageTooLargeError: 413,
    NotAnImageError: 415,
}

_log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Answer:
    """What to send: status code, headers (without Content-Length) and body."""

    status: int
    headers: dict[str, str]
    body: bytes


StartUp = Callable[[Lifecycle], "Classifier"]


class Service:
    """One instance of the model's service: one process life, with an `instance_id` of its own.

    `settings` is None when they could not be read; then `start_up` raises why. `start_up` runs in the compute
    thread, goes through the phases and returns the classifier.
    """

    def __init__(self, settings: Settings | None, start_up: StartUp) -> None:
        self.instance_id = secrets.token_hex(8)
        self._settings = settings
        self._start_up = start_up
        self._compute = ComputeThread(settings.queue_limit if settings else DEFAULT_REQUEST_THREADS - RESERVED_THREADS)
        self._lifecycle = Lifecycle(process_start_monotonic(os.getpid()))
        self._classifier: Classifier | None = None
        self._serving_threads: int | None = None
        self._serving_processes: int | None = None
        self._held_ready = threading.Lock()
        self._routes: dict[str, dict[str, Callable[[Mapping[str, str], bytes], Answer]]] = {
            "/": {"GET": self._evaluate, "HEAD": self._head},
            "/predict": {"POST": self._predict},
            "/healthz": {"GET": self._healthz, "HEAD": self._healthz},
            "/ready": {"GET": self._ready, "HEAD": self._ready},
            "/startup": {"GET": self._startup, "HEAD": self._startup},
            "/clock": {"GET": self._clock, "HEAD": self._clock},
        }

    @classmethod
    def from_environment(cls) -> Service:
        """Makes the service that EVENKEEL_SERVICE_DIR and EVENKEEL_DATA_DIR describe.

        EVENKEEL_MODEL_DIR names another folder for the trained model, where that of the settings is read-only.
        It never fails: what is wrong with them is answered over HTTP, as the reason of a failed start.
        """
        try:
            service_dir, data_dir = _folder(SERVICE_DIR), _folder(DATA_DIR)
            model_dir = Path(os.environ.get(MODEL_DIR) or service_dir)
            settings = read_settings(service_dir / "service.json")
        except SettingsError as error:
            return cls(None, _failing(error))

        def start_up(lifecycle: Lifecycle) -> Classifier:
            # Here and not above: importing it loads PyTorch, and the port must answer before that is over.
            from cifar_cnn import startup  # noqa: PLC0415

            return startup.start_up(settings, service_dir, data_dir, lifecycle, model_dir=model_dir)

        return cls(settings, start_up)

    @property
    def request_threads(self) -> int:
        """How many threads a server in front of this service shall have."""
        return self._settings.request_threads if self._settings else DEFAULT_REQUEST_THREADS

    def start(
        self, *, serving_threads: int | None = None, serving_processes: int = 1, first_pid: int | None = None
    ) -> None:
        """Begins the start-up in the background; call it once, in the process that serves.

        `serving_threads` is the number of request threads the server in front really runs; without it /startup says
        null. `serving_processes` is how many processes take requests, each with a model of its own. `first_pid` is the
        service's first process, where the serving one was forked from it.
        """
        self._serving_threads = serving_threads
        self._serving_processes = serving_processes
        if first_pid is not None:
            self._lifecycle = Lifecycle(process_start_monotonic(first_pid))
        self._compute.start(self._run_start_up)
        # A thread inside PyTorch makes the process abort when the interpreter goes away under it.
        atexit.register(self.stop)

    def stop(self) -> None:
        """Gives up the start or the evaluation under way; for the process's end, where it is called by itself."""
        self._lifecycle.abandon()
        self._compute.stop(_STOP_SECONDS)

    def _run_start_up(self) -> None:
        lifecycle = self._lifecycle
        try:
            lifecycle.enter(Phase.IMPORTS)
            self._classifier = self._start_up(lifecycle)
            lifecycle.enter(Phase.READY)
        except StoppedError as error:
            lifecycle.fail(str(error))
        except ModelError as error:
            _log.error("the start failed: %s", error)
            lifecycle.fail(str(error))
        except BaseException as error:  # whatever it was, the port stays alive and says so
            _log.exception("the start failed")
            lifecycle.fail(f"{type(error).__name__}: {error}")

    def respond(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        """Answers one request; it never raises. `path` is without the query; `headers` make no difference."""
        try:
            methods = self._routes.get(path or "/")
            if methods is None:
                answer = _error(404, f"no such path: {path[:80]}; there are {', '.join(self._routes)}")
            elif (route := methods.get(method)) is None:
                answer = _error(405, f"{path or '/'} does not take {method}", Allow=", ".join(methods))
            else:
                answer = route(query, body)
        except (QueueFullError, StoppedError) as error:
            answer = _error(503, str(error), **{"Retry-After": _RETRY_SECONDS})
        except TimeoutError:
            answer = _error(503, "no answer within the deadline", **{"Retry-After": _RETRY_SECONDS})
        except ImageError as error:
            answer = _error(_IMAGE_STATUS[type(error)], str(error))
        except Exception as error:
            _log.exception("%s %s failed", method, path)
            answer = _error(500, f"internal error: {type(error).__name__}: {error}")
        return Answer(answer.status, answer.headers, b"") if method == "HEAD" else answer

    def _evaluate(self, query: Mapping[str, str], body: bytes) -> Answer:
        settings, classifier = self._settings, self._classifier
        if settings is None or classifier is None:
            return self._not_ready()
        arrived = time.monotonic()
        begun = arrived

        def job(between_batches: Callable[[], None]) -> Evaluation:
            nonlocal begun
            begun = time.monotonic()
            return classifier.evaluate(between_batches)

        evaluation = self._compute.evaluate(job)
        answer = _json(
            200,
            {
                "accuracy": evaluation.accuracy,
                "correct": evaluation.correct,
                "total": evaluation.total,
                "engine": settings.engine,
                "recipe": settings.recipe,
                "model_sha256": classifier.model_sha256,
                "dataset": settings.dataset,
                "dataset_sha256": settings.dataset_sha256,
                "instance_id": self.instance_id,
            },
        )
        # Durations in milliseconds, as the W3C's Server Timing has them.
        answer.headers["Server-Timing"] = (
            f"queue;dur={(begun - arrived) * 1000:.3f}, evaluation;dur={evaluation.seconds * 1000:.3f}"
        )
        return answer

    def _head(self, query: Mapping[str, str], body: bytes) -> Answer:
        """The status of GET / without its work: a header that only the evaluation could give is left out."""
        return self._not_ready() if self._classifier is None else _json(200, {})

    def _predict(self, query: Mapping[str, str], body: bytes) -> Answer:
        # First, because a server in front may have to refuse the same body before it asks anything else.
        if len(body) > MAX_BODY_BYTES:
            raise ImageTooLargeError(f"the body is too large; at most {MAX_BODY_BYTES} bytes are accepted")
        classifier = self._classifier
        if classifier is None:
            return self._not_ready()
        pixels = classifier.decode(body)
        prediction = self._compute.predict(lambda: classifier.predict(pixels))
        return _json(
            200,
            {
                "class": prediction.index,
                "label": classifier.labels[prediction.index],
                "probability": prediction.probability,
                "model_sha256": classifier.model_sha256,
            },
        )

    def _healthz(self, query: Mapping[str, str], body: bytes) -> Answer:
        return _json(200, {"serving": True, "instance_id": self.instance_id})

    def _clock(self, query: Mapping[str, str], body: bytes) -> Answer:
        """This host's clock now, for a client on another host, which compares its own with it."""
        now = round(time.clock_gettime(time.CLOCK_MONOTONIC), 6)
        return _json(200, {"clock": "CLOCK_MONOTONIC", "monotonic_seconds": now, "host_boot_id": host_boot_id()})

    def _ready(self, query: Mapping[str, str], body: bytes) -> Answer:
        wait = query.get("wait")
        if wait is not None:
            seconds = float(wait) if re.fullmatch(r"[0-9]{1,4}(\.[0-9]{1,9})?", wait) else None
            if seconds is None or seconds > LONGEST_WAIT_SECONDS:
                return _error(400, f"wait: expected seconds from 0 to {LONGEST_WAIT_SECONDS}, got {wait[:40]!r}")
            # One request at most is held, so that the others always find a free thread.
            if self._held_ready.acquire(blocking=False):
                try:
                    self._lifecycle.wait(seconds)
                finally:
                    self._held_ready.release()
        if self._lifecycle.state().phase is Phase.READY:
            return _json(200, {"ready": True, "instance_id": self.instance_id})
        return self._not_ready()

    def _not_ready(self) -> Answer:
        state = self._lifecycle.state()
        progress = {"phase": state.phase, "progress": state.progress, "elapsed_seconds": state.elapsed_seconds}
        if state.reason is not None:
            return _json(500, {"error": f"the start failed: {state.reason}", **progress})
        return _json(503, progress, **{"Retry-After": _RETRY_SECONDS})

    def _startup(self, query: Mapping[str, str], body: bytes) -> Answer:
        start = self._lifecycle.process_start
        settings, classifier = self._settings, self._classifier
        return _json(
            200,
            {
                "instance_id": self.instance_id,
                "clock": "CLOCK_MONOTONIC",
                "host_boot_id": host_boot_id(),
                "process_start_monotonic_seconds": round(start, 6),
                # Both count from the process's start; the last phase has not ended.
                "phases": [
                    {
                        "name": record.phase,
                        "begin_seconds": round(record.begin - start, 6),
                        "end_seconds": None if record.end is None else round(record.end - start, 6),
                    }
                    for record in self._lifecycle.records()
                ],
                "effective": {
                    "request_threads": self._serving_threads,
                    "serving_processes": self._serving_processes,
                    "compute_threads": classifier.compute_threads if classifier else None,
                    "queue_limit": self._compute.queue_limit,
                    "service_sha256": settings.sha256 if settings else None,
                    "dataset_sha256": settings.dataset_sha256 if settings else None,
                    "model_sha256": classifier.model_sha256 if classifier else None,
                    "python": platform.python_version(),
                    "python_build": installed.build(),
                    "packages": {name: metadata.version(name) for name in _PACKAGES},
                    "installed": installed.packages(),
                    "pid": os.getpid(),
                },
            },
        )


def _folder(variable: str) -> Path:
    value = os.environ.get(variable)
    if not value:
        raise SettingsError(f"the environment variable {variable} is not set; it must name a folder")
    return Path(value)


def _failing(error: SettingsError) -> StartUp:
    def start_up(lifecycle: Lifecycle) -> Classifier:
        raise error

    return start_up


def _json(status: int, document: Mapping[str, object], **headers: str) -> Answer:
    body = json.dumps(document).encode() + b"\n"
    return Answer(status, {"Content-Type": "application/json", "Cache-Control": "no-store", **headers}, body)


def _error(status: int, message: str, **headers: str) -> Answer:
    return _json(status, {"error": message}, **headers)
