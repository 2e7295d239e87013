# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role measuring_tools on machines without ApacheBench and htop: as root, with sudo, and without it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.integration.debian_machine import Host, differences, listing, plain_machine

ROLE = {"ansible.builtin.include_role": {"name": "measuring_tools"}}


@pytest.fixture
def machine() -> Iterator[str]:
    with plain_machine() as name:
        yield name


def installed(host: Host, *options: str) -> subprocess.CompletedProcess[str]:
    return host.play([{"machine_facts": {"commands": ["ab", "htop"]}}, ROLE], *options)


def has_tools(host: Host) -> bool:
    return host.succeeds("ab", "-V") and host.succeeds("htop", "--version")


@pytest.mark.parametrize("user", ["root", "ops"])
def test_they_are_installed_once_and_go_with_a_reset_that_is_told_to(machine: str, tmp_path: Path, user: str) -> None:
    state = {"root": "/var/lib/evenkeel", "ops": "/home/ops/.local/state/evenkeel"}[user]
    host = Host(tmp_path, state, machine, user)
    before = listing(host)
    rehearsed = installed(host, "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert differences(before, listing(host)) == [] and not host.succeeds("test", "-e", state)

    done = installed(host)
    assert done.returncode == 0, done.stdout
    assert has_tools(host)
    entries = json.loads(host.run("cat", f"{state}/manifest.json"))["entries"]
    packages = {entry["name"] for entry in entries if entry["kind"] == "package" and not entry["existed_before"]}
    assert packages >= {"apache2-utils", "htop"}
    assert "changed=0" in installed(host).stdout

    done = host.reset(reset_packages=True)
    assert done.returncode == 0, done.stdout
    assert not has_tools(host)
    assert differences(before, listing(host)) == []
    # The folders above it that were made for it are gone too.
    assert not host.succeeds("test", "-e", "/home/ops/.local")


def test_a_reset_that_leaves_them_says_how_they_go(machine: str, tmp_path: Path) -> None:
    host = Host(tmp_path, "/var/lib/evenkeel", machine)
    installed(host)
    kept = host.reset()
    assert kept.returncode == 0, kept.stdout
    assert has_tools(host)
    said = " ".join(kept.stdout.split())
    assert "`sudo apt-get purge" in said and "apache2-utils" in said and "htop" in said


def test_without_sudo_the_line_to_run_is_printed_and_a_rehearsal_passes(machine: str, tmp_path: Path) -> None:
    host = Host(tmp_path, "/home/guest/.local/state/evenkeel", machine, "guest")
    rehearsed = installed(host, "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout
    refused = installed(host)
    assert refused.returncode == 2
    said = " ".join(refused.stdout.split())
    assert "Run `sudo apt-get update && sudo apt-get install --no-install-recommends apache2-utils htop`" in said
    assert not host.succeeds("test", "-e", "/home/guest/.local")
