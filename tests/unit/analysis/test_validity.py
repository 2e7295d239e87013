# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Every injected fault makes the run INVALID with its own reason, and nothing of it is compared."""

from __future__ import annotations

import hashlib
import json
import random
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from evenkeel import ab

from analysis.errors import RunUnreadable
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import Reason, Status, Verdict, first_violation
from tests.unit.fixtures.runs.generator import (
    SyntheticRun,
    ab_csv,
    ab_text,
    calibrated,
    change_json,
    change_plan,
    change_record,
    credited,
    write_json,
)

LOAD, START, IDLE = "b02-serverless-load", "b02-serverless-start", "i01-serverless-idle"


def remeasure(folder: Path, stdout: str, csv: str, reasons: list[str]) -> None:
    """Give the load other raw files and the facts that follow from them."""
    (folder / "raw" / f"{LOAD}.ab.txt").write_text(stdout, "utf-8")
    (folder / "raw" / f"{LOAD}.ab.csv").write_text(csv, "utf-8")
    figures = ab.measure(stdout, csv, 10, False, lengths=ab.KnownLengths(180, 180)).figures
    change = {("ab_benchmark", key): value for key, value in figures.items()}
    if figures["ab_seconds"] is not None:
        record = json.loads((folder / "raw" / f"{LOAD}.json").read_text("utf-8"))
        begun = record["facts"]["ab_benchmark"]["window"]["start_monotonic_seconds"]
        change[("ab_benchmark", "window", "end_monotonic_seconds")] = begun + figures["ab_seconds"]
        change[("ab_benchmark", "wall_seconds")] = figures["ab_seconds"]
    change_record(
        folder, LOAD, {**change, ("ab_benchmark", "valid"): not reasons, ("ab_benchmark", "invalid_reasons"): reasons}
    )


def bad_gateway(folder: Path) -> None:
    times = [0.5] * 10
    remeasure(
        folder,
        ab_text(times, seconds=2.5, non_2xx=5),
        ab_csv(times),
        ["failed_requests: up to 5 of 10 failed (lost 0, non-2xx 5, wrong length 0), 0 allowed"],
    )


def bad_gateway_called_valid(folder: Path) -> None:
    times = [0.5] * 10
    remeasure(folder, ab_text(times, seconds=2.5, non_2xx=5), ab_csv(times), [])


def lost_requests(folder: Path) -> None:
    times = [0.5] * 10
    remeasure(folder, ab_text(times, seconds=2.5, receive=1), ab_csv(times), ["failed_requests: up to 1 of 10 failed"])


def no_report(folder: Path) -> None:
    stdout = "This is ApacheBench, Version 2.3 <$Revision$>\n\nBenchmarking 127.0.0.1 (be patient)..."
    remeasure(folder, stdout, "", ["ab_timeout: no byte came on any connection"])


def wrong_accuracy(folder: Path) -> None:
    change_record(folder, START, {("service_startup", "answer", "accuracy"): 0.1})


def wrong_probe(folder: Path) -> None:
    change_record(
        folder,
        LOAD,
        {
            ("ab_benchmark", "valid"): False,
            ("ab_benchmark", "invalid_reasons"): ["wrong_answer: accuracy is 0.1, not 0.94 (after the load)"],
        },
    )


def wrong_evaluation(folder: Path) -> None:
    change_record(
        folder,
        START,
        {
            ("service_startup", "valid"): False,
            ("service_startup", "invalid_reasons"): ["wrong_evaluation: accuracy is 0.1"],
        },
    )


def not_new(folder: Path) -> None:
    change_record(
        folder,
        START,
        {("service_startup", "valid"): False, ("service_startup", "invalid_reasons"): ["not_new: it ran before"]},
    )


def restarted_under_watch(folder: Path) -> None:
    change_record(folder, IDLE, {("htop", "restarted"): True})


def restarted_between(folder: Path) -> None:
    change_record(folder, LOAD, {("ab_benchmark", "probes", "before", "answer", "instance_id"): "another"})


def rebooted(folder: Path) -> None:
    change_record(folder, LOAD, {("ab_benchmark", "window", "host_boot_id"): "another-boot"})


