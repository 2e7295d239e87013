# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How far away a service is: the time that a TCP connection to it takes, which is one round trip of the network."""

from __future__ import annotations

import socket
import statistics
from typing import Any

from . import http
from .clock import monotonic

CONNECT_DEADLINE_SECONDS = 5.0
# From so many connections on a median is given, as for requests (design 4.2).
FEWEST_FOR_MEDIAN = 5


def connect_seconds(url: str, count: int) -> dict[str, Any]:
    """Open and close ``count`` connections to ``url``, one after the other: ``{n, min, p50, reason}``, in seconds.

    The name is resolved once, before, and nothing is sent. Ends at the first connection that fails; ``reason`` says
    why, and what was taken until then stands. Raises RequestFailed where ``url`` is none.
    """
    parts = http.check_url(url)
    port = parts.port or (443 if parts.scheme == "https" else 80)
    taken: list[float] = []
    reason = None
    try:
        family, kind, protocol, _, address = socket.getaddrinfo(parts.hostname, port, type=socket.SOCK_STREAM)[0]
        for _ in range(count):
            with socket.socket(family, kind, protocol) as one:
                one.settimeout(CONNECT_DEADLINE_SECONDS)
                begun = monotonic()
                one.connect(address)
                taken.append(monotonic() - begun)
    except OSError as error:
        reason = f"connection {len(taken) + 1} of {count} to {parts.hostname}:{port} failed: {error.strerror or error}"
    return {
        "n": len(taken),
        "min": round(min(taken), 6) if taken else None,
        "p50": round(statistics.median(taken), 6) if len(taken) >= FEWEST_FOR_MEDIAN else None,
        "reason": reason,
    }
