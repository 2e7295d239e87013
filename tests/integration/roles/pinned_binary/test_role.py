# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role installs one program: checked, whole, once, and recorded; what goes wrong is named."""

from __future__ import annotations

import hashlib
import io
import json
import platform
import shutil
import subprocess
import tarfile
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

PROGRAM = b"#!/bin/sh\necho one\n"
ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ROLE = {"ansible.builtin.include_role": {"name": "pinned_binary"}}


def sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


@pytest.fixture
def mirror(tmp_path: Path) -> Path:
    """A folder that stands for a server, with the program under its published path."""
    folder = tmp_path / "mirror"
    (folder / "v1").mkdir(parents=True)
    (folder / "v1" / "tool").write_bytes(PROGRAM)
    return folder


def download(content: bytes = PROGRAM, path: str = "v1/tool", **more: str) -> dict[str, Any]:
    return {ARCHITECTURE: {"url": f"https://a.example/{path}", "sha256": sha256(content), **more}}


def variables(mirror: Path, **changed: Any) -> dict[str, Any]:
    return {
        "pinned_binary_name": "tool",
        "pinned_binary_version": "1.0",
        "pinned_binary_downloads": download(),
        "pinned_binary_mirror": f"file://{mirror}/",
        **changed,
    }


def test_it_is_installed_once_and_made_whole_again(play: Callable[..., Any], state: Path, mirror: Path) -> None:
    asked = variables(mirror)
    rehearsed = play(ROLE, check=True, **asked)
    assert rehearsed.ok and not state.exists(), rehearsed.text

    first = play(ROLE, **asked)
    program = state / "bin" / "tool"
    assert first.ok and first.changed, first.text
    assert program.read_bytes() == PROGRAM and program.stat().st_mode & 0o777 == 0o755
    record = json.loads((state / "bin" / "tool.json").read_text())
    assert record == {
        "name": "tool",
        "version": "1.0",
        "source": f"sha256:{sha256(PROGRAM)}",
        "program_sha256": sha256(PROGRAM),
    }
    entries = json.loads((state / "manifest.json").read_text())["entries"]
    assert {entry["name"] for entry in entries} >= {str(program), f"{program}.json", str(state)}
    assert not any(entry["existed_before"] for entry in entries)

    again = play(ROLE, **asked)
    assert (again.ok, again.changed) == (True, 0), again.text

    program.write_bytes(PROGRAM[:5])
    mended = play(ROLE, **asked)
    assert mended.ok and program.read_bytes() == PROGRAM, mended.text
    assert sorted(path.name for path in (state / "bin").iterdir()) == ["tool", "tool.json"]


def test_another_version_comes_from_an_archive_and_a_rehearsal_says_so(
    play: Callable[..., Any], state: Path, mirror: Path
) -> None:
    assert play(ROLE, **variables(mirror)).ok
    newer = b"#!/bin/sh\necho two\n"
    packed = io.BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in (("linux/LICENSE", b"-"), ("linux/tool", newer)):
            member = tarfile.TarInfo(name)
            member.size, member.mode = len(content), 0o755
            archive.addfile(member, io.BytesIO(content))
    (mirror / "tool.tar.gz").write_bytes(packed.getvalue())
    asked = variables(
        mirror,
        pinned_binary_version="2.0",
        pinned_binary_downloads=download(packed.getvalue(), "tool.tar.gz", member="linux/tool"),
    )
    rehearsed = play(ROLE, check=True, **asked)
    assert rehearsed.ok and rehearsed.changed == 1, rehearsed.text
    assert (state / "bin" / "tool").read_bytes() == PROGRAM
    done = play(ROLE, **asked)
    assert done.ok and (state / "bin" / "tool").read_bytes() == newer, done.text
    assert play(ROLE, **asked).changed == 0


def test_other_bytes_are_refused_and_both_checksums_named(play: Callable[..., Any], state: Path, mirror: Path) -> None:
    assert play(ROLE, **variables(mirror)).ok
    wanted = sha256(b"something else")
    done = play(
        ROLE, **variables(mirror, pinned_binary_version="2.0", pinned_binary_downloads=download(b"something else"))
    )
    assert not done.ok
    assert f"its SHA-256 is {sha256(PROGRAM)}, and tool 2.0 for {ARCHITECTURE} has {wanted}." in done.text
    assert f"file://{mirror}/v1/tool is not the file that was expected" in done.text
    # The version that was there still is, and nothing half made beside it.
    assert sorted(path.name for path in (state / "bin").iterdir()) == ["tool", "tool.json"]
    assert json.loads((state / "bin" / "tool.json").read_text())["version"] == "1.0"


