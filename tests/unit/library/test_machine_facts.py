# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/machine_facts.py."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest


@pytest.mark.parametrize("check_mode", [False, True])
def test_facts_are_the_same_in_check_mode(
    load_module: Callable[[str], Any], run_module: Callable[..., dict[str, Any]], check_mode: bool
) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        taken, free = str(listening.getsockname()[1]), str(bound.getsockname()[1])
        result = run_module(
            load_module("machine_facts"),
            {"commands": ["sh"], "ports": [taken, free], "paths": ["/"]},
            check_mode=check_mode,
        )
    facts = result["ansible_facts"]["machine"]
    assert not result["changed"]
    assert facts["ports"][taken]["pid"] == os.getpid()
    words = Path("/proc/self/cmdline").read_text().split("\0")
    assert facts["ports"][taken]["command"].split() == " ".join(words).split()
    assert facts["ports"][free] is None
    assert facts["free_bytes"].keys() == {"/", facts["state_home"]}
