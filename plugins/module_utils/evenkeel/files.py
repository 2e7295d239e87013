# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Small files by which the modules hand things over: marks that are waited for, artifacts that are never half there."""

from __future__ import annotations

import contextlib
import hashlib
import os
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

from .clock import Deadline

_POLL_SECONDS = 0.01


def sha256_of(path: str) -> str:
    """SHA-256 of a file's content, in hexadecimal. Raises OSError where it cannot be read."""
    digest = hashlib.sha256()
    with open(path, "rb") as file:
        for chunk in iter(lambda: file.read(1 << 20), b""):
            digest.update(chunk)
    return digest.hexdigest()


def write_atomically(path: str, content: bytes) -> None:
    """Write a file so that a reader finds the old content or the new, never a part.

    The folder is made where it is missing. Raises OSError (a full disk, no permission) with nothing left behind.
    """
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=str(target.parent), prefix=f".{target.name}.")
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        with contextlib.suppress(OSError):
            os.unlink(temporary)
        raise


def touch(path: str) -> None:
    """Make an empty file where none is, and its folder. Raises OSError."""
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    target.touch()


def wait_for_files(paths: Iterable[str], deadline: Deadline) -> list[str]:
    """Wait until every file is there; returns those that still are not when the deadline is over."""
    missing = list(paths)
    while True:
        missing = [path for path in missing if not os.path.exists(path)]
        if not missing or deadline.expired():
            return missing
        time.sleep(min(_POLL_SECONDS, deadline.remaining()))
