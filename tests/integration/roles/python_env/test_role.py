# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The service's environment with the host's interpreter or with Conda's, a stand-in: never a mixed one."""

from __future__ import annotations

import json
import platform
import re
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.standins.conda_mirror import Mirror, conda_mirror, environment

ROOT = Path(__file__).resolve().parents[4]
ROLE = {"ansible.builtin.include_role": {"name": "python_env"}}
RETIRE = {"ansible.builtin.include_role": {"name": "miniconda", "tasks_from": "retire"}}
REMEMBER = {"ansible.builtin.include_role": {"name": "settings", "tasks_from": "remember"}}
RESET = {"ansible.builtin.include_role": {"name": "reset"}}
PYTHON = platform.python_version()
VERSION, NEWER = "Miniforge3-1.0-0", "Miniforge3-2.0-0"
# Of the whole lock the smallest package: what is installed is not the point here.
PACKAGE = "itsdangerous"


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Conda's installer refuses spaces."""
    return tmp_path / "state"


@pytest.fixture
def project(tmp_path: Path) -> Path:
    """A project whose service needs the model's package and one other."""
    folder = tmp_path / "project"
    (folder / "requirements").mkdir(parents=True)
    (folder / "model").symlink_to(ROOT / "model")
    for name in ("profiles", "roles"):
        (folder / name).symlink_to(ROOT / name)
    shutil.copy(ROOT / "requirements" / "tools.txt", folder / "requirements")
    lock = (ROOT / "requirements" / "service.txt").read_text()
    found = re.search(rf"^{PACKAGE}==.*?(?=^[a-z])", lock, re.MULTILINE | re.DOTALL)
    assert found is not None
    (folder / "requirements" / "service.txt").write_text(found[0])
    return folder


@pytest.fixture
def mirror(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Mirror]:
    for name, value in environment().items():
        monkeypatch.setenv(name, value)
    with conda_mirror(tmp_path / "mirror") as running:
        yield running


@pytest.fixture
def variables(mirror: Mirror, project: Path, state: Path) -> dict[str, Any]:
    published = [mirror.add(version) for version in (VERSION, NEWER)]
    settings = {"profile": "demo", "service_port": 1, "settings_service_json": {}, "settings_data_dir": f"{state}/data"}
    return settings | {
        "arm": "server",
        "miniconda_version": VERSION,
        "miniconda_installers": {name: entry for each in published for name, entry in each.items()},
        "miniconda_python_version": PYTHON,
        "miniconda_mirror": mirror.url,
        "reset_packages": False,
        "reset_images": False,
        "results_dir": f"{mirror.folder}-results",
        "settings_arm_dir": f"{state}/server",
        "settings_env_dir": f"{state}/envs",
        "settings_project_dir": str(project),
        "settings_service_bin": f"{state}/envs/service/bin",
        "settings_tools_bin": f"{state}/envs/tools/bin",
        "torch_build": "pypi",
    }


def installed(state: Path) -> dict[str, Any]:
    record: dict[str, Any] = json.loads((state / "envs" / "installed.json").read_text())
    return record


def says(state: Path, expression: str) -> str:
    """What the service's interpreter says."""
    argv = [state / "envs" / "service" / "bin" / "python", "-c", f"import sys, cifar_cnn; print({expression})"]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def test_the_manager_can_be_switched_and_its_version_bumped(
    play: Callable[..., Any], state: Path, variables: dict[str, Any]
) -> None:
    venv = variables | {"python_env_manager": "venv"}
    conda = variables | {"python_env_manager": "miniconda"}
    bumped = conda | {"miniconda_version": NEWER}
    rehearsed = play(ROLE, check=True, **conda)
    assert rehearsed.ok and not state.exists(), rehearsed.text

    done = play(ROLE, **venv)
    assert done.ok, done.text
    record = installed(state)
    assert record["manager"] == "venv" and record["python"] == PYTHON and record["implementation"] == "CPython"
    assert record["python_build"].startswith(f"CPython {PYTHON} ")
    assert set(record["packages"]) == {"cifar-cnn", PACKAGE}
    assert re.fullmatch("[0-9a-f]{64}", record["packages_sha256"])
    assert set(record) > {"lock", "lock_sha256", "wheel_sha256"}
    again = play(ROLE, **venv)
    assert (again.ok, again.changed) == (True, 0), again.text
    assert list(state.glob("miniconda-*")) == []

    # A package that came by another way would show a mixed environment.
    (state / "envs" / "service" / "left-by-the-host's").touch()
    rehearsed = play(ROLE, check=True, **conda)
    assert rehearsed.ok and rehearsed.changed, rehearsed.text
    assert (state / "envs" / "service" / "left-by-the-host's").exists()
    done = play(ROLE, **conda)
    assert done.ok, done.text
    assert not (state / "envs" / "service" / "left-by-the-host's").exists()
    (former,) = state.glob("miniconda-*")
    assert says(state, "sys.base_prefix") == str(former / "envs" / "python")
    assert installed(state) == record | {"manager": "miniconda"}
    again = play(ROLE, RETIRE, **conda)
    assert (again.ok, again.changed) == (True, 0), again.text

    noted = (state / "envs" / "installed.json").stat().st_ctime_ns
    done = play(ROLE, RETIRE, **bumped)
    assert done.ok and not former.exists(), done.text
    # What is installed is the same, and a service that was started before is out of date all the same.
    assert installed(state) == record | {"manager": "miniconda"}
    assert (state / "envs" / "installed.json").stat().st_ctime_ns > noted
    (newer,) = state.glob("miniconda-*")
    assert newer.name == f"miniconda-{NEWER}-python-{PYTHON}"
    assert says(state, "sys.base_prefix") == str(newer / "envs" / "python")

    # Cut short after the interpreter's own files: there is no record of it, and it is made anew.
    (state / "envs" / "service" / "pyvenv.cfg").unlink()
    (state / "server").mkdir()
    done = play(ROLE, REMEMBER, **bumped)
    assert done.ok and says(state, "cifar_cnn.__version__") == "0.1.0", done.text
    deployed = json.loads((state / "server" / "deployed.json").read_text())
    assert deployed["environment"] == {
        "manager": "miniconda",
        "serves": True,
        "implementation": "CPython",
        "python": PYTHON,
        "packages_sha256": record["packages_sha256"],
    }
    (state / "server" / "deployed.json").unlink()
    (state / "server").rmdir()

    done = play(ROLE, RETIRE, **venv)
    assert done.ok and list(state.glob("miniconda-*")) == [], done.text
    assert installed(state) == record
    done = play(RESET, **venv)
    assert done.ok and not state.exists(), done.text
