# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/manifest.py."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.fixture
def run(load_module: Callable[[str], Any], run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    return lambda args, **how: run_module(load_module("manifest"), args, **how)


def test_an_entry_is_written_before_the_thing_exists_and_only_once(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    args = {
        "path": str(tmp_path / "m.json"),
        "role": "r",
        "entries": [{"kind": "path", "name": str(tmp_path / "made")}],
    }
    assert run(args)["changed"]
    (tmp_path / "made").mkdir()
    again = run(args)
    assert not again["changed"]
    assert [entry["existed_before"] for entry in again["entries"]] == [False]


def test_what_was_there_is_marked(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    entries = [
        {"kind": "path", "name": str(tmp_path)},
        {"kind": "package", "name": "base-files"},
        {"kind": "user", "name": "root"},
        {"kind": "package", "name": "no-such"},
        {"kind": "user", "name": "no-such"},
        {"kind": "unit", "name": "no-such.service"},
    ]
    result = run({"path": str(tmp_path / "m.json"), "role": "r", "entries": entries})
    assert [entry["existed_before"] for entry in result["entries"]] == [True, True, True, False, False, False]


def test_check_mode_writes_nothing(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    args = {"path": str(tmp_path / "m.json"), "role": "r", "entries": [{"kind": "path", "name": "/x"}]}
    assert run(args, check_mode=True)["changed"]
    assert not (tmp_path / "m.json").exists()


def test_folders_above_its_own_are_written_down_too(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    args = {"role": "r", "entries": [{"kind": "path", "name": "/x"}]}
    path = tmp_path / "local" / "state" / "evenkeel" / "m.json"
    made = run({**args, "path": str(path)})["entries"]
    assert [(entry["kind"], entry["name"]) for entry in made] == [
        ("parent", str(tmp_path / "local" / "state")),
        ("parent", str(tmp_path / "local")),
        ("path", "/x"),
    ]
    assert not run({**args, "path": str(path)})["changed"]


def test_others_pass_through_what_it_makes_whatever_the_umask(
    run: Callable[..., dict[str, Any]], tmp_path: Path
) -> None:
    path = tmp_path / "local" / "state" / "evenkeel" / "m.json"
    before = os.umask(0o077)
    try:
        run({"path": str(path), "role": "r", "entries": [{"kind": "path", "name": "/x"}]})
        (tmp_path / "another").mkdir()
        run({"path": str(tmp_path / "another" / "m.json"), "role": "r", "entries": [{"kind": "path", "name": "/x"}]})
    finally:
        os.umask(before)
    made = [path.parent, path.parent.parent, path.parent.parent.parent]
    assert [folder.stat().st_mode & 0o777 for folder in made] == [0o755] * 3
    # What was there stays as it was.
    assert (tmp_path / "another").stat().st_mode & 0o777 == 0o700


def test_it_reads_without_entries(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    result = run({"path": str(tmp_path / "m.json")})
    assert (result["changed"], result["entries"]) == (False, [])


def test_entries_need_their_role(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    result = run({"path": str(tmp_path / "m.json"), "entries": [{"kind": "path", "name": "/x"}]})
    assert result["failed"] and "role" in result["msg"]


def test_a_damaged_manifest_is_named(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    (tmp_path / "m.json").write_text(json.dumps({"schema_version": 9, "entries": []}))
    result = run({"path": str(tmp_path / "m.json")})
    assert result["failed"] and "schema version 9" in result["msg"]


def test_a_kernel_setting_is_kept_with_its_value(run: Callable[..., dict[str, Any]], tmp_path: Path) -> None:
    entries = [{"kind": "sysctl", "name": "kernel.ostype"}]
    (entry,) = run({"path": str(tmp_path / "m.json"), "role": "r", "entries": entries})["entries"]
    assert (entry["existed_before"], entry["previous"]) == (True, "Linux")


@pytest.mark.parametrize(("kind", "asked"), [("container", "container inspect"), ("network", "network inspect")])
def test_the_engine_is_asked_for_what_is_its_own(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str, asked: str
) -> None:
    docker = tmp_path / "docker"
    docker.write_text(f'#!/bin/sh\n# stand-in\necho "$@" >>{tmp_path}/asked\n[ "$5" = known ]\n')
    docker.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    entries = [{"kind": kind, "name": "known"}, {"kind": kind, "name": "unknown"}]
    result = run({"path": str(tmp_path / "m.json"), "role": "r", "entries": entries})
    assert [entry["existed_before"] for entry in result["entries"]] == [True, False]
    assert asked in (tmp_path / "asked").read_text()


def test_without_an_engine_there_is_no_container(
    run: Callable[..., dict[str, Any]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    entries = [{"kind": "container", "name": "any"}, {"kind": "cluster", "name": "any"}]
    result = run({"path": str(tmp_path / "m.json"), "role": "r", "entries": entries})
    assert [entry["existed_before"] for entry in result["entries"]] == [False, False]
