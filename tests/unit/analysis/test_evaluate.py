# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import json
import re
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest

from analysis.base_run import Ground
from analysis.errors import RunUnreadable
from analysis.evaluate import check_base, evaluate
from analysis.metrics import BY_NAME, REGISTRY
from analysis.report import build
from analysis.run_store import read_run
from analysis.schema import Caution, Reason, Status, Verdict, first_violation
from analysis.wording import status_sentence
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_plan, change_record, write_json

Make = Callable[..., dict[str, Any]]


def metric(run: dict[str, Any], name: str) -> dict[str, Any]:
    return next(found for found in run["metrics"] if found["name"] == name)


def test_the_run_keeps_its_schema(evaluated: Make) -> None:
    assert first_violation("run", evaluated()) is None


def test_a_slower_arm_is_called_slower_by_what_it_is(evaluated: Make) -> None:
    found = metric(evaluated(effects={"response_mean_seconds": 1.1}), "response_mean_seconds")
    assert found["verdict"] == Verdict.SLOWER
    assert found["ratio"] == pytest.approx(1.1, rel=0.02)
    assert found["interval"]["low"] < 1.1 < found["interval"]["high"]
    assert found["n"] == 6
    assert found["p_adjusted"] is None


def test_the_same_arm_twice_is_equivalent(evaluated: Make) -> None:
    run = evaluated(blocks=10)
    words = {found["name"]: found["verdict"] for found in run["metrics"] if found["role"] != "shown"}
    assert set(words.values()) <= {Verdict.EQUIVALENT, Verdict.TOO_FEW_BLOCKS}
    assert words["response_mean_seconds"] == Verdict.EQUIVALENT


def test_memory_is_called_more_not_slower(evaluated: Make) -> None:
    run = evaluated(blocks=10, idle_windows=10, effects={"busy_memory_bytes": 1.5, "idle_memory_bytes": 0.5})
    assert metric(run, "busy_memory_bytes")["verdict"] == Verdict.MORE
    assert metric(run, "idle_memory_bytes")["verdict"] == Verdict.LESS


def test_the_family_is_adjusted_and_the_primary_is_not(evaluated: Make) -> None:
    run = evaluated(effects={"response_mean_seconds": 1.2, "ready_seconds": 1.5})
    start = metric(run, "ready_seconds")
    assert (start["p"], start["p_adjusted"]) == (pytest.approx(0.03125), pytest.approx(0.09375))
    assert start["verdict"] == Verdict.INCONCLUSIVE
    assert metric(run, "response_mean_seconds")["verdict"] == Verdict.SLOWER


def test_figures_are_those_of_the_raw_data(evaluated: Make) -> None:
    run = evaluated(noise=0.0)
    load = next(trial for trial in run["trials"] if trial["id"] == "b03-server-load")
    samples = load["data"]["samples_seconds"]
    assert load["figures"]["response_mean_seconds"]["value"] == pytest.approx(sum(samples) / len(samples))
    window = load["window"]["end_monotonic_seconds"] - load["window"]["start_monotonic_seconds"]
    assert load["figures"]["busy_cpu_cores"]["value"] == pytest.approx(1.85)
    assert load["figures"]["busy_cpu_seconds_per_request"]["value"] == pytest.approx(1.85 * window / 10)
    assert load["figures"]["busy_memory_bytes"]["value"] == 380 * 2**20
    assert load["figures"]["busy_htop_cpu_percent"]["value"] == pytest.approx(92.5)
    assert load["figures"]["response_p95_seconds"]["value"] is None
    idle = next(trial for trial in run["trials"] if trial["id"] == "i01-server-idle")
    assert idle["figures"]["idle_cpu_cores"]["value"] == pytest.approx(0.004)


def test_few_idle_windows_are_too_few(evaluated: Make) -> None:
    found = metric(evaluated(), "idle_memory_bytes")
    assert (found["verdict"], found["n"], found["interval"]) == (Verdict.TOO_FEW_BLOCKS, 2, None)


def test_a_trained_start_is_an_observation(evaluated: Make) -> None:
    found = metric(evaluated(), "trained_ready_seconds")
    assert (found["verdict"], found["n"]) == (None, 1)
    assert found["reason"] == "one observation an arm; shown, not tested"


