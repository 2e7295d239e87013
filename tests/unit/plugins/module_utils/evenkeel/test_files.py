# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

import hashlib
import os
import threading
from pathlib import Path

import pytest
from evenkeel.clock import Deadline
from evenkeel.files import sha256_of, touch, wait_for_files, write_atomically


def test_sha256_is_that_of_the_content(tmp_path: Path) -> None:
    content = os.urandom(3_000_000)
    (tmp_path / "file").write_bytes(content)
    assert sha256_of(str(tmp_path / "file")) == hashlib.sha256(content).hexdigest()


def test_a_write_makes_the_folder_and_replaces_the_file(tmp_path: Path) -> None:
    path = tmp_path / "new" / "file"
    write_atomically(str(path), b"one")
    write_atomically(str(path), b"two")
    assert path.read_bytes() == b"two"
    assert [entry.name for entry in path.parent.iterdir()] == ["file"]


def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"old")

    def full(_descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        write_atomically(str(path), b"new")
    assert path.read_bytes() == b"old"
    assert [entry.name for entry in tmp_path.iterdir()] == ["file"]


def test_touch_makes_the_folder_and_keeps_a_content(tmp_path: Path) -> None:
    path = tmp_path / "new" / "mark"
    touch(str(path))
    path.write_text("kept")
    touch(str(path))
    assert path.read_text() == "kept"


def test_waiting_ends_when_the_last_file_comes(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.touch()
    timer = threading.Timer(0.1, second.touch)
    timer.start()
    assert wait_for_files([str(first), str(second)], Deadline(30)) == []
    timer.join()


def test_waiting_names_what_never_came(tmp_path: Path) -> None:
    (tmp_path / "here").touch()
    paths = [str(tmp_path / name) for name in ("here", "never")]
    assert wait_for_files(paths, Deadline(0.05)) == [paths[1]]


def test_waiting_for_nothing_takes_no_time() -> None:
    assert wait_for_files([], Deadline(30)) == []
