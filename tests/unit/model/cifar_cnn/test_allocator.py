# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""cifar_cnn.allocator: freed memory is kept, seen by the page faults of a process that allocates again and again."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROGRAM = """
import resource, sys
import numpy as np
from cifar_cnn.allocator import keep_freed_memory
if sys.argv[1] == "kept":
    assert keep_freed_memory()
def work():
    for _ in range(5):
        layers = [np.ones(3_000_000, dtype="float32") for _ in range(6)]
        del layers
work()
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
work()
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(how: str, search_path: list[str]) -> int:
    environment = {"PYTHONPATH": ":".join(search_path)}
    command = [sys.executable, "-c", PROGRAM, how]
    return int(subprocess.run(command, check=True, capture_output=True, text=True, env=environment).stdout)


def test_memory_is_used_again_without_the_kernel() -> None:
    assert faults("kept", sys.path) < 2000 < faults("given back", sys.path)


def test_another_c_library_is_left_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    from cifar_cnn import allocator  # noqa: PLC0415

    monkeypatch.setattr(allocator.ctypes, "CDLL", lambda _name: object())
    assert allocator.keep_freed_memory() is False
