# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""compare.yml, the thresholds of a run, and runs of other versions, through the playbooks, on prepared run folders."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration.toolkit import ROOT, last_line, run_json, run_playbook
from tests.unit.fixtures.runs.generator import SyntheticRun, change_plan

A, B = "20261124T220001Z-0000a1", "20261124T220002Z-0000a2"
PRIMARY = "response_mean_seconds"
VERSION_1 = ROOT / "tests" / "unit" / "fixtures" / "runs" / "version_1"
OLD = "20261128T080000Z-1f00d1"


def play(playbook: str | Path, folder: Path = ROOT, /, **variables: Any) -> subprocess.CompletedProcess[str]:
    """Run a playbook in ``folder`` with these variables."""
    return run_playbook(str(ROOT / playbook), "-e", json.dumps(variables), cwd=folder)


def flat(done: subprocess.CompletedProcess[str]) -> str:
    """What was shown, without the line breaks that Ansible makes in a long message."""
    return " ".join(done.stdout.split())


@pytest.fixture
def results(tmp_path: Path) -> Path:
    """Two runs of the same measurement; in the second one the function takes 20 % longer."""
    folder = tmp_path / "results"
    SyntheticRun(run_id=A, seed=7, noise=0.02).write(folder)
    SyntheticRun(run_id=B, seed=8, noise=0.02, effects={PRIMARY: 1.2}).write(folder)
    return folder


def test_two_runs_are_compared(results: Path) -> None:
    done = play("compare.yml", a=A, b=B, results_dir=str(results))
    assert done.returncode == 0, done.stdout
    assert last_line(done) == f"COMPARED {A} {B}"
    assert flat(done).index("1 recorded value differs besides the figures: seed") < flat(done).index("slower")
    assert "Differs: seed: 7 / 8" in done.stdout
    found = json.loads((results / f"compare-{A}-{B}.json").read_text())
    assert found["reference"]["run_id"] == A
    assert (results / f"compare-{A}-{B}.md").read_text().startswith("# Evenkeel: runs compared")


def test_a_slowdown_ends_with_2_and_names_it(results: Path) -> None:
    done = play("compare.yml", runs=[A, B], results_dir=str(results), max_slowdown="10%")
    assert done.returncode == 2
    assert last_line(done).startswith(
        f"MISSED threshold_missed {A} {B}: {B} {PRIMARY}.serverless <= 1.1: MISSED, measured 1."
    )
    rules = [f"{PRIMARY}.server >= 0.9", f"{PRIMARY}.serverless.low <= 1.25"]
    kept = play("compare.yml", runs=f"{A},{B}", results_dir=str(results), thresholds=rules, max_slowdown="50%")
    assert kept.returncode == 0, kept.stdout


def test_a_baseline_is_found_where_the_command_is_given(results: Path, tmp_path: Path) -> None:
    for run_id in (A, B):
        assert play("report.yml", run=run_id, results_dir=str(results)).returncode == 0
    (tmp_path / "baselines").mkdir()
    shutil.copy(results / A / "run.json", tmp_path / "baselines" / "main.json")
    shutil.rmtree(results / A)
    # b is the newest valid run where none is named.
    done = play("compare.yml", tmp_path, baseline="baselines/main.json", results_dir=str(results), max_slowdown="10%")
    assert done.returncode == 2
    assert last_line(done).startswith(f"MISSED threshold_missed {A} {B}")


def test_unlike_runs_are_refused_unless_it_is_forced(results: Path) -> None:
    change_plan(results / B, lambda plan: plan["profile"]["service"].update(epochs=99))
    refused = play("compare.yml", a=A, b=B, results_dir=str(results))
    assert refused.returncode == 2
    assert "profile.service.epochs is 10 in the reference and 99 in the other" in flat(refused)
    forced = play("compare.yml", a=A, b=B, results_dir=str(results), force=True)
    assert forced.returncode == 0, forced.stdout
    assert last_line(forced) == f"UNLIKE RUNS COMPARED {A} {B}"


