# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""One HTTP request with one deadline, from the standard library alone.

Why not urllib: it honours proxy variables, follows redirects, turns 4xx and 5xx into exceptions, and its time-out
starts anew with every byte that arrives. A probe needs the opposite of each.
"""

from __future__ import annotations

import contextlib
import http.client
import io
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn
from urllib.parse import SplitResult, urlsplit

from .clock import Deadline

DEFAULT_BODY_LIMIT_BYTES = 4 * 1024 * 1024
KINDS = ("scheme", "dns", "refused", "unreachable", "reset", "timeout", "protocol")


@dataclass(frozen=True)
class Response:
    """A complete answer: status code, headers (names in lower case, repeated ones joined by a comma) and body."""

    status: int
    headers: dict[str, str]
    body: bytes


class RequestFailed(Exception):
    """No complete answer came.

    ``kind`` is one of KINDS: ``scheme`` (the URL cannot be asked), ``dns``, ``refused``, ``unreachable``, ``reset``
    (closed before or within the answer's head), ``timeout`` (the deadline passed), ``protocol`` (not HTTP, a body
    shorter than announced or longer than allowed, a TLS failure).
    """

    def __init__(self, kind: str, message: str) -> None:
        super().__init__(message)
        self.kind = kind
        self.message = message


class _DeadlineReader(io.RawIOBase):
    """Reads a socket so that all reads together end at the deadline, however slowly the bytes drip."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        super().__init__()
        self._socket = connected
        self._deadline = deadline

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        self._socket.settimeout(_positive(self._deadline))
        return self._socket.recv_into(buffer)


class _DeadlineSocket:
    """The part of a socket's interface that http.client uses, under one deadline."""

    def __init__(self, connected: socket.socket, deadline: Deadline) -> None:
        self._socket = connected
        self._deadline = deadline

    def sendall(self, data: Any) -> None:
        self._socket.settimeout(_positive(self._deadline))
        self._socket.sendall(data)

    def makefile(self, mode: str) -> io.BufferedReader:
        if mode != "rb":
            raise ValueError(f"http.client asked for a file of mode {mode}, only rb is served")
        return io.BufferedReader(_DeadlineReader(self._socket, self._deadline))

    def close(self) -> None:
        """Nothing: http.client lets go of the socket before the body is read, so the request closes it at its end."""


def _positive(deadline: Deadline) -> float:
    """Seconds left, as a socket time-out. Raises TimeoutError at the end, since 0 would mean non-blocking."""
    remaining = deadline.remaining()
    if remaining <= 0:
        raise socket.timeout("timed out")
    return remaining


def request(
    method: str,
    url: str,
    body: bytes | None = None,
    headers: Mapping[str, str] | None = None,
    *,
    timeout_seconds: float = 10.0,
    body_limit_bytes: int = DEFAULT_BODY_LIMIT_BYTES,
) -> Response:
    """Send one request on a connection of its own and return the complete answer, whatever its status.

    ``timeout_seconds`` bounds everything together: connecting, sending, waiting and reading. No proxy is used, no
    redirect followed. Raises RequestFailed where no complete answer came, ValueError for a time-out of 0 or less.
    """
    parts = check_url(url)
    deadline = Deadline(timeout_seconds)
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    try:
        with _connect(parts, deadline) as connected:
            connection = http.client.HTTPConnection(parts.hostname or "", parts.port or _default_port(parts))
            connection.sock = _DeadlineSocket(connected, deadline)
            # A server may refuse a body before it has read it all; its answer is then already there.
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                connection.request(method, target, body=body, headers={"Connection": "close", **(headers or {})})
            return _read_response(connection.getresponse(), body_limit_bytes)
    except RequestFailed as failure:
        raise RequestFailed(failure.kind, f"{method} {url}: {failure.message}") from failure
    except Exception as error:
        _raise_classified(error, f"{method} {url}", timeout_seconds)


def json_object(body: bytes) -> dict[str, Any]:
    """The JSON object in a body; an empty one where there is none, or one nested too deeply to be read."""
    try:
        document = json.loads(body)
    except (ValueError, RecursionError):
        return {}
    return document if isinstance(document, dict) else {}


