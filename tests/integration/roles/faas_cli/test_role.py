# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role hands its own variables on: the address behind a mirror, the checksum, and how they are called."""

from __future__ import annotations

import platform
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

ROLE = {"ansible.builtin.include_role": {"name": "faas_cli"}}
SHA256 = "bf5306ac582ad140490584b60863ad7ec73d35b021defa6d9346eadb6d386ec0"


@pytest.mark.skipif(platform.machine() != "x86_64", reason="the pinned version has a checksum for amd64 alone")
def test_a_mirrors_other_file_is_refused(play: Callable[..., Any], tmp_path: Path) -> None:
    path = tmp_path / "mirror" / "openfaas" / "faas-cli" / "releases" / "download" / "0.17.8" / "faas-cli"
    path.parent.mkdir(parents=True)
    path.write_bytes(b"")
    done = play(ROLE, faas_cli_mirror=f"file://{tmp_path}/mirror")
    assert not done.ok
    assert f"file://{path} is not the file that was expected" in done.text
    assert f"faas-cli 0.17.8 for amd64 has {SHA256}" in done.text


def test_a_version_without_a_checksum_cannot_be_chosen(play: Callable[..., Any]) -> None:
    done = play(ROLE, faas_cli_version="99.0.0")
    assert not done.ok
    assert "faas-cli 99.0.0 cannot be chosen" in done.text and "roles/faas_cli/vars/main.yml" in done.text
