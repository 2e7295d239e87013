# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Runs of earlier versions: read as they were meant, or refused by name."""

from __future__ import annotations

import copy
import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis import migrate, run_store
from analysis.__main__ import main
from analysis.errors import RunUnreadable
from analysis.evaluate import evaluate
from analysis.report import build
from analysis.schema import SCHEMA_VERSION, first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_json, change_plan

ROOT = Path(__file__).resolve().parents[3]
VERSION_1 = ROOT / "tests" / "unit" / "fixtures" / "runs" / "version_1"
BOTH_ARMS, REAL = "20261128T080000Z-1f00d1", "20261129T014331Z-cbc78f"


@pytest.fixture(params=[BOTH_ARMS, REAL])
def old_run(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    """A run as version 1 left it."""
    return copy_of(request.param, tmp_path)


def copy_of(name: str, results: Path) -> Path:
    shutil.copytree(VERSION_1 / name, results / name)
    return results / name


def test_the_plan_is_written_with_the_version_that_is_read() -> None:
    variables = yaml.safe_load((ROOT / "roles" / "benchmark" / "vars" / "main.yml").read_text("utf-8"))
    assert variables["benchmark_schema_version"] == SCHEMA_VERSION


def test_an_old_run_gives_the_figures_that_it_gave(old_run: Path) -> None:
    before = json.loads((old_run / "run.json").read_text("utf-8"))
    plan = (old_run / "plan.json").read_bytes()
    after = build(old_run)
    assert (before["schema_version"], after["schema_version"]) == (1, SCHEMA_VERSION)
    assert (after["valid"], after["status"], after["run_id"]) == (True, before["status"], before["run_id"])
    assert after["files"] == before["files"]
    figures = {metric["name"]: metric for metric in after["metrics"]}
    for old in before["metrics"]:
        new = figures[old["name"]]
        assert [{key: pair[key] for key in ("server", "serverless", "ratio")} for pair in new["pairs"]] == [
            {key: pair[key] for key in ("server", "serverless", "ratio")} for pair in old["pairs"]
        ]
    # Its own files are what it left: the plan still says which version made it.
    assert (old_run / "plan.json").read_bytes() == plan
    assert run_store.read_run(old_run).written_as == 1


def test_what_came_later_has_its_default(old_run: Path) -> None:
    plan = run_store.read_run(old_run).plan
    for path, value in migrate.DEFAULTS["plan"]:
        place: Any = plan
        for key in path:
            place = place[key]
        assert place == value


def test_an_old_run_json_keeps_the_present_schema_once_migrated(old_run: Path) -> None:
    before = json.loads((old_run / "run.json").read_text("utf-8"))
    untouched = copy.deepcopy(before)
    after = migrate.migrated("run", before, "it")
    assert first_violation("run", after) is None
    assert before == untouched
    # Nothing that it says is lost or changed.
    assert {key: after[key] for key in before if key not in ("schema_version", "profile")} == {
        key: before[key] for key in before if key not in ("schema_version", "profile")
    }


def test_a_default_stands_for_no_value_that_is_there() -> None:
    for kind, defaults in migrate.DEFAULTS.items():
        for path, _ in defaults:
            document: dict[str, Any] = {"schema_version": 1}
            place = document
            for key in path[:-1]:
                place = place.setdefault(key, {})
            place[path[-1]] = "as written"
            found: Any = migrate.migrated(kind, document, "it")
            for key in path:
                found = found[key]
            assert found == "as written"


def test_a_default_makes_no_part_that_is_missing() -> None:
    assert "profile" not in migrate.migrated("plan", {"schema_version": 1}, "it")
    assert migrate.migrated("plan", {"schema_version": 1, "profile": "demo"}, "it")["profile"] == "demo"


def test_a_newer_version_is_refused_by_name(run_folder: Path) -> None:
    change_plan(run_folder, lambda plan: plan.update(schema_version=SCHEMA_VERSION + 1))
    with pytest.raises(RunUnreadable) as refused:
        run_store.read_run(run_folder)
    assert f"made by a newer toolkit (schema {SCHEMA_VERSION + 1}; this one reads 1 and 2)" in str(refused.value)
    assert str(run_folder / "plan.json") in str(refused.value)


@pytest.mark.parametrize("version", [None, True, "1", 1.0, 1.5, 0, -1, [], {}])
def test_a_version_that_is_none_is_refused(run_folder: Path, version: object) -> None:
    change_plan(run_folder, lambda plan: plan.update(schema_version=version))
    with pytest.raises(RunUnreadable, match="which no toolkit wrote; it was damaged"):
        run_store.read_run(run_folder)


def test_a_plan_without_a_version_is_refused(run_folder: Path) -> None:
    change_plan(run_folder, lambda plan: plan.pop("schema_version"))
    with pytest.raises(RunUnreadable, match="names no schema_version"):
        run_store.read_run(run_folder)


@pytest.mark.parametrize("keep", [0, 1, 700])
def test_an_old_plan_that_was_cut_short_is_refused(old_run: Path, keep: int) -> None:
    whole = (old_run / "plan.json").read_bytes()
    (old_run / "plan.json").write_bytes(whole[:keep])
    with pytest.raises(RunUnreadable, match="cut short"):
        run_store.read_run(old_run)


def test_an_old_plan_that_lacks_what_it_had_is_refused(old_run: Path) -> None:
    change_plan(old_run, lambda plan: plan["profile"]["run"].pop("margin"))
    with pytest.raises(RunUnreadable, match="'margin' is a required property"):
        run_store.read_run(old_run)


def test_the_latest_run_may_be_an_old_one_and_is_never_a_newer_toolkits(tmp_path: Path) -> None:
    old = copy_of(BOTH_ARMS, tmp_path)
    newer = SyntheticRun(run_id="20261130T220000Z-000002").write(tmp_path)
    build(newer)
    assert run_store.point_latest(tmp_path) == newer
    change_json(newer / "run.json", lambda run: run.update(schema_version=SCHEMA_VERSION + 1))
    assert run_store.point_latest(tmp_path) == old
    assert (tmp_path / "latest").resolve() == old.resolve()


def test_an_old_run_is_a_base_run_where_it_measured_the_same(tmp_path: Path) -> None:
    base = copy_of(BOTH_ARMS, tmp_path)
    folder = SyntheticRun(blocks=1, requests=4, arms=("server",), base_run=base.name).write(tmp_path)
    run = evaluate(run_store.read_run(folder), run_store.read_run(base))
    (primary,) = [metric for metric in run["metrics"] if metric["primary"]]
    assert primary["serverless"]["n"] == 1


def test_a_base_run_of_a_newer_toolkit_is_refused_by_name(tmp_path: Path) -> None:
    base = copy_of(BOTH_ARMS, tmp_path)
    change_plan(base, lambda plan: plan.update(schema_version=99))
    folder = SyntheticRun(blocks=1, requests=4, arms=("server",), base_run=base.name).write(tmp_path)
    with pytest.raises(RunUnreadable, match=r"1f00d1/plan\.json was made by a newer toolkit \(schema 99"):
        build(folder)
    assert not (folder / "run.json").exists()


def test_reading_says_the_version_or_why_not(old_run: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["read", str(old_run)]) == 0
    assert capsys.readouterr().out == "schema_version 1\n"
    change_plan(old_run, lambda plan: plan.update(schema_version=3))
    assert main(["read", str(old_run)]) == 3
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith(f"error: {old_run / 'plan.json'} was made by a newer toolkit (schema 3; this one")
