# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from evenkeel import open_loop as loop

from analysis import histogram, open_loop, report
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.render.samples import samples_csv
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_record

SETTINGS: dict[str, Any] = {
    "request": "predict",
    "fractions": [0.3, 0.8],
    "seconds": 5,
    "arrivals": "uniform",
    "blocks": 2,
    "timeout_seconds": 10,
    "capacity": {"at_least_seconds": 5, "at_most_requests": 2000, "concurrency": 4},
    "sweep": {"fraction": 0.2, "seconds": 5},
}
FACTS = ("open_loop_benchmark",)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    return SyntheticRun(blocks=3, open_loop=SETTINGS).write(tmp_path)


def evaluated(folder: Path) -> dict[str, Any]:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    return run


def rate_of(run: dict[str, Any], arm: str, fraction: float) -> dict[str, Any]:
    found: dict[str, Any] = next(
        rate for rate in run["open_loop"]["rates"] if (rate["arm"], rate["fraction"]) == (arm, fraction)
    )
    return found


def send_otherwise(
    folder: Path, trial: str, change: Callable[[list[loop.Request]], list[loop.Request]], step: int | None = None
) -> None:
    """Change the requests of a load, and its record's figures with them; the record goes on to call it valid."""
    path = folder / "raw" / f"{trial}.open_loop{'' if step is None else f'.{step:02}'}.csv"
    sent = [loop.rounded(one) for one in change(loop.from_csv(path.read_text("utf-8")))]
    path.write_text(loop.to_csv(sent), "utf-8")

    def measure(record: dict[str, Any]) -> None:
        facts = record["facts"]["open_loop_benchmark"]
        load = facts if step is None else facts["sweep"]["steps"][step - 1]
        load.update(loop.measure(sent, facts["seconds"], load["rate_rps"]))

    change_json(folder / "raw" / f"{trial}.json", measure)


def late(sent: list[loop.Request]) -> list[loop.Request]:
    """Send everything half a second late."""
    return [
        replace(one, sent_seconds=(one.sent_seconds or 0) + 0.5, end_seconds=(one.end_seconds or 0) + 0.5)
        for one in sent
    ]


def ended(sent: list[loop.Request]) -> list[loop.Request]:
    """Send the first half."""
    half = len(sent) // 2
    unsent = [loop.Request(one.intended_seconds, None, None, "unsent") for one in sent[half:]]
    return sent[:half] + unsent


def test_a_rates_figures_are_those_of_all_its_trials(folder: Path) -> None:
    """5 s at 80/s in two blocks are 800 requests, of which one in 50 takes 200 ms: 16, and so the 99th percentile."""
    run = evaluated(folder)
    rate = rate_of(run, "server", 0.8)
    assert run["valid"], run["invalid_reasons"]
    assert (rate["valid"], rate["rate_rps"], rate["requests"]["succeeded"]) == (True, 80.0, 800)
    assert [trial["id"] for trial in rate["trials"]] == ["o02-server-rate80", "o03-server-rate80"]
    assert rate["achieved_rps"] == pytest.approx(80, rel=1e-3)
    assert rate["latency_seconds"]["p95"] == pytest.approx(0.01)
    assert rate["latency_seconds"]["p99"] == pytest.approx(0.2)
    assert rate_of(run, "server", 0.3)["latency_seconds"]["n"] == 300
    assert histogram.count(rate["histogram"]) == 800
    assert histogram.percentile_seconds(rate["histogram"], 99) == pytest.approx(0.2, rel=1e-3)
    assert rate["spectrum"][-1] == [100.0, pytest.approx(0.2)]


def test_an_interval_is_of_one_load_and_not_of_all_blocks_together(folder: Path) -> None:
    run = evaluated(folder)
    rate = rate_of(run, "server", 0.8)
    assert "intervals" not in rate
    (interval, _) = [trial["intervals"]["p99"] for trial in rate["trials"]]
    assert interval["low"] == pytest.approx(0.01) and interval["high"] == pytest.approx(0.2)
    text = markdown(document(run))
    assert "Each open-loop load by itself, with 95 % intervals" in text
    assert "| Server at 80 % | o02-server-rate80 | 10.0 ms (10.0 ms to 10.0 ms) |" in text


