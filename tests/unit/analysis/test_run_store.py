# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest

from analysis import run_store
from analysis.errors import RunUnreadable
from analysis.report import build
from analysis.schema import SCHEMA_VERSION
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record, write_json


def test_a_run_is_read_in_the_order_of_its_trials(run_folder: Path) -> None:
    run = run_store.read_run(run_folder)
    assert [trial.order for trial in run.trials] == list(range(1, 33))
    assert set(run.records) == {trial.id for trial in run.trials}
    assert run.hosts["local"]["cpu_count"] == 2
    assert run.journal[-1]["event"] == "run_finished"


def test_every_raw_file_is_named_with_its_checksum(run_folder: Path) -> None:
    files = {file.path: file for file in run_store.read_run(run_folder).files}
    content = (run_folder / "raw" / "b01-server-load.ab.csv").read_bytes()
    found = files["raw/b01-server-load.ab.csv"]
    assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert "plan.json" in files


def test_a_services_log_is_listed_like_any_raw_file(run_folder: Path) -> None:
    content = b"\xff worker started\n"
    (run_folder / "raw" / "b01-server-start.service.log").write_bytes(content)
    run = run_store.read_run(run_folder)
    found = {file.path: file for file in run.files}["raw/b01-server-start.service.log"]
    assert (found.bytes, found.sha256) == (len(content), hashlib.sha256(content).hexdigest())
    assert found.path in {file["path"] for file in build(run_folder)["files"]}


def test_long_lists_are_put_back(run_folder: Path) -> None:
    path = run_folder / "raw" / "b01-server-load.json"
    samples = json.loads(path.read_text("utf-8"))["facts"]["htop"]["counters"]["samples"]
    change_record(run_folder, "b01-server-load", {("htop", "counters", "samples"): None})
    write_json(path.with_name("b01-server-load.htop.frames.json"), {"counters": {"samples": samples}})
    facts = run_store.read_run(run_folder).records["b01-server-load"]["facts"]
    assert facts["htop"]["counters"]["samples"] == samples
    assert facts["htop"]["counters"]["source"] == "schedstat"


def test_a_journal_may_be_cut_in_its_last_line(run_folder: Path) -> None:
    path = run_folder / "journal.jsonl"
    path.write_text(path.read_text("utf-8") + '{"utc": "2026', "utf-8")
    assert run_store.read_run(run_folder).journal[-1]["event"] == "run_finished"


def plan_without(key: str) -> Any:
    return lambda plan: plan.pop(key)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (plan_without("profile"), "'profile' is a required property"),
        (lambda plan: plan.update(schema_version=99), "made by a newer toolkit (schema 99"),
        (lambda plan: plan.update(run_id="../../etc"), "run_id"),
        (lambda plan: plan.update(base_run="../other"), "base_run"),
        (lambda plan: plan.update(trials=[]), "trials"),
        (lambda plan: plan["trials"][0].update(id="../../x"), "trials/0/id"),
        (lambda plan: plan["trials"][0].update(kind="warm"), "trials/0/kind"),
        (lambda plan: plan["trials"].append(plan["trials"][0]), "more than once"),
        (lambda plan: plan["arms"].pop("server"), "arm server"),
        (lambda plan: plan.update(only_arm="server"), "only_arm"),
        (lambda plan: plan["profile"]["run"].pop("blocks"), "'blocks' is a required property"),
        (lambda plan: plan["profile"]["run"].update(blocks=10**12), "profile/run/blocks"),
        (lambda plan: plan["arms"]["server"].pop("load_host"), "'load_host' is a required property"),
        (lambda plan: plan["profile"]["run"].update(margin=-0.05), "margin"),
        (lambda plan: plan["profile"]["run"].update(primary="speed"), "response_mean_seconds"),
        (lambda plan: plan["profile"]["run"].update(primary="throughput_rps"), "response_mean_seconds"),
    ],
)
def test_a_plan_that_is_none_is_refused_by_name(run_folder: Path, change: Any, said: str) -> None:
    plan = json.loads((run_folder / "plan.json").read_text("utf-8"))
    change(plan)
    write_json(run_folder / "plan.json", plan)
    with pytest.raises(RunUnreadable) as refused:
        build(run_folder)
    assert said in str(refused.value)
    assert not (run_folder / "run.json").exists()


@pytest.mark.parametrize("content", ["", "[]", "{", "null", '"text"'])
def test_a_plan_that_is_no_object_is_refused(run_folder: Path, content: str) -> None:
    (run_folder / "plan.json").write_text(content, "utf-8")
    with pytest.raises(RunUnreadable, match=r"plan\.json"):
        run_store.read_run(run_folder)


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(RunUnreadable, match=r"there is no run folder .*nothing"):
        run_store.read_run(tmp_path / "nothing")


