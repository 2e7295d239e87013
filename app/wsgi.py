# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The server arm: Flask in front of the model's service. What is answered is decided in cifar_cnn.answers alone."""

from __future__ import annotations

from cifar_cnn.answers import Service
from flask import Flask, Response, request

# The model refuses far smaller bodies. This much is taken off the connection all the same, so that the client has sent
# its request and can read the refusal; of a longer body the rest is left unread. The function arm has the same bound.
BODY_BYTES_TAKEN = 16 * 1024 * 1024


def create_app(service: Service) -> Flask:
    """A Flask application that hands every request, whatever its path and method, to ``service``."""
    app = Flask(__name__, static_folder=None)
    app.extensions["service"] = service

    # A before_request function is asked before the routing's own 404, 405 and OPTIONS answers, which would differ
    # from the function arm's.
    @app.before_request
    def answer() -> Response:
        body = request.stream.read(BODY_BYTES_TAKEN)
        answered = service.respond(request.method, request.path, request.args.to_dict(), dict(request.headers), body)
        return Response(answered.body, answered.status, answered.headers)

    return app


app = create_app(Service.from_environment())
