# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The one thread on which all model work runs, in order of arrival; predictions cut into evaluations.

One thread, because PyTorch's own threads already fill the CPUs granted: two jobs at once would only slow each other.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from concurrent.futures import Future
from typing import TypeVar

from cifar_cnn.errors import QueueFullError, StoppedError

Result = TypeVar("Result")


class ComputeThread:
    """Runs jobs for the threads that wait for them, at most `queue_limit` at a time, waiting ones included."""

    def __init__(self, queue_limit: int, answer_deadline_seconds: float = 600) -> None:
        self.queue_limit = queue_limit
        self._answer_deadline_seconds = answer_deadline_seconds
        self._changed = threading.Condition()
        self._stopping = False
        self._thread: threading.Thread | None = None
        self._inside = 0
        self._predictions: deque[Callable[[], None]] = deque()
        self._evaluations: deque[Callable[[], None]] = deque()

    def start(self, first: Callable[[], None]) -> None:
        """Starts the thread; it runs `first`, which must handle its own errors, then jobs until the process ends."""
        self._thread = threading.Thread(target=self._run, args=(first,), name="compute", daemon=True)
        self._thread.start()

    def stop(self, seconds: float) -> None:
        """Ends the thread after what it is doing now, an evaluation at its next batch; waits at most `seconds`."""
        with self._changed:
            self._stopping = True
            self._changed.notify()
        if self._thread is not None:
            self._thread.join(seconds)

    def predict(self, job: Callable[[], Result]) -> Result:
        """Runs `job` before any waiting evaluation, and returns or raises what it does.

        Raises QueueFullError at once when the queue is full, TimeoutError when the deadline passes first.
        """
        return self._submit(self._predictions, job)

    def evaluate(self, job: Callable[[Callable[[], None]], Result]) -> Result:
        """Runs `job` with a function it shall call wherever waiting predictions may go first; else like predict."""
        return self._submit(self._evaluations, lambda: job(self._give_way))

    def _submit(self, queue: deque[Callable[[], None]], job: Callable[[], Result]) -> Result:
        future: Future[Result] = Future()

        def run() -> None:
            if future.set_running_or_notify_cancel():
                try:
                    future.set_result(job())
                except Exception as error:
                    future.set_exception(error)

        with self._changed:
            if self._inside >= self.queue_limit:
                raise QueueFullError(f"busy: {self.queue_limit} requests are already inside; try again later")
            self._inside += 1
            queue.append(run)
            self._changed.notify()
        try:
            return future.result(timeout=self._answer_deadline_seconds)
        finally:
            future.cancel()
            with self._changed:
                self._inside -= 1

    def _run(self, first: Callable[[], None]) -> None:
        first()
        while not self._stopping:
            with self._changed:
                self._changed.wait_for(lambda: self._stopping or self._predictions or self._evaluations)
            self._run_waiting_predictions()
            if self._evaluations and not self._stopping:
                self._evaluations.popleft()()

    def _give_way(self) -> None:
        if self._stopping:
            raise StoppedError("the evaluation is given up because the process is ending")
        self._run_waiting_predictions()

    def _run_waiting_predictions(self) -> None:
        """Runs the predictions that wait now; those that come meanwhile are for the next time, or no evaluation
        would ever finish under a steady stream of them."""
        for _ in range(len(self._predictions)):
            self._predictions.popleft()()
