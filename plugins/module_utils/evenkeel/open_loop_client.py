# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Sends the requests of an open-loop schedule when they are due, however many are under way."""

from __future__ import annotations

import asyncio
import contextlib
import errno
import gc
import os
import resource
import select
import selectors
import signal
import socket
import ssl
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Callable, cast

from .clock import monotonic
from .http import DEFAULT_BODY_LIMIT_BYTES, check_url
from .open_loop import OK, TIMEOUT, UNFINISHED, Request
from .open_loop_http import AnswerReader, ProtocolError, request_bytes

# Between the call and the first arrival, so that the loop is running when it is due.
LEAD_SECONDS = 0.05
_NO_SOCKET_LEFT = frozenset({errno.EMFILE, errno.ENFILE, errno.EADDRNOTAVAIL, errno.ENOBUFS, errno.ENOMEM})

# Whether a body holds what is expected of it.
Judge = Callable[[bytes], bool]


@dataclass(frozen=True)
class Target:
    """What every request asks. `address` is an IP address, resolved once; `judge` looks at the body of a 2xx answer."""

    url: str
    address: str
    judge: Judge
    method: str = "GET"
    body: bytes | None = None
    headers: Mapping[str, str] | None = None
    keepalive: bool = False
    timeout_seconds: float = 10.0
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES


@dataclass(frozen=True)
class Sent:
    """What a load left: a record for each arrival in the order of the schedule, and its window.

    `ended_by` is None where the schedule came to its end and every request to its own. `most_under_way` is how many
    requests were under way at once. `cpu_seconds` is what this process used meanwhile, scheduled as
    `policy` ("fifo", first of all, or "other") and `nice` say.
    """

    requests: list[Request]
    start_monotonic_seconds: float
    end_monotonic_seconds: float
    ended_by: str | None
    most_under_way: int
    cpu_seconds: float
    policy: str
    nice: int


def resolve(url: str) -> str:
    """The first address of a URL's host. Raises OSError where it has none."""
    parts = check_url(url)
    found = socket.getaddrinfo(parts.hostname, parts.port or 0, type=socket.SOCK_STREAM)
    return str(found[0][4][0])


def send(target: Target, due: Sequence[float], deadline_seconds: float, max_under_way: int | None = None) -> Sent:
    """Send a request at each of the moments `due` (seconds, ascending) and wait until each came to its end.

    There is no cap on the requests under way unless `max_under_way` is one: what it keeps back is never sent, and
    counted as dropped. At `deadline_seconds` after the begin, and at SIGTERM or SIGINT, what is under way is given up
    as unfinished. Nothing that the server does raises.
    """
    _raise_descriptor_limit()
    loop = asyncio.SelectorEventLoop(_PreciseSelector())
    begun_cpu = _cpu_seconds()
    usual = os.sched_getscheduler(0), os.sched_getparam(0), os.getpriority(os.PRIO_PROCESS, 0)
    policy, nice = _come_first()
    collecting = gc.isenabled()
    # A collection in the middle of a load is a lag of its own; the objects here form no cycles worth one.
    gc.disable()
    try:
        load = _Load(loop, target, due, max_under_way)
        ended_by = loop.run_until_complete(load.run(deadline_seconds))
        end = monotonic()
        loop.run_until_complete(load.close())
    finally:
        loop.close()
        _come_as_usual(*usual)
        if collecting:
            gc.enable()
    used = _cpu_seconds() - begun_cpu
    return Sent(load.requests(), load.begin, end, ended_by, load.most_under_way, used, policy, nice)


class _PreciseSelector(selectors.EpollSelector):
    """An epoll selector whose time-outs are not rounded up to whole milliseconds, which would be a lag of 0.5 ms."""

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is not None and timeout > 0:
            # An epoll descriptor can itself be waited for, and select() counts in microseconds.
            select.select([self.fileno()], [], [], timeout)
            timeout = 0
        return super().select(timeout)


