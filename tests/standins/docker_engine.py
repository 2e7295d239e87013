# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Docker engine: its HTTP interface over a unix socket, with containers and faults as told."""

from __future__ import annotations

import copy
import json
import os
import socketserver
import threading
import time
from collections.abc import Sequence
from http.server import BaseHTTPRequestHandler
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit


def frames_from(path: Path) -> list[dict[str, Any]]:
    """The frames of a recorded stream, one JSON object a line."""
    return [json.loads(line) for line in path.read_text().splitlines()]


class Container:
    """What the stand-in knows of a container: its state and the statistics it streams, the last frames over again.

    ``pid`` is the process its inspection names; by default one whose control groups are not a container's.
    ``raw`` is sent instead of statistics, ``stops_after`` frames it is stopped, ``breaks_after`` bytes the stream is
    cut; ``restarts`` gives another process at each inspection.
    """

    def __init__(
        self,
        name: str,
        frames: Sequence[dict[str, Any]] = (),
        *,
        status: str = "running",
        pid: int | None = None,
        raw: bytes | None = None,
        stops_after: int | None = None,
        frame_seconds: float = 0.05,
        restarts: bool = False,
    ) -> None:
        self.name = name
        self.id = (name.encode().hex() * 64)[:64]
        self.frames = list(frames)
        self.status = status
        self.pid = os.getpid() if pid is None else pid
        self.raw = raw
        self.stops_after = stops_after
        self.frame_seconds = frame_seconds
        self._restarts = restarts
        self._inspected = 0

    def inspection(self) -> dict[str, Any]:
        """The container as ``GET /containers/NAME/json`` describes it."""
        self._inspected += 1
        life = self._inspected if self._restarts else 1
        running = self.status in ("running", "paused")
        return {
            "Id": self.id,
            "Name": f"/{self.name}",
            "State": {
                "Status": self.status,
                "Running": running,
                "Paused": self.status == "paused",
                "Pid": self.pid if running else 0,
                "ExitCode": 0 if running else 137,
                "StartedAt": f"2026-01-01T00:00:{life:02d}Z",
            },
        }

    def stream(self) -> Any:
        """Frame after frame: recorded ones, then ones in which the counters go on at the last pace."""
        number = 0
        while True:
            if self.stops_after is not None and number >= self.stops_after:
                self.status = "exited"
                yield {
                    "read": "0001-01-01T00:00:00Z",
                    "cpu_stats": {"cpu_usage": {"total_usage": 0}},
                    "memory_stats": {},
                }
            elif number < len(self.frames):
                yield self.frames[number]
            else:
                before, last = self.frames[-2], copy.deepcopy(self.frames[-1])
                times = number - len(self.frames) + 1
                now, old = last["cpu_stats"], before["cpu_stats"]
                usage = now["cpu_usage"]["total_usage"]
                now["cpu_usage"]["total_usage"] += times * (usage - old["cpu_usage"]["total_usage"])
                now["system_cpu_usage"] += times * (now["system_cpu_usage"] - old["system_cpu_usage"])
                last["read"] = f"{last['read']}+{times}"
                yield last
            number += 1


class _Handler(BaseHTTPRequestHandler):
    server: StandinEngine
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        self.server.targets.append(self.path)
        if self.server.silent:
            time.sleep(self.server.silent)
            return
        parts = [unquote(part) for part in urlsplit(self.path).path.strip("/").split("/")]
        if parts == ["version"]:
            self._answer(200, self.server.version)
            return
        container = self.server.containers.get(parts[2])
        if container is None:
            self._answer(404, {"message": f"No such container: {parts[2]}"})
        elif parts[3] == "json":
            self._answer(200, container.inspection())
        else:
            self._stream(container)

    def _answer(self, status: int, body: Any) -> None:
        data = body if isinstance(body, bytes) else json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, container: Container) -> None:
        self.send_response(200)
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        if container.raw is not None:
            self._chunk(container.raw)
            self.close_connection = True
            return
        try:
            for frame in container.stream():
                self._chunk(json.dumps(frame).encode() + b"\n")
                if self.server.stopping.wait(container.frame_seconds):
                    return
        except OSError:
            return  # the client has seen enough

    def _chunk(self, data: bytes) -> None:
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def address_string(self) -> str:
        return "unix socket"

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


class StandinEngine(socketserver.ThreadingMixIn, socketserver.UnixStreamServer):
    """The stand-in on a socket of its own; ``with`` it, and ``docker_host`` is its address.

    ``version`` is the body of ``GET /version`` (bytes are sent as they are); with ``silent`` it accepts connections
    and answers nothing for so many seconds. ``targets`` are the requests made.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, path: Path, *containers: Container, version: Any = None, silent: float = 0) -> None:
        super().__init__(str(path), _Handler)
        self.docker_host = f"unix://{path}"
        self.containers = {key: one for one in containers for key in (one.name, one.id)}
        self.version = version or {"Version": "20.10.24 (stand-in)", "ApiVersion": "1.41", "MinAPIVersion": "1.12"}
        self.silent = silent
        self.targets: list[str] = []
        self.stopping = threading.Event()

    def __enter__(self) -> StandinEngine:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        self.shutdown()
        self.server_close()
