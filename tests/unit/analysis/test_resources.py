# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The figures of an arm on a cluster: the function's pod, OpenFaaS's own pods, the node less its idle baseline."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.errors import RunUnreadable
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import Caution, Part, Reason, Verdict, first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_plan, change_record

Make = Callable[..., dict[str, Any]]
KIND = {"server": "docker", "serverless": "kind"}
MEBIBYTE = 2**20


def row(run: Mapping[str, Any], part: str, state: str) -> dict[str, Any]:
    found: dict[str, Any] = next(one for one in run["resources"] if (one["part"], one["state"]) == (part, state))
    return found


def test_the_figures_stand_side_by_side(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, noise=0.0)
    assert first_violation("run", run) is None
    assert [one["part"] for one in run["resources"]] == [part.value for part in Part for _ in range(2)]
    assert {one["arm"] for one in run["resources"]} == {"serverless"}
    medians = {
        (part, state): (row(run, part, state)["cpu_cores"]["median"], row(run, part, state)["memory_bytes"]["median"])
        for part in ("function", "openfaas", "node")
        for state in ("idle", "busy")
    }
    assert medians["function", "idle"] == (pytest.approx(0.004), 310 * MEBIBYTE)
    assert medians["function", "busy"] == (pytest.approx(1.85), 380 * MEBIBYTE)
    assert medians["openfaas", "idle"] == (pytest.approx(0.05), 150 * MEBIBYTE)
    assert medians["openfaas", "busy"] == (pytest.approx(0.05), 150 * MEBIBYTE)
    assert medians["node", "idle"] == (pytest.approx(0.254), 1360 * MEBIBYTE)
    assert medians["node", "busy"] == (pytest.approx(2.1), 1430 * MEBIBYTE)


def test_the_node_is_taken_less_its_idle_baseline_of_this_run(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, noise=0.0)
    added = row(run, "node_less_idle", "busy")
    assert added["cpu_cores"]["median"] == pytest.approx(2.1 - 0.254)
    assert added["memory_bytes"]["median"] == 70 * MEBIBYTE
    assert added["cpu_cores"]["n"] == 6
    idle = row(run, "node_less_idle", "idle")
    assert (idle["cpu_cores"], idle["cpu_reason"]) == (None, "the idle node is the baseline itself")


def test_the_functions_pod_and_not_the_node_is_compared_with_the_server(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, noise=0.0)
    found = {one["name"]: one for one in run["metrics"]}
    assert found["busy_memory_bytes"]["verdict"] == Verdict.EQUIVALENT
    assert found["busy_memory_bytes"]["kind"] == "working_set"
    assert found["busy_cpu_cores"]["ratio"] == pytest.approx(1.0)
    tool = found["busy_docker_stats_cpu_percent"]
    assert (tool["ratio"], tool["serverless"]) == (None, None)
    assert tool["server"]["median"] == pytest.approx(185)


def test_both_reports_show_them(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, noise=0.0)
    laid_out = document(run)
    text, page = markdown(laid_out), html(laid_out, run)
    assert "## What the platform uses" in text and "What the platform uses</h2>" in page
    assert "| The function's pod | 4.00 millicores | 1.85 cores | 310 MiB | 380 MiB |" in text
    assert "| The whole node less its idle baseline | not measured | 1.85 cores | not measured | 70.0 MiB |" in text
    assert "| The whole node less its idle baseline | CPU, idle | the idle node is the baseline itself |" in text
    assert "OpenFaaS&#39;s own pods" in page


def test_without_an_idle_trial_there_is_no_baseline(evaluated: Make) -> None:
    run = evaluated(platforms=KIND, idle_windows=0)
    added = row(run, "node_less_idle", "busy")
    assert added["cpu_cores"] is None
    assert added["cpu_reason"] == "there is no idle baseline: the run has no counted idle trial of this arm"
    assert row(run, "node", "busy")["cpu_cores"]["n"] == 6


def test_a_cluster_elsewhere_is_not_measured_with_its_reason(evaluated: Make) -> None:
    run = evaluated(platforms={"server": "docker", "serverless": "kubernetes"})
    assert run["valid"], run["invalid_reasons"]
    for part in ("function", "openfaas", "node"):
        for state in ("idle", "busy"):
            found = row(run, part, state)
            assert (found["cpu_cores"], found["memory_bytes"]) == (None, None)
            assert found["cpu_reason"] == "the function's pod runs on another host"
    idle = next(one for one in run["metrics"] if one["name"] == "idle_cpu_cores")
    assert (idle["verdict"], idle["reason"]) == (Verdict.NOT_MEASURED, "the function's pod runs on another host")


def test_an_idle_trial_that_nothing_watched_needs_a_reason(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms={"server": "docker", "serverless": "kubernetes"}).write(tmp_path)
    change_json(folder / "raw" / "i01-serverless-idle.json", lambda record: record["facts"].clear())
    (found,) = evaluate(read_run(folder))["invalid_reasons"]
    assert (found["code"], found["trial"]) == (Reason.FACTS_MISSING, "i01-serverless-idle")


