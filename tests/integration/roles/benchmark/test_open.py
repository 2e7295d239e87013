# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a run asks of services before it measures, with stand-ins: whether another arm runs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.toolkit import free_port, run_playbook
from tests.standins.http_server import HttpServer, Reply, http_server

READY = Reply()


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
