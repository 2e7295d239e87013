# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What acts on another host's service is of that host's platform, not of the one that Ansible is at."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

TASKS = Path(__file__).resolve().parents[4] / "roles" / "benchmark" / "tasks"


def includes(tasks: list[dict[str, Any]]) -> Iterator[dict[str, Any]]:
    for task in tasks:
        for part in ("block", "rescue", "always"):
            yield from includes(task.get(part, []))
        if "platform_host" in task.get("vars", {}):
            yield task


def test_a_platforms_tasks_for_a_host_are_those_of_its_platform() -> None:
    found = [task for path in TASKS.glob("*.yml") for task in includes(yaml.safe_load(path.read_text()) or [])]
    assert len(found) >= 3
    for task in found:
        assert task["ansible.builtin.include_role"]["name"] != "platform_{{ platform }}", task["name"]
