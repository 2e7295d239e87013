# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from evenkeel import open_loop as loop

from analysis import histogram, load_hosts
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import BOOT_ID, SyntheticRun, change_json, change_plan, write_json

SECONDS = 5.0
HOSTS = ("client-a", "client-b")
SERVICE = "the service's boot"


def requests(rate: float, latency: float) -> list[loop.Request]:
    due = loop.schedule(rate, SECONDS, "uniform", 0)
    return [loop.rounded(loop.Request(one + 1e-4, one + 2e-4, one + 1e-4 + latency, loop.OK, 200, 28)) for one in due]


def sent(rate: float = 20.0, latency: float = 0.01, begin: float = 1000.0, **changes: Any) -> dict[str, Any]:
    """One host's facts; its clock is ``begin`` when the load begins."""
    return {
        "valid": True,
        "invalid_reasons": [],
        "seconds": SECONDS,
        "seed": 0,
        **loop.measure(requests(rate, latency), SECONDS, rate),
        "window": {"start_monotonic_seconds": begin, "end_monotonic_seconds": begin + SECONDS, "host_boot_id": "boot"},
        "clock": None,
        "client": {"cpu_seconds": 0.5, "cpu_cores": 0.1},
        "probes": {edge: {"answer": {"instance_id": "one"}} for edge in ("before", "after")},
        **changes,
    }


def merged(*parts: dict[str, Any], texts: dict[str, str] | None = None) -> dict[str, Any]:
    facts = {
        "open_loop_hosts": [{"load_host": f"h{index}", "open_loop_benchmark": one} for index, one in enumerate(parts)]
    }
    known = (
        texts
        if texts is not None
        else {
            f"t.h{index}.open_loop.csv": loop.to_csv(requests(one["rate_rps"], 0.01 * (index + 1)))
            for index, one in enumerate(parts)
        }
    )
    return load_hosts.merged("t", facts, known.get)


def elsewhere(begin: float, ahead: float, boot: str, error: float = 0.001) -> dict[str, Any]:
    """What a host of a clock of its own says: its load began at ``begin``, and the service's clock is ``ahead``."""
    said = {"n": 20, "offset_seconds": ahead, "error_seconds": error, "host_boot_id": SERVICE, "reason": None}
    clock = {edge: {**said, "monotonic_seconds": begin + after} for edge, after in (("before", -1.0), ("after", 6.0))}
    window = {"start_monotonic_seconds": begin, "end_monotonic_seconds": begin + SECONDS, "host_boot_id": boot}
    return {"window": window, "clock": clock}


def test_counts_and_rates_are_added_and_percentiles_are_of_all_requests() -> None:
    found = merged(sent(20.0), sent(60.0, begin=1000.1))
    assert (found["valid"], found["rate_rps"], found["requests"]["planned"]) == (True, 80.0, 400)
    assert found["achieved_rps"] == pytest.approx(80.0, rel=1e-3)
    assert found["offered_rps"] == pytest.approx(80.0)
    # A quarter took 10 ms and three quarters 20 ms.
    assert found["latency_seconds"]["p50"] == pytest.approx(0.02)
    assert found["latency_seconds"]["mean"] == pytest.approx(0.0175)
    assert found["latency_seconds"]["min"] == pytest.approx(0.01)
    assert found["client"] == {"cpu_seconds": 1.0, "cpu_cores": 0.2}


def test_what_is_against_one_host_is_against_the_load_and_names_it() -> None:
    found = merged(sent(), sent(valid=False, invalid_reasons=["generator_lagged: by 7 ms"]))
    assert not found["valid"]
    assert found["invalid_reasons"] == ["generator_lagged: by 7 ms (sent by h1)"]


@pytest.mark.parametrize(("begin", "valid"), [(1000.0, True), (1000.24, True), (1000.26, False), (990.0, False)])
def test_hosts_that_sent_at_different_times_sent_no_load_of_that_rate(begin: float, valid: bool) -> None:
    found = merged(sent(), sent(begin=begin))
    assert found["valid"] is valid
    if not valid:
        assert found["invalid_reasons"][0].startswith("hosts_apart: all load hosts sent together for")


@pytest.mark.parametrize(("late", "valid"), [(0.0, True), (0.2, True), (0.3, False)])
def test_two_clocks_are_compared_by_what_they_read_of_the_services(late: float, valid: bool) -> None:
    """The service's clock is at 9000 when the first host begins."""
    first = sent(**elsewhere(1000.0, 8000.0, "a"))
    second = sent(**elsewhere(50.0 + late, 8950.0, "b"))
    assert merged(first, second)["valid"] is valid


