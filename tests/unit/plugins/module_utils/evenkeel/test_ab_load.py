# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The parts of a load trial that the module's own tests do not reach."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from evenkeel import ab
from evenkeel.ab_load import LoadFailed, Probing, Sizing, Surroundings, check_program, run_load, send_probe

from tests.standins.http_server import GOOD_BODY, Reply, always, between, http_server


def test_the_program_says_its_version() -> None:
    assert check_program("ab").startswith("2.")


def test_a_program_that_cannot_start(tmp_path: Path) -> None:
    (tmp_path / "ab").write_text("no program")
    with pytest.raises(LoadFailed, match="does not start") as failure:
        check_program(str(tmp_path / "ab"))
    assert "apache2-utils" in failure.value.result["next_step"]


def test_a_program_that_never_answers_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("evenkeel.ab_load.VERSION_DEADLINE_SECONDS", 0.2)
    (tmp_path / "ab").write_text("#!/bin/sh\nsleep 60\n")
    (tmp_path / "ab").chmod(0o755)
    with pytest.raises(LoadFailed, match="not ApacheBench"):
        check_program(str(tmp_path / "ab"))


@pytest.mark.parametrize(
    ("reply", "problem", "nobody_there"),
    [
        (Reply(), None, False),
        (Reply(status=503, body=b"starting"), "probe_failed", False),
        (Reply(fault="empty"), "probe_failed", False),
        (Reply(fault="truncate"), "probe_failed", False),
        (Reply(fault="garbage"), "probe_failed", False),
        (Reply(fault="reset"), "probe_failed", False),
        (Reply(fault="stall"), "probe_failed", True),
    ],
)
def test_a_probe_judges_what_came(reply: Reply, problem: str | None, nobody_there: bool) -> None:
    with http_server(always(reply)) as server:
        probe = send_probe(Probing(ab.Load(server.url, 10, timeout_seconds=1)))
    assert (probe.problem.split(":")[0] if probe.problem else None) == problem
    assert probe.nobody_there is nobody_there
    assert probe.good_body() == (GOOD_BODY if problem is None else None)
    assert probe.seconds > 0


def test_a_large_answer_is_checked_and_not_repeated() -> None:
    body = b'{"accuracy": 0.5, "padding": "%s"}' % (b"x" * 5000)
    with http_server(always(Reply(body=body))) as server:
        load = ab.Load(server.url, 10)
        assert send_probe(Probing(load, expect={"accuracy": 0.5})).problem is None
        wrong = send_probe(Probing(load, expect={"accuracy": 0.6}))
    assert wrong.problem == "wrong_answer: accuracy is 0.5, expected 0.6"
    assert wrong.facts()["bytes"] == len(body)
    assert wrong.facts()["answer"] is None


def run_sized(script: Any, tmp_path: Path, at_least_seconds: float) -> dict[str, Any]:
    with http_server(script) as server:
        surroundings = Surroundings("ab", str(tmp_path))
        sizing = Sizing(at_least_seconds, 30)
        return run_load(Probing(ab.Load(server.url, 10, 2, timeout_seconds=5)), surroundings, sizing)[0]


def test_sizing_that_fails_falls_back_and_is_a_reason(tmp_path: Path) -> None:
    facts = run_sized(between(1, 3, Reply(500), Reply()), tmp_path, 1.0)
    assert facts["requests"]["planned"] == 10
    assert [reason for reason in facts["invalid_reasons"] if "while sizing" in reason] == facts["invalid_reasons"]


def test_sizing_has_an_upper_end(tmp_path: Path) -> None:
    facts = run_sized(always(Reply()), tmp_path, 100.0)
    assert facts["requests"]["complete"] == 30
    assert facts["valid"]
