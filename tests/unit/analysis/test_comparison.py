# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs compared: what is refused, what is said, and that a known difference is found and none is invented."""

from __future__ import annotations

import json
import math
import shutil
import statistics
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest

from analysis import comparison, thresholds
from analysis.__main__ import main
from analysis.errors import RunUnreadable
from analysis.likeness import CONDITIONS, REQUESTS, differences
from analysis.parity import CLIENT_PLACE
from analysis.parity import CONDITIONS as PARITY
from analysis.report import build
from analysis.schema import first_violation, published
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_plan, change_record

A, B, C = (f"20261124T22000{number}Z-0000a{number}" for number in (1, 2, 3))
PRIMARY = "response_mean_seconds"
SLOWER: dict[str, Any] = {"effects": {PRIMARY: 1.2}}


def made(results: Path, run_id: str, seed: int = 7, **truths: Any) -> Path:
    """A run; another seed gives other blocks of the same truth."""
    return SyntheticRun(run_id=run_id, seed=seed, noise=0.02, **truths).write(results)


def compared(results: Path, *names: str, **options: Any) -> dict[str, Any]:
    return comparison.compare([comparison.read(results, name) for name in names], **options)


def metric(found: dict[str, Any], name: str, part: str, which: int = 0) -> dict[str, Any]:
    rows: list[dict[str, Any]] = found["comparisons"][which]["metrics"]
    return next(row for row in rows if (row["name"], row["part"]) == (name, part))


def test_a_slower_arm_is_found_with_its_words_and_the_other_one_is_not(tmp_path: Path) -> None:
    made(tmp_path, A)
    made(tmp_path, B, seed=8, **SLOWER)
    found = compared(tmp_path, A, B)
    slow, same = metric(found, PRIMARY, "serverless"), metric(found, PRIMARY, "server")
    assert slow["verdict"] == "slower"
    assert slow["ratio"] == pytest.approx(1.2, rel=0.05)
    assert slow["interval"]["low"] < 1.2 < slow["interval"]["high"] and slow["interval"]["level"] >= 0.95
    assert slow["interval"]["method"].startswith("exact Mann-Whitney")
    assert (slow["reference"]["n"], slow["other"]["n"]) == (6, 6)
    assert same["verdict"] in ("equivalent", "inconclusive")
    assert metric(found, PRIMARY, "ratio")["verdict"] == "more"
    back = metric(compared(tmp_path, B, A), PRIMARY, "serverless")
    assert back["verdict"] == "faster"
    assert back["ratio"] == pytest.approx(1 / slow["ratio"])


def test_the_ratio_is_the_median_of_all_ratios_of_their_blocks(tmp_path: Path) -> None:
    one, two = (build(made(tmp_path, run_id, seed)) for run_id, seed in ((A, 7), (B, 8)))
    row = metric(compared(tmp_path, A, B), "ready_seconds", "server")
    ours, theirs = (
        next(each for each in run["metrics"] if each["name"] == "ready_seconds")["server"]["values"]
        for run in (one, two)
    )
    logs = [math.log(after / before) for before in ours for after in theirs]
    assert row["ratio"] == pytest.approx(math.exp(statistics.median(logs)))


def test_the_primary_metric_is_tested_apart_from_the_family_of_the_others(tmp_path: Path) -> None:
    for run_id, seed in ((A, 7), (B, 8), (C, 9)):
        made(tmp_path, run_id, seed, idle_windows=6)
    found = compared(tmp_path, A, B, C)
    tested = [[row for row in each["metrics"] if row["p_adjusted"] is not None] for each in found["comparisons"]]
    others = [row for each in tested for row in each if row["name"] != PRIMARY]
    assert (found["primary"], len(others), found["family"]) == (PRIMARY, 2 * 5 * 3, 2 * 5 * 3)
    for family in (others, *([row for row in each if row["name"] == PRIMARY] for each in tested)):
        assert all(row["p"] <= row["p_adjusted"] for row in family)
        smallest = min(row["p"] for row in family)
        assert min(row["p_adjusted"] for row in family) == pytest.approx(min(1.0, smallest * len(family)))
    shown = [row for each in found["comparisons"] for row in each["metrics"] if not row["tested"]]
    assert shown and all(row["p"] is None and row["verdict"] in (None, "not measured") for row in shown)