def test_below_the_resolution_is_less_than_and_not_zero(run_folder: Path) -> None:
    flat = [[100.0 + step, 10.0] for step in range(6)]
    for trial in ("i01-server-idle", "i02-server-idle"):
        change_record(
            run_folder,
            trial,
            {("htop", "counters", "samples"): flat, ("htop", "counters", "resolution_seconds"): 0.02},
        )
    found = metric(evaluate(read_run(run_folder)), "idle_cpu_cores")
    assert found["server"]["less_than"] == pytest.approx(0.004)
    assert found["server"]["median"] is None
    assert found["verdict"] == Verdict.NOT_MEASURED


def test_a_pair_without_a_figure_is_not_dropped(run_folder: Path) -> None:
    change_record(run_folder, "b03-serverless-load", {("htop",): {}})
    found = metric(evaluate(read_run(run_folder)), "busy_memory_bytes")
    assert (found["verdict"], found["ratio"]) == (Verdict.NOT_MEASURED, None)
    assert found["reason"].startswith("1 of 6 pairs have no ratio")


def test_memory_of_two_kinds_is_not_compared(run_folder: Path) -> None:
    for path in (run_folder / "raw").glob("b*-serverless-load.json"):
        change_record(run_folder, path.stem, {("htop", "memory", "kind"): "working_set"})
    found = metric(evaluate(read_run(run_folder)), "busy_memory_bytes")
    assert found["verdict"] == Verdict.NOT_MEASURED
    assert found["reason"] == "different kinds are not compared: pss against working_set"


def test_a_container_is_watched_by_docker_stats(run_folder: Path) -> None:
    for path in (run_folder / "raw").glob("b*-load.json"):
        record = json.loads(path.read_text("utf-8"))
        htop = record["facts"].pop("htop")
        htop["memory"]["kind"] = "working_set"
        frames = [{**frame, "cpu_percent_of_core": 185.0} for frame in htop["frames"]]
        container = {key: htop[key] for key in ("counters", "memory", "restarted")} | {"samples": frames}
        record["facts"]["docker_stats"] = {"host_boot_id": htop["host_boot_id"], "containers": [container]}
        write_json(path, record)
    run = evaluate(read_run(run_folder))
    assert run["valid"]
    assert metric(run, "busy_docker_stats_cpu_percent")["server"]["median"] == 185.0
    assert metric(run, "busy_cpu_cores")["server"]["median"] == pytest.approx(1.85)
    assert metric(run, "busy_memory_bytes")["kind"] == "working_set"


def test_one_arm_has_figures_and_no_verdict(evaluated: Make) -> None:
    run = evaluated(arms=("server",))
    found = metric(run, "response_mean_seconds")
    assert (run["status"], run["valid"], run["parity"]["passed"]) == (Status.ONE_ARM, True, None)
    assert (found["verdict"], found["ratio"], found["serverless"]) == (None, None, None)
    assert found["server"]["n"] == 6
    assert found["reason"] == "one arm was measured"


def test_a_base_run_is_set_beside_and_not_tested(tmp_path: Path) -> None:
    base = SyntheticRun(run_id="20261124T220000Z-000001").write(tmp_path)
    SyntheticRun(run_id="20261125T220000Z-000002", arms=("server",), base_run=base.name).write(tmp_path)
    run = build(tmp_path / "20261125T220000Z-000002")
    found = metric(run, "response_mean_seconds")
    assert run["valid"]
    assert found["serverless"]["n"] == 6
    assert (found["verdict"], found["ratio"]) == (None, None)
    assert "not interleaved" in found["reason"]
    assert Caution.NOT_INTERLEAVED in {caution["code"] for caution in run["warnings"]}


@pytest.mark.parametrize("spoil", ["absent", "invalid", "same arm", "two arms"])
def test_a_base_run_that_does_not_fit_is_refused(tmp_path: Path, spoil: str) -> None:
    base_arms = ("server",) if spoil == "same arm" else ("server", "serverless")
    if spoil != "absent":
        base = SyntheticRun(run_id="20261124T220000Z-000001", arms=base_arms).write(tmp_path)
        if spoil == "invalid":
            change_record(base, "b01-serverless-load", {("ab_benchmark", "valid"): False})
    arms = ("server", "serverless") if spoil == "two arms" else ("server",)
    run = SyntheticRun(run_id="20261125T220000Z-000002", arms=arms, base_run="20261124T220000Z-000001").write(tmp_path)
    with pytest.raises(RunUnreadable, match="000001"):
        build(run)


