# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Looks between blocks: what they see, what they never see, and a run that ended by one."""

from __future__ import annotations

import contextlib
import io
import json
import math
import random
import shutil
from pathlib import Path
from typing import Any

import pytest
from evenkeel import stop_rule
from evenkeel.stop_rule import StopRule

from analysis import stopping, verdict
from analysis.__main__ import main
from analysis.errors import RunUnreadable
from analysis.evaluate import evaluate
from analysis.metrics import DURATION
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.run_store import read_run
from analysis.schema import Reason, Status, first_violation
from tests.unit.fixtures.runs.generator import SyntheticRun, change_plan

WIDTH = "ci_half_width<=5%"
OPEN_LOOP: dict[str, Any] = {
    "request": "predict",
    "fractions": [0.3],
    "seconds": 5,
    "arrivals": "uniform",
    "timeout_seconds": 10,
    "capacity": {"at_least_seconds": 5, "at_most_requests": 2000, "concurrency": 4},
}


def rule(text: str, blocks: int, looks: list[int] | None = None) -> StopRule:
    found = stop_rule.parse(text, looks, blocks)
    assert found is not None
    return found


def stops(found: StopRule, ratios: list[float], measured: int | None = None) -> stopping.Stopping:
    until = len(ratios) if measured is None else measured
    return stopping.stopping(found, until, lambda blocks: ratios[:blocks], 0.05, DURATION)


def noisy(seed: int, count: int, effect: float, noise: float) -> list[float]:
    chance = random.Random(seed)
    return [effect * math.exp(chance.gauss(0, noise)) for _ in range(count)]


def until_stopped(folder: Path) -> int:
    """Do what the role does: look between blocks, keep what was seen, and leave out what is not needed."""
    run = read_run(folder)
    found = stopping.rule_of(run)
    assert found is not None
    for blocks in found.looks[:-1]:
        seen = stopping_look(folder, blocks)
        (folder / "raw" / f"look-{blocks:04}.json").write_text(json.dumps(seen), "utf-8")
        if seen["stop"]:
            for trial in run.trials:
                if trial.block is not None and trial.block > blocks:
                    for path in (folder / "raw").glob(f"{trial.id}.*"):
                        path.unlink()
            return blocks
    return found.looks[-1]


def stopping_look(folder: Path, blocks: int) -> dict[str, Any]:
    out = io.StringIO()
    with contextlib.redirect_stdout(out):
        assert main(["look", str(folder), "--blocks", str(blocks)]) == 0
    seen: dict[str, Any] = json.loads(out.getvalue())
    return seen


def test_a_narrow_interval_stops_at_the_first_look() -> None:
    found = stops(rule(WIDTH, 20), noisy(1, 20, 1.2, 0.01))
    assert (found.stopped_at, len(found.looks), found.missing_blocks) == (10, 1, None)
    assert found.reason.startswith(
        f"stop_when {WIDTH}: stopped after 10 of at most 20 blocks, at 1 look: the half-width"
    )
    assert found.significance == verdict.SIGNIFICANCE


def test_the_sign_is_never_looked_at() -> None:
    ratios = noisy(3, 30, 1.15, 0.12)
    there, back = stops(rule(WIDTH, 30), ratios), stops(rule(WIDTH, 30), [1 / ratio for ratio in ratios])
    shifted = stops(rule(WIDTH, 30), [ratio * 3 for ratio in ratios])
    for other in (back, shifted):
        assert [look.half_width for look in other.looks] == pytest.approx([look.half_width for look in there.looks])
        assert other.stopped_at == there.stopped_at
    assert all(look.p is None for look in there.looks)


def test_a_budget_that_is_not_enough_says_what_is_missing() -> None:
    found = stops(rule(WIDTH, 12), noisy(2, 12, 1.0, 0.2))
    assert found.stopped_at is None and len(found.looks) == 2
    assert found.missing_blocks is not None and found.missing_blocks >= 10
    assert f"about {found.missing_blocks} more blocks are needed" in found.reason
    assert found.looks[0].message.endswith("; the run goes on.")
    assert found.looks[1].message.endswith("; all blocks are measured.")


def test_a_verdict_stops_at_its_looks_critical_p() -> None:
    found = stops(rule("verdict", 20, [10, 14, 20]), noisy(4, 20, 1.3, 0.03))
    assert (found.stopped_at, found.looks[0].p) == (10, pytest.approx(2 / 1024))
    assert found.significance == found.looks[0].critical_p == pytest.approx(0.00305, rel=0.01)
    close = stops(rule("verdict", 20, [10, 14, 20]), noisy(4, 20, 1.0, 0.3))
    assert close.stopped_at is None and close.significance == pytest.approx(0.0453, rel=0.01)
    assert "none of 3 looks gave a verdict" in close.reason


def test_a_pair_without_a_ratio_stops_nothing() -> None:
    found = stopping.stopping(rule(WIDTH, 10), 10, lambda _: None, 0.05, DURATION)
    assert (found.stopped_at, found.looks[0].half_width) == (None, None)
    assert "a pair has no ratio" in found.looks[0].message


