# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a Docker engine that only says what it is: `GET /version` and `GET /info` over a unix socket."""

from __future__ import annotations

import json
import socketserver
import threading
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any

VERSION = {"Version": "20.10.24+standin", "ApiVersion": "1.41", "Components": [{"Name": "Engine"}]}
INFO = {
    "ID": "STAND-IN",
    "CgroupDriver": "systemd",
    "CgroupVersion": "2",
    "CpuCfsQuota": True,
    "DefaultRuntime": "runc",
    "DockerRootDir": "/var/lib/docker",
    "Driver": "overlay2",
    "MemTotal": 4294967296,
    "MemoryLimit": True,
    "NCPU": 2,
    "SecurityOptions": ["name=seccomp,profile=default"],
}


class _Handler(BaseHTTPRequestHandler):
    server: StandinInfo

    def do_GET(self) -> None:
        body = json.dumps(self.server.answers.get(self.path, {"message": "page not found"})).encode()
        self.send_response(200 if self.path in self.server.answers else 404)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def address_string(self) -> str:
        return "unix socket"

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


class StandinInfo(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The stand-in on a socket of its own; ``with`` it, and ``docker_host`` is its address."""

    daemon_threads = True

    def __init__(self, path: Path, version: dict[str, Any] | None = None, info: dict[str, Any] | None = None) -> None:
        super().__init__(str(path), _Handler)
        self.docker_host = f"unix://{path}"
        self.answers = {"/version": VERSION | (version or {}), "/info": INFO | (info or {})}

    def __enter__(self) -> StandinInfo:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()
