# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/docker_stats_facts.py, run as Ansible runs it, against a stand-in engine."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.standins.docker_engine import Container, StandinEngine, frames_from

FIXTURES = Path(__file__).parents[1] / "fixtures" / "docker"
FRAMES = frames_from(FIXTURES / "stats-v2.jsonl")
CONTAINER_KEYS = {
    "name",
    "id",
    "cpu_percent_of_core",
    "cpu_cores",
    "cpu_seconds",
    "memory_bytes",
    "memory_kind",
    "memory_limit_bytes",
    "memory_percent",
    "network_received_bytes",
    "network_sent_bytes",
    "block_read_bytes",
    "block_written_bytes",
    "pids",
    "samples",
    "cgroup",
}
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("docker_stats_facts")


def test_every_documented_figure_is_returned(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("web", FRAMES, frame_seconds=0.8)) as engine:
        result = run_module(module, {"containers": ["web"], "duration_seconds": 1, "docker_host": engine.docker_host})
    assert (result["failed"], result["changed"]) == (False, False)
    facts = result["ansible_facts"]["docker_stats"]
    assert facts["window_seconds"] >= 1
    (container,) = facts["containers"]
    assert container.keys() >= CONTAINER_KEYS
    returned = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["docker_stats"]["contains"]
    assert facts.keys() == returned.keys()
    assert container.keys() == returned["containers"]["sample"][0].keys()
    assert container["cgroup"].keys() == returned["containers"]["sample"][0]["cgroup"].keys()


def test_long_lists_go_to_a_file(
    module: ModuleType, run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.watch, "MOST_VALUES_IN_FACTS", 10)
    with StandinEngine(tmp_path / "d.sock", Container("web", FRAMES, frame_seconds=0.8)) as engine:
        args = {"containers": ["web"], "duration_seconds": 1, "docker_host": engine.docker_host}
        result = run_module(module, {**args, "artifact_dir": str(tmp_path)})
    (artifact,) = result["artifacts"]
    assert artifact["path"] == str(tmp_path / "docker_stats.frames.json")
    short = result["ansible_facts"]["docker_stats"]
    assert short["containers"][0]["samples"] is None
    whole = module.watch.merge_long_lists(short, json.loads(Path(artifact["path"]).read_text()))
    assert whole["containers"][0]["samples"][0]["pids"] == 1


def test_check_mode_asks_no_engine(module: ModuleType, run_module: Run) -> None:
    args = {"containers": ["web"], "duration_seconds": 5, "docker_host": "unix:///nonexistent.sock"}
    result = run_module(module, args, check_mode=True)
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["plan"]["containers"] == ["web"]
    assert "ansible_facts" not in result


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"containers": []}, "at least one container"),
        ({"containers": ["web", " "]}, "no empty name"),
        ({"containers": ["web", "web"]}, "names one of them twice"),
        ({"containers": ["web"], "docker_host": "unix:///nonexistent.sock"}, "apt-get install docker.io"),
        ({"containers": ["web"], "docker_host": "tcp://127.0.0.1:2375"}, "is not a unix socket"),
        ({"containers": ["web"], "interval_seconds": 0.5}, "interval_seconds must be between 1 and 60"),
        ({}, "containers must name at least one container"),
    ],
)
def test_bad_input_gets_one_clear_message(
    given: dict[str, Any], message: str, module: ModuleType, run_module: Run
) -> None:
    result = run_module(module, {"duration_seconds": 5, **given})
    assert result["failed"] is True
    assert message in result["msg"]


def test_an_unknown_container_fails_and_has_no_facts(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock") as engine:
        args = {"containers": ["nope"], "duration_seconds": 5, "docker_host": engine.docker_host}
        result = run_module(module, args)
    assert result["failed"] is True
    assert "No such container: nope" in result["msg"]
    assert "ansible_facts" not in result


def job(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """What a task registers of an asynchronous job that has left this."""
    path = folder / "j7.1"
    path.write_text(json.dumps(content))
    return {"ansible_job_id": "j7.1", "results_file": str(path), "started": True, "finished": False, "changed": True}


def test_a_recording_is_handed_on_with_its_warnings_and_artifacts(
    module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    artifacts = [{"path": "/trial/docker_stats.frames.json", "sha256": "ab", "bytes": 2}]
    found = {"ansible_facts": {"docker_stats": {"containers": []}}, "artifacts": artifacts, "changed": False}
    args = {"recording": job(tmp_path, {**found, "warnings": ["ended by its deadline"], "invocation": {"a": 1}})}
    result = run_module(module, args)
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["ansible_facts"] == {"docker_stats": {"containers": []}}
    assert result["artifacts"] == artifacts
    assert "ended by its deadline" in json.dumps(result["warnings"])
    assert result["invocation"]["module_args"]["recording"]["ansible_job_id"] == "j7.1"
    assert not (tmp_path / "j7.1").exists()


def test_a_recording_that_failed_stays_failed(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    said = {"failed": True, "msg": "container web stopped while it was watched", "next_step": "see docker logs"}
    result = run_module(module, {"recording": job(tmp_path, said)})
    assert (result["failed"], result["msg"], result["next_step"]) == (True, said["msg"], said["next_step"])
    assert "ansible_facts" not in result


def test_a_recording_that_does_not_end_is_left_in_time(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    running = {"started": True, "finished": False, "ansible_job_id": "j7.1"}
    result = run_module(module, {"recording": job(tmp_path, running), "deadline_seconds": 0.1})
    assert result["failed"] is True
    assert "job j7.1 did not end within 0.1 s" in result["msg"]


@pytest.mark.parametrize(
    ("content", "said"),
    [({"ansible_facts": {"htop": {}}}, "a job of another module"), ({"stdout": ""}, "gave no fact docker_stats")],
)
def test_a_recording_of_another_module_is_refused(
    content: dict[str, Any], said: str, module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    result = run_module(module, {"recording": job(tmp_path, content)})
    assert result["failed"] is True and said in result["msg"]


def test_a_rehearsed_recording_has_a_plan(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    rehearsed = run_module(module, {"recording": {"plan": {"containers": ["web"]}}}, check_mode=True)
    assert (rehearsed["failed"], rehearsed["plan"]) == (False, {"containers": ["web"]})
    assert "ansible_facts" not in rehearsed
    real = run_module(module, {"recording": job(tmp_path, {})}, check_mode=True)
    assert (real["failed"], real["plan"]) == (False, None)
    assert (tmp_path / "j7.1").exists(), "a rehearsal takes nothing away"