class _Load:
    """One load in progress."""

    def __init__(
        self, loop: asyncio.AbstractEventLoop, target: Target, due: Sequence[float], max_under_way: int | None
    ) -> None:
        parts = check_url(target.url)
        self.loop = loop
        self.target = target
        self.payload = request_bytes(
            parts, target.method, target.body, target.headers or {}, keepalive=target.keepalive
        )
        self.idle: list[_Connection] = []
        self.under_way: set[_Exchange] = set()
        self.most_under_way = 0
        self.begin = 0.0
        self._due = due
        self._cap = max_under_way
        self._records: list[Request | None] = [None] * len(due)
        self._left = len(due)
        self._over: asyncio.Future[str | None] = loop.create_future()
        self._tasks: set[asyncio.Task[None]] = set()
        secure = parts.scheme == "https"
        self._connect_to: dict[str, Any] = {"host": target.address, "port": parts.port or (443 if secure else 80)}
        if secure:
            self._connect_to.update(ssl=ssl.create_default_context(), server_hostname=parts.hostname)

    async def run(self, deadline_seconds: float) -> str | None:
        """Keep the schedule; what ended it, None where it came to its end."""
        self.begin = monotonic() + LEAD_SECONDS
        self.loop.call_at(self.begin + deadline_seconds, self._end, "deadline")
        for number in (signal.SIGTERM, signal.SIGINT):
            with contextlib.suppress(ValueError, RuntimeError):  # not in a process's main thread
                self.loop.add_signal_handler(number, self._end, "interrupted")
        self._arrive(0)
        ended_by = await self._over
        for exchange in list(self.under_way):
            exchange.finish(UNFINISHED)
        return ended_by

    async def close(self) -> None:
        """Close what is left of connections and attempts at one."""
        for connection in list(self.idle):
            connection.close()
        for task in list(self._tasks):
            task.cancel()
        if self._tasks:
            await asyncio.wait(self._tasks)
        # Closed transports let go of their sockets in the loop's next round.
        await asyncio.sleep(0)

    def requests(self) -> list[Request]:
        """A record for each arrival; one that was never due is unsent."""
        return [found or Request(due, None, None, "unsent") for due, found in zip(self._due, self._records)]

    def record(self, index: int, request: Request) -> None:
        """Keep what became of an arrival."""
        self._records[index] = request
        self._left -= 1
        if self._left == 0:
            self._end(None)

    def _end(self, ended_by: str | None) -> None:
        if not self._over.done():
            self._over.set_result(ended_by)

    def _arrive(self, index: int) -> None:
        """Send everything that is due, and come back when the next one is."""
        while index < len(self._due) and not self._over.done():
            moment = self.begin + self._due[index]
            if monotonic() < moment:
                self.loop.call_at(moment, self._arrive, index)
                return
            self._send(index)
            index += 1
        if not self._due:
            self._end(None)

    def _send(self, index: int) -> None:
        due = self._due[index]
        if self._cap is not None and len(self.under_way) >= self._cap:
            self.record(index, Request(due, None, None, "dropped"))
            return
        exchange = _Exchange(self, index, due)
        self.under_way.add(exchange)
        self.most_under_way = max(self.most_under_way, len(self.under_way))
        if self.idle:
            self.idle.pop().carry(exchange)
            return
        task = exchange.connecting = self.loop.create_task(self._connect(exchange))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, exchange: _Exchange) -> None:
        try:
            _, protocol = await self.loop.create_connection(lambda: _Connection(self), **self._connect_to)
        except OSError as error:
            exchange.finish(_outcome_of(error))
            return
        connection = protocol
        if exchange.over:
            connection.close()
        else:
            connection.carry(exchange)


class _Exchange:
    """One request and its answer, from the moment it is sent."""

    def __init__(self, load: _Load, index: int, due: float) -> None:
        self.over = False
        self.connection: _Connection | None = None
        self.connecting: asyncio.Task[None] | None = None
        self.reader = AnswerReader(load.target.body_limit_bytes)
        self._load = load
        self._index = index
        self._due = due
        self._sent = monotonic() - load.begin
        self._timer = load.loop.call_later(load.target.timeout_seconds, self.finish, TIMEOUT)

    def finish(self, outcome: str, end: float | None = None) -> None:
        """Record what became of it, once. Its connection is closed unless another request may use it."""
        if self.over:
            return
        ended = (monotonic() if end is None else end) - self._load.begin
        self.over = True
        self._timer.cancel()
        self._load.under_way.discard(self)
        if self.connection is not None:
            answered = outcome in (OK, "non_2xx", "wrong_answer")
            self.connection.let_go(reusable=answered and self.reader.reusable and self._load.target.keepalive)
        elif self.connecting is not None:
            self.connecting.cancel()
        self._load.record(
            self._index, Request(self._due, self._sent, ended, outcome, self.reader.status, self.reader.size)
        )

    def answered(self) -> None:
        """The answer is whole: judge it. The end is stamped before: judging is no time of the server's."""
        end = monotonic()
        if not 200 <= (self.reader.status or 0) <= 299:
            self.finish("non_2xx", end)
        else:
            self.finish(OK if self._load.target.judge(self.reader.body) else "wrong_answer", end)


