# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""An environment of another interpreter is known as such, and so is half of one."""

from __future__ import annotations

import os
import platform
import shutil
import subprocess
import sys
import venv
from pathlib import Path

import pytest

SCRIPT = Path(__file__).resolve().parents[4] / "roles" / "python_env" / "files" / "made_of.py"
UV = Path(sys.executable).with_name("uv")


def said(folder: Path) -> str:
    """What the script says, as the role runs it."""
    argv = [sys.executable, "-I", "-c", SCRIPT.read_text(), str(folder)]
    return subprocess.run(argv, check=True, capture_output=True, text=True).stdout.strip()


def with_uv(folder: Path) -> None:
    subprocess.run([UV, "venv", "--quiet", "--offline", "--python", sys.executable, folder], check=True)


def without_pip(folder: Path) -> None:
    venv.create(folder, symlinks=True)


@pytest.fixture(params=[with_uv, without_pip], ids=["uv", "venv"])
def environment(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """One of the interpreter that runs this, in each of the two ways that they are made."""
    folder = tmp_path / "an environment"
    request.param(folder)
    return folder


def change(folder: Path, name: str, value: str) -> None:
    path = folder / "pyvenv.cfg"
    lines = [f"{name} = {value}" if line.startswith(f"{name} ") else line for line in path.read_text().splitlines()]
    path.write_text("\n".join(lines) + "\n")


def test_none_and_this_one(tmp_path: Path, environment: Path) -> None:
    assert said(tmp_path / "absent") == "none"
    assert said(environment) == "of this one"


def test_another_place_and_another_version_are_another(tmp_path: Path, environment: Path) -> None:
    whole = (environment / "pyvenv.cfg").read_text()
    for name in ("version_info", "version"):
        change(environment, name, platform.python_version() + "1")
    assert said(environment) == "of another"
    (environment / "pyvenv.cfg").write_text(whole)
    assert said(environment) == "of this one"
    elsewhere = tmp_path / "another" / "python3"
    elsewhere.parent.mkdir()
    shutil.copy(os.path.realpath(sys.executable), elsewhere)
    program = environment / "bin" / "python"
    program.unlink()
    program.symlink_to(elsewhere)
    assert said(environment) == "of another"


def test_what_was_cut_short_is_another(environment: Path) -> None:
    (environment / "bin" / "python").unlink()
    assert said(environment) == "of another"
    shutil.rmtree(environment)
    without_pip(environment)
    assert said(environment) == "of this one"
    (environment / "pyvenv.cfg").unlink()
    assert said(environment) == "of another"