def fewer_cpus(folder: Path) -> None:
    for path in (folder / "raw").glob("*-serverless-*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(folder, path.stem, {("service_startup", "granted", "affinity_cpus"): [0]})


def fewer_effective_cores(folder: Path) -> None:
    for path in (folder / "raw").glob("*-serverless-*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(folder, path.stem, {("service_startup", "evaluation", "cpu_cores"): 0.97})


def unrecorded_threads(folder: Path) -> None:
    for path in (folder / "raw").glob("*-server-*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(folder, path.stem, {("service_startup", "startup", "effective"): {}})


def other_load(folder: Path) -> None:
    record = json.loads((folder / "raw" / f"{LOAD}.json").read_text("utf-8"))
    argv = record["facts"]["ab_benchmark"]["argv"]
    change_record(folder, LOAD, {("ab_benchmark", "argv"): [*argv, "-k"]})


def missing_trial(folder: Path) -> None:
    (folder / "raw" / f"{LOAD}.json").unlink()


def cut_record(folder: Path) -> None:
    path = folder / "raw" / f"{LOAD}.json"
    path.write_text(path.read_text("utf-8")[:200], "utf-8")


def swapped_record(folder: Path) -> None:
    (folder / "raw" / f"{LOAD}.json").write_bytes((folder / "raw" / "b02-server-load.json").read_bytes())


def no_facts(folder: Path) -> None:
    path = folder / "raw" / f"{LOAD}.json"
    record = json.loads(path.read_text("utf-8"))
    path.write_text(json.dumps({**record, "facts": {}}), "utf-8")


def improved_facts(folder: Path) -> None:
    record = json.loads((folder / "raw" / f"{LOAD}.json").read_text("utf-8"))
    samples = record["facts"]["ab_benchmark"]["samples_seconds"]
    change_record(folder, LOAD, {("ab_benchmark", "samples_seconds"): [samples[0] - 0.0001, *samples[1:]]})


def improved_mean(folder: Path) -> None:
    change_record(folder, LOAD, {("ab_benchmark", "latency_seconds", "mean"): 0.4})


def raw_text_missing(folder: Path) -> None:
    (folder / "raw" / f"{LOAD}.ab.txt").unlink()


def raw_csv_missing(folder: Path) -> None:
    (folder / "raw" / f"{LOAD}.ab.csv").unlink()


def watched_lists(folder: Path, content: bytes) -> Path:
    """Have the load's record name a watcher's long lists with their checksum; give the place of the file."""
    name = {"path": "/somewhere/else/htop.frames.json", "sha256": hashlib.sha256(content).hexdigest(), "bytes": 2}
    change_json(folder / "raw" / f"{LOAD}.json", lambda record: record.update(artifacts=[name]))
    return folder / "raw" / f"{LOAD}.htop.frames.json"


def lists_missing(folder: Path) -> None:
    watched_lists(folder, b"{}")


def lists_changed(folder: Path) -> None:
    watched_lists(folder, b"{}").write_bytes(b'{"frames": []}')


def another_seed(folder: Path) -> None:
    change_plan(folder, lambda plan: plan.update(seed=plan["seed"] + 1))


def another_order(folder: Path) -> None:
    def swap(plan: dict[str, Any]) -> None:
        first, second = plan["trials"][:2]
        first["order"], second["order"] = second["order"], first["order"]

    change_plan(folder, swap)


def fewer_blocks(folder: Path) -> None:
    change_plan(folder, lambda plan: plan.update(trials=plan["trials"][:-6]))


def another_host(folder: Path) -> None:
    change_plan(folder, lambda plan: plan["arms"]["server"].update(host="elsewhere"))


FAULTS: list[tuple[Callable[[Path], None], Reason]] = [
    (bad_gateway, Reason.REQUESTS_FAILED),
    (bad_gateway_called_valid, Reason.REQUESTS_FAILED),
    (lost_requests, Reason.REQUESTS_FAILED),
    (no_report, Reason.LOAD_INVALID),
    (wrong_accuracy, Reason.WRONG_ANSWER),
    (wrong_probe, Reason.WRONG_ANSWER),
    (wrong_evaluation, Reason.WRONG_ANSWER),
    (not_new, Reason.START_INVALID),
    (restarted_under_watch, Reason.INSTANCE_CHANGED),
    (restarted_between, Reason.INSTANCE_CHANGED),
    (rebooted, Reason.HOST_REBOOTED),
    (fewer_cpus, Reason.PARITY_FAILED),
    (fewer_effective_cores, Reason.PARITY_FAILED),
    (unrecorded_threads, Reason.PARITY_FAILED),
    (other_load, Reason.PARITY_FAILED),
    (missing_trial, Reason.TRIAL_MISSING),
    (cut_record, Reason.RECORD_UNUSABLE),
    (swapped_record, Reason.TRIAL_MISMATCH),
    (no_facts, Reason.FACTS_MISSING),
    (improved_facts, Reason.RAW_MISMATCH),
    (improved_mean, Reason.RAW_MISMATCH),
    (raw_text_missing, Reason.RAW_MISMATCH),
    (raw_csv_missing, Reason.RAW_MISMATCH),
    (lists_missing, Reason.RAW_MISMATCH),
    (lists_changed, Reason.RAW_MISMATCH),
    (another_seed, Reason.PLAN_MISMATCH),
    (another_order, Reason.PLAN_MISMATCH),
    (fewer_blocks, Reason.PLAN_MISMATCH),
    (another_host, Reason.PLAN_MISMATCH),
]


@pytest.mark.parametrize(("fault", "reason"), FAULTS, ids=lambda value: getattr(value, "__name__", str(value)))
def test_a_fault_makes_the_run_invalid(run_folder: Path, fault: Callable[[Path], None], reason: Reason) -> None:
    fault(run_folder)
    run = evaluate(read_run(run_folder))
    assert not run["valid"]
    assert reason in {found["code"] for found in run["invalid_reasons"]}
    assert {metric["verdict"] for metric in run["metrics"]} == {Verdict.NOT_VALID}
    assert all(metric["ratio"] is None and metric["interval"] is None for metric in run["metrics"])


@pytest.mark.parametrize(
    "fault",
    [
        bad_gateway,
        wrong_probe,
        not_new,
        restarted_between,
        rebooted,
        fewer_cpus,
        missing_trial,
        improved_facts,
        lists_missing,
        another_seed,
    ],
)
def test_a_single_fault_has_a_single_code(run_folder: Path, fault: Callable[[Path], None]) -> None:
    fault(run_folder)
    assert len({found["code"] for found in evaluate(read_run(run_folder))["invalid_reasons"]}) == 1


def test_a_run_without_fault_is_valid(evaluated: Callable[..., dict[str, Any]]) -> None:
    run = evaluated()
    assert (run["valid"], run["invalid_reasons"], run["status"]) == (True, [], Status.COMPLETE)


def test_long_lists_that_are_what_was_recorded_are_no_reason(run_folder: Path) -> None:
    watched_lists(run_folder, b"{}").write_bytes(b"{}")
    assert evaluate(read_run(run_folder))["valid"]


def test_an_order_that_the_seed_does_not_give_says_which_trial(run_folder: Path) -> None:
    fewer_blocks(run_folder)
    (found,) = [
        reason for reason in evaluate(read_run(run_folder))["invalid_reasons"] if reason["code"] == "plan_mismatch"
    ]
    assert found["trial"] is None
    assert found["message"].startswith("trial 27 of the plan is none; its profile, arms and seed 7 give b0")


def test_failures_that_the_profile_allows_do_not_count(run_folder: Path) -> None:
    change_plan(run_folder, lambda plan: plan["profile"]["run"]["load"].update(max_error_rate=0.5))
    bad_gateway_called_valid(run_folder)
    run = evaluate(read_run(run_folder))
    assert run["valid"], run["invalid_reasons"]
    primary = next(metric for metric in run["metrics"] if metric["primary"])
    assert primary["verdict"] == Verdict.NOT_MEASURED
    assert primary["reason"].startswith("1 of 6 pairs have no ratio")


def test_an_interrupted_run_says_so_and_how_far_it_came(tmp_path: Path) -> None:
    folder = SyntheticRun(finished=False).write(tmp_path)
    for path in (folder / "raw").glob("b0[456]-*.json"):
        path.unlink()
    run = evaluate(read_run(folder))
    assert run["status"] == Status.INTERRUPTED
    assert [found["code"] for found in run["invalid_reasons"]] == [Reason.RUN_INTERRUPTED]
    assert "20 of 32 trials" in run["invalid_reasons"][0]["message"]
    assert next(metric for metric in run["metrics"] if metric["primary"])["server"]["n"] == 3


def test_what_an_interrupted_run_did_not_record_is_no_difference(tmp_path: Path) -> None:
    folder = SyntheticRun(finished=False).write(tmp_path)
    for path in (folder / "raw").glob("*-serverless-load.json"):
        path.unlink()
    assert [found["code"] for found in evaluate(read_run(folder))["invalid_reasons"]] == [Reason.RUN_INTERRUPTED]


def test_a_discarded_start_is_not_judged(run_folder: Path) -> None:
    change_record(run_folder, "w01-server-imports", {("service_startup", "valid"): False})
    assert evaluate(read_run(run_folder))["valid"]


def test_a_run_that_failed_is_interrupted_even_after_it_was_closed(run_folder: Path) -> None:
    missing_trial(run_folder)
    events = [
        {"event": "step_failed", "step": "run", "message": "the arm was never ready"},
        {"event": "run_finished", "step": "run"},
    ]
    with (run_folder / "journal.jsonl").open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(event) + "\n" for event in events)
    run = evaluate(read_run(run_folder))
    assert run["status"] == Status.INTERRUPTED
    assert run["invalid_reasons"][0]["message"].endswith("the arm was never ready")


def test_a_resumed_sitting_that_was_broken_off_is_interrupted(run_folder: Path) -> None:
    missing_trial(run_folder)
    events = [
        {"event": "step_failed", "step": "run", "message": "the arm was never ready"},
        {"event": "run_finished", "step": "run"},
        {"event": "run_resumed", "step": "run"},
        {"event": "step_begun", "step": LOAD},
    ]
    with (run_folder / "journal.jsonl").open("a", encoding="utf-8") as stream:
        stream.writelines(json.dumps(event) + "\n" for event in events)
    run = evaluate(read_run(run_folder))
    assert run["status"] == Status.INTERRUPTED
    assert [(found["code"], found["message"]) for found in run["invalid_reasons"]] == [
        (Reason.RUN_INTERRUPTED, "31 of 32 trials were measured before the run ended")
    ]


def test_a_failure_before_the_run_was_resumed_is_over(run_folder: Path) -> None:
    lines = (run_folder / "journal.jsonl").read_text("utf-8").splitlines()
    failed = [json.dumps({"event": name, "step": "run"}) for name in ("step_failed", "run_resumed")]
    (run_folder / "journal.jsonl").write_text("\n".join([lines[0], *failed, *lines[1:]]) + "\n", "utf-8")
    run = evaluate(read_run(run_folder))
    assert (run["valid"], run["status"]) == (True, Status.COMPLETE)
    assert "resumed" in {caution["code"] for caution in run["warnings"]}


def places(found: Any, before: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """Give the path of every value, those inside long lists left out."""
    inner = found.items() if isinstance(found, dict) else enumerate(found) if isinstance(found, list) else ()
    if isinstance(found, list) and len(found) > 12:
        return []
    return [path for key, value in inner for path in ((*before, key), *places(value, (*before, key)))]


GARBAGE = (None, -1, 1e308, "x", [], {}, [[1, 2]], True, float("nan"))


@pytest.mark.parametrize("platforms", [{}, {"server": "docker", "serverless": "kind"}], ids=["process", "kind"])
@pytest.mark.parametrize("seed", range(4))
def test_garbage_in_a_record_never_ends_in_a_traceback(tmp_path: Path, seed: int, platforms: dict[str, str]) -> None:
    folder = SyntheticRun(blocks=1, platforms=platforms).write(tmp_path)
    for edge in ("before", "after"):
        write_json(folder / "raw" / f"calibration-local-{edge}.json", calibrated(1000))
        write_json(folder / "raw" / f"credits-local-{edge}.json", credited([50, 40]))
    chance = random.Random(seed)
    for _ in range(12):
        path = chance.choice(sorted((folder / "raw").glob("*-*.json")))
        whole = path.read_text("utf-8")
        record = json.loads(whole)
        *parents, last = chance.choice(places(record))
        place = record
        for key in parents:
            place = place[key]
        place[last] = chance.choice(GARBAGE)
        path.write_text(json.dumps(record), "utf-8")
        try:
            run = evaluate(read_run(folder))
            assert first_violation("run", run) is None
            assert markdown(document(run))
        except RunUnreadable as error:
            assert path.name in str(error)
        path.write_text(whole, "utf-8")
