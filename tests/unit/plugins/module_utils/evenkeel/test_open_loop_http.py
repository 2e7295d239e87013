# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from itertools import pairwise

import pytest
from evenkeel.http import check_url
from evenkeel.open_loop_http import AnswerReader, ProtocolError, request_bytes
from hypothesis import given
from hypothesis import strategies as st

ANSWERS = {
    "length": b"HTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
    "chunks": b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n6\r\nhello \r\n5\r\nworld\r\n0\r\n\r\n",
    "interim": b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 11\r\n\r\nhello world",
}


def read(pieces: list[bytes], limit: int = 1000) -> AnswerReader:
    reader = AnswerReader(limit)
    for piece in pieces:
        reader.feed(piece)
    return reader


@given(st.sampled_from(sorted(ANSWERS)), st.lists(st.integers(0, 120), max_size=8))
def test_an_answer_is_the_same_however_it_is_cut(name: str, cuts: list[int]) -> None:
    whole = ANSWERS[name]
    edges = [0, *sorted(min(cut, len(whole)) for cut in cuts), len(whole)]
    reader = read([whole[begin:end] for begin, end in pairwise(edges)])
    assert (reader.done, reader.status, reader.body, reader.size) == (True, 200, b"hello world", 11)
    assert reader.reusable


@given(st.binary(max_size=200))
def test_garbage_never_does_worse_than_a_protocol_error(data: bytes) -> None:
    reader = AnswerReader(100)
    try:
        reader.feed(data)
        reader.end()
    except ProtocolError as error:
        assert str(error)
    assert reader.size <= 200


def test_a_body_ends_with_the_connection_where_nothing_announces_its_length() -> None:
    reader = read([b"HTTP/1.1 200 OK\r\n\r\nhello"])
    assert not reader.done
    reader.end()
    assert (reader.done, reader.body, reader.reusable) == (True, b"hello", False)


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status: int) -> None:
    assert read([f"HTTP/1.1 {status} X\r\n\r\n".encode()]).done


@pytest.mark.parametrize(
    ("head", "reusable"),
    [
        ("HTTP/1.1 200 OK\r\n", True),
        ("HTTP/1.1 200 OK\r\nConnection: close\r\n", False),
        ("HTTP/1.0 200 OK\r\n", False),
        ("HTTP/1.0 200 OK\r\nConnection: Keep-Alive\r\n", True),
    ],
)
def test_whether_the_connection_may_be_used_again(head: str, reusable: bool) -> None:
    assert read([f"{head}Content-Length: 0\r\n\r\n".encode()]).reusable is reusable


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (b"SSH-2.0-x\r\n", "not HTTP"),
        (b"HTTP/1.1 abc\r\n\r\n", "status line"),
        (b"HTTP/1.1 200 OK\r\nodd\r\n\r\n", "without a colon"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n", "Content-Length"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1001\r\n\r\n", "over 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\n\r\n" + b"x" * 1001, "over 1000 bytes"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nxy", "more bytes"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nq\r\n", "chunk's size"),
        (b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nab\r\n", "longer than its size"),
        (b"HTTP/1.1 200 OK\r\nA: " + b"x" * 70_000, "head is over"),
    ],
)
def test_what_is_no_answer_is_refused(data: bytes, said: str) -> None:
    with pytest.raises(ProtocolError, match=said):
        read([data])


def test_an_answer_cut_off_is_refused() -> None:
    with pytest.raises(ProtocolError, match="5 bytes, more was announced"):
        read([b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhello"]).end()
    with pytest.raises(ProtocolError, match="within the answer's head"):
        read([b"HTTP/1.1 200 OK\r\n"]).end()


def test_a_request_is_what_the_server_must_see() -> None:
    sent = request_bytes(check_url("http://[::1]:81/a?b=c"), "POST", b"xyz", {"accept": "image/png"}, keepalive=False)
    head, _, body = sent.partition(b"\r\n\r\n")
    lines = head.decode().split("\r\n")
    assert lines[0] == "POST /a?b=c HTTP/1.1"
    assert {"Host: [::1]:81", "Connection: close", "Content-Length: 3", "accept: image/png"} <= set(lines)
    assert body == b"xyz"
