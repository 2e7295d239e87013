# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import round_trip
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from tests.unit.fixtures.runs.generator import change_plan, change_record


@pytest.mark.parametrize(
    ("described", "loopback"),
    [
        ({"host": "a", "load_host": "a", "url": "http://127.0.0.1:8081"}, True),
        ({"host": "a", "load_host": "a", "url": "http://localhost:8081/x"}, True),
        ({"host": "a", "load_host": "a", "url": "http://[::1]:8081"}, True),
        ({"host": "a", "load_host": "a"}, True),
        ({"host": "a", "load_host": "b", "url": "http://127.0.0.1:8081"}, False),
        ({"host": "a", "load_host": "a", "url": "http://10.0.0.7:8081"}, False),
        ({"host": "a", "load_host": "a", "url": "http://[broken"}, False),
    ],
)
def test_loopback_is_one_host_and_its_own_address(described: dict[str, str], loopback: bool) -> None:
    assert round_trip.is_loopback(described) is loopback


def test_over_loopback_there_is_no_network(evaluated: Callable[..., dict[str, Any]]) -> None:
    run = evaluated()
    for found in run["machines"]["arms"].values():
        taken = found["round_trip"]
        assert (taken["loopback"], taken["n"], taken["min_seconds"], taken["reason"]) == (True, 0, None, None)
    assert "| From the client to the service | loopback | loopback |" in markdown(document(run))


def remote(plan: dict[str, Any]) -> None:
    plan["arms"]["server"].update(load_host="client", url="http://10.0.0.7:8081")
    for trial in plan["trials"]:
        if trial["arm"] == "server":
            trial["load_host"] = "client"


def test_the_round_trip_is_the_best_and_the_median_of_the_loads(run_folder: Path) -> None:
    change_plan(run_folder, remote)
    for block in range(1, 7):
        taken = {"n": 20, "min": 0.0003 + block / 1e4, "p50": 0.0005 + block / 1e4, "reason": None}
        change_record(run_folder, f"b{block:02}-server-load", {("ab_benchmark", "connect_seconds"): taken})
    run = evaluate(read_run(run_folder))
    found = run["machines"]["arms"]["server"]["round_trip"]
    assert (found["loads"], found["n"], found["loopback"], found["reason"]) == (6, 120, False, None)
    assert (found["min_seconds"], found["p50_seconds"]) == pytest.approx((0.0004, 0.00085))
    assert "best 0.4 ms, median 0.85 ms of 120 connections | loopback" in markdown(document(run))


@pytest.mark.parametrize(
    ("taken", "reason"),
    [
        (None, round_trip.NOT_TAKEN),
        ({"n": 0, "min": None, "p50": None, "reason": "connection 1 of 20 failed"}, "connection 1 of 20 failed"),
    ],
)
def test_a_network_that_was_not_measured_says_why(run_folder: Path, taken: object, reason: str) -> None:
    change_plan(run_folder, remote)
    change_record(run_folder, "b01-server-load", {("ab_benchmark", "connect_seconds"): taken})
    run = evaluate(read_run(run_folder))
    found = run["machines"]["arms"]["server"]["round_trip"]
    assert (found["n"], found["min_seconds"], found["reason"]) == (0, None, reason)
    assert f"not measured: {reason}" in markdown(document(run))
