# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in HTTP server whose every answer is known beforehand.

It is given a function from a request's number (0, 1, 2 ... in order of arrival) to a Reply, and does exactly what the
Reply says, faults included. It speaks just enough HTTP/1.0 and 1.1 for ab and for a probe; without keep-alive unless
the client asks for it as ab does.
"""

from __future__ import annotations

import contextlib
import itertools
import json
import socket
import struct
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Literal

Fault = Literal["none", "reset", "empty", "truncate", "stall", "garbage"]

GOOD_ANSWER = {"accuracy": 0.7421, "correct": 7421, "total": 10000, "engine": "reference", "fresh": True}
GOOD_BODY = json.dumps(GOOD_ANSWER).encode()


@dataclass(frozen=True)
class Reply:
    """One answer: after `delay_seconds` this status and body, or a fault in their place.

    `reset` sends half of the head and then a TCP reset; `empty` closes without a byte; `truncate` announces the whole
    body and sends half of it; `stall` holds the connection open in silence until the server ends; `garbage` is no HTTP.
    """

    status: int = 200
    body: bytes = GOOD_BODY
    delay_seconds: float = 0.0
    fault: Fault = "none"
    reason: str = "Stand-In"


@dataclass(frozen=True)
class Received:
    """One request as it arrived; `at_seconds` is on CLOCK_MONOTONIC."""

    method: str
    target: str
    version: str
    headers: dict[str, str]
    body: bytes
    at_seconds: float


@dataclass
class HttpServer:
    """A running stand-in; `url` ends in a slash, `received` holds every request so far."""

    script: Callable[[int], Reply]
    received: list[Received] = field(default_factory=list)
    port: int = 0

    def __post_init__(self) -> None:
        self._numbers = itertools.count()
        self._lock = threading.Lock()
        self._serial = threading.Lock()
        self._open: set[socket.socket] = set()
        self._ending = threading.Event()
        self._listener = socket.create_server(("127.0.0.1", 0), backlog=128)
        self.port = int(self._listener.getsockname()[1])
        self._thread = threading.Thread(target=self._accept, daemon=True)
        self._thread.start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/"

    def close(self) -> None:
        """Stop listening and break every open connection, as the death of a server's process does."""
        if self._ending.is_set():
            return
        self._ending.set()
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        with self._lock:
            for connection in self._open:
                with contextlib.suppress(OSError):
                    connection.shutdown(socket.SHUT_RDWR)
        self._thread.join(timeout=5)

    def _accept(self) -> None:
        while not self._ending.is_set():
            try:
                connection, _ = self._listener.accept()
            except OSError:
                return
            with self._lock:
                self._open.add(connection)
            threading.Thread(target=self._serve, args=(connection,), daemon=True).start()

    def _serve(self, connection: socket.socket) -> None:
        with contextlib.suppress(OSError), connection:
            connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with connection.makefile("rb") as reader:
                while self._exchange(connection, reader):
                    pass
        with self._lock:
            self._open.discard(connection)

    def _exchange(self, connection: socket.socket, reader: socket.SocketIO) -> bool:
        """Serve one request; whether the connection stays open for another."""
        line = reader.readline()
        if not line:
            return False
        method, target, version = line.decode("latin-1").split()
        headers: dict[str, str] = {}
        while (header := reader.readline().decode("latin-1").strip()) != "":
            name, _, value = header.partition(":")
            headers[name.strip().lower()] = value.strip()
        body = reader.read(int(headers.get("content-length", "0")))
        with self._lock:
            number = next(self._numbers)
            self.received.append(
                Received(method, target, version, headers, body, time.clock_gettime(time.CLOCK_MONOTONIC))
            )
        keep = headers.get("connection", "").lower() == "keep-alive"
        return self._send(connection, self.script(number), keep)

    def _send(self, connection: socket.socket, reply: Reply, keep: bool) -> bool:
        if reply.delay_seconds:
            self._ending.wait(reply.delay_seconds)
        head = (
            f"HTTP/1.0 {reply.status} {reply.reason}\r\nServer: stand-in\r\nContent-Type: application/json\r\n"
            f"Content-Length: {len(reply.body)}\r\nConnection: {'keep-alive' if keep else 'close'}\r\n\r\n"
        ).encode()
        if reply.fault == "empty":
            return False
        if reply.fault == "stall":
            self._ending.wait()
            return False
        if reply.fault == "garbage":
            connection.sendall(b"this is not HTTP\n")
            return False
        if reply.fault == "reset":
            connection.sendall(head[: len(head) // 2])
            # Closing with a linger time of zero makes the kernel send a reset.
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            connection.close()
            return False
        if reply.fault == "truncate":
            connection.sendall(head + reply.body[: len(reply.body) // 2])
            return False
        connection.sendall(head + reply.body)
        return keep


def always(reply: Reply) -> Callable[[int], Reply]:
    """The same reply to every request."""
    return lambda _number: reply


def every_second(first: Reply, second: Reply) -> Callable[[int], Reply]:
    """Requests number 0, 2, 4 ... get `first`, the others `second`."""
    return lambda number: first if number % 2 == 0 else second


def between(begin: int, end: int, inside: Reply, outside: Reply) -> Callable[[int], Reply]:
    """Requests number `begin` to `end` - 1 get `inside`, the others `outside`."""
    return lambda number: inside if begin <= number < end else outside


@contextlib.contextmanager
def http_server(script: Callable[[int], Reply]) -> Iterator[HttpServer]:
    """Run the stand-in with `script` for the length of the `with` block."""
    server = HttpServer(script)
    try:
        yield server
    finally:
        server.close()
