# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The server arm's adapter passes requests and answers on unchanged."""

from __future__ import annotations

import importlib.util
import os
import subprocess
import sys
from pathlib import Path
from types import ModuleType

import pytest

from tests.standins.recording_service import ANSWER, RecordingService

APP = Path(__file__).resolve().parents[3] / "app"


@pytest.fixture
def wsgi() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evenkeel_wsgi", APP / "wsgi.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE", "BREW"])
@pytest.mark.parametrize("path", ["/", "/ready", "/no/such/path", "/static/x"])
def test_every_path_and_method_reaches_the_service(wsgi: ModuleType, method: str, path: str) -> None:
    service = RecordingService()
    reply = wsgi.create_app(service).test_client().open(f"{path}?wait=2&wait=3&b=", method=method, data=b"\x00body")
    asked = service.asked[0]
    assert (asked["method"], asked["path"], asked["body"]) == (method, path, b"\x00body")
    assert asked["query"] == {"wait": "2", "b": ""}
    assert (reply.status_code, reply.data) == (ANSWER.status, ANSWER.body)
    assert reply.headers["Retry-After"] == "1"
    assert reply.headers["Content-Type"] == "application/json"
    assert int(reply.headers["Content-Length"]) == len(ANSWER.body)


def test_of_a_huge_body_only_a_part_is_taken(wsgi: ModuleType, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(wsgi, "BODY_BYTES_TAKEN", 1000)
    service = RecordingService()
    wsgi.create_app(service).test_client().post("/predict", data=bytes(5000))
    assert len(service.asked[0]["body"]) == 1000


def test_loading_the_application_neither_starts_the_service_nor_imports_pytorch() -> None:
    """gunicorn's hook starts it in the worker, and the port must answer before PyTorch is there."""
    script = "import sys, threading, wsgi; print(threading.active_count(), 'torch' in sys.modules)"
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join([str(APP), str(APP.parent / "model")])}
    done = subprocess.run(
        [sys.executable, "-c", script], env=environment, capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout.split() == ["1", "False"]
