# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The module service_startup as Ansible calls it."""

from __future__ import annotations

import socket
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.standins import service

RunModule = Callable[..., dict[str, Any]]


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("service_startup")


@pytest.fixture
def arguments(tmp_path: Path) -> Iterator[dict[str, Any]]:
    """Arguments that start and stop the stand-in service; it is stopped afterwards."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    stop_argv = service.stop_argv(tmp_path)
    yield {
        "start_argv": service.start_argv(tmp_path, port=port),
        "stop_argv": stop_argv,
        "url": f"http://127.0.0.1:{port}",
        "pid_file": str(tmp_path / "pid"),
        "log_path": str(tmp_path / "log"),
        "deadline_seconds": 20,
    }
    subprocess.run(stop_argv, check=True)


def test_measures_a_start(module: ModuleType, run_module: RunModule, arguments: dict[str, Any], tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"image")
    more = {"predict_body_path": str(tmp_path / "image.png"), "expect_label": "ship", "expect": {"accuracy": 0.5}}
    result = run_module(module, {**arguments, **more})
    assert not result["failed"] and result["changed"]
    facts = result["ansible_facts"]["service_startup"]
    assert facts["valid"]
    documented = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["service_startup"]["contains"]
    assert facts.keys() == documented.keys()


def test_check_mode_starts_nothing(
    module: ModuleType, run_module: RunModule, arguments: dict[str, Any], tmp_path: Path
) -> None:
    absent = {"predict_body_path": str(tmp_path / "not-there-yet.png")}
    result = run_module(module, {**arguments, **absent}, check_mode=True)
    assert not result["failed"] and not result["changed"]
    assert result["plan"]["start_argv"] == arguments["start_argv"]
    assert not (tmp_path / "pid").exists()


def test_a_failure_carries_what_is_needed(module: ModuleType, run_module: RunModule, arguments: dict[str, Any]) -> None:
    result = run_module(module, {**arguments, "start_argv": ["sh", "-c", "echo broken >&2; exit 3"]})
    assert result["failed"]
    assert (result["operation"], result["rc"], result["stderr_tail"]) == ("start", 3, "broken\n")
    assert result["next_step"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"start_argv": []}, "start_argv is empty"),
        ({"stop_argv": []}, "stop_argv is empty"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"deadline_seconds": -3}, "got -3"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds must be"),
        ({"stop_deadline_seconds": 0}, "stop_deadline_seconds must be above 0"),
        ({"url": "127.0.0.1:80"}, "must begin with http"),
        ({"url": "ftp://127.0.0.1"}, "unsupported URL"),
        ({"expect_label": "ship"}, "needs predict_body_path"),
        ({"predict_body_path": "/nowhere/image.png"}, "/nowhere/image.png"),
        ({"log_argv": []}, "log_argv is empty"),
        ({"unit": "server.service"}, "must be named once"),
        ({"container": "server", "remote": True}, "got pid_file and container and remote"),
        ({"pid_file": None}, "give one of pid_file, unit, container, instance, remote (got none)"),
    ],
)
def test_bad_options(
    module: ModuleType, run_module: RunModule, arguments: dict[str, Any], change: dict[str, Any], words: str
) -> None:
    result = run_module(module, {**arguments, **change})
    assert result["failed"]
    assert words in result["msg"]
