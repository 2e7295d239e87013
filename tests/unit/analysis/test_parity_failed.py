# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Nothing is compared over unequal ground, and every output says PARITY FAILED on the verdict itself."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from analysis import parity, wording
from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.prometheus import prometheus
from analysis.render.terminal import last_line, terminal
from analysis.run_store import read_run
from analysis.schema import Arm, Kind, Reason
from tests.unit.fixtures.runs.generator import SyntheticRun, change_plan, change_record

SAID = "PARITY FAILED: the arms did not stand on equal ground (CPUs granted: server 2, serverless 1)."


def unequal(folder: Path, keys: tuple[str, ...], value: Any) -> dict[str, Any]:
    """The run with another value for every counted start of the serverless arm."""
    for trial in read_run(folder).trials:
        if trial.kind is Kind.START and trial.arm is Arm.SERVERLESS and not trial.discarded:
            change_record(folder, trial.id, {keys: value})
    return evaluate(read_run(folder))


def outputs(run: dict[str, Any]) -> dict[str, str]:
    return {
        "terminal": terminal(run, "results/x"),
        "md": markdown(document(run)),
        "html": html(document(run), run),
        "prom": prometheus(run),
    }


def test_every_output_says_it_on_the_verdict(run_folder: Path) -> None:
    run = unequal(run_folder, ("service_startup", "granted", "affinity_cpus"), [0])
    assert last_line(run) == f"INVALID parity_failed {run['run_id']}"
    for metric in run["metrics"]:
        assert metric["ratio"] is None and metric["interval"] is None
        assert metric["reason"].startswith("PARITY FAILED: ")
        assert wording.verdict(metric) == "not valid: PARITY FAILED"
    texts = {name: " ".join(text.split()) for name, text in outputs(run).items()}
    for name in ("terminal", "md", "html"):
        assert SAID in texts[name], name
    assert document(run).stamp == "INVALID, PARITY FAILED, complete"
    (line,) = [one for one in texts["prom"].split("# ") if one.startswith("TYPE evenkeel_parity_passed")]
    assert 'state="PARITY FAILED"} 0' in line


def test_a_value_that_changed_is_said_in_words(run_folder: Path) -> None:
    change_record(run_folder, "b03-serverless-start", {("service_startup", "granted", "affinity_cpus"): [0]})
    said = str(wording.status_sentence(evaluate(read_run(run_folder))))
    assert "equal ground (CPUs granted: server 2, serverless 2 and 1)." in said


def test_an_answer_that_was_not_recorded_is_no_wrong_one(run_folder: Path) -> None:
    for block in range(1, 7):
        change_record(run_folder, f"b0{block}-server-load", {("ab_benchmark", "probes", "before"): None})
    run = evaluate(read_run(run_folder))
    assert [reason for reason in run["invalid_reasons"] if reason["trial"] is None] == [
        {
            "code": Reason.PARITY_FAILED,
            "message": "accuracy before a load: server not recorded, serverless 0.9444 (not recorded for server)",
            "trial": None,
        }
    ]


def test_two_arms_that_answer_differently_say_it_too(run_folder: Path) -> None:
    run = unequal(run_folder, ("service_startup", "answer", "accuracy"), 0.9)
    assert run["invalid_reasons"][0]["code"] == Reason.WRONG_ANSWER
    assert "PARITY FAILED: the arms did not stand on equal ground (accuracy: server 0.9444, serverless 0.9)" in str(
        wording.status_sentence(run)
    )


def test_a_long_value_is_named_and_not_spelt_out(run_folder: Path) -> None:
    packages = {f"package-{number}": "1.0" for number in range(20)}
    run = unequal(run_folder, ("service_startup", "startup", "effective", "packages"), packages)
    assert "equal ground (package versions)." in str(wording.status_sentence(run))


def test_a_run_that_is_invalid_for_another_reason_does_not_say_it(run_folder: Path) -> None:
    change_record(run_folder, "b02-serverless-load", {("ab_benchmark", "client", "cpu_cores"): 1.0})
    run = evaluate(read_run(run_folder))
    assert not run["valid"]
    assert all(parity.FAILED not in text for text in outputs(run).values() if "# HELP" not in text)
    assert 'state="equal ground"} 1' in prometheus(run)


def test_what_an_interrupted_run_did_not_record_is_not_known(tmp_path: Path) -> None:
    folder = SyntheticRun(finished=False).write(tmp_path)
    for path in (folder / "raw").glob("b*-serverless-load.*"):
        path.unlink()
    run = evaluate(read_run(folder))
    assert run["parity"]["passed"] is None
    text = outputs(run)["md"]
    assert "Equal ground: not known, the run ended before all of it was recorded." in text
    assert "Equal ground: FAILED" not in text


def test_one_arm_has_no_line_about_equal_ground(evaluated: Any) -> None:
    assert "evenkeel_parity_passed" not in prometheus(evaluated(arms=["server"]))


@pytest.mark.parametrize(("moved", "equal"), [((), True), (("server",), False), (("server", "serverless"), True)])
def test_a_network_in_one_arms_path_is_no_equal_ground(run_folder: Path, moved: tuple[str, ...], equal: bool) -> None:
    def move(plan: dict[str, Any]) -> None:
        for arm in moved:
            plan["arms"][arm]["load_host"] = "client"
            for trial in plan["trials"]:
                if trial["arm"] == arm:
                    trial["load_host"] = "client"

    change_plan(run_folder, move)
    run = read_run(run_folder)
    checks = parity.checks((trial, run.records[trial.id]) for trial in run.trials)
    (check,) = [check for check in checks if check.name == "place of the load generator"]
    assert check.equal is equal
    if not equal:
        assert (check.server, check.serverless) == (parity.OTHER_HOST, parity.OWN_HOST)