@pytest.mark.parametrize("named", [{}, {"a": A}, {"runs": [A]}, {"a": A, "b": B, "baseline": "x.json"}])
def test_what_is_compared_must_be_said_in_one_way(results: Path, named: dict[str, Any]) -> None:
    done = play("compare.yml", results_dir=str(results), **named)
    assert done.returncode == 2
    assert "Name two runs with -e a=RUN -e b=RUN" in flat(done)


def test_an_invalid_run_is_refused(results: Path) -> None:
    (results / B / "raw" / "b01-server-load.json").unlink()
    done = play("compare.yml", a=A, b=B, results_dir=str(results))
    assert done.returncode == 2
    assert f"the run {B} is INVALID (trial_missing" in flat(done)


def test_a_missed_threshold_ends_the_report_with_2(results: Path) -> None:
    rule = f"{PRIMARY}.ratio <= 1.10"
    change_plan(results / B, lambda plan: plan["profile"]["run"].update(thresholds=[rule]))
    done = play("report.yml", run=B, results_dir=str(results))
    assert done.returncode == 2
    assert last_line(done).startswith(f"MISSED threshold_missed {B}: {rule}: MISSED, measured 1.")
    run = run_json(results / B)
    assert run["valid"] is True and run["thresholds"][0]["met"] is False


@pytest.mark.parametrize(
    ("rules", "said"),
    [
        (["speed.server <= 1"], "there is no metric 'speed'; the metrics are response_mean_seconds"),
        ([f"{PRIMARY}.server = 1"], "the operators are <=, <, >=, >"),
    ],
)
def test_a_rule_that_is_none_ends_a_benchmark_before_it_begins(tmp_path: Path, rules: list[str], said: str) -> None:
    here = {"evenkeel_state_dir": str(tmp_path / "state"), "results_dir": str(tmp_path / "results")}
    done = play("benchmark.yml", thresholds=rules, **here)
    assert done.returncode == 2
    assert said in flat(done)
    assert not (tmp_path / "results").exists()


def test_a_rule_that_can_be_read_is_no_obstacle(tmp_path: Path) -> None:
    here = {"evenkeel_state_dir": str(tmp_path / "state"), "results_dir": str(tmp_path / "results")}
    done = play("benchmark.yml", thresholds=[f"{PRIMARY}.ratio <= 1.10"], **here)
    assert done.returncode == 2
    assert "threshold" not in done.stdout
    assert "Run `ansible-playbook site.yml" in flat(done)


def part_of_benchmark(
    folder: Path, tasks: str, trials: list[dict[str, Any]] | None = None, **variables: Any
) -> subprocess.CompletedProcess[str]:
    """Run one file of the role benchmark's tasks on the controller alone, once or for each of these trials."""
    playbook = folder / "part.yml"
    include = {"name": "benchmark", "tasks_from": tasks}
    loop = {} if trials is None else {"loop": trials, "loop_control": {"loop_var": "benchmark_trial"}}
    known = {"settings_project_dir": str(ROOT), "benchmark_looks_at_machines": False, **variables}
    playbook.write_text(
        yaml.safe_dump(
            [
                {
                    "name": "A part of a run",
                    "hosts": "localhost",
                    "connection": "local",
                    "gather_facts": False,
                    "tasks": [{"name": "Do it", "ansible.builtin.include_role": include, "vars": known, **loop}],
                }
            ]
        )
    )
    return play(playbook, ROOT)


def test_a_benchmark_that_misses_a_rule_is_closed_and_ends_with_2(results: Path, tmp_path: Path) -> None:
    rule = f"{PRIMARY}.serverless.max < 0.5"
    change_plan(results / B, lambda plan: plan["profile"]["run"].update(thresholds=[rule]))
    done = part_of_benchmark(tmp_path, "close", benchmark_dir=str(results / B), benchmark_hosts=["localhost"])
    assert done.returncode == 2
    assert f"MISSED threshold_missed {B}: {rule}: MISSED, measured " in flat(done)
    assert json.loads((results / B / "journal.jsonl").read_text().splitlines()[-1])["event"] == "run_finished"
    assert (results / "latest").resolve() == results / B