def shown(body: bytes) -> str:
    """The beginning of a body, for a message."""
    return body[:300].decode("utf-8", errors="replace").strip()


def check_url(url: str) -> SplitResult:
    """Split an http or https URL. Raises RequestFailed of kind ``scheme`` saying what is wrong with it."""
    try:
        parts = urlsplit(url)
        parts.port  # noqa: B018 - reading it validates it
    except ValueError as error:
        raise RequestFailed("scheme", f"not a URL: {url!r} ({error})") from error
    if parts.scheme not in {"http", "https"}:
        raise RequestFailed("scheme", f"unsupported URL {url!r}: it must begin with http:// or https://")
    if not parts.hostname:
        raise RequestFailed("scheme", f"URL without a host: {url!r}")
    return parts


def _default_port(parts: SplitResult) -> int:
    return 443 if parts.scheme == "https" else 80


def _connect(parts: SplitResult, deadline: Deadline) -> socket.socket:
    address = (parts.hostname or "", parts.port or _default_port(parts))
    connected = socket.create_connection(address, timeout=_positive(deadline))
    try:
        connected.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        if parts.scheme == "https":
            connected.settimeout(_positive(deadline))
            return ssl.create_default_context().wrap_socket(connected, server_hostname=parts.hostname)
    except BaseException:
        connected.close()
        raise
    return connected


def _read_response(reply: http.client.HTTPResponse, body_limit_bytes: int) -> Response:
    content = reply.read(body_limit_bytes + 1)
    if len(content) > body_limit_bytes:
        raise RequestFailed("protocol", f"the answer's body is over {body_limit_bytes} bytes")
    if reply.length:  # what is still missing of the announced length; read(n) does not raise for it
        raise http.client.IncompleteRead(content, reply.length)
    names = {name.lower() for name in reply.headers}
    return Response(reply.status, {name: ", ".join(reply.headers.get_all(name, [])) for name in names}, content)


def _raise_classified(error: Exception, what: str, timeout_seconds: float) -> NoReturn:
    """Raise RequestFailed for what http.client, ssl and the socket raise; anything else is a bug and passes through."""
    if isinstance(error, socket.gaierror):
        kind, message = "dns", f"the host name does not resolve ({error.strerror})"
    elif isinstance(error, ConnectionRefusedError):
        kind, message = "refused", "connection refused: nothing listens there"
    elif isinstance(error, socket.timeout):  # not yet TimeoutError in Python 3.9
        kind, message = "timeout", f"no complete answer within {timeout_seconds:g} s"
    elif isinstance(error, (ConnectionResetError, BrokenPipeError, ConnectionAbortedError)):
        kind, message = "reset", "the connection was closed before an answer came"
    elif isinstance(error, (http.client.InvalidURL, UnicodeEncodeError)):
        kind, message = "scheme", f"the URL cannot be asked ({error})"
    elif isinstance(error, http.client.IncompleteRead):
        kind, message = "protocol", f"the body ended after {len(error.partial)} bytes, more was announced"
    elif isinstance(error, (http.client.HTTPException, ssl.SSLError)):
        kind, message = "protocol", f"not a usable answer ({type(error).__name__}: {error})"
    elif isinstance(error, OSError):
        kind, message = "unreachable", f"{error.strerror or error}"
    else:
        raise error
    raise RequestFailed(kind, f"{what}: {message}") from error


def server_timing_seconds(header: str, name: str) -> float | None:
    """The duration, in seconds, that a Server-Timing header gives under a name; None where it gives none.

    Source: W3C, Server Timing: ``name;dur=MILLISECONDS``, entries parted by commas, parameters by semicolons.
    """
    for entry in header.split(","):
        found, *parameters = (part.strip() for part in entry.split(";"))
        for parameter in parameters:
            key, _, value = parameter.partition("=")
            if found == name and key.strip() == "dur":
                try:
                    return float(value.strip().strip('"')) / 1000
                except ValueError:
                    return None
    return None
