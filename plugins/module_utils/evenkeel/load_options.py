# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The options that `ab_benchmark` and `open_loop_benchmark` have in common, and what is done for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from . import ab, files, http

# As plugins/doc_fragments/load.py documents them.
ARGUMENTS: dict[str, dict[str, Any]] = {
    "method": {"type": "str", "choices": ["GET", "POST", "PUT"], "default": "GET"},
    "body": {"type": "str"},
    "body_path": {"type": "path"},
    "content_type": {"type": "str", "default": "application/json"},
    "headers": {"type": "dict", "default": {}},
    "fail_on_invalid": {"type": "bool", "default": True},
    "ready_file": {"type": "list", "elements": "path", "default": []},
    "ready_deadline_seconds": {"type": "float", "default": 60.0},
    "stop_file": {"type": "path"},
    "clock_url": {"type": "str"},
}


def read_body(params: Mapping[str, Any]) -> bytes | None:
    """The request's body, None for a GET. Raises InvalidLoad where the options disagree or the file is not there."""
    has_body = params["body"] is not None or params["body_path"] is not None
    if params["method"] == "GET":
        if has_body:
            raise ab.InvalidLoad("a GET request has no body: set method to POST or PUT, or leave the body out")
        return None
    if not has_body:
        raise ab.InvalidLoad(f"a {params['method']} request needs body or body_path")
    if params["body"] is not None:
        return str(params["body"]).encode("utf-8")
    try:
        with open(params["body_path"], "rb") as file:
            return file.read()
    except OSError as error:
        raise ab.InvalidLoad(f"body_path {params['body_path']} cannot be read: {error.strerror}") from error


def check_clock_url(url: str | None) -> None:
    """Raises InvalidLoad where the option clock_url is no address that can be asked."""
    if url is None:
        return
    try:
        http.check_url(url)
    except http.RequestFailed as failure:
        raise ab.InvalidLoad(f"clock_url: {failure.message}") from failure


def stop_watchers(module: Any) -> None:
    """Make the stop file; a watcher that never sees it ends at its own deadline."""
    path = module.params["stop_file"]
    if path is None or module.check_mode:
        return
    try:
        files.touch(path)
    except OSError as error:
        module.warn(f"stop_file {path} cannot be made ({error.strerror}): watchers go on to their own deadlines")
