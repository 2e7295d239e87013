# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/docker_stats_facts.py, run as Ansible runs it, against a stand-in engine."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.evenkeel import watch

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


def test_the_documentation_is_the_argument_spec(module: ModuleType) -> None:
    documented = yaml.safe_load(module.DOCUMENTATION)["options"]
    spec = module.argument_spec()
    assert documented.keys() == spec.keys()
    for name, option in spec.items():
        for key in ("type", "default", "elements", "required", "choices"):
            assert documented[name].get(key) == option.get(key), f"{name}: {key}"


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


def test_long_lists_go_to_a_file(module: ModuleType, tmp_path: Path) -> None:
    facts = {"containers": [{"name": "web", "samples": [{"pids": number} for number in range(2000)]}]}
    assert module.with_artifact(facts, None) == {"ansible_facts": {"docker_stats": facts}}
    result = module.with_artifact(facts, str(tmp_path))
    (artifact,) = result["artifacts"]
    content = Path(artifact["path"]).read_bytes()
    assert artifact["path"] == str(tmp_path / "docker_stats.frames.json")
    assert artifact["sha256"] == hashlib.sha256(content).hexdigest()
    assert result["ansible_facts"] == {"docker_stats": {"containers": [{"name": "web", "samples": None}]}}
    assert watch.merge_long_lists(result["ansible_facts"]["docker_stats"], json.loads(content)) == facts


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
        ({}, "missing required arguments: containers"),
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
