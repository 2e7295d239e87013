# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Serves ``function.handler`` over HTTP for of-watchdog, with the contract of OpenFaaS's python3-http-debian template.

``handle(event, context)`` gets event.body (bytes), event.headers, event.method, event.query, event.path and
context.hostname. It returns a dict with ``statusCode``, ``body`` and ``headers``, each optional; a dict or list body
becomes JSON, bytes and strings are sent as they are. None is an empty 200; whatever else Flask takes as a response,
it may return too.

A handler module may also define ``request_threads``, the number of requests it takes at a time (4 otherwise, as with
python3-http-debian), and ``start(threads)``, which is called once before the first request with the number in effect.
"""

from __future__ import annotations

import os
import socket
from typing import Any

from flask import Flask, Response, request
from flask.typing import ResponseReturnValue
from waitress.channel import HTTPChannel
from waitress.parser import HTTPRequestParser
from waitress.server import create_server

from function import handler

DEFAULT_THREADS = 4
# How much of a request's body is taken off the connection. A longer one reaches the handler cut here, and the
# connection is closed after the answer; what is too long for the function is the handler's to say.
BODY_BYTES_TAKEN = 16 * 1024 * 1024


class Event:
    """The request, under the names that OpenFaaS's Python templates use."""

    def __init__(self) -> None:
        self.body = request.get_data()
        self.headers = request.headers
        self.method = request.method
        self.query = request.args
        self.path = request.path


class Context:
    """Where the function runs."""

    def __init__(self) -> None:
        self.hostname = os.environ.get("HOSTNAME") or socket.gethostname()


def to_response(returned: Any) -> ResponseReturnValue:
    """What a handler returned, as Flask sends it."""
    if returned is None:
        return Response(b"")
    if not isinstance(returned, dict) or not returned.keys() & {"statusCode", "body", "headers"}:
        return returned
    return returned.get("body", ""), returned.get("statusCode", 200), returned.get("headers", {})


def create_app() -> Flask:
    """A Flask application that hands every request, whatever its path and method, to the handler."""
    app = Flask(__name__, static_folder=None)

    # A before_request function is asked before the routing's own 404, 405 and OPTIONS answers: the handler decides.
    @app.before_request
    def call_handler() -> ResponseReturnValue:
        return to_response(handler.handle(Event(), Context()))

    return app


class BoundedBodyParser(HTTPRequestParser):
    """Ends a request's body at BODY_BYTES_TAKEN, instead of collecting up to waitress's limit of 1 GiB on disk."""

    def received(self, data: bytes) -> int:
        consumed = super().received(data)
        if self.body_bytes_received > BODY_BYTES_TAKEN and not self.completed:
            self.completed = self.connection_close = True
            self.headers["CONTENT_LENGTH"] = str(len(self.body_rcv))
        return consumed


class BoundedBodyChannel(HTTPChannel):
    """A connection whose requests are read by BoundedBodyParser."""

    parser_class = BoundedBodyParser


def serve() -> None:
    """Serve until the process is told to end. The watchdog calls from the same container, hence 127.0.0.1."""
    server = create_server(
        create_app(),
        host=os.environ.get("EVENKEEL_BIND", "127.0.0.1"),
        port=int(os.environ.get("EVENKEEL_PORT", "5000")),
        threads=getattr(handler, "request_threads", DEFAULT_THREADS),
        # waitress takes 100 connections by default; here the handler's own queue limit shall be the first to refuse.
        connection_limit=1000,
    )
    server.channel_class = BoundedBodyChannel
    if hasattr(handler, "start"):
        handler.start(server.adj.threads)
    server.run()


if __name__ == "__main__":
    serve()
