# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.round_trip, against sockets on loopback."""

from __future__ import annotations

import socket

import pytest
from evenkeel import round_trip
from evenkeel.http import RequestFailed


@pytest.mark.parametrize(("count", "has_median"), [(1, False), (4, False), (5, True), (20, True)])
def test_each_connection_is_timed_and_a_median_needs_five(count: int, has_median: bool) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=count) as listening:
        found = round_trip.connect_seconds(f"http://127.0.0.1:{listening.getsockname()[1]}/path", count)
    assert (found["n"], found["reason"]) == (count, None)
    assert 0 < found["min"] < 1
    assert (found["p50"] is not None) is has_median
    if has_median:
        assert found["min"] <= found["p50"] < 1


def test_nobody_there_is_a_reason_and_no_figure() -> None:
    with socket.socket() as bound:
        bound.bind(("127.0.0.1", 0))
        port = bound.getsockname()[1]
        found = round_trip.connect_seconds(f"http://127.0.0.1:{port}/", 20)
    assert found == {
        "n": 0,
        "min": None,
        "p50": None,
        "reason": f"connection 1 of 20 to 127.0.0.1:{port} failed: Connection refused",
    }


def test_what_was_taken_before_a_failure_stands(monkeypatch: pytest.MonkeyPatch) -> None:
    class Failing(socket.socket):
        tries = 0

        def connect(self, address: object) -> None:
            Failing.tries += 1
            if Failing.tries > 2:
                raise TimeoutError("timed out")

    monkeypatch.setattr(socket, "socket", Failing)
    found = round_trip.connect_seconds("http://127.0.0.1:9/", 5)
    assert (found["n"], found["p50"]) == (2, None)
    assert found["reason"] == "connection 3 of 5 to 127.0.0.1:9 failed: timed out"


def test_a_name_that_does_not_resolve_is_a_reason(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_given: object, **_options: object) -> None:
        raise socket.gaierror(-2, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", fail)
    assert (
        "to no.such.host:80 failed: Name or service" in round_trip.connect_seconds("http://no.such.host/", 3)["reason"]
    )


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(RequestFailed, match="must begin with http"):
        round_trip.connect_seconds("ftp://127.0.0.1/", 1)