def test_a_broken_line_of_the_journal_costs_no_other_line(run_folder: Path) -> None:
    path = run_folder / "journal.jsonl"
    whole = run_store.read_run(run_folder).journal
    first, *others = path.read_bytes().splitlines(keepends=True)
    path.write_bytes(b"".join([first, b'{"utc": "2026\n', b"\xff\0\n", b"[]\n", *others]))
    assert run_store.read_run(run_folder).journal == whole


def test_a_failed_write_leaves_the_old_file(tmp_path: Path) -> None:
    target = tmp_path / "report.md"
    target.write_text("old", "utf-8")
    with pytest.raises(UnicodeEncodeError):
        run_store.write_atomically(target, "half \udcff")
    assert target.read_text("utf-8") == "old"
    assert list(tmp_path.iterdir()) == [target]


def test_raw_is_never_touched(run_folder: Path) -> None:
    before = {path: path.read_bytes() for path in (run_folder / "raw").iterdir()}
    build(run_folder)
    assert {path: path.read_bytes() for path in (run_folder / "raw").iterdir()} == before


def test_latest_names_the_newest_complete_valid_run(tmp_path: Path) -> None:
    old = SyntheticRun(run_id="20261124T220000Z-000001").write(tmp_path)
    new = SyntheticRun(run_id="20261125T220000Z-000002").write(tmp_path)
    one_arm = SyntheticRun(run_id="20261126T220000Z-000003", arms=("server",)).write(tmp_path)
    invalid = SyntheticRun(run_id="20261127T220000Z-000004").write(tmp_path)
    change_record(invalid, "b01-server-load", {("ab_benchmark", "valid"): False})
    for folder in (new, old, one_arm, invalid):
        build(folder)
    (tmp_path / "20261128T220000Z-000005").mkdir()
    (tmp_path / "20261128T220000Z-000005" / "run.json").write_text("{", "utf-8")
    assert run_store.point_latest(tmp_path) == new
    assert (tmp_path / "latest").resolve() == new.resolve()
    assert run_store.point_latest(tmp_path) == new


def test_a_neighbour_that_is_no_run_by_the_schema_is_passed_over(run_folder: Path) -> None:
    build(run_folder)
    neighbour = run_folder.parent / "20271124T220000Z-ffffff"
    neighbour.mkdir()
    said = {"schema_version": SCHEMA_VERSION, "valid": True, "status": "complete", "arms": None}
    (neighbour / "run.json").write_text(json.dumps(said), "utf-8")
    assert run_store.point_latest(run_folder.parent) == run_folder


def test_without_a_valid_run_there_is_no_latest(tmp_path: Path) -> None:
    (tmp_path / "latest").symlink_to("gone")
    assert run_store.point_latest(tmp_path) is None
    assert not (tmp_path / "latest").is_symlink()


def test_a_folder_named_latest_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "latest").mkdir()
    with pytest.raises(RunUnreadable, match="not a symbolic link"):
        run_store.point_latest(tmp_path)
    assert (tmp_path / "latest").is_dir()


def test_a_run_that_breaks_its_schema_is_never_written() -> None:
    with pytest.raises(ValueError, match="schema"):
        run_store.run_text({"schema_version": 1})


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"seconds": 1e999}', "1e999 is beyond the largest number"),
        ('{"bytes": -1' + "0" * 400 + "}", "is beyond the largest number"),
        ('{"seconds": NaN}', "NaN is no JSON value"),
        ('{"name": "half \\ud800"}', "surrogates not allowed"),
        ('{"a":' * 100_000, "nested too deeply"),
        ('{"a": 1', "it may have been cut short"),
        ("[1]", "must hold a JSON object; got list"),
    ],
)
def test_what_no_report_can_be_made_of_is_refused_by_name(tmp_path: Path, content: str, said: str) -> None:
    (tmp_path / "b01-server-load.json").write_text(content)
    with pytest.raises(RunUnreadable, match=r"^raw/b01-server-load\.json .*") as refused:
        run_store.read_object(tmp_path / "b01-server-load.json", "raw/b01-server-load.json")
    assert said in str(refused.value)


def test_a_whole_pair_of_surrogates_is_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text('{"name": "\\ud83d\\ude80"}')
    assert run_store.read_object(tmp_path / "a.json") == {"name": "\U0001f680"}
