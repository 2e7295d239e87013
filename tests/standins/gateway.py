# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for what stands before a function: it passes requests on, and answers by itself while nothing is there."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from evenkeel import http


@contextmanager
def gateway(backend: str, *, status: int = 503, body: bytes = b"No endpoints available for: fn\n") -> Iterator[str]:
    """Give the address under which ``backend`` is reached; where it does not answer, ``status`` and ``body`` come."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.pass_on("GET", None)

        def do_POST(self) -> None:
            self.pass_on("POST", self.rfile.read(int(self.headers.get("Content-Length", 0))))

        def pass_on(self, method: str, sent: bytes | None) -> None:
            try:
                answer = http.request(method, backend + self.path, body=sent, timeout_seconds=30)
            except http.RequestFailed:
                self.reply(status, {}, body)
            else:
                kept = {name: value for name, value in answer.headers.items() if name == "cache-control"}
                self.reply(answer.status, kept, answer.body)

        def reply(self, status: int, headers: dict[str, str], body: bytes) -> None:
            self.send_response(status)
            for name, value in headers.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *args: object) -> None:
            """Nothing: a test says what went wrong."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_address[1]}"
    finally:
        server.shutdown()
        server.server_close()
