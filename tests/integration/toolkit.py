# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The toolkit as its user has it: ansible-playbook with an inventory, a state directory and results of its own."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK_SECONDS = 900
ANSIBLE_PLAYBOOK = str(Path(sys.executable).with_name("ansible-playbook"))
# One short block without training: the model is the one that the deployment trained.
SHORT: dict[str, Any] = {
    "trained_starts": 0,
    "loading_starts": 1,
    "blocks": 1,
    "idle_windows": 0,
    "load_requests": 4,
    "load_at_least_seconds": 0,
    "load_timeout_seconds": 30,
    "run_seed": 5,
}


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def run_playbook(
    *arguments: str, cwd: Path = ROOT, project: Path = ROOT, environment: Mapping[str, str] = os.environ
) -> subprocess.CompletedProcess[str]:
    """ansible-playbook with a project's own settings; stderr is in its stdout, as on a terminal.

    make names this project's settings in the environment, in which another project's roles would be this one's.
    """
    return subprocess.run(
        [ANSIBLE_PLAYBOOK, *arguments],
        cwd=cwd,
        env={**environment, "ANSIBLE_CONFIG": str(project / "ansible.cfg"), "PWD": str(cwd)},
        check=False,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=PLAYBOOK_SECONDS,
    )


@dataclass
class Toolkit:
    """ansible-playbook with an inventory, a state directory and results of its own."""

    folder: Path
    variables: dict[str, Any]
    # One for both arms, or one for each.
    platform: str | dict[str, str] = "process"
    ports: dict[str, int] = field(default_factory=lambda: {"server": free_port(), "serverless": free_port()})

    def __post_init__(self) -> None:
        platforms = dict.fromkeys(self.ports, self.platform) if isinstance(self.platform, str) else self.platform
        hosts = {
            arm: {"hosts": {f"the-{arm}": {"service_port": port, "platform": platforms[arm]}}}
            for arm, port in self.ports.items()
        }
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        self.inventory.write_text(yaml.safe_dump({"all": {"vars": local, "children": hosts}}))

    @property
    def inventory(self) -> Path:
        return self.folder / "inventory.yml"

    @property
    def state(self) -> Path:
        return self.folder / "state"

    @property
    def results(self) -> Path:
        return self.folder / "results"

    def arguments(self, playbook: str, *options: str, **variables: Any) -> list[str]:
        here = {"evenkeel_state_dir": str(self.state), "results_dir": str(self.results)}
        chosen = json.dumps(here | self.variables | variables)
        return ["-i", str(self.inventory), f"{playbook}.yml", "-e", chosen, *options]

    def play(self, playbook: str, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return run_playbook(*self.arguments(playbook, *options, **variables))

    def ask(self, arm: str, path: str = "/") -> dict[str, Any]:
        with urllib.request.urlopen(f"http://127.0.0.1:{self.ports[arm]}{path}", timeout=60) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    def wait_until_ready(self, arm: str, seconds: float = 180) -> str:
        """The instance that is ready; after a run both arms may train at the same time."""
        deadline = time.monotonic() + seconds
        while True:
            try:
                return str(self.ask(arm, "/ready?wait=20")["instance_id"])
            except urllib.error.URLError:
                if time.monotonic() > deadline:
                    raise
                time.sleep(0.2)

    def newest_run(self) -> Path:
        return max((path for path in self.results.iterdir() if path.name != "latest"), key=lambda path: path.name)

    def processes(self) -> list[str]:
        listed = subprocess.run(["ps", "-wweo", "pid,args"], check=True, capture_output=True, text=True).stdout
        return [line for line in listed.splitlines() if str(self.state) in line]


def last_line(done: subprocess.CompletedProcess[str]) -> str:
    return done.stdout.rstrip().splitlines()[-1]


def run_json(folder: Path) -> dict[str, Any]:
    run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return run
