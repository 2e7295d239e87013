# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/action/run_step.py: the journal and the raw records of a run."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import yaml
from ansible.errors import AnsibleActionFail
from evenkeel import journal

ROOT = Path(__file__).resolve().parents[4]
TRIALS = [
    {"id": f"b01-{arm}-load", "block": 1, "order": order, "arm": arm, "kind": "load", "mode": None, "counted": True}
    for order, arm in enumerate(("server", "serverless"), 1)
]


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evenkeel_action_run_step", ROOT / "plugins/action/run_step.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    (tmp_path / "plan.json").write_text(json.dumps({"trials": TRIALS}))
    return tmp_path


@pytest.fixture
def act(plugin: ModuleType, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., dict[str, Any]]:
    monkeypatch.setattr(plugin.ActionBase, "run", lambda self, tmp, task_vars: {})

    def run(event: str, step: str = "run", check_mode: bool = False, **others: Any) -> dict[str, Any]:
        action = object.__new__(plugin.ActionModule)
        arguments = {
            "run_dir": str(folder),
            "event": event,
            "step": step,
            "facts": None,
            "texts": None,
            "artifacts": None,
        }
        arguments |= {"expected_seconds": None, "message": None, "closing": None} | others
        action._task = SimpleNamespace(check_mode=check_mode, args=arguments)
        action.validate_argument_spec = lambda argument_spec: (None, arguments)
        result: dict[str, Any] = action.run()
        return result

    return run


def events(folder: Path) -> list[tuple[str, str]]:
    lines = (folder / "journal.jsonl").read_text().splitlines()
    return [(json.loads(line)["event"], json.loads(line)["step"]) for line in lines]


def test_a_trial_leaves_its_record_and_its_texts(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    act("run_begun")
    act("step_begun", "b01-server-load")
    facts = {"ab_benchmark": {"valid": True}}
    act("step_done", "b01-server-load", facts=facts, texts={"ab.txt": "report", "ab.csv": ""})
    record = json.loads((folder / "raw" / "b01-server-load.json").read_text())
    assert record["facts"] == facts
    assert record["artifacts"] == []
    assert record["trial"] == TRIALS[0]
    assert record["begun_utc"] <= record["ended_utc"]
    assert sorted(path.name for path in (folder / "raw").iterdir()) == [
        "b01-server-load.ab.txt",
        "b01-server-load.json",
    ]
    assert events(folder) == [("run_begun", "run"), ("step_begun", "b01-server-load"), ("step_done", "b01-server-load")]


def test_the_begin_of_a_trial_says_where_the_run_is(act: Callable[..., dict[str, Any]]) -> None:
    act("run_begun")
    result = act("step_begun", "b01-serverless-load", expected_seconds={"load": 30})
    assert result["progress"].startswith("[2/2] block  1 of 1  serverless  load")
    assert "about 1:00 to go" in result["progress"]
    assert result["run"]["arm"] == "serverless"


def test_a_resumed_run_counts_its_time_anew(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    long_ago = {"utc": "2026-01-01T00:00:00Z", "monotonic_seconds": 1e9, "event": "run_begun", "step": "run"}
    (folder / "journal.jsonl").write_text(json.dumps(long_ago) + "\n")
    act("run_resumed")
    assert " 0:00 gone" in act("step_begun", "b01-server-load")["progress"]


def test_check_mode_writes_nothing(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    assert act("run_begun", check_mode=True) == {"changed": False}
    assert not (folder / "journal.jsonl").exists()


def test_a_report_leaves_the_journal_alone(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    assert act("reported", closing="VALID")["closing"] == "VALID"
    said = act("reported", message="Waiting for CloudWatch")
    assert (said["progress"], said["run"]) == ("Waiting for CloudWatch", {"id": folder.name})
    assert not (folder / "journal.jsonl").exists()


def test_the_closing_words_are_handed_on(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    assert act("run_finished", closing="VALID x")["closing"] == "VALID x"
    assert events(folder) == [("run_finished", "run")]


def test_a_full_disk_says_what_is_kept(
    plugin: ModuleType, act: Callable[..., dict[str, Any]], folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    act("run_begun")
    act("step_begun", "b01-server-load")

    def full(_handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(AnsibleActionFail, match=r"No space left.*is kept in.*resume the run"):
        act("step_done", "b01-server-load", facts={"a": 1})
    assert list((folder / "raw").iterdir()) == []


def test_an_absent_plan_is_named(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    (folder / "plan.json").unlink()
    with pytest.raises(AnsibleActionFail, match=r"plan\.json"):
        act("run_begun")


def test_what_a_broken_turn_left_is_set_aside_and_never_overwritten(
    act: Callable[..., dict[str, Any]], folder: Path
) -> None:
    start = {**TRIALS[0], "id": "b01-server-start", "kind": "start", "mode": "load"}
    (folder / "plan.json").write_text(json.dumps({"trials": [start, *TRIALS]}))
    for attempt in ("1", "2"):
        (folder / "raw" / "b01-server-start.json").write_text(attempt)
        (folder / "raw" / "host-a.json").write_text("{}")
        assert act("run_resumed")["done"] == []
        assert (folder / "raw" / "superseded" / attempt / "b01-server-start.json").read_text() == attempt
    assert [path.name for path in sorted((folder / "raw").glob("*.json"))] == ["host-a.json"]


def test_what_is_finished_is_not_repeated(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    (folder / "raw" / "b01-serverless-load.json").write_text("{}")
    assert act("run_resumed")["done"] == ["b01-serverless-load"]
    assert (folder / "raw" / "b01-serverless-load.json").exists()


def test_its_arguments_are_the_documented_ones(
    plugin: ModuleType, monkeypatch: pytest.MonkeyPatch, load_module: Callable[[str], ModuleType]
) -> None:
    monkeypatch.setattr(plugin.ActionBase, "run", lambda self, tmp, task_vars: {})
    taken: dict[str, Any] = {}

    def validate(argument_spec: dict[str, Any]) -> tuple[None, dict[str, Any]]:
        taken.update(argument_spec)
        return None, {}

    action = object.__new__(plugin.ActionModule)
    action._task = SimpleNamespace(check_mode=True, args={})
    action.validate_argument_spec = validate
    action.run()
    documented = yaml.safe_load(load_module("run_step").DOCUMENTATION)["options"]
    assert {
        name: {key: value for key, value in option.items() if key != "description"}
        for name, option in documented.items()
    } == taken


def test_two_runs_at_a_time_are_refused(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    results = folder / "results"
    (results / "20260101T000000Z-aaaaaa").mkdir(parents=True)
    path = str(results / "20260101T000000Z-aaaaaa" / "journal.jsonl")
    act("alone", run_dir=str(results))
    other = subprocess.Popen(["sleep", "60"])
    try:
        journal.append(path, "run_begun", "run", controller=journal.controller(other.pid))
        with pytest.raises(AnsibleActionFail, match=rf"20260101T000000Z-aaaaaa is under way .*process {other.pid}\)"):
            act("alone", run_dir=str(results))
    finally:
        other.kill()
        other.wait()
    act("alone", run_dir=str(results))


def test_a_run_says_which_process_measures_it(act: Callable[..., dict[str, Any]], folder: Path) -> None:
    act("run_begun")
    records = journal.read(str(folder / "journal.jsonl"))
    assert journal.at_work(records) == os.getppid()
    act("run_finished")
    assert journal.at_work(journal.read(str(folder / "journal.jsonl"))) is None
