# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What is installed is what the interpreter finds, under names that do not depend on how they are spelt."""

from __future__ import annotations

import json
import platform
import subprocess
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path

import pytest
from cifar_cnn import installed

ROOT = Path(__file__).resolve().parents[4]


@pytest.fixture(autouse=True)
def unread() -> Iterator[None]:
    """The packages are read once a process; a test that changes the import path reads them anew."""
    installed.packages.cache_clear()
    yield
    installed.packages.cache_clear()


def add(folder: Path, name: str, version: str) -> None:
    """A package's record in ``folder``, as an installer writes it."""
    record = folder / f"{name}-{version}.dist-info"
    record.mkdir(parents=True)
    (record / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: {version}\n")


def test_every_package_is_named_once_and_the_first_on_the_path_counts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add(tmp_path / "first", "Some_Name.With", "1.0")
    add(tmp_path / "second", "some-name-with", "2.0")
    add(tmp_path / "second", "other", "3.0+local")
    # What an interrupted removal leaves.
    (tmp_path / "second" / "broken-1.0.dist-info").mkdir()
    monkeypatch.setattr(sys, "path", [str(tmp_path / "first"), str(tmp_path / "second")])
    assert installed.packages() == {"other": "3.0+local", "some-name-with": "1.0"}


def test_what_it_says_of_the_packages_is_what_they_say_themselves() -> None:
    versions = installed.packages()
    assert versions["torch"] == metadata.version("torch") and versions["numpy"] == metadata.version("numpy")


def test_the_digest_is_of_names_and_versions_and_of_nothing_else() -> None:
    one = installed.digest({"a": "1", "b": "2"})
    assert one == installed.digest({"b": "2", "a": "1"})
    assert len({one, installed.digest({"a": "1", "b": "2.0"}), installed.digest({"a": "1"}), installed.digest({})}) == 4
    # printf 'a==1\nb==2\n' | sha256sum
    assert one == "913f6e401ad06e0320887eef9ef4dfecb5098d4a55775ff40a415044cdbc22c0"


def test_the_record_needs_nothing_but_the_standard_library(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-S", "-m", "cifar_cnn.installed"],
        cwd=ROOT / "model",
        check=True,
        capture_output=True,
        text=True,
    )
    record = json.loads(done.stdout)
    assert record["implementation"] == platform.python_implementation()
    assert record["python"] == platform.python_version()
    assert record["python_build"].startswith(f"{record['implementation']} {record['python']} ")
    assert record["packages_sha256"] == installed.digest(record["packages"])
