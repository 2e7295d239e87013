# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The change-over to a release that does not start, with a stand-in for systemctl: what is left of it."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.integration.roles.conftest import Played

# A stand-in for systemctl: it knows every unit, and starts none.
SYSTEMCTL = """#!/bin/sh
case "$1" in
start | restart) echo 'the stand-in starts nothing' >&2; exit 1 ;;
show) printf 'LoadState=loaded\\nActiveState=inactive\\nMainPID=0\\n' ;;
is-enabled) echo enabled ;;
esac
"""
SWITCH = {"ansible.builtin.include_role": {"name": "platform_systemd", "tasks_from": "switch"}}


@pytest.fixture
def arm(tmp_path: Path) -> Path:
    """The arm's folder, with the releases `old` and `new` as deployments have laid them."""
    folder = tmp_path / "server"
    for release in ("old", "new"):
        settings = folder / "releases" / release / "settings"
        settings.mkdir(parents=True)
        (settings / "service.json").write_text(release)
        (settings.parent / "complete").touch()
    (folder / "service").mkdir()
    (tmp_path / "units").mkdir()
    return folder


@pytest.fixture
def switch(play: Callable[..., Played], arm: Path, tmp_path: Path) -> Callable[[str], Played]:
    """A function that changes over to the release `new` from one that is deployed and stopped, or from none."""
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "systemctl").write_text(SYSTEMCTL)
    (programs / "systemctl").chmod(0o755)

    def run(served: str) -> Played:
        if served:
            (arm / "current").symlink_to(f"releases/{served}")
        variables: dict[str, Any] = {
            "arm": "server",
            "settings_arm_dir": str(arm),
            "platform_systemd_unit_dir": str(tmp_path / "units"),
            "platform_systemd_release": "new",
            "platform_systemd_served": served,
            "platform_systemd_running": False,
            "platform_systemd_texts": {"socket": "new", "service": "new"},
            "platform_systemd_texts_before": {"socket": "old", "service": "old"} if served else {},
            "ready_deadline_seconds": 5,
            "deploy_until": "ready",
            "service": {
                "start_argv": ["systemctl", "start", "evenkeel-server.service"],
                "stop_argv": ["systemctl", "stop", "evenkeel-server.service"],
                "unit": "evenkeel-server.service",
                "url": "http://127.0.0.1:9",
                "log_argv": ["echo", "the log"],
            },
        }
        return play(SWITCH, path=f"{programs}:{os.environ['PATH']}", **variables)

    return run


def test_a_release_that_does_not_start_is_not_used_again(switch: Callable[[str], Played], arm: Path) -> None:
    done = switch("old")
    assert not done.ok and "the stand-in starts nothing" in done.text, done.text
    assert "The release before, old, is in its place again, stopped as it was." in done.text
    assert [path.name for path in (arm / "releases").iterdir()] == ["old"]
    assert (arm / "current").resolve().name == "old"
    assert (arm / "service" / "service.json").read_text() == "old"


@pytest.mark.parametrize("served", ["", "new"])
def test_one_that_the_units_name_is_laid_anew(switch: Callable[[str], Played], arm: Path, served: str) -> None:
    done = switch(served)
    assert not done.ok and "the stand-in starts nothing" in done.text, done.text
    assert (arm / "current").resolve() == arm / "releases" / "new"
    assert (arm / "current" / "settings").is_dir()
    assert not (arm / "current" / "complete").exists()
    assert (arm / "releases" / "old" / "complete").exists()
