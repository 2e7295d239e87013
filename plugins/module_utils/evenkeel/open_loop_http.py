# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""HTTP/1.1 for the load generator: the bytes of a request, and an answer read as its bytes come (RFC 9112).

Why not http.client: it blocks a thread for each request under way, and an open loop has as many of them as the server
lets pile up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Callable
from urllib.parse import SplitResult

HEAD_LIMIT_BYTES = 64 * 1024
LINE_LIMIT_BYTES = 8 * 1024  # of a chunk's size line or a trailer
_NO_BODY = (204, 304)


class ProtocolError(Exception):
    """What came is not a usable HTTP answer; the message says why."""


def request_bytes(
    parts: SplitResult, method: str, body: bytes | None, headers: Mapping[str, str], *, keepalive: bool
) -> bytes:
    """A whole request. `headers` replace those set here where the names are equal."""
    target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
    host = parts.hostname or ""
    host = f"[{host}]" if ":" in host else host
    fields = {"host": ("Host", host if parts.port is None else f"{host}:{parts.port}")}
    fields["user-agent"] = ("User-Agent", "evenkeel-open-loop")
    fields["accept"] = ("Accept", "*/*")
    fields["connection"] = ("Connection", "keep-alive" if keepalive else "close")
    if body is not None:
        fields["content-length"] = ("Content-Length", str(len(body)))
    fields.update({name.lower(): (name, value) for name, value in headers.items()})
    lines = [f"{method} {target} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.values())]
    return ("\r\n".join(lines) + "\r\n\r\n").encode("latin-1") + (body or b"")


class AnswerReader:
    """Takes an answer's bytes piece by piece. `done` when it is whole; `status` from the end of its head on."""

    def __init__(self, body_limit_bytes: int) -> None:
        self.status: int | None = None
        self.reusable = False
        self.done = False
        self._limit = body_limit_bytes
        self._pending = bytearray()
        self._pieces: list[bytes] = []
        self._size = 0
        self._left: int | None = None  # bytes until the body's or the chunk's end; None until the connection's
        self._step: Callable[[], bool] = self._head

    @property
    def body(self) -> bytes:
        """The body so far."""
        return b"".join(self._pieces)

    @property
    def size(self) -> int:
        """Bytes of the body so far."""
        return self._size

    @property
    def begun(self) -> bool:
        """Whether any byte came."""
        return self.status is not None or bool(self._pending)

    def feed(self, data: bytes) -> None:
        """Take the next bytes. Raises ProtocolError."""
        self._pending += data
        while not self.done and self._step():
            pass
        if self.done and self._pending:
            raise ProtocolError("more bytes came than the answer has")

    def end(self) -> None:
        """The connection was closed, which ends a body of unannounced length. Raises ProtocolError for any other."""
        if self.done:
            return
        if self.status is None:
            raise ProtocolError("the connection was closed within the answer's head")
        if self._step == self._until_closed:
            self.done = True
            return
        raise ProtocolError(f"the body ended after {self._size} bytes, more was announced")

    def _head(self) -> bool:
        end = self._pending.find(b"\r\n\r\n")
        if end < 0:
            if len(self._pending) > HEAD_LIMIT_BYTES:
                raise ProtocolError(f"the answer's head is over {HEAD_LIMIT_BYTES} bytes")
            if not b"HTTP/1.".startswith(self._pending[:7]) and not self._pending.startswith(b"HTTP/1."):
                raise ProtocolError(f"not HTTP: {bytes(self._pending[:40])!r}")
            return False
        lines = self._pending[:end].decode("latin-1").split("\r\n")
        del self._pending[: end + 4]
        version, status = self._status_line(lines[0])
        if 100 <= status < 200:
            return True  # an interim answer: the final one follows
        headers: dict[str, str] = {}
        for line in lines[1:]:
            name, colon, value = line.partition(":")
            if not colon:
                raise ProtocolError(f"a header without a colon: {line[:40]!r}")
            key = name.strip().lower()
            headers[key] = f"{headers[key]}, {value.strip()}" if key in headers else value.strip()
        self.status = status
        connection = headers.get("connection", "").lower()
        self.reusable = "close" not in connection and (version != "HTTP/1.0" or "keep-alive" in connection)
        self._frame(status, headers)
        return True

    def _status_line(self, line: str) -> tuple[str, int]:
        version, _, rest = line.partition(" ")
        code = rest[:3]
        if version not in {"HTTP/1.0", "HTTP/1.1"} or not (code.isascii() and code.isdigit() and len(code) == 3):
            raise ProtocolError(f"not an HTTP status line: {line[:40]!r}")
        return version, int(code)

    def _frame(self, status: int, headers: Mapping[str, str]) -> None:
        """How the body ends: by chunks, by its announced length, or by the connection's end."""
        if status in _NO_BODY:
            self._left, self._step = 0, self._counted
        elif "chunked" in headers.get("transfer-encoding", "").lower():
            self._step = self._chunk_size
        elif "content-length" in headers:
            announced = set(headers["content-length"].replace(" ", "").split(","))
            length = announced.pop()
            if announced or not (length.isascii() and length.isdigit()):
                raise ProtocolError(f"Content-Length is {headers['content-length'][:40]!r}")
            self._left, self._step = int(length), self._counted
            if self._left > self._limit:
                raise ProtocolError(f"the answer's body is over {self._limit} bytes")
        else:
            self.reusable = False
            self._step = self._until_closed

    def _take(self, size: int) -> None:
        piece = bytes(self._pending[:size])
        del self._pending[:size]
        self._size += len(piece)
        if self._size > self._limit:
            raise ProtocolError(f"the answer's body is over {self._limit} bytes")
        if piece:
            self._pieces.append(piece)

    def _counted(self) -> bool:
        left = self._left or 0
        before = self._size
        self._take(left)
        self._left = left - (self._size - before)
        self.done = self._left == 0
        return False

    def _until_closed(self) -> bool:
        self._take(len(self._pending))
        return False

    def _line(self) -> str | None:
        end = self._pending.find(b"\r\n")
        if end < 0:
            if len(self._pending) > LINE_LIMIT_BYTES:
                raise ProtocolError("a chunk's line is too long")
            return None
        line = self._pending[:end].decode("latin-1")
        del self._pending[: end + 2]
        return line

    def _chunk_size(self) -> bool:
        line = self._line()
        if line is None:
            return False
        digits = line.partition(";")[0].strip()
        if not digits or any(mark not in "0123456789abcdefABCDEF" for mark in digits):
            raise ProtocolError(f"not a chunk's size: {line[:40]!r}")
        self._left = int(digits, 16)
        self._step = self._chunk if self._left else self._trailer
        return True

    def _chunk(self) -> bool:
        left = self._left or 0
        before = self._size
        self._take(left)
        self._left = left - (self._size - before)
        if self._left:
            return False
        self._step = self._chunk_end
        return True

    def _chunk_end(self) -> bool:
        line = self._line()
        if line is None:
            return False
        if line:
            raise ProtocolError("a chunk is longer than its size")
        self._step = self._chunk_size
        return True

    def _trailer(self) -> bool:
        line = self._line()
        if line is None:
            return False
        self.done = line == ""
        return True
