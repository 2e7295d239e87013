# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The tree itself: licences, one direction of imports, and nothing of any one machine."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
# Files that cannot hold a comment, or whose bytes are another program's output.
NO_HEADER = re.compile(
    r"^(LICENSE|LICENSES/.*|\.gitignore|\.ansible-lint|\.yamllint|.*\.md|.*\.json|.*\.in|requirements/.*\.txt|.*py\.typed"
    r"|tests/unit/fixtures/.*|tests/unit/analysis/render/golden/.*|\.ansible-lint-ignore|docs/.*\.(png|svg))$"
)


def tracked() -> list[str]:
    listed = subprocess.run(
        ["git", "-C", str(ROOT), "ls-files", "--cached", "--others", "--exclude-standard"],
        check=True,
        capture_output=True,
        text=True,
    )
    return [name for name in listed.stdout.splitlines() if (ROOT / name).is_file()]


FILES = tracked()
PYTHON = [name for name in FILES if name.endswith(".py")]


def head(name: str) -> str:
    return (ROOT / name).read_text(errors="replace")[:600]


def test_every_file_names_its_licence() -> None:
    without = [name for name in FILES if not NO_HEADER.match(name) and "SPDX-License-Identifier:" not in head(name)]
    assert without == []


def test_plugins_that_run_inside_ansible_are_gpl_and_nothing_else_is() -> None:
    inside = re.compile(r"^(tests/unit/)?plugins/(action|callback|filter)/")
    for name in FILES:
        if NO_HEADER.match(name):
            continue
        licence = "GPL-3.0-or-later" if inside.match(name) else "Apache-2.0"
        assert f"SPDX-License-Identifier: {licence}" in head(name), name
    assert {path.stem for path in (ROOT / "LICENSES").iterdir()} == {"Apache-2.0", "GPL-3.0-or-later"}


# The first folder of a file: what its code may import of ours. Tests may import everything.
ALLOWED = {
    "app": {"cifar_cnn"},
    "function": {"cifar_cnn", "function"},
    "model": {"cifar_cnn"},
    "library": {"evenkeel"},
    "plugins": {"evenkeel"},
    "analysis": {"analysis", "evenkeel"},
}
OURS = {"analysis", "app", "cifar_cnn", "evenkeel", "function"}
FORBIDDEN = {
    "analysis": {"ansible"},
    "model": {"ansible", "flask", "waitress", "gunicorn"},
    "app": {"ansible"},
    "function": {"ansible"},
}


def imported(name: str) -> set[str]:
    """The top names of what a file imports; ansible.module_utils.evenkeel is evenkeel."""
    names: set[str] = set()
    for node in ast.walk(ast.parse((ROOT / name).read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            names.add(node.module)
    return {"evenkeel" if name.startswith("ansible.module_utils.evenkeel") else name.split(".")[0] for name in names}


@pytest.mark.parametrize("name", [name for name in PYTHON if name.split("/")[0] in ALLOWED])
def test_imports_run_one_way(name: str) -> None:
    part = name.split("/", maxsplit=1)[0]
    names = imported(name)
    assert names & OURS <= ALLOWED[part]
    assert not names & FORBIDDEN.get(part, set())


# These speak to a cluster or a cloud, which the controller does; its environment has the clients.
OF_THE_CONTROLLER = {
    "library/ec2_credits_facts.py": {"boto3", "botocore"},
    "plugins/module_utils/evenkeel/ec2_client.py": {"boto3", "botocore"},
    "library/pod_phases_facts.py": {"kubernetes", "urllib3", "yaml"},
    "library/pod_stats_facts.py": {"kubernetes", "urllib3", "yaml"},
}


@pytest.mark.parametrize("name", [name for name in PYTHON if name.startswith(("library/", "plugins/module_utils/"))])
def test_what_runs_on_a_target_needs_its_standard_library_only(name: str) -> None:
    allowed = set(sys.stdlib_module_names) | {"ansible", "evenkeel"}
    assert imported(name) <= allowed | OF_THE_CONTROLLER.get(name, set())


def test_nothing_of_one_machine_or_registry_is_in_the_tree() -> None:
    pattern = re.compile(
        r"/root/|/work/[a-z]|files\.pythonhosted\.org|pypi\.org/simple|proxy\.golang\.org|registry\.npmjs\.org"
    )
    found = [
        f"{name}: {match.group()}"
        for name in FILES
        if name != "tests/unit/test_tree.py" and (match := pattern.search((ROOT / name).read_text(errors="replace")))
    ]
    assert found == []
