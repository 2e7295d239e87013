# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The function's files, loaded as its image loads them."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest
from cifar_cnn.answers import Service

from tests.standins.recording_service import RecordingService

FUNCTION = Path(__file__).resolve().parents[3] / "function"


def _load(name: str, path: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location(name, path)
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def service() -> RecordingService:
    return RecordingService()


@pytest.fixture
def handler(service: RecordingService, monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    """handler.py over the stand-in service."""
    monkeypatch.setattr(Service, "from_environment", lambda: service)
    return _load("evenkeel_handler", FUNCTION / "cifar-cnn" / "handler.py")


@pytest.fixture
def load_index(monkeypatch: pytest.MonkeyPatch) -> Callable[[ModuleType], ModuleType]:
    """A function that loads the template's index.py with a handler of one's own."""

    def load(handler: ModuleType) -> ModuleType:
        package = ModuleType("function")
        package.handler = handler  # type: ignore[attr-defined]
        monkeypatch.setitem(sys.modules, "function", package)
        return _load("evenkeel_index", FUNCTION / "template" / "python3-http-conda" / "index.py")

    return load
