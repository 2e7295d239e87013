# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""By how much the clock of a service's host is ahead of this host's: from the service's own word, over the network."""

from __future__ import annotations

from typing import Any

from . import http
from .clock import monotonic

ROUND_TRIPS = 20
REQUEST_DEADLINE_SECONDS = 5.0


def read_clock(url: str, count: int = ROUND_TRIPS) -> dict[str, Any]:
    """Ask ``url`` for its host's clock ``count`` times, one after the other; what the best round trip says.

    The answer is the JSON of a service's ``/clock``: ``monotonic_seconds`` of CLOCK_MONOTONIC, and ``host_boot_id``. It
    was stamped somewhere in the round trip, so the offset is known to half of that (``error_seconds``): the shortest
    one says most. ``{n, offset_seconds, error_seconds, host_boot_id, monotonic_seconds, reason}``: the service's clock
    less this host's, whose clock it is, and when the best round trip was, on this host's clock.

    Ends at the first answer that says no clock; ``reason`` says why, and what was taken until then stands. Where two
    clocks answered, as behind a gateway to several nodes, there is no offset. Raises RequestFailed where ``url`` is
    none.
    """
    http.check_url(url)
    taken: list[tuple[float, float, float]] = []
    boots: set[str] = set()
    reason = None
    for number in range(1, count + 1):
        begun = monotonic()
        try:
            answer = http.request("GET", url, timeout_seconds=REQUEST_DEADLINE_SECONDS)
        except http.RequestFailed as failure:
            reason = f"request {number} of {count} for its clock failed: {failure.message}"
            break
        ended = monotonic()
        said = http.json_object(answer.body)
        stamp, boot = said.get("monotonic_seconds"), said.get("host_boot_id")
        if answer.status != 200 or isinstance(stamp, bool) or not isinstance(stamp, (int, float)):
            said_instead = f"status {answer.status}, {http.shown(answer.body)!r}"
            reason = f"{url} says no clock ({said_instead}): deploy the service anew"
            break
        if not isinstance(boot, str):
            reason = f"{url} does not say whose clock it is (host_boot_id is {boot!r})"
            break
        boots.add(boot)
        middle = (begun + ended) / 2
        taken.append(((ended - begun) / 2, stamp - middle, middle))
    if len(boots) > 1:
        taken, reason = [], f"{url} was answered by {len(boots)} hosts, whose clocks are not one"
    error, offset, moment = min(taken, default=(None, None, None))
    return {
        "n": len(taken),
        "offset_seconds": offset,
        "error_seconds": error,
        "host_boot_id": boots.pop() if taken else None,
        "monotonic_seconds": moment,
        "reason": reason,
    }


class Readings:
    """A service's clock before and after a load, where there is an address to ask for it."""

    def __init__(self, url: str | None) -> None:
        self._url = url
        self._before: dict[str, Any] | None = None
        self._after: dict[str, Any] | None = None

    def before(self) -> None:
        """Read it before the load."""
        self._before = self._read()

    def after(self) -> None:
        """Read it after the load."""
        self._after = self._read()

    def facts(self) -> dict[str, Any] | None:
        """Both, None for one that was not taken; None where the clock was not asked for."""
        return None if self._url is None else {"before": self._before, "after": self._after}

    def _read(self) -> dict[str, Any] | None:
        return None if self._url is None else read_clock(self._url)
