# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Conda on a host is the one that the images are built with, and gives the same interpreter."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[4]
DOCKERFILES = ("app/Dockerfile", "function/template/python3-http-conda/Dockerfile")


def read(name: str) -> dict[str, Any]:
    variables: dict[str, Any] = yaml.safe_load((ROOT / "roles" / "miniconda" / name / "main.yml").read_text())
    return variables


@pytest.mark.parametrize("dockerfile", DOCKERFILES)
def test_both_kinds_of_arm_have_one_conda_and_one_version_of_python(dockerfile: str) -> None:
    arguments = dict(re.findall(r"^ARG (\w+)=(\S+)$", (ROOT / dockerfile).read_text(), re.MULTILINE))
    defaults = read("defaults")
    image, _, version = arguments["CONDA_IMAGE"].partition(":")
    assert image.endswith("/miniforge3") and defaults["miniconda_version"] == f"Miniforge3-{version}"
    assert defaults["miniconda_python_version"] == arguments["PYTHON_VERSION"]


def test_every_installer_is_of_its_version_and_has_both_architectures() -> None:
    installers = read("vars")["miniconda_installers"]
    assert read("defaults")["miniconda_version"] in installers
    for version, downloads in installers.items():
        assert set(downloads) == {"aarch64", "x86_64"}, version
        for architecture, download in downloads.items():
            assert download["url"].endswith(f"/{version}-Linux-{architecture}.sh")
            assert re.fullmatch("[0-9a-f]{64}", download["sha256"])
    sums = [download["sha256"] for downloads in installers.values() for download in downloads.values()]
    assert len(set(sums)) == len(sums)


def test_nothing_is_accepted_for_the_user() -> None:
    assert read("defaults")["miniconda_accept_terms"] is False
    assert not read("defaults")["miniconda_version"].startswith("Miniconda3-")


def test_the_interpreter_comes_from_one_channel_that_asks_for_no_licence() -> None:
    install = (ROOT / "roles" / "miniconda" / "tasks" / "install.yml").read_text()
    assert "'--override-channels', '--channel', miniconda_channel" in install
    assert "'https://conda.anaconda.org/conda-forge'" in read("vars")["miniconda_channel"]
