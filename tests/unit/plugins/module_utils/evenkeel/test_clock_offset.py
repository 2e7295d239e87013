# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.clock_offset, against servers that say the time of a clock of their own."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import pytest
from evenkeel import clock_offset
from evenkeel.clock import monotonic
from evenkeel.clock_offset import Readings, read_clock
from evenkeel.http import RequestFailed

from tests.standins.http_server import Reply, always, http_server

AHEAD = 3600.0


def clock(ahead: float = AHEAD, boot: str = "another", delay: Callable[[int], float] = lambda _: 0.0) -> Any:
    """Answer with a clock that is ahead, each answer held back from after it was stamped."""

    def script(number: int) -> Reply:
        body = json.dumps({"monotonic_seconds": monotonic() + ahead, "host_boot_id": boot}).encode()
        return Reply(body=body, delay_seconds=delay(number))

    return script


def test_the_offset_is_known_to_half_of_the_best_round_trip() -> None:
    begun = monotonic()
    with http_server(clock()) as server:
        found = read_clock(server.url)
    assert (found["n"], found["host_boot_id"], found["reason"]) == (20, "another", None)
    assert abs(found["offset_seconds"] - AHEAD) <= found["error_seconds"] < 1
    assert begun <= found["monotonic_seconds"] <= monotonic()


def test_a_way_that_is_slow_in_one_direction_is_within_the_error() -> None:
    with http_server(clock(delay=lambda _: 0.1)) as server:
        found = read_clock(server.url, 3)
    assert found["error_seconds"] >= 0.05
    assert abs(found["offset_seconds"] - AHEAD) <= found["error_seconds"]


def test_the_best_of_all_round_trips_counts() -> None:
    with http_server(clock(delay=lambda number: 0.0 if number == 2 else 0.2)) as server:
        found = read_clock(server.url, 5)
    assert found["n"] == 5
    assert found["error_seconds"] < 0.1


@pytest.mark.parametrize(
    ("body", "status", "said"),
    [
        (b'{"serving": true}', 200, "says no clock"),
        (b"not JSON", 200, "says no clock"),
        (b'{"monotonic_seconds": true, "host_boot_id": "a"}', 200, "says no clock"),
        (b'{"monotonic_seconds": 1.0, "host_boot_id": "a"}', 503, "status 503"),
        (b'{"monotonic_seconds": 1.0, "host_boot_id": null}', 200, "whose clock"),
    ],
)
def test_an_answer_without_a_clock_is_a_reason(body: bytes, status: int, said: str) -> None:
    with http_server(always(Reply(body=body, status=status))) as server:
        found = read_clock(server.url)
    assert found["offset_seconds"] is found["error_seconds"] is found["host_boot_id"] is None
    assert found["n"] == 0
    assert said in found["reason"]


def test_what_was_taken_before_a_failure_stands() -> None:
    def script(number: int) -> Reply:
        return Reply(fault="reset") if number == 3 else clock()(number)

    with http_server(script) as server:
        found = read_clock(server.url)
    assert found["n"] == 3
    assert "request 4 of 20" in found["reason"]
    assert found["offset_seconds"] == pytest.approx(AHEAD, abs=1)


def test_two_clocks_are_none() -> None:
    with http_server(lambda number: clock(boot="ab"[number % 2])(number)) as server:
        found = read_clock(server.url)
    assert found["offset_seconds"] is None
    assert "2 hosts" in found["reason"]


def test_what_is_no_url_is_refused() -> None:
    with pytest.raises(RequestFailed, match="must begin with http"):
        read_clock("ftp://127.0.0.1/")


def test_readings_are_of_before_and_after(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(clock_offset, "read_clock", lambda url: {"n": url})
    readings = Readings("u")
    assert readings.facts() == {"before": None, "after": None}
    readings.before()
    readings.after()
    assert readings.facts() == {"before": {"n": "u"}, "after": {"n": "u"}}


def test_nothing_is_read_without_an_address() -> None:
    readings = Readings(None)
    readings.before()
    readings.after()
    assert readings.facts() is None