def test_runs_of_the_same_truth_are_seldom_told_apart(tmp_path: Path) -> None:
    """At a true 5 % a pair of runs, four or more of 12 pairs would differ in 0.2 % of such tests."""
    for number in range(24):
        made(tmp_path, f"20261124T2200{number:02}Z-00000a", seed=100 + number, blocks=6)
    names = [f"20261124T2200{number:02}Z-00000a" for number in range(24)]
    apart = 0
    for one, two in zip(names[::2], names[1::2], strict=True):
        words = {row["verdict"] for row in compared(tmp_path, one, two)["comparisons"][0]["metrics"]}
        apart += bool(words & {"faster", "slower", "less", "more"})
    assert apart <= 3


@pytest.mark.parametrize(
    ("blocks", "word", "said"),
    [
        (3, "too few blocks", "3 and 3 figures give no interval at 95 %; 4 and 4 would, and it takes 5 blocks"),
        # The least p of 4 and 4 is 2 / 70, and the primary metric has three tests.
        (4, "inconclusive", "4 and 4 figures can give no adjusted p below 0.0857, and it takes 5 blocks"),
        (5, "slower", "p 0.0238 is at most 0.05"),
    ],
)
def test_few_blocks_are_said_to_be_few(tmp_path: Path, blocks: int, word: str, said: str) -> None:
    for run_id, seed, effects in ((A, 7, {}), (B, 8, {PRIMARY: 3.0})):
        made(tmp_path, run_id, seed, blocks=blocks, idle_windows=blocks, effects=effects)
    row = metric(compared(tmp_path, A, B), PRIMARY, "serverless")
    assert row["ratio"] > 2.8
    assert (row["interval"] is None) == (blocks < 4)
    assert row["verdict"] == word
    assert said in row["reason"]


def other_model(folder: Path) -> None:
    for path in (folder / "raw").glob("*.json"):
        if path.stem.endswith(("-start", "-train")):
            change_record(folder, path.stem, {("service_startup", "answer", "model_sha256"): "cd" * 32})
        if path.stem.endswith("-load"):
            answers = [("ab_benchmark", "probes", edge, "answer", "model_sha256") for edge in ("before", "after")]
            change_record(folder, path.stem, dict.fromkeys(answers, "cd" * 32))


def other_threads(folder: Path) -> None:
    for path in (folder / "raw").glob("*.json"):
        if path.stem.endswith(("-start", "-train")):
            change_record(folder, path.stem, {("service_startup", "startup", "effective", "compute_threads"): 1})


def other_cpus(folder: Path) -> None:
    for path in (folder / "raw").glob("*.json"):
        if path.stem.endswith(("-start", "-train")):
            change_record(folder, path.stem, {("service_startup", "granted", "affinity_cpus"): [0]})


def loads_from_elsewhere(folder: Path) -> None:
    """Both arms' loads came from another machine of the same kind."""

    def elsewhere(plan: dict[str, Any]) -> None:
        for described in (*plan["arms"].values(), *plan["trials"]):
            described["load_host"] = "client"

    change_plan(folder, elsewhere)
    shutil.copy(folder / "raw" / "host-local.json", folder / "raw" / "host-client.json")


