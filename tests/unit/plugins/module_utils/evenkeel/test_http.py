# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""One request under one deadline, against servers that are slow, broken or absent."""

from __future__ import annotations

import contextlib
import json
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest
from evenkeel import http

from tests.standins.http_server import GOOD_BODY, Reply, always, http_server


@contextlib.contextmanager
def raw_server(serve: Callable[[socket.socket], None]) -> Iterator[str]:
    """A stand-in that gives each connection to ``serve``; yields its URL."""
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def accept() -> None:
            with contextlib.suppress(OSError):
                while True:
                    connection, _ = listener.accept()
                    with connection, contextlib.suppress(OSError):
                        serve(connection)

        threading.Thread(target=accept, daemon=True).start()
        yield f"http://127.0.0.1:{listener.getsockname()[1]}/"


def answering(*pieces: bytes, pause_seconds: float = 0.0) -> Callable[[socket.socket], None]:
    """A behaviour of raw_server: read the head, then send the pieces with a pause before each."""

    def serve(connection: socket.socket) -> None:
        connection.recv(65536)
        for piece in pieces:
            time.sleep(pause_seconds)
            connection.sendall(piece)

    return serve


def failure_of(url: str, **options: object) -> http.RequestFailed:
    with pytest.raises(http.RequestFailed) as caught:
        http.request("GET", url, **{"timeout_seconds": 5.0, **options})  # type: ignore[arg-type]
    assert caught.value.kind in http.KINDS
    assert url in caught.value.message or repr(url) in caught.value.message
    return caught.value


