# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whose the units of a name are: found by real grep, judged as the role does."""

from __future__ import annotations

import subprocess
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

TASKS = Path(__file__).resolve().parents[4] / "roles" / "platform_systemd" / "tasks"
OURS = "[Unit]\nX-EvenkeelStateDir=/var/lib/evenkeel\n"
OTHER = "[Unit]\nX-EvenkeelStateDir=/var/lib/other\n"
THEIRS = "[Unit]\nDescription=theirs\n"


def refusal(folder: Path, units: Mapping[str, str]) -> str | None:
    """What the role says of these units in the folder of units; None where it takes them for its own, or finds none."""
    loader = DataLoader()
    tasks = {task["name"]: task for task in loader.load_from_file(str(TASKS / "deploy.yml"), trusted_as_template=True)}
    for kind, text in units.items():
        (folder / f"ours.{kind}").write_text(text)
    known: dict[str, Any] = {
        "platform_systemd_unit_dir": str(folder),
        "platform_systemd_unit": "ours",
        "evenkeel_state_dir": "/var/lib/evenkeel",
        "inventory_hostname": "the-server",
    }
    look = tasks["Look for units of these names"]
    argv = Templar(loader, known).template(look["ansible.builtin.command"]["argv"])
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    known["platform_systemd_owner"] = {"rc": done.returncode, "stdout_lines": done.stdout.splitlines()}
    assert not Templar(loader, known).template(trust_as_template("{{ " + look["failed_when"] + " }}"))
    # As systemd prints them: a line each, an empty one where there is none, and one between them.
    paths = [str(folder / f"ours.{kind}") if kind in units else "" for kind in ("service", "socket")]
    known["platform_systemd_fragments"] = {"stdout_lines": "\n\n".join(paths).strip().splitlines()}
    check = tasks["Check that they are ours"]
    templar = Templar(loader, known | check["vars"])
    for condition in check["ansible.builtin.assert"]["that"]:
        if not templar.template(trust_as_template("{{ " + condition + " }}")):
            return str(templar.template(check["ansible.builtin.assert"]["fail_msg"]))
    return None


@pytest.mark.parametrize(
    "units",
    [
        {},
        {"service": OURS, "socket": OURS},
        # A deployment that was killed between the two.
        {"socket": OURS},
        {"service": OURS},
    ],
)
def test_none_and_ones_own_are_no_obstacle(tmp_path: Path, units: Mapping[str, str]) -> None:
    assert refusal(tmp_path, units) is None


@pytest.mark.parametrize(
    ("units", "said"),
    [
        ({"service": THEIRS}, "that this toolkit did not make"),
        ({"socket": THEIRS}, "that this toolkit did not make"),
        ({"service": THEIRS, "socket": OURS}, "that this toolkit did not make"),
        ({"service": OTHER, "socket": OTHER}, "that belongs to the deployment in /var/lib/other."),
        ({"service": OURS, "socket": OTHER}, "that belongs to the deployment in /var/lib/other."),
    ],
)
def test_those_of_somebody_else_are_refused(tmp_path: Path, units: Mapping[str, str], said: str) -> None:
    found = refusal(tmp_path, units)
    assert found is not None and f"There is a unit ours on the-server {said}" in " ".join(found.split())
