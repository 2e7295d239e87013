# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in HTTP server on one event loop, for hundreds of requests under way at once and for answers byte by byte.

It is given a coroutine function that gets a request's number and the connection's writer, and writes whatever it wants:
an answer in pieces, chunks, garbage, or nothing. Each request is read whole before.
"""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import random
import threading
import time
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field

Script = Callable[[int, asyncio.StreamWriter], Awaitable[None]]

GOOD_BODY = b'{"class": 3, "label": "cat"}'


def answer(body: bytes = GOOD_BODY, status: int = 200, *, keep: bool = False) -> bytes:
    """A whole HTTP/1.1 answer."""
    connection = "keep-alive" if keep else "close"
    head = f"HTTP/1.1 {status} Stand-In\r\nContent-Length: {len(body)}\r\nConnection: {connection}\r\n\r\n"
    return head.encode() + body


@dataclass
class RawServer:
    """A running stand-in. `arrived` holds when each request was there, on CLOCK_MONOTONIC."""

    script: Script
    keep: bool = False
    arrived: list[float] = field(default_factory=list)
    bodies: list[bytes] = field(default_factory=list)
    connections: int = 0
    port: int = 0

    @property
    def url(self) -> str:
        """Where it is."""
        return f"http://127.0.0.1:{self.port}/"

    def start(self) -> None:
        """Serve from a thread of its own."""
        self._numbers = itertools.count()
        self._loop = asyncio.new_event_loop()
        listening = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(listening,), daemon=True)
        self._thread.start()
        assert listening.wait(10)

    def stop(self) -> None:
        """End it with every connection."""
        with contextlib.suppress(RuntimeError):  # it has died
            self._loop.call_soon_threadsafe(self._over.set)
        self._thread.join(10)

    def die(self) -> None:
        """Called by a script: serve nobody from now on, as after the death of a server's process."""
        self._over.set()

    def _run(self, listening: threading.Event) -> None:
        asyncio.set_event_loop(self._loop)
        self._loop.run_until_complete(self._serve(listening))
        for task in asyncio.all_tasks(self._loop):
            task.cancel()
        self._loop.run_until_complete(asyncio.sleep(0))
        self._loop.close()

    async def _serve(self, listening: threading.Event) -> None:
        self._over = asyncio.Event()
        server = await asyncio.start_server(self._connection, "127.0.0.1", 0, backlog=1024)
        self.port = int(server.sockets[0].getsockname()[1])
        listening.set()
        await self._over.wait()
        server.close()

    async def _connection(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
                length = next(
                    (int(line.split(":")[1]) for line in head.split("\r\n") if line.startswith("content-length:")), 0
                )
                self.bodies.append(await reader.readexactly(length))
                self.arrived.append(time.clock_gettime(time.CLOCK_MONOTONIC))
                await self.script(next(self._numbers), writer)
                await writer.drain()
                if not self.keep:
                    break
        writer.close()


@contextlib.contextmanager
def raw_server(script: Script, *, keep: bool = False) -> Iterator[RawServer]:
    """Run the stand-in with `script` for the length of the `with` block."""
    server = RawServer(script, keep)
    server.start()
    try:
        yield server
    finally:
        server.stop()


def good_after(delay_seconds: Callable[[int], float], *, keep: bool = False) -> Script:
    """Every request gets a good answer after a delay by its number."""

    async def script(number: int, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(delay_seconds(number))
        writer.write(answer(keep=keep))

    return script


def log_normal_delays(count: int, median_seconds: float, spread: float, seed: int) -> list[float]:
    """Delays of a known distribution: log-normal with this median, `spread` the deviation of the logarithm."""
    generator = random.Random(seed)
    return [median_seconds * generator.lognormvariate(0.0, spread) for _ in range(count)]