class TestAnswers:
    @pytest.mark.parametrize("status", [200, 404, 500, 503])
    def test_any_status_is_an_answer(self, status: int) -> None:
        with http_server(always(Reply(status=status))) as server:
            answer = http.request("GET", server.url, timeout_seconds=5)
        assert (answer.status, answer.body) == (status, GOOD_BODY)
        assert answer.headers["content-type"] == "application/json"

    def test_sends_method_path_query_headers_and_body(self) -> None:
        with http_server(always(Reply())) as server:
            http.request("POST", f"{server.url}predict?a=1&b=2", b"image", {"X-One": "1"}, timeout_seconds=5)
        received = server.received[0]
        assert (received.method, received.target, received.body) == ("POST", "/predict?a=1&b=2", b"image")
        assert received.headers["x-one"] == "1"
        assert received.headers["connection"] == "close"

    def test_a_url_without_a_path_asks_for_the_root(self) -> None:
        with http_server(always(Reply())) as server:
            http.request("GET", server.url.rstrip("/"), timeout_seconds=5)
        assert server.received[0].target == "/"

    def test_the_answer_to_head_has_no_body(self) -> None:
        with raw_server(answering(b"HTTP/1.1 200 OK\r\nContent-Length: 17\r\n\r\n")) as url:
            assert http.request("HEAD", url, timeout_seconds=5).body == b""

    def test_chunked_and_split_bodies_are_put_together(self) -> None:
        pieces = (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", b"2\r\nab\r\n", b"1\r\nc\r\n0\r\n\r\n")
        with raw_server(answering(*pieces, pause_seconds=0.02)) as url:
            assert http.request("GET", url, timeout_seconds=5).body == b"abc"

    def test_a_body_that_comes_after_its_head(self) -> None:
        pieces = (b"HTTP/1.0 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\n", b"a", b"b")
        with raw_server(answering(*pieces, pause_seconds=0.05)) as url:
            assert http.request("GET", url, timeout_seconds=5).body == b"ab"

    def test_repeated_headers_are_joined(self) -> None:
        with raw_server(answering(b"HTTP/1.1 200 OK\r\nX-A: 1\r\nx-a: 2\r\nContent-Length: 0\r\n\r\n")) as url:
            assert http.request("GET", url, timeout_seconds=5).headers["x-a"] == "1, 2"

    def test_redirects_are_not_followed(self) -> None:
        head = b"HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n"
        with raw_server(answering(head)) as url:
            assert http.request("GET", url, timeout_seconds=5).status == 302

    def test_proxy_variables_are_ignored(self, monkeypatch: pytest.MonkeyPatch) -> None:
        for name in ("http_proxy", "HTTP_PROXY", "all_proxy"):
            monkeypatch.setenv(name, "http://127.0.0.1:1")
        with http_server(always(Reply())) as server:
            assert json.loads(http.request("GET", server.url, timeout_seconds=5).body)

    def test_a_refusal_before_the_body_was_read_is_an_answer(self) -> None:
        def refuse(connection: socket.socket) -> None:
            connection.recv(1000)
            connection.sendall(b"HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\nConnection: close\r\n\r\nno")
            connection.shutdown(socket.SHUT_WR)
            time.sleep(0.2)

        with raw_server(refuse) as url:
            answer = http.request("POST", url, b"x" * 20_000_000, timeout_seconds=5)
        assert (answer.status, answer.body) == (413, b"no")


class TestFailures:
    def test_refused(self) -> None:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            port = listener.getsockname()[1]
        assert failure_of(f"http://127.0.0.1:{port}/").kind == "refused"

    @pytest.mark.parametrize(("fault", "kind"), [("reset", "reset"), ("empty", "reset"), ("garbage", "protocol")])
    def test_broken_answers(self, fault: str, kind: str) -> None:
        with http_server(always(Reply(fault=fault))) as server:  # type: ignore[arg-type]
            assert failure_of(server.url).kind == kind

    def test_a_truncated_body_says_how_much_came(self) -> None:
        with http_server(always(Reply(body=b"x" * 100, fault="truncate"))) as server:
            failure = failure_of(server.url)
        assert failure.kind == "protocol" and "50 bytes" in failure.message

    def test_a_truncated_chunked_body(self) -> None:
        with raw_server(answering(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nab")) as url:
            assert failure_of(url).kind == "protocol"

    def test_silence_ends_at_the_deadline(self) -> None:
        begun = time.monotonic()
        with http_server(always(Reply(fault="stall"))) as server:
            failure = failure_of(server.url, timeout_seconds=0.2)
        assert failure.kind == "timeout" and "0.2 s" in failure.message
        assert time.monotonic() - begun < 5

    @pytest.mark.parametrize("head", [b"", b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n"])
    def test_dripping_bytes_do_not_extend_the_deadline(self, head: bytes) -> None:
        pieces = [head or b"H", *[b"x"] * 200]
        begun = time.monotonic()
        with raw_server(answering(*pieces, pause_seconds=0.05)) as url:
            assert failure_of(url, timeout_seconds=0.4).kind == "timeout"
        assert time.monotonic() - begun < 5

    def test_a_server_that_does_not_read_the_body(self) -> None:
        with raw_server(lambda _connection: time.sleep(1)) as url, pytest.raises(http.RequestFailed) as caught:
            http.request("POST", url, b"x" * 50_000_000, timeout_seconds=0.3)
        assert caught.value.kind == "timeout"

    def test_a_body_over_the_limit(self) -> None:
        with http_server(always(Reply(body=b"x" * 1001))) as server:
            assert failure_of(server.url, body_limit_bytes=1000).kind == "protocol"
            assert len(http.request("GET", server.url, timeout_seconds=5, body_limit_bytes=1001).body) == 1001

    def test_a_name_that_does_not_resolve(self) -> None:
        assert failure_of("http://no-such-host.invalid/").kind == "dns"

    def test_plain_http_where_tls_is_asked_for(self) -> None:
        with raw_server(answering(b"HTTP/1.0 400 Bad Request\r\n\r\n")) as url:
            assert failure_of(url.replace("http://", "https://")).kind == "protocol"

    @pytest.mark.parametrize(
        "url",
        ["", "127.0.0.1:80/", "ftp://127.0.0.1/", "http:///path", "http://127.0.0.1:99999/", "http://127.0.0.1:x/"],
    )
    def test_a_url_that_cannot_be_asked(self, url: str) -> None:
        assert failure_of(url).kind == "scheme"

    def test_a_path_with_characters_no_url_has(self) -> None:
        with http_server(always(Reply())) as server:
            assert failure_of(f"{server.url}a b").kind == "scheme"
            assert failure_of(f"{server.url}\N{SNOWMAN}").kind == "scheme"

    def test_a_time_out_that_is_none(self) -> None:
        with pytest.raises(ValueError, match="positive"):
            http.request("GET", "http://127.0.0.1:1/", timeout_seconds=0)


@pytest.mark.parametrize(
    ("header", "seconds"),
    [
        ("queue;dur=1.5, evaluation;dur=440.250", 0.44025),
        ('evaluation; desc="the model" ;dur="12"', 0.012),
        ("evaluation", None),
        ("evaluation;dur=soon", None),
        ("queue;dur=1.5", None),
        ("", None),
    ],
)
def test_a_duration_of_server_timing_is_in_seconds(header: str, seconds: float | None) -> None:
    assert http.server_timing_seconds(header, "evaluation") == seconds