def test_a_run_that_ends_early_looks_no_more(tmp_path: Path) -> None:
    """After the look that ends a run nothing of it is measured, nor looked at."""
    folder = SyntheticRun(run_id=A, blocks=16, stop_when="ci_half_width<=90%", finished=False).write(tmp_path)
    rest = [{"id": f"b{block}-server-load", "kind": "load", "block": block} for block in (11, 12, 13, 14, 15, 16)]
    for trial in (path for path in (folder / "raw").iterdir() if path.name[:3] in {f"b{one['block']}" for one in rest}):
        trial.unlink()
    known = {"benchmark_dir": str(folder), "benchmark_hosts": ["localhost"], "benchmark_looks": [10, 12, 14, 16]}
    done = part_of_benchmark(tmp_path, "turn", rest, **known)
    assert done.returncode == 0, done.stdout
    assert "that is enough" in flat(done)
    assert [path.name for path in (folder / "raw").glob("look-*.json")] == ["look-0010.json"]


def known_before(results: Path) -> dict[str, Any]:
    """What a run of the server alone knows before it begins, with the settings and on the machine of run A."""
    plan = json.loads((results / A / "plan.json").read_text())
    return {
        "results_dir": str(results),
        "base_run": A,
        "benchmark_hosts": ["local"],
        "settings_service_json": plan["profile"]["service"],
        "benchmark_run": plan["profile"]["run"],
        "benchmark_arms": {"server": plan["arms"]["server"]},
        "benchmark_host_facts": {"local": json.loads((results / A / "raw" / "host-local.json").read_text())},
    }


def test_a_base_run_that_does_not_fit_is_refused_before_anything_is_measured(results: Path, tmp_path: Path) -> None:
    known = known_before(results)
    (results / A / "run.json").touch()
    fits = part_of_benchmark(tmp_path, "base_run", **known)
    assert fits.returncode == 0, fits.stdout
    known["benchmark_run"]["load"]["concurrency"] = 9
    done = part_of_benchmark(tmp_path, "base_run", **known)
    assert done.returncode == 2
    said = "cannot be set beside this run: profile.run.load.concurrency is 9 here and 2 there"
    assert f"base_run={A}: the base run {A} {said}" in flat(done)


def test_a_run_of_a_newer_toolkit_is_no_base_and_is_not_resumed(results: Path, tmp_path: Path) -> None:
    known = known_before(results) | {"resume": A}
    (results / A / "run.json").touch()
    change_plan(results / A, lambda plan: plan.update(schema_version=3))
    for option in ("base_run", "resume"):
        done = part_of_benchmark(tmp_path, option, **known)
        assert done.returncode == 2
        said = (
            f"{option}={A}: {results / A / 'plan.json'} was made by a newer toolkit (schema 3; this one reads 1 and 2)"
        )
        assert said in flat(done)


def test_a_run_of_an_earlier_version_is_shown_and_not_resumed(results: Path, tmp_path: Path) -> None:
    shutil.copytree(VERSION_1 / OLD, results / OLD)
    before = (results / OLD / "journal.jsonl").read_bytes()
    done = part_of_benchmark(tmp_path, "resume", results_dir=str(results), resume=OLD)
    assert done.returncode == 2
    assert (
        f"resume={OLD}: an earlier version of the toolkit began that run (schema_version 1; this one writes 2)"
        in flat(done)
    )
    assert (results / OLD / "journal.jsonl").read_bytes() == before
    shown = play("report.yml", run=OLD, results_dir=str(results))
    assert shown.returncode == 0, shown.stdout
    assert last_line(shown) == f"VALID {OLD}"