def test_what_cannot_be_installed_is_named(
    play: Callable[..., Any], attempt: Callable[..., dict[str, Any]], state: Path, mirror: Path
) -> None:
    address = "https://a.example/x"
    cases = [
        {"pinned_binary_downloads": {"s390x": {"url": address, "sha256": "ab" * 32}}},
        {"pinned_binary_downloads": {}},
        {"pinned_binary_downloads": {ARCHITECTURE: {"url": address, "sha256": "TODO"}}},
        {"pinned_binary_downloads": download(path="v1/absent"), "pinned_binary_variables": "other_role"},
        {"pinned_binary_name": ""},
    ]
    done = play(*(attempt(ROLE, **variables(mirror, **changed)) for changed in cases))
    said = done.text.split("FAILED: ")[1:]
    assert len(said) == len(cases), done.text
    refused = f"tool 1.0 cannot be chosen for localhost ({ARCHITECTURE}): there is no checksum of it."
    assert f"{refused} This version has one for s390x." in said[0]
    assert f"{refused} This version has one for no architecture." in said[1]
    assert f"{refused} This version has one for no architecture." in said[2]
    assert "set `other_role_mirror` to it" in said[3]
    assert "needs the name and the version of a program" in said[4]
    assert not (state / "bin" / "tool").exists()


def test_go_is_asked_for_where_it_is_missing(play: Callable[..., Any], mirror: Path) -> None:
    asked = variables(mirror, pinned_binary_install_from="go", pinned_binary_go_package="a.example/tool@v1.0.0")
    done = play(ROLE, path="/usr/bin:/bin", **asked)
    assert not done.ok
    assert "pinned_binary_install_from=go needs Go on localhost, and there is no `go` on the search path" in done.text


def module_proxy(folder: Path) -> Path:
    """A folder that Go takes for a module proxy, with one module that is a program."""
    versions = folder / "a.example" / "tool" / "@v"
    versions.mkdir(parents=True)
    (versions / "list").write_text("v1.0.0\n")
    (versions / "v1.0.0.info").write_text('{"Version": "v1.0.0", "Time": "2026-01-01T00:00:00Z"}')
    (versions / "v1.0.0.mod").write_text("module a.example/tool\n")
    with zipfile.ZipFile(versions / "v1.0.0.zip", "w") as packed:
        packed.writestr("a.example/tool@v1.0.0/go.mod", "module a.example/tool\n")
        packed.writestr("a.example/tool@v1.0.0/main.go", 'package main\n\nfunc main() { println("built") }\n')
    return folder


@pytest.mark.skipif(shutil.which("go") is None, reason="there is no Go here")
def test_go_builds_it_and_leaves_nothing_else_behind(
    play: Callable[..., Any], state: Path, tmp_path: Path, mirror: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOPROXY", f"file://{module_proxy(tmp_path / 'proxy')}")
    monkeypatch.setenv("GONOSUMDB", "*")
    monkeypatch.setenv("GOTOOLCHAIN", "local")
    asked = variables(
        mirror,
        pinned_binary_downloads={},
        pinned_binary_install_from="go",
        pinned_binary_go_package="a.example/tool@v1.0.0",
    )
    done = play(ROLE, **asked)
    assert done.ok, done.text
    built = subprocess.run([state / "bin" / "tool"], check=True, capture_output=True, text=True)
    assert built.stderr == "built\n"
    assert json.loads((state / "bin" / "tool.json").read_text())["source"] == "go:a.example/tool@v1.0.0"
    assert sorted(path.name for path in (state / "bin").iterdir()) == ["tool", "tool.json"]
    assert play(ROLE, **asked).changed == 0
    failed = play(ROLE, **asked | {"pinned_binary_go_package": "a.example/tool@v9.0.0", "pinned_binary_version": "9.0"})
    assert not failed.ok and "`go install a.example/tool@v9.0.0` failed on localhost" in failed.text
    assert (state / "bin" / "tool").exists()
