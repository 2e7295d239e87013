# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run asks of services before it measures, with stand-ins: whether another arm runs, and whether one trains."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.toolkit import free_port, run_playbook
from tests.standins.http_server import HttpServer, Reply, http_server

READY, TRAINING = Reply(), Reply(status=503, body=b'{"phase": "train"}')
FAILED = Reply(status=500, body=b'{"error": "the start failed: no room"}')


@pytest.fixture
def part(tmp_path: Path) -> Callable[..., tuple[int, str]]:
    """A function that runs a file of the role's tasks for the server alone; the function has ``port`` there."""

    def run(tasks: str, service: dict[str, Any], port: int, **variables: Any) -> tuple[int, str]:
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        arms = {"server": {"the-server": {"service_port": 9}}, "serverless": {"the-function": {"service_port": port}}}
        inventory = tmp_path / "inventory.yml"
        groups = {arm: {"hosts": hosts} for arm, hosts in arms.items()}
        inventory.write_text(yaml.safe_dump({"all": {"vars": local, "children": groups}}))
        facts = {"service": service, "service_found": {"arms": ["server"], "beside_argv": [], "beside_stop_argv": []}}
        include = {"ansible.builtin.include_role": {"name": "benchmark", "tasks_from": tasks}}
        playbook = tmp_path / "part.yml"
        plays = [{"hosts": "server", "gather_facts": False, "tasks": [{"ansible.builtin.set_fact": facts}, include]}]
        playbook.write_text(yaml.safe_dump(plays))
        done = run_playbook("-i", str(inventory), str(playbook), "-e", json.dumps(variables))
        return done.returncode, " ".join(done.stdout.split())

    return run


def asked(server: HttpServer) -> list[str]:
    return [request.target for request in server.received]


def test_another_arm_on_the_same_machine_is_named(part: Callable[..., tuple[int, str]], tmp_path: Path) -> None:
    service = {"arm": "server", "platform": "systemd"}
    with http_server(lambda _: READY) as other:
        code, text = part("beside", service, other.port)
        assert code == 2
        assert "the-function runs on the same machine as the-server, which is to be measured" in text, text
        assert f"-i {tmp_path}/inventory.yml stop.yml --limit the-function`" in text
        assert asked(other) == ["/startup"]
    code, text = part("beside", service, free_port())
    assert code == 0, text


def test_what_answers_otherwise_is_no_service_of_ours(part: Callable[..., tuple[int, str]]) -> None:
    # As a gateway does, behind which the function is.
    with http_server(lambda _: Reply(status=404)) as gateway:
        code, text = part("beside", {"arm": "server", "platform": "docker"}, gateway.port)
    assert code == 0, text


@pytest.fixture
def taken(part: Callable[..., tuple[int, str]], tmp_path: Path) -> Callable[[str], tuple[int, str]]:
    """A function that takes the model of a deployed process that answers at a URL."""
    for name in ("model.pt", "model.pt.sha256"):
        (tmp_path / "model").mkdir(exist_ok=True)
        (tmp_path / "model" / name).write_text("a model")

    def run(url: str) -> tuple[int, str]:
        service = {"arm": "server", "platform": "process", "url": url, "model_dir": str(tmp_path / "model")}
        return part("model", service, 9, benchmark_dir=str(tmp_path / "run"), ready_deadline_seconds=60)

    return run


def test_a_service_that_still_trains_is_waited_for(taken: Callable[[str], tuple[int, str]], tmp_path: Path) -> None:
    with http_server(lambda number: TRAINING if number < 2 else READY) as server:
        code, text = taken(server.url.rstrip("/"))
        assert asked(server) == ["/ready", "/ready?wait=20", "/ready?wait=20"]
    assert code == 0, text
    assert "Waiting until the server arm on the-server has trained the model that this run is to load" in text
    assert (tmp_path / "run" / "raw" / "model.pt").read_text() == "a model"


def test_one_that_is_ready_or_does_not_run_is_not(taken: Callable[[str], tuple[int, str]], tmp_path: Path) -> None:
    with http_server(lambda _: READY) as server:
        code, text = taken(server.url.rstrip("/"))
    assert code == 0 and "Waiting until" not in text, text
    code, text = taken(f"http://127.0.0.1:{free_port()}")
    assert code == 0 and "Waiting until" not in text, text
    assert (tmp_path / "run" / "raw" / "model.pt").exists()


@pytest.mark.parametrize(
    ("reply", "said"),
    [
        (TRAINING, 'has none after 60 s (ready_deadline_seconds): `GET /ready` answers 503 ({"phase": "train"})'),
        (FAILED, 'has none: `GET /ready` answers 500 ({"error": "the start failed: no room"})'),
    ],
)
def test_one_that_gets_no_model_is_named(
    taken: Callable[[str], tuple[int, str]], tmp_path: Path, reply: Reply, said: str
) -> None:
    with http_server(lambda _: reply) as server:
        code, text = taken(server.url.rstrip("/"))
    assert code == 2 and said in text, text
    assert "plan a start that trains (`-e trained_starts=1`)" in text
    assert not (tmp_path / "run" / "raw" / "model.pt").exists()