def test_an_offset_that_is_not_known_well_is_not_together_for_sure() -> None:
    found = merged(sent(**elsewhere(1000.0, 8000.0, "a", 0.2)), sent(**elsewhere(50.0, 8950.0, "b")))
    assert "hosts_apart" in found["invalid_reasons"][0]


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"window": None}, "not every load host sent"),
        ({**elsewhere(50.0, 0.0, "b"), "clock": None}, "no common clock"),
        ({**elsewhere(50.0, 0.0, "b"), "clock": {"before": None, "after": None}}, "no common clock"),
    ],
)
def test_what_is_not_known_to_be_together_is_not_valid(changes: dict[str, Any], said: str) -> None:
    (reason,) = merged(sent(), sent(**changes))["invalid_reasons"]
    assert reason.startswith("hosts_apart: ") and said in reason


def test_two_instances_behind_one_address_are_no_one_service() -> None:
    probes = {"before": {"answer": {"instance_id": "two"}}, "after": {"answer": {"instance_id": "two"}}}
    (reason,) = merged(sent(), sent(probes=probes))["invalid_reasons"]
    assert reason == "instance_changed: the load hosts were answered by one and two"


def test_without_one_hosts_requests_there_are_no_figures() -> None:
    found = merged(sent(), sent(), texts={})
    assert "latency_seconds" not in found
    assert found["rate_rps"] == 40.0


def test_every_reason_of_hosts_is_of_the_closed_list() -> None:
    assert "hosts_apart" in loop.REASON_CODES


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run in which two hosts send the server arm's open loop, each half of it."""
    settings = {
        "request": "predict",
        "fractions": [0.8],
        "seconds": SECONDS,
        "arrivals": "uniform",
        "blocks": 2,
        "timeout_seconds": 10,
        "capacity": {"at_least_seconds": 5, "at_most_requests": 2000, "concurrency": 4},
        "sweep": None,
    }
    folder = SyntheticRun(blocks=3, open_loop=settings).write(tmp_path)

    def several(plan: dict[str, Any]) -> None:
        for arm in plan["arms"].values():
            arm.update(load_host=HOSTS[0], load_hosts=list(HOSTS))
        for trial in plan["trials"]:
            trial.update(load_host=HOSTS[0], **({"load_hosts": list(HOSTS)} if trial["kind"] == "open_loop" else {}))

    change_plan(folder, several)
    for path in folder.glob("raw/o0*-rate80.json"):
        record = json.loads(path.read_text("utf-8"))
        probes = {edge: {"answer": {"class": 3}} for edge in ("before", "after")}
        begin = record["facts"]["open_loop_benchmark"]["window"]["start_monotonic_seconds"]
        whole = path.with_name(f"{path.stem}.open_loop.csv")
        whole.unlink()
        hosts = []
        for number, host in enumerate(HOSTS, 1):
            own = requests(40.0, 0.01 * number)
            path.with_name(f"{path.stem}.{host}.open_loop.csv").write_text(loop.to_csv(own), "utf-8")
            facts = sent(40.0, 0.01 * number, begin, probes=probes)
            facts["window"]["host_boot_id"] = BOOT_ID
            hosts.append({"load_host": host, "open_loop_benchmark": facts})
        record["facts"] = {"open_loop_hosts": hosts}
        write_json(path, record)
    return folder


def test_a_rate_of_several_hosts_is_one_rate(folder: Path) -> None:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    assert run["valid"], run["invalid_reasons"]
    for rate in run["open_loop"]["rates"]:
        assert (rate["valid"], rate["rate_rps"], rate["requests"]["succeeded"]) == (True, 80.0, 800)
        assert rate["achieved_rps"] == pytest.approx(80.0, rel=1e-3)
        assert rate["latency_seconds"]["p50"] == pytest.approx(0.015)
        assert histogram.count(rate["histogram"]) == 800
        assert histogram.percentile_seconds(rate["histogram"], 50) == pytest.approx(0.01, rel=1e-3)
        assert rate["client_cpu_cores"] == pytest.approx(0.2)
        assert rate["load_hosts"] == 2
    assert "2 load hosts sent each load together" in markdown(document(run))
    (trial,) = [one for one in run["trials"] if one["id"] == "o02-server-rate80"]
    assert (trial["load_host"], trial["load_hosts"]) == (HOSTS[0], list(HOSTS))
    assert trial["data"]["requests"]["planned"] == 400