UNLIKE: dict[str, tuple[dict[str, Any], Callable[[Path], None] | None, str]] = {
    "data set": ({}, lambda f: change_plan(f, lambda p: p["profile"]["service"].update(dataset="cifar10")), "cifar10"),
    "recipe": ({}, lambda f: change_plan(f, lambda p: p["profile"]["service"].update(recipe="fast")), "service.recipe"),
    "engine": ({}, lambda f: change_plan(f, lambda p: p["profile"]["service"].update(engine="x")), "service.engine"),
    "epochs": (
        {},
        lambda f: change_plan(f, lambda p: p["profile"]["service"].update(epochs=3)),
        "profile.service.epochs is 10 in the reference and 3 in the other",
    ),
    "load": (
        {},
        lambda f: change_plan(f, lambda p: p["profile"]["run"]["load"].update(concurrency=4)),
        "profile.run.load.concurrency is 2 in the reference and 4 in the other",
    ),
    "model": ({}, other_model, "model SHA-256, loaded, server"),
    "threads": ({}, other_threads, "compute threads, server is 2 in the reference and 1 in the other"),
    "CPUs": ({}, other_cpus, "CPUs granted, server is 2 in the reference and 1 in the other"),
    "client": (
        {},
        loads_from_elsewhere,
        "place of the load generator, server is the arm's own host in the reference and another host in the other",
    ),
    "machine": (
        {},
        lambda f: change_json(f / "raw" / "host-local.json", lambda facts: facts.update(cpu_model="Another")),
        "cpu_model of the server arm's host is Example CPU in the reference and Another in the other",
    ),
    "platform": (
        {"platform": "docker"},
        None,
        "arms.server.platform is process in the reference and docker in the other",
    ),
    "arms": ({"arms": ("server",)}, None, "arms.serverless.platform is process in the reference and not there in the"),
    "requests": ({"requests": 20}, None, "requests of a load, server is 10 in the reference and 20 in the other"),
}


@pytest.mark.parametrize("what", UNLIKE)
def test_unlike_runs_are_refused_and_named_unless_it_is_forced(
    tmp_path: Path, what: str, capsys: pytest.CaptureFixture[str]
) -> None:
    truths, change, said = UNLIKE[what]
    made(tmp_path, A)
    folder = made(tmp_path, B, seed=8, **truths)
    if change is not None:
        change(folder)
    assert main(["compare", str(tmp_path), A, B]) == 3
    error = capsys.readouterr().err
    assert said in error and B in error and "force=true" in error and error.count("\n") == 1
    assert not list(tmp_path.glob("compare-*"))
    assert main(["compare", str(tmp_path), A, B, "--force"]) == 0
    out = capsys.readouterr().out
    assert out.startswith("UNLIKE RUNS\n")
    assert out.splitlines()[-1] == f"UNLIKE RUNS COMPARED {A} {B}"
    written = json.loads((tmp_path / f"compare-{A}-{B}.json").read_text("utf-8"))
    assert written["stamp"] == "UNLIKE RUNS"
    assert written["comparisons"][0]["differences"][0]["unlike"] is True
    assert "**UNLIKE RUNS**" in (tmp_path / f"compare-{A}-{B}.md").read_text("utf-8")


def test_every_condition_that_makes_runs_unlike_is_a_condition_of_equal_ground() -> None:
    assert {*CONDITIONS, REQUESTS} <= {CLIENT_PLACE, *(condition.name for condition in PARITY)}


def test_loads_of_nearly_as_many_requests_are_alike(tmp_path: Path) -> None:
    made(tmp_path, A, requests=40)
    folder = made(tmp_path, B, seed=8, requests=42)
    # As a sized load: both plans ask for the same, and ab got another number.
    change_plan(folder, lambda plan: plan["profile"]["run"]["load"].update(requests=40))
    found = compared(tmp_path, A, B)
    assert found["stamp"] is None
    named = {one["name"] for one in found["comparisons"][0]["differences"]}
    assert f"{REQUESTS}, server" in named


def test_an_arm_that_was_not_measured_is_not_compared(tmp_path: Path) -> None:
    """Two runs of the server beside one base run have the same figures of the other arm, and neither measured them."""
    base = SyntheticRun(run_id="20261124T220000Z-00000c").write(tmp_path)
    for run_id, seed in ((A, 7), (B, 8)):
        made(tmp_path, run_id, seed=seed, arms=("server",), base_run=base.name)
    found = compared(tmp_path, A, B)
    assert {row["part"] for one in found["comparisons"] for row in one["metrics"]} == {"server"}


