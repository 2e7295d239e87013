# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a deployed service: the HTTP contract of design 4.1 with known delays and known faults, no model.

``python service.py '{"port": ...}'`` serves until it is killed; start_argv and stop_argv make commands of that.
"""

from __future__ import annotations

import json
import math
import os
import shlex
import sys
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

DEFAULTS: dict[str, Any] = {
    "listen_after": 0.0,  # seconds from the process's start until the port is open
    "ready_after": 0.1,  # seconds from the process's start until the model is ready
    "imports_until": 0.0,  # seconds from the process's start until its imports are over
    "holds": True,  # whether /ready?wait= is held
    "fails": None,  # the reason of a failed start-up
    "never_ready": False,
    "dies_after": None,  # seconds from the start after which the process is gone
    "label": "ship",
    "accuracy": 0.5,
    "correct": 5,  # of 10
    "evaluation_cpu_seconds": 0.0,  # CPU time of one GET /
    "instance_id": None,
    "boot_id": None,
    "process_start": None,
    "busy_first": 0,  # how many predictions get 503
    "startup_status": 200,
}


def serve(options: dict[str, Any]) -> None:
    """Answer until killed."""
    behaviour = {**DEFAULTS, **options}
    begun = time.clock_gettime(time.CLOCK_MONOTONIC)
    ready_at = begun + behaviour["ready_after"]
    instance_id = behaviour["instance_id"] or os.urandom(8).hex()
    boot_id = behaviour["boot_id"] or Path("/proc/sys/kernel/random/boot_id").read_text().strip()
    busy = [behaviour["busy_first"]]
    if behaviour["dies_after"] is not None:
        threading.Timer(behaviour["dies_after"], os._exit, [1]).start()
    print("stand-in service: starting", flush=True)
    time.sleep(behaviour["listen_after"])

    def is_ready() -> bool:
        over = time.clock_gettime(time.CLOCK_MONOTONIC) >= ready_at
        return over and not behaviour["never_ready"] and not behaviour["fails"]

    class Handler(BaseHTTPRequestHandler):
        def reply(self, status: int, document: dict[str, Any]) -> None:
            body = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Cache-Control", "no-store")
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def do_GET(self) -> None:
            url = urlsplit(self.path)
            if url.path == "/healthz":
                self.reply(200, {"serving": True, "instance_id": instance_id})
            elif url.path == "/ready":
                self.ready(float(parse_qs(url.query).get("wait", ["0"])[0]))
            elif url.path == "/startup":
                self.reply(behaviour["startup_status"], self.startup())
            elif not is_ready():
                self.reply(503, {"phase": "train", "progress": 0.5, "elapsed_seconds": 1.0})
            else:
                end = time.process_time() + behaviour["evaluation_cpu_seconds"]
                while time.process_time() < end:
                    pass
                counts = {"correct": behaviour["correct"], "total": 10}
                self.reply(200, {"accuracy": behaviour["accuracy"], **counts, "instance_id": instance_id})

        def ready(self, wait: float) -> None:
            until = time.clock_gettime(time.CLOCK_MONOTONIC) + (wait if behaviour["holds"] else 0)
            while not is_ready() and not behaviour["fails"] and time.clock_gettime(time.CLOCK_MONOTONIC) < until:
                time.sleep(0.002)
            if behaviour["fails"] and time.clock_gettime(time.CLOCK_MONOTONIC) >= ready_at:
                self.reply(500, {"error": behaviour["fails"], "phase": "failed"})
            elif is_ready():
                self.reply(200, {"ready": True, "instance_id": instance_id})
            else:
                self.reply(503, {"phase": "train", "progress": 0.5, "elapsed_seconds": 1.0})

        def startup(self) -> dict[str, Any]:
            return {
                "instance_id": instance_id,
                "clock": "CLOCK_MONOTONIC",
                "host_boot_id": boot_id,
                "process_start_monotonic_seconds": behaviour["process_start"] or begun,
                "phases": self.phases(),
            }

        def phases(self) -> list[dict[str, Any]]:
            imported, trained = behaviour["imports_until"], behaviour["ready_after"]
            planned = [("imports", 0.0, imported), ("train", imported, trained)]
            planned.append(("failed" if behaviour["fails"] else "ready", trained, math.inf))
            now = time.clock_gettime(time.CLOCK_MONOTONIC) - begun
            return [
                {"name": name, "begin_seconds": begin, "end_seconds": end if end <= now else None}
                for name, begin, end in planned
                if begin <= now
            ]

        def do_POST(self) -> None:
            self.rfile.read(int(self.headers.get("Content-Length", 0)))
            if busy[0]:
                busy[0] -= 1
                self.reply(503, {"error": "busy"})
            else:
                self.reply(200, {"label": behaviour["label"]})

        def log_message(self, *args: Any) -> None:
            """Nothing: the log is what the service says of itself."""

    server = ThreadingHTTPServer(("127.0.0.1", behaviour["port"]), Handler)
    server.serve_forever()


def start_argv(folder: Path, **options: Any) -> list[str]:
    """A command that leaves the stand-in running in a session of its own, its pid in FOLDER/pid, and returns."""
    # -I -S: the stand-in needs nothing of the environment, and starts faster without it.
    serving = shlex.join(["setsid", sys.executable, "-I", "-S", __file__, json.dumps(options)])
    files = {name: shlex.quote(str(folder / name)) for name in ("log", "pid")}
    return ["sh", "-c", f"{serving} </dev/null >>{files['log']} 2>&1 & echo $! >{files['pid']}"]


def stop_argv(folder: Path) -> list[str]:
    """A command that ends the stand-in; like supervisorctl it succeeds where none runs."""
    return ["sh", "-c", f"kill -9 $(cat {shlex.quote(str(folder / 'pid'))}) 2>&1 || true"]


if __name__ == "__main__":
    serve(json.loads(sys.argv[1]))
