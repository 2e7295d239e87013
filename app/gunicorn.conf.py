# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How gunicorn serves the server arm: one process, as many threads as the function's waitress has.

Run as ``gunicorn --chdir app wsgi:app``. EVENKEEL_PORT and EVENKEEL_BIND say where to listen, EVENKEEL_SERVICE_DIR
holds service.json.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from cifar_cnn.answers import Service

if TYPE_CHECKING:
    from gunicorn.workers.base import Worker

bind = f"{os.environ.get('EVENKEEL_BIND', '127.0.0.1')}:{os.environ.get('EVENKEEL_PORT', '8081')}"
workers = 1
worker_class = "gthread"
threads = Service.from_environment().request_threads
# 0: no heartbeat is asked for, so a worker that trains or evaluates for minutes is never taken for dead.
timeout = 0
# A held /ready?wait= or an evaluation under way must not delay a stop: what is measured next is another start.
graceful_timeout = 1
# What the function's waitress has, so that neither arm queues or drops connections before the other.
backlog = 1024
worker_connections = 1000
keepalive = 120
control_socket_disable = True
errorlog = "-"


def post_worker_init(worker: Worker) -> None:
    """Begin the model's start-up in the worker: threads started in the master would not survive the fork."""
    worker.wsgi.extensions["service"].start(
        serving_threads=worker.cfg.threads, serving_processes=worker.cfg.workers, first_pid=worker.ppid
    )