def test_before_the_first_look_there_is_none() -> None:
    found = stops(rule(WIDTH, 20), noisy(1, 20, 1.2, 0.01), measured=9)
    assert (found.looks, found.significance) == ((), 0.05)
    assert "has not come to its first look" in found.reason


def test_a_run_that_ended_by_its_rule_is_complete_and_the_same_by_its_records(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=14, stop_when=WIDTH, effects={"response_mean_seconds": 1.1}).write(tmp_path)
    assert until_stopped(folder) == 10
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    assert (run["valid"], run["status"]) == (True, Status.COMPLETE)
    assert run["stopping"]["stopped_at"] == 10
    left_out = [trial for trial in run["trials"] if trial.get("not_needed")]
    assert {trial["block"] for trial in left_out} == {11, 12, 13, 14}
    assert all(trial["file"] is None for trial in left_out)
    assert next(metric for metric in run["metrics"] if metric["primary"])["n"] == 10
    text = markdown(document(run))
    assert "stopped after 10 of at most 14 blocks" in text and "The looks of stop" in text


def test_a_verdict_after_a_look_is_tested_at_its_critical_p(tmp_path: Path) -> None:
    effects = {"response_mean_seconds": 1.2}
    folder = SyntheticRun(blocks=20, stop_when="verdict", looks=[10, 14, 20], effects=effects).write(tmp_path)
    assert until_stopped(folder) == 10
    primary = next(metric for metric in evaluate(read_run(folder))["metrics"] if metric["primary"])
    assert primary["verdict"] == "slower" and "is at most 0.00305" in primary["reason"]
    assert primary["interval"]["level"] >= 1 - 0.00305
    text = markdown(document(evaluate(read_run(folder))))
    assert "The interval is the ratio's, at least at 99.7 %." in text and "tested alone at 0.3 %" in text
    assert "where the 99.4 % interval lies" in text and "p is at most 0.00305" in text
    assert "95 % interval" not in text and "at most 0.05" not in text


def test_a_run_that_ended_early_keeps_its_open_loop(tmp_path: Path) -> None:
    open_loop = {**OPEN_LOOP, "blocks": 11, "sweep": {"fraction": 0.2, "seconds": 5}}
    effects = {"response_mean_seconds": 1.5}
    folder = SyntheticRun(blocks=12, stop_when="verdict", looks=[10, 12], effects=effects, open_loop=open_loop).write(
        tmp_path
    )
    assert until_stopped(folder) == 10
    run = evaluate(read_run(folder))
    assert run["valid"], run["invalid_reasons"]
    assert [(rate["valid"], len(rate["trials"])) for rate in run["open_loop"]["rates"]] == [(True, 9)] * 2
    # It was to be sent in the last of the blocks.
    assert run["open_loop"]["sweeps"] == []


def test_an_interrupted_run_with_a_rule_is_still_interrupted(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=14, stop_when=WIDTH, finished=False).write(tmp_path)
    for path in [*(folder / "raw").glob("b09-*"), *(folder / "raw").glob("b1?-*")]:
        path.unlink()
    run = evaluate(read_run(folder))
    assert run["status"] == Status.INTERRUPTED and run["stopping"]["looks"] == []


def refused(folder: Path) -> list[str]:
    return [reason["code"] for reason in evaluate(read_run(folder))["invalid_reasons"]]


def test_a_run_that_ended_where_its_rule_does_not_is_invalid(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=14, stop_when="ci_half_width<=0.1%").write(tmp_path)
    for path in (folder / "raw").glob("b1[1-4]-*"):
        path.unlink()
    (folder / "raw" / "look-0010.json").write_text(json.dumps({"stop": True}), "utf-8")
    assert refused(folder) == [Reason.RAW_MISMATCH]


def test_a_run_that_went_on_after_its_rule_ended_it_is_invalid(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=14, stop_when=WIDTH).write(tmp_path)
    assert refused(folder) == [Reason.RAW_MISMATCH]
    whole = shutil.copytree(folder, tmp_path / "with-look")
    (whole / "raw" / "look-0010.json").write_text(json.dumps({"stop": True}), "utf-8")
    assert refused(whole) == [Reason.RAW_MISMATCH]


def test_a_look_that_was_not_declared_or_comes_too_early_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = SyntheticRun(blocks=12, stop_when=WIDTH).write(tmp_path)
    assert main(["look", str(folder), "--blocks", "11"]) == 3
    assert "looks after 10, 12 blocks, so none after 11" in capsys.readouterr().err
    next((folder / "raw").glob("b10-server-load.json")).unlink()
    assert main(["look", str(folder), "--blocks", "10"]) == 3
    assert "9 whole blocks" in capsys.readouterr().err


def test_a_plan_with_no_rule_in_its_stop_when_is_refused(tmp_path: Path) -> None:
    folder = SyntheticRun(blocks=12, stop_when=WIDTH).write(tmp_path)
    change_plan(folder, lambda plan: plan["profile"]["run"].update(stop_when="soon"))
    with pytest.raises(RunUnreadable, match="soon is not known"):
        evaluate(read_run(folder))