def test_an_open_loops_requests_are_not_in_samples_csv(folder: Path) -> None:
    """run.json holds how many of them were censored, and those alone would look like all."""
    run = evaluated(folder)
    for trial in run["trials"]:
        if trial["kind"] == "open_loop":
            trial["data"]["censored"] = {"n": 3, "at_least_seconds": 10.0}
    assert "rate80" not in samples_csv(run) and "b01-server-load" in samples_csv(run)


def test_the_weaker_arm_gives_the_rates_and_the_closed_loop_stands_beside(folder: Path) -> None:
    found = evaluated(folder)["open_loop"]
    capacity = {one["arm"]: one["rps"] for one in found["capacity"]}
    assert found["weaker"] == min(capacity, key=lambda arm: capacity[arm])
    assert {one["arm"] for one in found["closed_loop"]} == {"server", "serverless"}
    assert all(one["latency_seconds"]["n"] == 10 for one in found["closed_loop"])
    assert [sweep["knee_rps"] for sweep in found["sweeps"]] == [20.0, 20.0]


def test_a_load_that_lagged_makes_its_figures_not_valid_and_leaves_the_verdict(folder: Path) -> None:
    change_record(
        folder,
        "o02-server-rate80",
        {(*FACTS, "valid"): False, (*FACTS, "invalid_reasons"): ["generator_lagged: by 7 ms"]},
    )
    run = evaluated(folder)
    rate = rate_of(run, "server", 0.8)
    assert (rate["valid"], rate["histogram"], rate["spectrum"]) == (False, None, [])
    assert rate["reason"] == "o02-server-rate80: generator_lagged: by 7 ms"
    assert rate_of(run, "serverless", 0.8)["valid"]
    assert run["valid"]
    (said,) = [one["message"] for one in run["warnings"] if one["code"] == "open_loop_not_valid"]
    assert "server at 80 % of the capacity" in said
    text = markdown(document(run))
    row = next(line for line in text.splitlines() if line.startswith("| Server, open loop at 80 %"))
    assert "not valid" in row and "ms" not in row


@pytest.mark.parametrize(("change", "code"), [(late, "generator_lagged"), (ended, "deadline")])
def test_a_load_is_judged_by_its_requests_whatever_its_record_says(
    folder: Path, change: Callable[[list[loop.Request]], list[loop.Request]], code: str
) -> None:
    send_otherwise(folder, "o02-server-rate80", change)
    run = evaluated(folder)
    rate = rate_of(run, "server", 0.8)
    assert not rate["valid"] and rate["reason"].startswith(f"o02-server-rate80: {code}: ")
    assert [trial["valid"] for trial in rate["trials"]] == [False, True]
    assert run["valid"] and "open_loop_not_valid" in {one["code"] for one in run["warnings"]}


def test_a_step_of_a_sweep_is_judged_by_its_requests(folder: Path) -> None:
    send_otherwise(folder, "o03-server-sweep", late, step=2)
    sweeps = {sweep["arm"]: sweep for sweep in evaluated(folder)["open_loop"]["sweeps"]}
    assert (sweeps["server"]["valid"], sweeps["server"]["knee_rps"]) == (False, None)
    assert [step["valid"] for step in sweeps["server"]["steps"]] == [True, False]
    assert "generator_lagged" in sweeps["server"]["reason"] and "(at 40/s)" in sweeps["server"]["reason"]
    assert sweeps["serverless"]["valid"]


def test_wrong_answers_among_the_requests_are_a_reason_against_the_run(folder: Path) -> None:
    send_otherwise(folder, "o02-server-rate80", lambda sent: [replace(sent[0], outcome="wrong_answer"), *sent[1:]])
    assert [one["code"] for one in evaluated(folder)["invalid_reasons"]] == ["wrong_answer"]


