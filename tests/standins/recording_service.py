# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for cifar_cnn.answers.Service: it answers the same to everything and remembers what it was asked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from cifar_cnn.answers import Answer

ANSWER = Answer(418, {"Content-Type": "application/json", "Retry-After": "1"}, '{"error": "caf\u00e9"}\n'.encode())


@dataclass
class RecordingService:
    """What the adapters of both arms need of a service."""

    request_threads: int = 8
    asked: list[dict[str, Any]] = field(default_factory=list)
    starts: list[dict[str, Any]] = field(default_factory=list)

    def start(self, **options: Any) -> None:
        self.starts.append(options)

    def respond(
        self, method: str, path: str, query: Mapping[str, str], headers: Mapping[str, str], body: bytes
    ) -> Answer:
        self.asked.append(
            {"method": method, "path": path, "query": dict(query), "headers": dict(headers), "body": body}
        )
        return ANSWER
