# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the tests of roles share: a role run by ansible-playbook on this machine, with a state directory of its own."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]


@dataclass
class Played:
    """How a play ended: its exit code, the number of its changes, and what it printed, with single spaces."""

    ok: bool
    changed: int
    text: str


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """The state directory."""
    return tmp_path / "state dir"


@pytest.fixture
def attempt() -> Callable[..., dict[str, Any]]:
    """A function from a task and its variables to a block that says why it failed, after which the play goes on."""

    def build(task: dict[str, Any], **variables: Any) -> dict[str, Any]:
        said = {"ansible.builtin.debug": {"msg": "FAILED: {{ ansible_failed_result.msg }}"}}
        return {"block": [{**task, "vars": variables}], "rescue": [said]}

    return build


@pytest.fixture
def play(tmp_path: Path, state: Path) -> Callable[..., Played]:
    """A function that runs tasks after the role machine; ``check`` rehearses, ``path`` is the search path.

    Variables given here win over everything, those of a task over what a play begins with.
    """

    def run(*tasks: dict[str, Any], check: bool = False, path: str | None = None, **variables: Any) -> Played:
        playbook = tmp_path / "playbook.yml"
        known = {
            "ansible_connection": "local",
            "ansible_python_interpreter": sys.executable,
            "evenkeel_state_dir": str(state),
            "settings_manifest": "{{ evenkeel_state_dir }}/manifest.json",
            "settings_project_dir": str(ROOT),
        }
        machine = {"ansible.builtin.include_role": {"name": "machine"}}
        plays = [{"hosts": "localhost", "gather_facts": False, "vars": known, "tasks": [machine, *tasks]}]
        playbook.write_text(json.dumps(plays))
        command = [str(Path(sys.executable).with_name("ansible-playbook")), str(playbook), "--inventory", "localhost,"]
        done = subprocess.run(
            [*command, "--extra-vars", json.dumps(variables), *(["--check"] if check else [])],
            cwd=ROOT,
            env={**os.environ, "LC_ALL": "C.UTF-8", "PATH": path or os.environ["PATH"]},
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=300,
            check=False,
        )
        # YAML, in which results are printed, doubles an apostrophe.
        text = " ".join((done.stdout + done.stderr).split()).replace("''", "'")
        counted = re.search(r"changed=(\d+)", text)
        return Played(done.returncode == 0, int(counted[1]) if counted else -1, text)

    return run