def test_what_differs_in_provenance_is_listed_and_does_not_refuse(tmp_path: Path) -> None:
    made(tmp_path, A)
    folder = made(tmp_path, B, seed=8)
    change_plan(folder, lambda plan: plan["toolkit"].update(commit="1" * 40))
    change_plan(folder, lambda plan: plan["arms"]["server"].update(software={"Docker": "28.1"}))
    change_plan(folder, lambda plan: plan["profile"]["service"].update(start_with="load"))
    change_json(folder / "raw" / "host-local.json", lambda facts: facts.update(kernel="6.2", load1=3.0))
    for path in (folder / "raw").glob("*.json"):
        if path.stem.endswith(("-start", "-train")):
            packages = {"torch": "2.16.0", "numpy": "2.3.0"}
            change_record(folder, path.stem, {("service_startup", "startup", "effective", "packages"): packages})
    found = {one["name"]: one for one in compared(tmp_path, A, B)["comparisons"][0]["differences"]}
    assert found["provenance.toolkit.commit"]["other"] == "1" * 40
    assert found["seed"] == {"name": "seed", "reference": 7, "other": 8, "unlike": False}
    assert found["arms.server.software.Docker"]["reference"] is None
    assert found["provenance.hosts.local.kernel"]["other"] == "6.2"
    assert found["package versions, server"]["other"]["torch"] == "2.16.0"
    assert found.keys() >= {"profile.service.start_with"} and not any("load1" in name for name in found)


def test_a_run_differs_from_itself_in_nothing(run_folder: Path) -> None:
    run = build(run_folder)
    assert differences(run, run) == []


def test_an_invalid_run_is_refused_by_name(tmp_path: Path) -> None:
    made(tmp_path, A)
    (made(tmp_path, B) / "raw" / "b01-server-load.json").unlink()
    with pytest.raises(RunUnreadable, match=rf"the run {B} is INVALID \(trial_missing: "):
        compared(tmp_path, A, B)


@pytest.mark.parametrize("names", [(A,), (A, A), ()])
def test_two_different_runs_are_needed(tmp_path: Path, names: tuple[str, ...]) -> None:
    made(tmp_path, A)
    with pytest.raises(RunUnreadable, match="a comparison needs 2 to 8 different runs"):
        compared(tmp_path, *names)


def test_a_run_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunUnreadable, match="there is no run nowhere"):
        comparison.read(tmp_path, "nowhere")


def test_a_stored_baseline_stands_for_its_run(tmp_path: Path) -> None:
    reference = made(tmp_path / "results", A)
    made(tmp_path / "results", B, seed=8, **SLOWER)
    build(reference)
    stored = tmp_path / "baselines" / "main.json"
    stored.parent.mkdir()
    stored.write_bytes((reference / "run.json").read_bytes())
    of_runs = compared(tmp_path / "results", A, B)
    of_baseline = compared(tmp_path / "results", str(stored), B)
    assert of_baseline["comparisons"] == of_runs["comparisons"]
    assert (of_baseline["reference"]["baseline"], of_runs["reference"]["baseline"]) == (True, False)
    # As version 1 wrote it.
    change_json(stored, lambda run: (run.pop("thresholds"), run.update(schema_version=1)))
    assert compared(tmp_path / "results", str(stored), B)["comparisons"] == of_runs["comparisons"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda run: run.update(schema_version=9), "made by a newer toolkit (schema 9"),
        (lambda run: run.pop("metrics"), "is not a run.json, at the top level: 'metrics' is a required property"),
        (lambda run: run.clear(), "names no schema_version"),
        (lambda run: run["profile"]["run"].pop("margin"), "at profile/run: 'margin' is a required property"),
        (lambda run: run.update(valid=False), "valid is false and its invalid_reasons are none"),
        (
            lambda run: run["invalid_reasons"].append({"code": "parity_failed", "message": "x", "trial": None}),
            "valid is true and its invalid_reasons are parity_failed",
        ),
    ],
)
def test_a_baseline_that_is_none_is_refused_by_name(
    run_folder: Path, change: Callable[[dict[str, Any]], object], said: str
) -> None:
    build(run_folder)
    change_json(run_folder / "run.json", change)
    with pytest.raises(RunUnreadable) as refused:
        comparison.read(run_folder.parent, str(run_folder / "run.json"))
    assert said in str(refused.value) and "run.json" in str(refused.value)


