# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.terminal import terminal
from analysis.run_store import read_run
from analysis.schema import Caution, first_violation
from tests.unit.fixtures.runs.generator import credited, write_json


def run_with(folder: Path, records: Mapping[str, object]) -> dict[str, Any]:
    """The run whose host has these records of its credits, by edge."""
    for edge, record in records.items():
        write_json(folder / "raw" / f"credits-local-{edge}.json", record)
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    return run


def ran_out(run: dict[str, Any]) -> list[str]:
    return [found["message"] for found in run["warnings"] if found["code"] == Caution.CREDITS_RAN_OUT]


def test_a_host_elsewhere_has_none(evaluated: Callable[..., dict[str, Any]]) -> None:
    run = evaluated()
    assert all(found["credits"] is None for found in run["machines"]["arms"].values())
    assert "credits" not in markdown(document(run))


def test_credits_that_last_are_shown_and_no_caution(run_folder: Path) -> None:
    run = run_with(run_folder, {"before": credited([100]), "after": credited([90, 80])})
    found = run["machines"]["arms"]["server"]["credits"]
    assert (found["balance_begin"], found["balance_min"], found["balance_end"]) == (100, 80, 80)
    assert (found["usage"], found["ran_out"], found["complete"]) == (5.0, False, True)
    assert ran_out(run) == []
    assert "100 before, least 80, 80 at the end; 5 used" in markdown(document(run))


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (credited([20, 0]), "the balance fell to 0"),
        (credited([0, 0], surplus=3.5), "the balance fell to 0, and surplus credits were spent"),
    ],
)
def test_a_run_whose_credits_ran_out_says_so_with_its_verdict(
    run_folder: Path, record: dict[str, Any], said: str
) -> None:
    run = run_with(run_folder, {"after": record})
    assert run["valid"]
    sentence = f"CPU credits ran out on the server arm's instance i-0123456789abcdef0: {said}."
    assert len(ran_out(run)) == 2, "both arms stood on it"
    for text in (terminal(run, "results/x"), markdown(document(run)), html(document(run), run).replace("&#39;", "'")):
        assert " ".join(text.split()).count(sentence) == 2, "with the verdict, and as a caution that says what to do"


@pytest.mark.parametrize(
    ("records", "reason"),
    [
        ({"after": {"failure": "Unable to locate credentials"}}, "Unable to locate credentials"),
        ({"before": credited([5])}, "they were not read after the run, which ended before"),
        ({"after": credited([])}, "CloudWatch has no CPUCreditBalance of this time: it lags by 5 to 10 minutes"),
        ({"after": {}}, "the record of the credits holds no window"),
    ],
)
def test_credits_that_are_not_known_are_not_measured(
    run_folder: Path, records: Mapping[str, object], reason: str
) -> None:
    run = run_with(run_folder, records)
    found = run["machines"]["arms"]["serverless"]["credits"]
    assert (found["ran_out"], found["balance_min"]) == (None, None)
    assert found["reason"].startswith(reason)
    assert ran_out(run) == []
    assert f"not measured: {reason}" in markdown(document(run))


def test_data_points_that_end_before_the_run_are_said_to(run_folder: Path) -> None:
    record = credited([50, 40])
    record["end_epoch_seconds"] += 600
    run = run_with(run_folder, {"after": record})
    assert run["machines"]["arms"]["server"]["credits"]["complete"] is False
    assert "the data points do not reach the end of the run" in markdown(document(run))