BASE, OWN = "20261124T220000Z-000001", "20261125T220000Z-000002"


def beside(results: Path) -> tuple[Path, Path]:
    """A run of both arms, and a run of the server alone that names it as its base."""
    base = SyntheticRun(run_id=BASE).write(results)
    return base, SyntheticRun(run_id=OWN, arms=("server",), base_run=BASE).write(results)


def other_service(base: Path) -> None:
    change_plan(base, lambda plan: plan["profile"]["service"].update(epochs=30, start_with="load"))


def other_load(base: Path) -> None:
    change_plan(base, lambda plan: plan["profile"]["run"]["load"].update(concurrency=1))


def other_machine(base: Path) -> None:
    change_json(base / "raw" / "host-local.json", lambda facts: facts.update(cpu_model="Another CPU"))


def other_threads(base: Path) -> None:
    for path in (base / "raw").glob("[bs]*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(base, path.stem, {("service_startup", "startup", "effective", "compute_threads"): 1})


@pytest.mark.parametrize(
    ("differ", "said"),
    [
        (other_service, "profile.service.epochs is 10 here and 30 there"),
        (other_load, "profile.run.load.concurrency is 2 here and 1 there"),
        (other_machine, "cpu_model of the machine local is Example CPU here and of local Another CPU there"),
    ],
)
def test_a_base_run_of_another_ground_is_refused_and_named(
    tmp_path: Path, differ: Callable[[Path], None], said: str
) -> None:
    base, run = beside(tmp_path)
    differ(base)
    with pytest.raises(RunUnreadable) as refused:
        build(run)
    assert BASE in str(refused.value) and said in str(refused.value)
    assert "start_with" not in str(refused.value)
    assert not (run / "run.json").exists()


def test_a_base_run_on_unequal_ground_fails_parity_and_is_shown(tmp_path: Path) -> None:
    """It is found out when both are measured, and what was measured is not held back for it."""
    base, folder = beside(tmp_path)
    other_threads(base)
    run = build(folder)
    assert run["invalid_reasons"] == [
        {
            "code": Reason.PARITY_FAILED,
            "message": "compute threads: server 2, serverless 1 (the arms differ)",
            "trial": None,
        }
    ]
    assert "PARITY FAILED" in str(status_sentence(run))
    assert "not valid: PARITY FAILED" in (folder / "report.md").read_text("utf-8")
    found = metric(run, "response_mean_seconds")
    assert (found["server"]["n"], found["serverless"]["n"], found["ratio"]) == (6, 6, None)


def ground(run: Path) -> Ground:
    """What was known of a run before it began."""
    plan = json.loads((run / "plan.json").read_text("utf-8"))
    hosts = {"local": json.loads((run / "raw" / "host-local.json").read_text("utf-8"))}
    return Ground(plan["profile"], plan["arms"], hosts)


@pytest.mark.parametrize(
    ("differ", "said"),
    [
        (lambda base: None, None),
        (other_service, "cannot be set beside this run: profile.service.epochs is 10 here and 30 there"),
        (other_load, "profile.run.load.concurrency is 2 here and 1 there"),
        (other_machine, "cpu_model of the machine local is Example CPU here and of local Another CPU there"),
        (lambda base: (base / "raw" / "b01-server-load.json").unlink(), f"{BASE} is INVALID (trial_missing)"),
    ],
)
def test_before_a_run_its_base_run_is_checked(tmp_path: Path, differ: Callable[[Path], None], said: str | None) -> None:
    base, run = beside(tmp_path)
    differ(base)
    with nullcontext() if said is None else pytest.raises(RunUnreadable, match=re.escape(said)):
        check_base(ground(run), read_run(base))


def on_two_machines(folder: Path) -> None:
    """The serverless arm, its load too, was on another machine."""

    def moved(plan: dict[str, Any]) -> None:
        for described in (plan["arms"]["serverless"], *plan["trials"]):
            if described.get("arm", "serverless") == "serverless":
                described.update(host="big", load_host="big")

    change_plan(folder, moved)
    facts = json.loads((folder / "raw" / "host-local.json").read_text("utf-8")) | {"cpu_model": "Another CPU"}
    write_json(folder / "raw" / "host-big.json", facts)


def test_arms_on_two_machines_are_a_pairing(tmp_path: Path) -> None:
    """The server's own machine is what must be the same again."""
    base, run = beside(tmp_path)
    on_two_machines(base)
    check_base(ground(run), read_run(base))
    assert build(run)["valid"]
    change_json(base / "raw" / "host-local.json", lambda facts: facts.update(cpu_count=8))
    with pytest.raises(RunUnreadable, match="cpu_count of the machine local is 2 here and of local 8 there"):
        check_base(ground(run), read_run(base))


def test_a_run_that_failed_before_its_machines_were_written_down_says_why_itself(tmp_path: Path) -> None:
    SyntheticRun(run_id=BASE).write(tmp_path)
    folder = SyntheticRun(run_id=OWN, arms=("server",), base_run=BASE, finished=False).write(tmp_path)
    for path in (folder / "raw").iterdir():
        path.unlink()
    run = build(folder)
    assert run["invalid_reasons"][0]["code"] == Reason.RUN_INTERRUPTED


def test_a_run_of_both_arms_has_no_base_run(tmp_path: Path) -> None:
    base = SyntheticRun(run_id=BASE).write(tmp_path)
    with pytest.raises(RunUnreadable, match="can only be set beside a run of one arm"):
        check_base(ground(base), read_run(base))


def test_a_base_run_may_have_been_started_otherwise_and_have_more_blocks(tmp_path: Path) -> None:
    base = SyntheticRun(run_id=BASE, blocks=7).write(tmp_path)
    change_plan(base, lambda plan: plan["profile"]["service"].update(start_with="load"))
    run = build(SyntheticRun(run_id=OWN, arms=("server",), base_run=BASE).write(tmp_path))
    assert (run["valid"], run["parity"]["passed"]) == (True, True)


def test_a_run_that_is_invalid_itself_is_shown_so_beside_its_base(tmp_path: Path) -> None:
    _, folder = beside(tmp_path)
    (folder / "raw" / "b01-server-load.json").unlink()
    for block in range(1, 7):
        change_record(folder, f"b{block:02}-server-start", {("service_startup", "answer", "accuracy"): 0.1})
    run = build(folder)
    assert (run["valid"], run["parity"]["passed"]) == (False, False)


def test_what_an_embedded_run_cannot_know_is_not_measured(evaluated: Make) -> None:
    names = {found["name"] for found in evaluated()["not_measured"]}
    assert names >= {"pod cold start", "control plane's CPU and memory"}


def test_what_containers_without_a_cluster_cannot_know_is_not_measured(evaluated: Make) -> None:
    found = {one["name"]: one["reason"] for one in evaluated(platform="docker")["not_measured"]}
    assert found.keys() >= {"pod cold start", "control plane's CPU and memory"}
    assert all("container" in reason for reason in found.values())


def test_a_cluster_run_claims_nothing_of_the_kind(evaluated: Make) -> None:
    names = {found["name"] for found in evaluated(platform="kind")["not_measured"]}
    assert names == {"gateway's share of the response time"}
    assert evaluated(arms=("server",), platform="docker")["not_measured"] == []


@pytest.mark.parametrize(
    ("change", "code"),
    [
        ({("ab_benchmark", "client", "cpu_cores"): 0.1}, Caution.CLIENT_CPU_SHARE),
        ({("htop", "client", "cpu_seconds"): 0.5}, Caution.CLIENT_CPU_SHARE),
        ({("htop", "proc_check", "passed"): False}, Caution.TOOL_DISAGREES),
        ({("htop_failure",): "htop ended by itself"}, Caution.WATCHER_FAILED),
    ],
)
def test_a_record_gives_reason_to_remark(run_folder: Path, change: dict[tuple[str, ...], object], code: str) -> None:
    assert code not in {caution["code"] for caution in evaluate(read_run(run_folder))["warnings"]}
    change_record(run_folder, "b01-server-load", change)
    run = evaluate(read_run(run_folder))
    assert run["valid"]
    assert [caution["code"] for caution in run["warnings"]].count(code) == 1


def test_a_machine_that_was_busy_is_remarked_on_once(run_folder: Path) -> None:
    for name in ("local", "other"):
        facts = {"busy_cores": 0.9, "cpu_count": 2, "host_boot_id": "one machine"}
        write_json(run_folder / "raw" / f"host-{name}.json", facts)
    (remark,) = [
        caution["message"]
        for caution in evaluate(read_run(run_folder))["warnings"]
        if caution["code"] == Caution.HOST_BUSY_BEFORE
    ]
    assert remark.startswith("local and other kept 0.9 of 2 CPUs busy")


@pytest.mark.parametrize(
    ("remote", "said"),
    [
        ((), "shared its CPUs, in both arms alike; no network lies between."),
        (("server",), "the server arm's ran on another machine, with a network between."),
        (("server", "serverless"), None),
    ],
)
def test_a_client_that_shares_the_services_cpus_is_told_by_arm(
    run_folder: Path, remote: tuple[str, ...], said: str | None
) -> None:
    def move(plan: dict[str, Any]) -> None:
        for arm in remote:
            plan["arms"][arm]["load_host"] = "client"
            for trial in plan["trials"]:
                if trial["arm"] == arm:
                    trial["load_host"] = "client"

    change_plan(run_folder, move)
    found = [
        caution["message"]
        for caution in evaluate(read_run(run_folder))["warnings"]
        if caution["code"] == Caution.CLIENT_SHARES_CPUS
    ]
    assert [message.endswith(str(said)) for message in found] == ([] if said is None else [True])


def test_stand_ins_are_said_in_every_report(run_folder: Path) -> None:
    plan = json.loads((run_folder / "plan.json").read_text("utf-8"))
    plan["arms"]["serverless"]["standins"] = ["watchdog stand-in"]
    plan["toolkit"]["dirty"] = True
    write_json(run_folder / "plan.json", plan)
    codes = {caution["code"] for caution in evaluate(read_run(run_folder))["warnings"]}
    assert codes >= {Caution.STAND_IN, Caution.UNCOMMITTED_CHANGES}


def test_software_that_calls_itself_a_stand_in_is_one(run_folder: Path) -> None:
    plan = json.loads((run_folder / "plan.json").read_text("utf-8"))
    plan["arms"]["serverless"]["software"] = {"Kubernetes": "v1.34.0", "OpenFaaS gateway": "0.27.14 (stand-in)"}
    write_json(run_folder / "plan.json", plan)
    run = evaluate(read_run(run_folder))
    said = [caution["message"] for caution in run["warnings"] if caution["code"] == Caution.STAND_IN]
    assert said == [
        "The serverless arm ran with a stand-in, OpenFaaS gateway 0.27.14 (stand-in): its figures are of that stand-in."
    ]
    assert run["arms"]["serverless"]["software"]["Kubernetes"] == "v1.34.0"


def test_every_metric_is_defined_once() -> None:
    assert len(BY_NAME) == len(REGISTRY)
    assert all(found.definition.endswith(".") and found.unit and found.title for found in REGISTRY)


def test_the_study_is_quoted_as_published(evaluated: Make) -> None:
    rows = {row["name"]: row for row in evaluated()["study"]["rows"]}
    start = rows["Start-up, training included"]
    assert (start["serverless"], start["server"]) == (78.30, 844.46)
    assert start["serverless_times_16_by_the_study"] == 1252.8
    assert start["honest_ratio"] == pytest.approx(0.0927, abs=1e-4)
    assert rows["Busy CPU"]["serverless_times_16_by_the_study"] == 246.56
    assert rows["Busy CPU"]["honest_ratio"] is None
    assert rows["Busy memory"]["honest_ratio"] == pytest.approx(8.06 * 64 / (26.49 * 4))


def test_equal_ground_needs_no_factor(evaluated: Make) -> None:
    (found,) = evaluated()["normalisation"]
    assert found["factor"] == 1