class _Connection(asyncio.Protocol):
    """One connection, which carries one exchange at a time."""

    def __init__(self, load: _Load) -> None:
        self._load = load
        self._transport: asyncio.Transport | None = None
        self._exchange: _Exchange | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Called by the loop (which sets TCP_NODELAY itself)."""
        self._transport = cast("asyncio.Transport", transport)

    def carry(self, exchange: _Exchange) -> None:
        """Send a request and wait for its answer."""
        self._exchange, exchange.connection = exchange, self
        if self._transport is None or self._transport.is_closing():
            exchange.finish("reset")
            return
        self._transport.write(self._load.payload)

    def data_received(self, data: bytes) -> None:
        """Called by the loop."""
        exchange = self._exchange
        if exchange is None:
            self.close()  # bytes that nobody asked for
            return
        try:
            exchange.reader.feed(data)
        except ProtocolError:
            exchange.finish("protocol")
            return
        if exchange.reader.done:
            exchange.answered()

    def eof_received(self) -> bool:
        """Called by the loop when the server closed its side, which may be how the answer ends."""
        exchange = self._exchange
        if exchange is not None:
            try:
                exchange.reader.end()
            except ProtocolError:
                exchange.finish("reset" if exchange.reader.status is None else "protocol")
            else:
                exchange.answered()
        return False

    def connection_lost(self, error: Exception | None) -> None:
        """Called by the loop."""
        with contextlib.suppress(ValueError):
            self._load.idle.remove(self)
        exchange = self._exchange
        if exchange is not None:
            tls = isinstance(error, ssl.SSLError)
            exchange.finish("protocol" if tls or exchange.reader.status is not None else "reset")

    def let_go(self, *, reusable: bool) -> None:
        """The exchange is over."""
        self._exchange = None
        if reusable and self._transport is not None and not self._transport.is_closing():
            self._load.idle.append(self)
        else:
            self.close()

    def close(self) -> None:
        """Close it at once: what is still on its way is nobody's."""
        if self._transport is not None:
            self._transport.abort()


def _outcome_of(error: OSError) -> str:
    """Why no connection came about."""
    if isinstance(error, ConnectionRefusedError):
        return "refused"
    if isinstance(error, ssl.SSLError):
        return "protocol"
    if isinstance(error, (ConnectionResetError, ConnectionAbortedError, BrokenPipeError)):
        return "reset"
    return "client" if error.errno in _NO_SOCKET_LEFT else "unreachable"


def _come_first() -> tuple[str, int]:
    """Let the kernel run this process before all others, where it may ask for that; the policy and nice value it has.

    It takes as little CPU time as before, and takes it when a request is due, not when a busy service has paused. With
    a nice value alone it waits for the end of the service's slice, which is some milliseconds. The kernel leaves 5 % of
    a CPU to others whatever happens (sched(7), sched_rt_runtime_us).
    """
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, -20)
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
    is_first = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK == os.SCHED_FIFO
    return "fifo" if is_first else "other", os.getpriority(os.PRIO_PROCESS, 0)


def _come_as_usual(policy: int, parameters: os.sched_param, nice: int) -> None:
    with contextlib.suppress(OSError):
        os.sched_setscheduler(0, policy, parameters)
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, 0, nice)


def _raise_descriptor_limit() -> None:
    """Every request under way needs a descriptor: allow as many as this process may have."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft != hard:
        with contextlib.suppress(ValueError, OSError):
            resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _cpu_seconds() -> float:
    used = os.times()
    return used.user + used.system
