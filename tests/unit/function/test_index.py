# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The template's server keeps the contract of OpenFaaS's Python templates."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import pytest
from waitress.adjustments import Adjustments

LoadIndex = Callable[[ModuleType], ModuleType]


def handler_of(handle: Callable[[Any, Any], Any]) -> ModuleType:
    module = ModuleType("handler")
    module.handle = handle  # type: ignore[attr-defined]
    return module


def returning(value: Any) -> ModuleType:
    return handler_of(lambda _event, _context: value)


@pytest.mark.parametrize("method", ["GET", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "BREW"])
def test_event_and_context(load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch, method: str) -> None:
    monkeypatch.setenv("HOSTNAME", "function-0")
    seen: list[tuple[Any, Any]] = []
    app = load_index(handler_of(lambda event, context: seen.append((event, context)))).create_app()
    reply = app.test_client().open("/a/b?x=1&y=", method=method, data=b"\xffbody", headers={"X-One": "1"})
    event, context = seen[0]
    assert (event.method, event.path, event.body) == (method, "/a/b", b"\xffbody")
    assert (dict(event.query.items()), event.headers["x-one"]) == ({"x": "1", "y": ""}, "1")
    assert context.hostname == "function-0"
    assert (reply.status_code, reply.data) == (200, b"")


def test_without_a_hostname_variable_the_host_s_own_name(
    load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("HOSTNAME", raising=False)
    hostnames: list[str] = []
    app = load_index(handler_of(lambda _event, context: hostnames.append(context.hostname))).create_app()
    app.test_client().get("/")
    assert hostnames[0]


@pytest.mark.parametrize(
    ("returned", "status", "body"),
    [
        (None, 200, b""),
        ({"body": "text"}, 200, b"text"),
        ({"statusCode": 201, "body": "text", "headers": {"X-One": "1"}}, 201, b"text"),
        ({"statusCode": 204}, 204, b""),
        ({"body": b"\xff\x00"}, 200, b"\xff\x00"),
        ({"body": {"a": 1}}, 200, b'{"a":1}\n'),
        ({"body": [1]}, 200, b"[1]\n"),
        ({"a": 1}, 200, b'{"a":1}\n'),
        ("text", 200, b"text"),
        (("text", 202), 202, b"text"),
    ],
)
def test_what_a_handler_may_return(load_index: LoadIndex, returned: Any, status: int, body: bytes) -> None:
    reply = load_index(returning(returned)).create_app().test_client().get("/")
    assert (reply.status_code, reply.data) == (status, body)


def test_headers_of_the_handler_are_sent(load_index: LoadIndex) -> None:
    returned = {"body": "{}", "headers": {"Content-Type": "application/json", "Retry-After": "1"}}
    headers = load_index(returning(returned)).create_app().test_client().get("/").headers
    assert headers["Content-Type"] == "application/json"
    assert headers["Retry-After"] == "1"


class TestBoundedBody:
    def feed(self, index: ModuleType, head: bytes, *pieces: bytes) -> Any:
        parser = index.BoundedBodyParser(Adjustments())
        for piece in (head, *pieces):
            parser.received(piece)
        return parser

    def test_a_body_within_the_bound_is_read_to_its_end(
        self, load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        index = load_index(returning(None))
        monkeypatch.setattr(index, "BODY_BYTES_TAKEN", 100)
        parser = self.feed(index, b"POST / HTTP/1.1\r\nContent-Length: 100\r\n\r\n", bytes(60))
        assert not parser.completed
        parser.received(bytes(40))
        assert parser.completed and not parser.connection_close

    @pytest.mark.parametrize(
        ("head", "pieces"),
        [
            (b"POST / HTTP/1.1\r\nContent-Length: 1000\r\n\r\n", (bytes(60), bytes(60))),
            (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", (b"3e8\r\n", bytes(60), bytes(60))),
        ],
    )
    def test_a_longer_one_is_cut_and_the_connection_closed(
        self, load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch, head: bytes, pieces: tuple[bytes, ...]
    ) -> None:
        index = load_index(returning(None))
        monkeypatch.setattr(index, "BODY_BYTES_TAKEN", 100)
        parser = self.feed(index, head, *pieces)
        assert parser.completed and parser.connection_close
        assert parser.headers["CONTENT_LENGTH"] == str(len(parser.get_body_stream().read()))


def serve_settings(index: ModuleType, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What serve() asks of waitress, without serving."""
    asked: dict[str, Any] = {}

    class NoServer:
        def __init__(self, app: Any, **options: Any) -> None:
            asked.update(options)
            self.adj = Adjustments(**options)

        def run(self) -> None:
            asked["channel_class"] = vars(self)["channel_class"]

    monkeypatch.setattr(index, "create_server", NoServer)
    index.serve()
    return asked


def test_serves_where_the_environment_says(load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch) -> None:
    index = load_index(returning(None))
    for name in ("EVENKEEL_PORT", "EVENKEEL_BIND"):
        monkeypatch.delenv(name, raising=False)
    default = serve_settings(index, monkeypatch)
    assert (default["host"], default["port"], default["threads"]) == ("127.0.0.1", 5000, 4)
    assert default["channel_class"] is index.BoundedBodyChannel
    monkeypatch.setenv("EVENKEEL_PORT", "8123")
    monkeypatch.setenv("EVENKEEL_BIND", "0.0.0.0")
    asked = serve_settings(index, monkeypatch)
    assert (asked["host"], asked["port"]) == ("0.0.0.0", 8123)


def test_the_handler_names_its_threads_and_is_started_with_them(
    load_index: LoadIndex, monkeypatch: pytest.MonkeyPatch
) -> None:
    handler = returning(None)
    handler.request_threads = 6  # type: ignore[attr-defined]
    started: list[int] = []
    handler.start = started.append  # type: ignore[attr-defined]
    assert serve_settings(load_index(handler), monkeypatch)["threads"] == 6
    assert started == [6]
