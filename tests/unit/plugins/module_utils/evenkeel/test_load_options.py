# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What is done for the options that both load modules have."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from ansible.module_utils.evenkeel.ab import InvalidLoad
from ansible.module_utils.evenkeel.load_options import check_clock_url, read_body, stop_watchers

NOTHING = {"method": "POST", "body": None, "body_path": None}


def test_the_body_is_the_text_or_the_files_bytes(tmp_path: Path) -> None:
    (tmp_path / "image.png").write_bytes(b"\x89PNG\xff")
    assert read_body(NOTHING | {"body": "é"}) == "é".encode()
    assert read_body(NOTHING | {"body": ""}) == b""
    assert read_body(NOTHING | {"body_path": str(tmp_path / "image.png")}) == b"\x89PNG\xff"
    assert read_body(NOTHING | {"method": "GET"}) is None


@pytest.mark.parametrize(
    ("given", "words"),
    [
        ({"method": "GET", "body": ""}, "a GET request has no body"),
        ({"method": "PUT"}, "a PUT request needs body or body_path"),
        ({"body_path": "/nonexistent/image"}, "/nonexistent/image cannot be read: No such file or directory"),
    ],
)
def test_a_body_that_cannot_be_sent_is_refused(given: dict[str, Any], words: str) -> None:
    with pytest.raises(InvalidLoad, match=words):
        read_body(NOTHING | given)


def test_a_clock_is_asked_at_an_address() -> None:
    check_clock_url(None)
    check_clock_url("http://192.0.2.7:8080/clock")
    with pytest.raises(InvalidLoad, match="clock_url: unsupported URL"):
        check_clock_url("192.0.2.7/clock")


@pytest.mark.parametrize(
    ("name", "check_mode", "made", "said"),
    [("stop", False, True, 0), ("stop", True, False, 0), ("file/stop", False, False, 1)],
)
def test_watchers_are_stopped_by_a_file(tmp_path: Path, name: str, check_mode: bool, made: bool, said: int) -> None:
    (tmp_path / "file").touch()
    stop, warnings = tmp_path / name, []
    stop_watchers(SimpleNamespace(params={"stop_file": str(stop)}, check_mode=check_mode, warn=warnings.append))
    assert (stop.exists(), len(warnings)) == (made, said)
    assert all(f"stop_file {stop} cannot be made" in warning for warning in warnings)


def test_no_stop_file_is_no_work() -> None:
    stop_watchers(SimpleNamespace(params={"stop_file": None}, check_mode=False))