def test_why_a_part_was_not_watched_is_said(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)

    def spoil(record: dict[str, Any]) -> None:
        del record["facts"]["pod_stats"]
        record["facts"].update(pod_stats_failure="the cluster does not answer")

    for path in (folder / "raw").glob("b*-serverless-load.json"):
        change_json(path, spoil)
    run = evaluate(read_run(folder))
    assert run["valid"]
    assert row(run, "function", "busy")["cpu_reason"] == "the cluster does not answer"
    assert row(run, "node", "busy")["cpu_cores"]["n"] == 6
    assert Caution.WATCHER_FAILED in {one["code"] for one in run["warnings"]}
    found = next(one for one in run["metrics"] if one["name"] == "busy_memory_bytes")
    assert found["verdict"] == Verdict.NOT_MEASURED


def test_a_node_that_was_not_watched_is_not_measured(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)
    for path in (folder / "raw").glob("*-serverless-load.json"):
        change_json(path, lambda record: record["facts"].pop("docker_stats"))
    run = evaluate(read_run(folder))
    assert row(run, "node", "busy")["cpu_reason"] == "the container that is the cluster's node was not watched"
    assert row(run, "function", "busy")["cpu_cores"]["n"] == 6


def test_several_nodes_are_one_platform(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND, noise=0.0).write(tmp_path)

    def double(record: dict[str, Any]) -> None:
        record["facts"]["docker_stats"]["containers"] *= 2

    for path in (folder / "raw").glob("*-serverless-load.json"):
        change_json(path, double)
    assert row(evaluate(read_run(folder)), "node", "busy")["cpu_cores"]["median"] == pytest.approx(4.2)


def test_a_pod_of_the_function_that_changed_makes_the_run_invalid(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)
    changed = {"restarted": True, "changes": ["container cifar-cnn of pod a was restarted"]}
    change_json(
        folder / "raw" / "b01-serverless-load.json",
        lambda record: record["facts"]["pod_stats"]["groups"][0].update(changed),
    )
    (found,) = evaluate(read_run(folder))["invalid_reasons"]
    assert found["code"] == Reason.INSTANCE_CHANGED
    assert found["message"].endswith("container cifar-cnn of pod a was restarted")


def test_pods_of_openfaas_that_changed_are_remarked_on(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND).write(tmp_path)
    changed = {"restarted": True, "changes": ["pod gateway-2 appeared"]}
    change_json(
        folder / "raw" / "b01-serverless-load.json",
        lambda record: record["facts"]["pod_stats"]["groups"][1].update(changed),
    )
    run = evaluate(read_run(folder))
    assert run["valid"]
    (remark,) = [one["message"] for one in run["warnings"] if one["code"] == Caution.PODS_CHANGED]
    assert "b01-serverless-load" in remark and remark.endswith("pod gateway-2 appeared")


def test_what_a_service_elsewhere_was_granted_is_not_checked_and_that_is_said(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms={"server": "docker", "serverless": "kubernetes"}).write(tmp_path)
    hidden = {("service_startup", key): None for key in ("granted", "root_pid", "phases")}
    for path in (folder / "raw").glob("[bs]*-serverless-*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(folder, path.stem, {**hidden, ("service_startup", "evaluation", "cpu_cores"): None})
    run = evaluate(read_run(folder))
    assert (run["valid"], run["parity"]["passed"]) == (True, True), run["invalid_reasons"]
    names = {check["name"] for check in run["parity"]["checks"]}
    assert "compute threads" in names
    assert not names & {"CPUs granted", "CPU quota, cores", "memory limit, bytes", "effective cores of one evaluation"}
    assert Caution.GRANT_UNKNOWN in {one["code"] for one in run["warnings"]}
    assert run["normalisation"] == []


def test_a_service_here_whose_process_is_unknown_is_still_checked(tmp_path: Path) -> None:
    folder = SyntheticRun().write(tmp_path)
    for path in (folder / "raw").glob("[bs]*-serverless-*.json"):
        if path.stem.endswith(("start", "train")):
            change_record(folder, path.stem, {("service_startup", "granted"): None})
    assert not evaluate(read_run(folder))["valid"]


def test_the_pairing_stands_in_both_reports(tmp_path: Path) -> None:
    folder = SyntheticRun(platforms=KIND, pairing="platform").write(tmp_path)
    run = evaluate(read_run(folder))
    text = markdown(document(run))
    opening = text[: text.index("## ")]
    assert "Pairing by platform: the limits of the whole node" in opening
    assert "| Equal ground | Pairing by platform:" in text
    change_plan(folder, lambda plan: plan["arms"]["serverless"].update(pairing="moon"))
    with pytest.raises(RunUnreadable, match="pairing"):
        read_run(folder)