def test_each_hosts_figures_are_recomputed_from_its_own_file(folder: Path) -> None:
    def lie(record: dict[str, Any]) -> None:
        record["facts"]["open_loop_hosts"][1]["open_loop_benchmark"]["latency_seconds"]["p95"] = 0.001

    change_json(folder / "raw" / "o02-server-rate80.json", lie)
    (folder / "raw" / f"o03-server-rate80.{HOSTS[0]}.open_loop.csv").unlink()
    problems = {one["trial"]: one["message"] for one in evaluate(read_run(folder))["invalid_reasons"]}
    assert problems.keys() == {"o02-server-rate80", "o03-server-rate80"}
    assert "latency_seconds.p95 is 0.001" in problems["o02-server-rate80"]
    assert f"o03-server-rate80.{HOSTS[0]}.open_loop.csv is missing" in problems["o03-server-rate80"]


def test_each_host_is_judged_by_its_own_file(folder: Path) -> None:
    """In one block one of two is late, in the other one's file lacks arrivals."""
    late = [
        loop.rounded(
            loop.Request(one.intended_seconds, 0.5 + (one.sent_seconds or 0), 0.52 + (one.sent_seconds or 0), loop.OK)
        )
        for one in requests(40.0, 0.01)
    ]
    short = requests(40.0, 0.01)[:100]
    for trial, host, own in (("o02-server-rate80", 1, late), ("o03-server-rate80", 0, short)):
        (folder / "raw" / f"{trial}.{HOSTS[host]}.open_loop.csv").write_text(loop.to_csv(own), "utf-8")

        def measure(record: dict[str, Any], host: int = host, own: list[loop.Request] = own) -> None:
            record["facts"]["open_loop_hosts"][host]["open_loop_benchmark"].update(loop.measure(own, SECONDS, 40.0))

        change_json(folder / "raw" / f"{trial}.json", measure)
    run = evaluate(read_run(folder))
    (rate,) = [one for one in run["open_loop"]["rates"] if one["arm"] == "server"]
    assert rate["reason"].startswith("o02-server-rate80: generator_lagged: ")
    assert f"(sent by {HOSTS[1]})" in rate["reason"] and f"(sent by {HOSTS[0]})" not in rate["reason"]
    (problem,) = run["invalid_reasons"]
    assert (problem["code"], problem["trial"]) == ("raw_mismatch", "o03-server-rate80")
    assert f"{HOSTS[0]}.open_loop.csv holds 100 arrivals; 40/s over 5 s from seed 0 are 200" in problem["message"]


def test_hosts_apart_leave_the_verdict_and_print_no_figure(folder: Path) -> None:
    def late(record: dict[str, Any]) -> None:
        window = record["facts"]["open_loop_hosts"][1]["open_loop_benchmark"]["window"]
        window["start_monotonic_seconds"] += 1.0

    change_json(folder / "raw" / "o02-server-rate80.json", late)
    run = evaluate(read_run(folder))
    assert run["valid"]
    (rate,) = [one for one in run["open_loop"]["rates"] if one["arm"] == "server"]
    assert (rate["valid"], rate["histogram"]) == (False, None)
    assert "hosts_apart" in rate["reason"]
    assert "open_loop_not_valid" in {one["code"] for one in run["warnings"]}


def test_another_instance_before_one_of_the_hosts_is_a_reason_against_the_run(folder: Path) -> None:
    def replaced(record: dict[str, Any]) -> None:
        for host in record["facts"]["open_loop_hosts"]:
            host["open_loop_benchmark"]["probes"]["after"]["answer"] = {"instance_id": "another"}

    change_json(folder / "raw" / "o02-server-rate80.json", replaced)
    codes = {one["code"] for one in evaluate(read_run(folder))["invalid_reasons"]}
    assert codes == {"instance_changed"}


def test_a_record_of_one_host_is_no_record_of_several(folder: Path) -> None:
    change_json(folder / "raw" / "o02-server-rate80.json", lambda record: record["facts"]["open_loop_hosts"].pop())
    assert {one["code"] for one in evaluate(read_run(folder))["invalid_reasons"]} == {"record_unusable"}
