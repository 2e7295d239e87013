# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/action/htop_facts.py: drawing a real recording, and what it does with results and jobs."""

from __future__ import annotations

import importlib.util
import json
import re
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
from evenkeel import watch

ROOT = Path(__file__).parents[4]
RECORDING = json.loads((ROOT / "tests/unit/fixtures/htop/recording-3.2.2.json").read_text())


@pytest.fixture
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evenkeel_action_htop_facts", ROOT / "plugins/action/htop_facts.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


class Answers:
    """What the target's modules answer, in order; the calls that were made are kept."""

    def __init__(self, *answers: dict[str, Any]) -> None:
        self._answers = list(answers)
        self.calls: list[dict[str, Any]] = []

    def __call__(self, **call: Any) -> dict[str, Any]:
        self.calls.append(call)
        return dict(self._answers.pop(0))


@pytest.fixture
def act(plugin: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    """Run the plugin with task arguments and the target's answers, without a connection."""

    def run(
        args: dict[str, Any],
        answers: Answers,
        async_val: int = 0,
        check_mode: bool = False,
        files: dict[str, bytes] | None = None,
    ) -> dict[str, Any]:
        action = object.__new__(plugin.ActionModule)
        action._task = SimpleNamespace(args=args, async_val=async_val, check_mode=check_mode, action="htop_facts")
        shell = SimpleNamespace(tmpdir=None, join_path=lambda *parts: "/".join(parts))
        action._connection = SimpleNamespace(has_native_async=False, _shell=shell)
        action._execute_module = answers
        action._remove_tmp_path = lambda path: None

        def execute(command: str, in_data: bytes) -> dict[str, Any]:
            """The remote command with the task's rights: cat >PATH."""
            path = command.removeprefix("cat >")
            if path.startswith("/full"):
                return {"rc": 1, "stderr": "cat: write error: No space left on device\n"}
            (files if files is not None else {}).update({path: in_data})
            return {"rc": 0, "stderr": ""}

        action._low_level_execute_command = execute
        monkeypatch.setattr(plugin.ActionBase, "run", lambda self, tmp, task_vars: {})
        result: dict[str, Any] = action.run(task_vars={})
        return result

    return run


def test_a_real_recording_is_drawn(plugin: ModuleType) -> None:
    screens = plugin.draw(RECORDING)
    assert len(screens) == len(RECORDING["frames"])
    assert all(len(screen) == 60 for screen in screens)
    assert screens[1][0].startswith("Avg:")
    header = next(row for row in screens[1] if row.lstrip().startswith("PID"))
    assert header.split() == ["PID", "S", "NLWP", "CPU%-MEM%", "VIRT", "RES", "SHR", "TIME+", "Command"]


def test_a_recording_becomes_facts(act: Callable[..., dict[str, Any]]) -> None:
    result = act({"pids": [1]}, Answers({"changed": False, "recording": RECORDING, "argv": ["htop"]}))
    assert result["changed"] is False
    assert "recording" not in result
    htop = result["ansible_facts"]["htop"]
    assert htop["version"] == "3.2.2"
    assert len(htop["frames"]) == len(RECORDING["frames"]) - 1
    assert htop["proc_check"]["passed"] is True
    assert htop["processes"][0]["cpu_percent_of_core"] == pytest.approx(27.94)
    assert htop["counters"] == RECORDING["counters"]


def test_an_asynchronous_start_is_passed_on(act: Callable[..., dict[str, Any]]) -> None:
    answers = Answers({"ansible_job_id": "j1.2", "started": True, "finished": False, "changed": True})
    result = act({"pids": [1]}, answers, async_val=90)
    assert answers.calls[0]["wrap_async"] is True
    assert result["ansible_job_id"] == "j1.2"
    assert result["changed"] is False, "watching changes nothing"


def test_a_job_is_collected_on_the_target(act: Callable[..., dict[str, Any]]) -> None:
    answers = Answers({"changed": False, "recording": RECORDING})
    result = act({"recording": {"ansible_job_id": "j1.2", "results_file": "/async/j1.2"}}, answers)
    assert len(answers.calls) == 1 and "module_name" not in answers.calls[0]
    assert result["ansible_facts"]["htop"]["version"] == "3.2.2"


def test_the_result_of_async_status_is_taken_as_it_is(act: Callable[..., dict[str, Any]]) -> None:
    job = {"ansible_job_id": "j1.2", "finished": True, "recording": RECORDING}
    answers = Answers()
    assert act({"recording": job}, answers)["ansible_facts"]["htop"]["version"] == "3.2.2"
    assert answers.calls == []


def test_a_failed_recording_stays_failed(act: Callable[..., dict[str, Any]]) -> None:
    failed = {"failed": True, "msg": "htop was not found"}
    assert act({"recording": failed}, Answers())["msg"] == "htop was not found"
    result = act({"recording": {"ansible_job_id": "j"}}, Answers(failed))
    assert (result["failed"], result["msg"]) == (True, "htop was not found")
    assert "ansible_facts" not in result


def refused(result: dict[str, Any], reason: str) -> bool:
    """Whether it failed for that reason: as a result, which a task's failed_when sees, not as an exception."""
    return result["failed"] and re.search(reason, result["msg"]) is not None and "ansible_facts" not in result


@pytest.mark.parametrize("recording", ["text", 5, ["a"], True])
def test_what_is_no_result_is_refused(recording: Any, act: Callable[..., dict[str, Any]]) -> None:
    assert refused(act({"recording": recording}, Answers()), "must be the registered result")


@pytest.mark.parametrize(
    "damage",
    [
        {"screens": {"lengths": [1], "data": "AAAA"}},
        {"frames": []},
        {"rows": 5},
        {"screens": {}},
    ],
)
def test_a_damaged_recording_is_refused(damage: dict[str, Any], act: Callable[..., dict[str, Any]]) -> None:
    assert refused(
        act({"recording": {"recording": {**RECORDING, **damage}}}, Answers()), "the htop recording cannot be read"
    )


def test_check_mode_has_no_facts(act: Callable[..., dict[str, Any]]) -> None:
    started = act({"pids": [1]}, Answers({"changed": False, "plan": {"pids": [1]}}), check_mode=True)
    assert started["plan"] == {"pids": [1]}
    assert act({"recording": started}, Answers(), check_mode=True) == {"changed": False, "plan": {"pids": [1]}}


def test_long_lists_go_to_the_target(act: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(watch, "MOST_VALUES_IN_FACTS", 50)
    files: dict[str, bytes] = {}
    whole = act({"recording": {"recording": RECORDING}}, Answers())["ansible_facts"]["htop"]
    result = act({"recording": {"recording": RECORDING}, "artifact_dir": "/trial"}, Answers(), files=files)
    assert [one["path"] for one in result["artifacts"]] == ["/trial/htop.frames.json"]
    short = result["ansible_facts"]["htop"]
    assert short["frames"] is None
    assert watch.merge_long_lists(short, json.loads(files["/trial/htop.frames.json"])) == whole


def test_a_target_that_takes_no_file_is_named(
    act: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MOST_VALUES_IN_FACTS", 50)
    result = act({"recording": {"recording": RECORDING}, "artifact_dir": "/full"}, Answers())
    assert refused(result, "written to /full/htop.frames.json: cat: write error: No space left")


def test_missing_pyte_names_the_command(
    plugin: ModuleType, act: Callable[..., dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(plugin, "pyte", None)
    assert refused(act({"pids": [1]}, Answers({"recording": RECORDING})), "-m pip install pyte")
