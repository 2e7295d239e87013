# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""gunicorn's settings are read as gunicorn reads them."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace

import pytest
from gunicorn.app.base import BaseApplication
from gunicorn.config import Config

from tests.standins.recording_service import RecordingService

CONFIGURATION = Path(__file__).resolve().parents[3] / "app" / "gunicorn.conf.py"
SERVICE = {
    "schema_version": 1,
    "dataset": "digits",
    "dataset_sha256": "0" * 64,
    "engine": "reference",
    "recipe": "study",
    "epochs": 1,
    "batch_size": 64,
    "dropout": 0.2,
    "seed": 1,
    "start_with": "train",
    "request_threads": 8,
    "compute_threads": None,
    "queue_limit": 2,
}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):  # type: ignore[no-untyped-def]
    """A function from a service.json and an environment to the settings gunicorn takes from the file."""

    def read(service: dict[str, object] | None, **environment: str) -> Config:
        for name in ("EVENKEEL_BIND", "EVENKEEL_PORT"):
            monkeypatch.delenv(name, raising=False)
        monkeypatch.setenv("EVENKEEL_SERVICE_DIR", str(tmp_path))
        monkeypatch.setenv("EVENKEEL_DATA_DIR", str(tmp_path))
        for name, value in environment.items():
            monkeypatch.setenv(name, value)
        if service is not None:
            (tmp_path / "service.json").write_text(json.dumps(service))
        application = BaseApplication.__new__(BaseApplication)
        application.usage, application.prog = None, None
        application.cfg = Config()
        values: dict[str, object] = {}
        exec(compile(CONFIGURATION.read_text(), str(CONFIGURATION), "exec"), values)
        for name, value in values.items():
            if name in application.cfg.settings:
                application.cfg.set(name, value)
        return application.cfg

    return read


def test_one_process_with_the_threads_of_service_json(configure) -> None:  # type: ignore[no-untyped-def]
    settings = configure({**SERVICE, "request_threads": 5})
    assert (settings.workers, settings.threads, settings.worker_class_str) == (1, 5, "gthread")


@pytest.mark.parametrize("service", [None, {}, {**SERVICE, "request_threads": "many"}])
def test_a_bad_service_json_does_not_keep_the_port_closed(configure, service) -> None:  # type: ignore[no-untyped-def]
    assert configure(service).threads == 8


@pytest.mark.parametrize(
    ("environment", "address"),
    [
        ({}, ("127.0.0.1", 8081)),
        ({"EVENKEEL_PORT": "9000"}, ("127.0.0.1", 9000)),
        ({"EVENKEEL_PORT": "9000", "EVENKEEL_BIND": "0.0.0.0"}, ("0.0.0.0", 9000)),
    ],
)
def test_where_it_listens(configure, environment, address) -> None:  # type: ignore[no-untyped-def]
    assert configure(SERVICE, **environment).address == [address]


def test_no_worker_is_killed_for_being_busy_and_a_stop_is_quick(configure) -> None:  # type: ignore[no-untyped-def]
    settings = configure(SERVICE)
    assert settings.timeout == 0
    assert settings.graceful_timeout <= 2
    assert settings.control_socket_disable


def test_the_service_starts_in_the_worker_and_counts_from_the_master(configure) -> None:  # type: ignore[no-untyped-def]
    settings, service = configure(SERVICE), RecordingService()
    worker = SimpleNamespace(wsgi=SimpleNamespace(extensions={"service": service}), cfg=settings, ppid=4321)
    settings.post_worker_init(worker)
    assert service.starts == [{"serving_threads": 8, "serving_processes": 1, "first_pid": 4321}]