@pytest.mark.parametrize(("trial", "step"), [("o02-server-rate80", None), ("o03-server-sweep", 2)])
def test_arrivals_that_are_missing_are_found_by_the_schedule(folder: Path, trial: str, step: int | None) -> None:
    send_otherwise(folder, trial, lambda sent: sent[: len(sent) // 2], step)
    (problem,) = evaluated(folder)["invalid_reasons"]
    assert (problem["code"], problem["trial"]) == ("raw_mismatch", trial)
    assert "arrivals; " in problem["message"] and "over 5 s from seed" in problem["message"]


def test_a_load_of_another_length_is_not_the_plans(folder: Path) -> None:
    change_record(folder, "o02-server-rate80", {(*FACTS, "seconds"): 2.5})
    send_otherwise(folder, "o02-server-rate80", lambda sent: sent[: len(sent) // 2])
    (problem,) = evaluated(folder)["invalid_reasons"]
    assert (problem["code"], problem["message"]) == ("raw_mismatch", "seconds is 2.5; the plan says 5.0")


@pytest.mark.parametrize(
    ("trial", "spoil", "said"),
    [
        ("o02-server-rate80", lambda facts: facts.pop("rate_rps"), "'rate_rps' is"),
        ("o02-server-rate80", lambda facts: facts.pop("seconds"), "'seconds' is a required property"),
        ("o02-server-rate80", lambda facts: facts.pop("window"), "'window' is a required property"),
        ("o02-server-rate80", lambda facts: facts.update(seconds=-5), "-5 is less than or equal to"),
        ("o02-server-rate80", lambda facts: (facts.update(valid=False), facts.pop("rate_rps")), "'rate_rps' is"),
        ("o03-server-sweep", lambda facts: facts["sweep"]["steps"][0].pop("held"), "'held' is a required property"),
        ("o03-server-sweep", lambda facts: facts["sweep"].pop("steps"), "'steps' is a required property"),
    ],
)
def test_incomplete_facts_are_no_record(
    folder: Path, trial: str, spoil: Callable[[dict[str, Any]], object], said: str
) -> None:
    change_json(folder / "raw" / f"{trial}.json", lambda record: spoil(record["facts"]["open_loop_benchmark"]))
    (problem,) = evaluated(folder)["invalid_reasons"]
    assert (problem["code"], problem["trial"]) == ("record_unusable", trial)
    assert said in problem["message"] and "\n" not in problem["message"]


@pytest.mark.parametrize(
    ("count", "highest"), [(1, 0), (10, 70), (28, 85), (29, 90), (195, 98), (299, 99), (2994, 99.5), (2995, 99.9)]
)
def test_a_spectrum_ends_at_the_percentile_that_its_count_allows(count: int, highest: float) -> None:
    spectrum = open_loop._spectrum([0.001 * number for number in range(count)])
    assert spectrum[-2][0] == highest
    assert spectrum[-1] == [100.0, pytest.approx(0.001 * (count - 1))], "the longest is one of the values"


@pytest.mark.parametrize(
    ("reason", "code"),
    [("wrong_answer: class is 4", "wrong_answer"), ("instance_changed: a and b", "instance_changed")],
)
def test_a_service_that_answered_wrongly_makes_the_run_invalid(folder: Path, reason: str, code: str) -> None:
    change_record(folder, "o02-server-rate80", {(*FACTS, "valid"): False, (*FACTS, "invalid_reasons"): [reason]})
    run = evaluated(folder)
    assert [(one["code"], one["trial"]) for one in run["invalid_reasons"]] == [(code, "o02-server-rate80")]


def test_figures_that_do_not_follow_from_the_file_are_found(folder: Path) -> None:
    change_record(folder, "o02-server-rate80", {(*FACTS, "latency_seconds", "p95"): 0.001})
    (folder / "raw" / "o03-serverless-sweep.open_loop.02.csv").unlink()
    problems = {one["trial"]: one["message"] for one in evaluated(folder)["invalid_reasons"]}
    assert problems.keys() == {"o02-server-rate80", "o03-serverless-sweep"}
    assert "latency_seconds.p95 is 0.001" in problems["o02-server-rate80"]
    assert "is missing" in problems["o03-serverless-sweep"]


def test_without_a_capacity_there_is_no_rate_and_it_is_said(folder: Path) -> None:
    change_record(
        folder,
        "c01-server-capacity",
        {("ab_benchmark", "valid"): False, ("ab_benchmark", "invalid_reasons"): ["ab_timeout: silence"]},
    )
    no_rate = {"valid": False, "invalid_reasons": ["no_rate: no capacity"]}
    for path in folder.glob("raw/o0*.json"):
        change_json(path, lambda record: record.update(facts={"open_loop_benchmark": no_rate}))
    run = evaluated(folder)
    found = run["open_loop"]
    assert run["valid"], "the loads of the verdict are what they were"
    assert found["weaker"] is None
    assert found["capacity"][0]["reason"] == "ab_timeout: silence"
    assert not any(rate["valid"] for rate in found["rates"])
    assert all(rate["rate_rps"] is None for rate in found["rates"])
    assert "no capacity" in markdown(document(run))


def test_each_load_says_whether_its_requests_are_independent_and_settled(folder: Path) -> None:
    run = evaluated(folder)
    rate = rate_of(run, "server", 0.8)
    for trial in rate["trials"]:
        assert abs(trial["autocorrelation"]["lag1"]) <= 1
        assert trial["autocorrelation"]["bound"] > 0
        assert trial["intervals"]["p50"]["low"] <= trial["latency_seconds"]["p50"] <= trial["intervals"]["p50"]["high"]
        assert trial["intervals"]["p50"]["level"] >= 0.95
    assert "by chance within" in markdown(document(run))


def test_a_rising_load_is_called_alike_and_a_slow_begin_a_warm_up() -> None:
    rising = open_loop._in_order([0.01 + 0.0001 * number for number in range(200)])
    assert rising["autocorrelation"]["lag1"] > 0.9 > rising["autocorrelation"]["bound"]
    never = open_loop._in_order(
        [1.0 - 0.002 * number for number in range(200)] + [0.01 + 0.001 * (n % 7) for n in range(200)]
    )
    assert never["warm_up"]["settled"] is False
    slow = open_loop._in_order([1.0] * 20 + [0.01 + 0.001 * (number % 7) for number in range(380)])
    assert slow["warm_up"] == {
        "requests": 20,
        "settled": True,
        "median_before_seconds": 1.0,
        "median_after_seconds": pytest.approx(0.013),
    }
    assert open_loop._in_order([0.01] * 9) == {"autocorrelation": None, "warm_up": None}


def test_the_report_says_why_the_tails_differ(folder: Path) -> None:
    text = markdown(document(evaluated(folder)))
    assert "coordinated omission" in text
    assert "| Server, open loop at 80 % | 80.0 /s | 800 | 10.0 ms | 10.0 ms | 10.0 ms | 200 ms | 0.00 % |" in text
    assert "The server arm holds 20.0 /s and no longer 40.0 /s." in text
    assert "So did the open loop's" in text


def test_histograms_are_files_of_the_run_and_the_same_again(folder: Path) -> None:
    report.build(folder)
    written = (folder / "open-loop-server.hdr").read_bytes()
    assert written.count(b"Tag=rate") == 2
    report.build(folder)
    assert (folder / "open-loop-server.hdr").read_bytes() == written
    assert (folder / "open-loop-serverless.hdr").is_file()


def test_a_run_without_such_a_part_has_no_such_key(run_folder: Path) -> None:
    assert "open_loop" not in evaluated(run_folder)
    report.build(run_folder)
    assert list(run_folder.glob("*.hdr")) == []


def test_a_rate_that_its_censored_requests_reach_is_a_bound(folder: Path) -> None:
    path = folder / "raw" / "o02-server-rate80.open_loop.csv"
    lines = path.read_text().splitlines()
    cut = [line.replace(",ok,200,", ",timeout,,") if number % 50 == 8 else line for number, line in enumerate(lines)]
    path.write_text("\n".join(cut) + "\n")
    rate = rate_of(evaluated(folder), "server", 0.8)
    assert rate["censored"]["n"] == 8
    assert "p99" in rate["at_least"]
    json.dumps(rate, allow_nan=False)
