# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator

import pytest
from cifar_cnn.compute import ComputeThread
from cifar_cnn.errors import QueueFullError, StoppedError

PATIENCE_SECONDS = 10


class Gate:
    """Holds the compute thread until it is opened."""

    def __init__(self) -> None:
        self.entered, self._open = threading.Event(), threading.Event()

    def hold(self) -> None:
        self.entered.set()
        assert self._open.wait(PATIENCE_SECONDS)

    def open(self) -> None:
        self._open.set()


@pytest.fixture
def gate() -> Iterator[Gate]:
    gate = Gate()
    yield gate
    gate.open()


def started(queue_limit: int = 6, first: Callable[[], None] = lambda: None, deadline: float = 10) -> ComputeThread:
    compute = ComputeThread(queue_limit, deadline)
    compute.start(first)
    return compute


def in_background(*calls: Callable[[], object]) -> list[threading.Thread]:
    """Starts the calls one after the other, each surely queued before the next."""
    threads = []
    for call in calls:
        threads.append(threading.Thread(target=call))
        threads[-1].start()
        time.sleep(0.05)
    return threads


def join(threads: list[threading.Thread]) -> None:
    for thread in threads:
        thread.join(PATIENCE_SECONDS)
        assert not thread.is_alive()


def test_all_jobs_run_on_the_thread_that_ran_the_first() -> None:
    idents: list[int] = []
    compute = started(first=lambda: idents.append(threading.get_ident()))
    compute.predict(lambda: idents.append(threading.get_ident()))
    compute.evaluate(lambda give_way: idents.append(threading.get_ident()))
    assert len(idents) == 3
    assert set(idents) != {threading.get_ident()} and len(set(idents)) == 1


def test_results_and_errors_come_back_and_the_thread_goes_on() -> None:
    compute = started()
    with pytest.raises(ZeroDivisionError):
        compute.predict(lambda: 1 // 0)
    assert compute.evaluate(lambda give_way: 7) == 7


def test_evaluations_keep_their_order_and_predictions_go_first(gate: Gate) -> None:
    order: list[str] = []
    compute = started(first=gate.hold)
    threads = in_background(
        lambda: compute.evaluate(lambda give_way: order.append("evaluation 1")),
        lambda: compute.evaluate(lambda give_way: order.append("evaluation 2")),
        lambda: compute.predict(lambda: order.append("prediction 1")),
        lambda: compute.predict(lambda: order.append("prediction 2")),
    )
    gate.open()
    join(threads)
    assert order == ["prediction 1", "prediction 2", "evaluation 1", "evaluation 2"]


def test_a_prediction_cuts_into_an_evaluation_where_it_gives_way(gate: Gate) -> None:
    order: list[str] = []
    compute = started()

    def evaluation(give_way: Callable[[], None]) -> None:
        order.append("first batch")
        gate.hold()
        give_way()
        order.append("second batch")

    threads = in_background(
        lambda: compute.evaluate(evaluation), lambda: compute.predict(lambda: order.append("prediction"))
    )
    gate.open()
    join(threads)
    assert order == ["first batch", "prediction", "second batch"]


def test_a_stream_of_predictions_does_not_starve_an_evaluation(gate: Gate) -> None:
    compute = started(first=gate.hold)
    over = threading.Event()

    def stream() -> None:
        while not over.is_set():
            compute.predict(lambda: time.sleep(0.001))

    threads = in_background(stream, stream, stream)
    done: list[int] = []
    threads += in_background(
        lambda: done.append(compute.evaluate(lambda give_way: len([give_way() for _ in range(20)])))
    )
    gate.open()
    threads[-1].join(PATIENCE_SECONDS)
    over.set()
    join(threads)
    assert done == [20]


def test_a_full_queue_refuses_at_once_and_has_room_again_later(gate: Gate) -> None:
    compute = started(queue_limit=2, first=gate.hold)
    threads = in_background(lambda: compute.predict(lambda: None), lambda: compute.evaluate(lambda give_way: None))
    with pytest.raises(QueueFullError, match="2 requests are already inside"):
        compute.predict(lambda: None)
    gate.open()
    join(threads)
    assert compute.predict(lambda: "room") == "room"


def test_a_job_that_waited_too_long_is_given_up_and_never_run(gate: Gate) -> None:
    ran: list[str] = []
    compute = started(queue_limit=1, first=gate.hold, deadline=0.05)
    with pytest.raises(TimeoutError):
        compute.predict(lambda: ran.append("late"))
    gate.open()
    compute_again = threading.Thread(target=lambda: compute.predict(lambda: ran.append("in time")))
    compute_again.start()
    join([compute_again])
    assert ran == ["in time"]


def test_stopping_gives_up_an_evaluation_where_it_gives_way(gate: Gate) -> None:
    errors: list[BaseException] = []
    compute = started()

    def evaluation(give_way: Callable[[], None]) -> None:
        gate.hold()
        give_way()

    def ask() -> None:
        try:
            compute.evaluate(evaluation)
        except StoppedError as error:
            errors.append(error)

    threads = in_background(ask)
    assert gate.entered.wait(PATIENCE_SECONDS)
    threads += in_background(lambda: compute.stop(PATIENCE_SECONDS))
    gate.open()
    join(threads)
    assert len(errors) == 1


def test_stopping_ends_an_idle_thread_and_waits_no_longer_than_asked(gate: Gate) -> None:
    threads: list[threading.Thread] = []
    idle = started(first=lambda: threads.append(threading.current_thread()))
    idle.stop(PATIENCE_SECONDS)
    assert not threads[0].is_alive()
    busy = started(first=gate.hold)
    begin = time.monotonic()
    busy.stop(0.05)
    assert time.monotonic() - begin < 5
