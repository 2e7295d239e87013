# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The serverless arm's adapter, under our template and under the rules of python3-http-debian."""

from __future__ import annotations

import threading
from types import ModuleType, SimpleNamespace

from waitress.task import ThreadedTaskDispatcher
from werkzeug.datastructures import Headers, MultiDict

from tests.standins.recording_service import ANSWER, RecordingService

EVENT = SimpleNamespace(
    body=b"\x00body",
    headers=Headers({"Content-Type": "image/png"}),
    method="POST",
    path="/predict",
    query=MultiDict([("wait", "2"), ("wait", "3")]),
)
CONTEXT = SimpleNamespace(hostname="function-0")


def test_passes_the_request_on(handler: ModuleType, service: RecordingService) -> None:
    handler.handle(EVENT, CONTEXT)
    assert service.asked == [
        {
            "method": "POST",
            "path": "/predict",
            "query": {"wait": "2"},
            "headers": {"Content-Type": "image/png"},
            "body": b"\x00body",
        }
    ]


def test_returns_what_python3_http_debian_sends_unchanged(handler: ModuleType) -> None:
    """That template takes str() of a body that is no dict, and headers from a dict."""
    returned = handler.handle(EVENT, CONTEXT)
    assert returned["statusCode"] == ANSWER.status
    assert str(returned["body"]).encode() == ANSWER.body
    assert isinstance(returned["headers"], dict) and returned["headers"] == ANSWER.headers


def test_our_template_starts_it_with_the_threads_in_effect(handler: ModuleType, service: RecordingService) -> None:
    assert service.starts == []
    handler.start(8)
    handler.handle(EVENT, CONTEXT)
    assert service.starts == [{"serving_threads": 8}]


def test_under_another_template_the_threads_are_those_of_waitress(
    handler: ModuleType, service: RecordingService
) -> None:
    """python3-http-debian serves with waitress's default of four and tells nobody."""
    dispatcher = ThreadedTaskDispatcher()
    dispatcher.set_thread_count(4)
    try:
        handler.handle(EVENT, CONTEXT)
    finally:
        dispatcher.shutdown()
    assert service.starts == [{"serving_threads": 4}]


def test_under_another_template_the_first_request_starts_it_once(
    handler: ModuleType, service: RecordingService
) -> None:
    threads = [threading.Thread(target=handler.handle, args=(EVENT, CONTEXT)) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert service.starts == [{"serving_threads": None}]
    assert len(service.asked) == 8
