# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/htop_facts.py, run as Ansible runs it, with a stand-in for htop."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from evenkeel import htop_recording

from tests.standins import htop as standin

SCREENS = Path(__file__).parents[1] / "fixtures" / "htop" / "htop-3.2.2.txt"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("htop_facts")


@pytest.fixture
def htop(tmp_path: Path) -> str:
    return str(standin.install(tmp_path / "bin", screens=SCREENS, interval_seconds=0.5))


def test_a_recording_is_returned_and_nothing_changed(module: ModuleType, run_module: Run, htop: str) -> None:
    args = {"pids": [os.getpid()], "duration_seconds": 0.6, "interval_seconds": 0.5, "htop_path": htop}
    result = run_module(module, args)
    assert (result["failed"], result["changed"]) == (False, False)
    assert "ansible_facts" not in result, "the action plugin makes them"
    assert result["argv"][:6] == [htop, "-C", "-U", "-M", "-d", "5"]
    recording = result["recording"]
    assert recording["version"] == "3.2.2"
    assert len(htop_recording.decode_screens(recording["screens"])) == len(recording["frames"]) >= 2


def test_a_stop_file_ends_the_recording(module: ModuleType, run_module: Run, htop: str, tmp_path: Path) -> None:
    stop, ready = tmp_path / "stop", tmp_path / "ready"

    def stop_when_ready() -> None:
        while not ready.exists():
            threading.Event().wait(0.01)
        stop.touch()

    threading.Thread(target=stop_when_ready, daemon=True).start()
    args = {"pids": [os.getpid()], "htop_path": htop, "stop_file": str(stop), "ready_file": str(ready)}
    result = run_module(module, {**args, "deadline_seconds": 20})
    assert result["recording"]["window"]["ended_by"] == "stop_file"


def test_an_end_by_the_deadline_is_warned_about(
    module: ModuleType, run_module: Run, htop: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Where Ansible's controller side is loaded in the same process, it shows warnings itself.
    warnings: list[str] = []
    monkeypatch.setattr(module.AnsibleModule, "warn", lambda self, text: warnings.append(text))
    args = {"pids": [os.getpid()], "htop_path": htop, "stop_file": str(tmp_path / "never"), "deadline_seconds": 1.5}
    result = run_module(module, args)
    assert result["recording"]["window"]["ended_by"] == "deadline"
    assert "deadline_seconds" in warnings[-1]


def test_check_mode_needs_neither_htop_nor_the_service(module: ModuleType, run_module: Run) -> None:
    args = {"pid_file": "/nonexistent/service.pid", "duration_seconds": 5, "htop_path": "/nonexistent/htop"}
    result = run_module(module, args, check_mode=True)
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["plan"]["pid_file"] == "/nonexistent/service.pid"
    assert result["plan"]["deadline_seconds"] == 35
    assert "recording" not in result


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"pids": [4194305], "duration_seconds": 5}, "process 4194305, named in pids, does not run"),
        ({"pid_file": "/nonexistent/x.pid", "duration_seconds": 5}, "/nonexistent/x.pid: No such file"),
        ({"duration_seconds": 5}, "no process was named"),
        ({"pids": [1]}, "either duration_seconds or stop_file"),
        ({"pids": [1], "duration_seconds": 5, "interval_seconds": 0.75}, "whole tenths of a second, not 0.75"),
        ({"pids": [1], "duration_seconds": 5, "interval_seconds": 0.1}, "between 0.5 and 10"),
        ({"pids": ["x"], "duration_seconds": 5}, "pids"),
        ({"pids": [os.getpid()], "duration_seconds": 5, "htop_path": "/nonexistent/htop"}, "apt-get install htop"),
        ({"recording": {"a": 1}}, "recording is not the registered result"),
    ],
)
def test_bad_input_gets_one_clear_message(
    given: dict[str, Any], message: str, module: ModuleType, run_module: Run
) -> None:
    result = run_module(module, given)
    assert result["failed"] is True
    assert message in result["msg"]


def test_an_interval_of_tenths_that_is_no_binary_fraction_passes(module: ModuleType, run_module: Run) -> None:
    args = {"pids": [1], "duration_seconds": 5, "interval_seconds": 1.1}
    assert run_module(module, args, check_mode=True)["failed"] is False


def test_a_failure_names_the_argv_and_the_next_step(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    program = standin.install(tmp_path / "bin", screens=SCREENS, behaviour="end")
    result = run_module(module, {"pids": [os.getpid()], "duration_seconds": 5, "htop_path": str(program)})
    assert result["failed"] is True
    assert "htop ended by itself" in result["msg"]
    assert result["argv"][0] == str(program)
    assert result["operation"] and result["next_step"]


@pytest.mark.parametrize(("version", "message"), [("htop 2.2.0", "too old"), ("GNU bash", "not htop's")])
def test_another_program_is_refused(
    version: str, message: str, module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    program = standin.install(tmp_path / "bin", version=version)
    result = run_module(module, {"pids": [os.getpid()], "duration_seconds": 5, "htop_path": str(program)})
    assert message in result["msg"]