@pytest.mark.parametrize("options", [[], ["--max-slowdown=10%"]])
def test_a_baseline_without_the_primary_metric_is_refused(
    tmp_path: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    build(made(tmp_path, A))
    made(tmp_path, B, seed=8, **SLOWER)
    stored = tmp_path / "baseline.json"
    stored.write_bytes((tmp_path / A / "run.json").read_bytes())
    change_json(stored, lambda run: run["metrics"].remove(next(row for row in run["metrics"] if row["primary"])))
    assert main(["compare", str(tmp_path), str(stored), B, *options]) == 3
    error = capsys.readouterr().err
    assert f"{stored} has no metric {PRIMARY}" in error and error.count("\n") == 1


@pytest.mark.parametrize(
    ("options", "code"),
    [
        (["--max-slowdown", "10%"], 4),
        (["--max-slowdown", "50 %"], 0),
        (["--threshold", f"{PRIMARY}.server <= 1.5"], 0),
        (["--threshold", f"{PRIMARY}.serverless.low <= 1.1"], 4),
        (["--threshold", f"{PRIMARY}.ratio.high < 1.1"], 4),
        # What was not measured meets no rule.
        (["--threshold", "idle_docker_stats_cpu_percent.server <= 99"], 4),
        (["--max-slowdown", "ten"], 3),
        (["--max-slowdown", "-3%"], 3),
        (["--threshold", f"{PRIMARY}.server.max <= 1.5"], 3),
    ],
)
def test_a_comparison_is_a_gate(
    tmp_path: Path, options: list[str], code: int, capsys: pytest.CaptureFixture[str]
) -> None:
    made(tmp_path, A)
    made(tmp_path, B, seed=8, **SLOWER)
    assert main(["compare", str(tmp_path), A, B, *(f"{options[0]}={value}" for value in options[1:])]) == code
    captured = capsys.readouterr()
    if code == 3:
        assert captured.err.startswith("error: ") and not list(tmp_path.glob("compare-*"))
        return
    last = captured.out.splitlines()[-1]
    assert last.startswith(f"MISSED threshold_missed {A} {B}: {B} " if code else f"COMPARED {A} {B}")
    found = json.loads((tmp_path / f"compare-{A}-{B}.json").read_text("utf-8"))
    assert [rule["met"] for rule in found["thresholds"]].count(False) == (1 if code else 0)


def test_what_is_written_keeps_its_schema_and_is_the_same_again(tmp_path: Path) -> None:
    jsonschema.Draft202012Validator.check_schema(published("comparison"))
    for run_id, seed in ((A, 7), (B, 8), (C, 9)):
        made(tmp_path, run_id, seed)
    arguments = ["compare", str(tmp_path), A, B, C]
    stem = f"compare-{A}-{B}-{C}"
    contents = []
    for _ in range(2):
        assert main(arguments) == 0
        contents.append([(tmp_path / f"{stem}.{suffix}").read_bytes() for suffix in ("json", "md")])
    assert contents[0] == contents[1]
    found = json.loads(contents[0][0])
    assert first_violation("comparison", found) is None
    text = contents[0][1].decode()
    assert text.index("What differs besides the figures") < text.index("What differs of the figures")
    assert "day, start or state of a machine" in text


def test_figures_of_different_kinds_are_not_compared(run_folder: Path) -> None:
    run = build(run_folder)
    other = json.loads(json.dumps(run))
    other["run_id"] = B
    for row in other["metrics"]:
        if row["name"] == "idle_memory_bytes":
            row["kind"] = "working_set"
    found = comparison.compare([comparison.Source(each, "", False, None) for each in (run, other)])
    row = metric(found, "idle_memory_bytes", "server")
    assert (row["verdict"], row["ratio"]) == ("not measured", None)
    assert "different kinds are not compared: pss against working_set" in row["reason"]


def test_a_slowdown_is_a_rule_of_every_arm() -> None:
    rules = comparison.slowdown_rules("7.5%", ["server", "serverless"], PRIMARY)
    assert rules == [f"{PRIMARY}.server <= 1.075", f"{PRIMARY}.serverless <= 1.075"]
    assert [rule.limit for rule in thresholds.parse(rules, of_runs=True)] == [1.075, 1.075]
