# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The serverless arm: the handler of OpenFaaS's Python templates in front of the model's service.

It keeps the contract of python3-http-debian (``handle(event, context)``), so the same file builds with that template
and with ours, python3-http-conda.
"""

from __future__ import annotations

import threading
from typing import Any

from cifar_cnn.answers import Service

service = Service.from_environment()
request_threads = service.request_threads

_starting = threading.Lock()
_started = False


def start(threads: int | None = None) -> None:
    """Begin the model's start-up, once. ``threads`` is how many requests the template's server takes at a time."""
    global _started  # noqa: PLW0603 - a function's module is its instance
    with _starting:
        if not _started:
            service.start(serving_threads=threads)
            _started = True


def waitress_threads() -> int | None:
    """How many threads waitress serves with in this process: they bear its name. None where there are none."""
    return sum(thread.name.startswith("waitress-") for thread in threading.enumerate()) or None


def handle(event: Any, context: Any) -> dict[str, Any]:
    """Answer one request: what the model's service says, in the form that the templates send unchanged."""
    # python3-http-conda has called start() before it serves; python3-http-debian knows only handle().
    start(waitress_threads())
    # items(), because dict() of Flask's MultiDict would hold lists.
    query, headers = dict(event.query.items()), dict(event.headers.items())
    answered = service.respond(event.method, event.path, query, headers, event.body)
    # A string: python3-http-debian sends a dict through jsonify and str() of anything else.
    return {"statusCode": answered.status, "headers": answered.headers, "body": answered.body.decode("utf-8")}
