# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Every role: its defaults and its argument specs name the same variables with the same values."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[3]
ROLES = sorted(path.name for path in (ROOT / "roles").iterdir())
# Roles that the settings do not reach: report.yml has no hosts, and a host that is to be made is not there yet.
OF_COMPARE = ("a", "b", "baseline", "force", "max_slowdown", "results_dir", "runs", "thresholds")
PUBLIC = {
    ("report", "run"),
    ("report", "results_dir"),
    ("host_absent", "results_dir"),
    ("ec2_host", "ssh_host_key_policy"),
} | {("compare", name) for name in OF_COMPARE}
PUBLIC_PREFIX = {"ec2_host": "ec2_"}


def read(path: Path) -> dict[str, Any]:
    return (yaml.safe_load(path.read_text()) or {}) if path.exists() else {}


@pytest.mark.parametrize("role", ROLES)
def test_specs_are_the_defaults(role: str) -> None:
    specs = read(ROOT / "roles" / role / "meta" / "argument_specs.yml")["argument_specs"]["main"]
    documented = {name: option["default"] for name, option in specs["options"].items()}
    assert documented == read(ROOT / "roles" / role / "defaults" / "main.yml")
    assert specs["short_description"]
    assert all(option["description"] and option["type"] for option in specs["options"].values())


@pytest.mark.parametrize("role", [role for role in ROLES if role != "settings"])
def test_a_roles_variables_bear_its_name(role: str) -> None:
    """The public ones are those of settings; roles that run before it, or without hosts, have such ones themselves."""
    names = [*read(ROOT / "roles" / role / "defaults" / "main.yml"), *read(ROOT / "roles" / role / "vars" / "main.yml")]
    assert [
        name
        for name in names
        if not name.startswith((f"{role}_", PUBLIC_PREFIX.get(role, f"{role}_"))) and (role, name) not in PUBLIC
    ] == []


@pytest.mark.parametrize("role", [role for role in ROLES if role.startswith("platform_")])
def test_a_platform_keeps_the_contract(role: str) -> None:
    tasks = {path.name for path in (ROOT / "roles" / role / "tasks").iterdir()}
    assert tasks >= {
        "deploy.yml",
        "configure.yml",
        "found.yml",
        "keep.yml",
        "start.yml",
        "stop.yml",
        "describe.yml",
        "absent.yml",
        "halt.yml",
        "keep_model.yml",
        "preflight.yml",
    }


def test_no_task_asks_for_a_platform_by_name() -> None:
    asking = [
        str(path.relative_to(ROOT))
        for path in sorted((ROOT / "roles").rglob("*.yml"))
        if any(line.strip().startswith("when:") and "platform ==" in line for line in path.read_text().splitlines())
    ]
    assert asking == []


def test_no_loop_runs_over_a_set() -> None:
    """difference, intersect and union keep no order since ansible-core 2.19: what must go first may then go last."""
    unordered = re.compile(r"loop:.*\| (difference|intersect|union|symmetric_difference)\(")
    found = [
        f"{path.relative_to(ROOT)}: {line.strip()}"
        for path in sorted((ROOT / "roles").rglob("*.yml"))
        for line in path.read_text().splitlines()
        if unordered.search(line)
    ]
    assert found == []
