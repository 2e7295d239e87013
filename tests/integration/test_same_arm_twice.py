# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A/A through the playbooks: both arms are the same server program, and no winner is found twice.

One run in twenty may name a winner by chance, so the test fails only where a repeat with another seed names the same.
The run may end by a rule on its verdict, so that a look between blocks is made for real too.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.toolkit import Toolkit, last_line, run_json

pytestmark = pytest.mark.alone

BLOCKS = 8
RULE: dict[str, Any] = {"stop_when": "verdict", "looks": [6, BLOCKS]}
RUN: dict[str, Any] = {
    **RULE,
    "trained_starts": 0,
    "loading_starts": 1,
    "blocks": BLOCKS,
    "idle_windows": 0,
    "load_requests": 10,
    "load_at_least_seconds": 0,
    "load_timeout_seconds": 30,
}
WINNERS = ("faster", "slower")


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    """Both arms deployed, and then the server's program under both names."""
    kit = Toolkit(tmp_path_factory.mktemp("kit"), {"profile": "demo", "dataset": "digits", "deploy_until": "ready"})
    deployed = kit.play("site")
    assert deployed.returncode == 0, deployed.stdout
    serve_the_same(kit)
    yield kit
    for line in kit.processes():
        os.kill(int(line.split()[0]), signal.SIGKILL)


def serve_the_same(kit: Toolkit) -> None:
    """Give the serverless arm the server's start script, with its own port, settings and pid file."""
    scripts = {arm: kit.state / arm / "run.sh" for arm in kit.ports}
    text = scripts["server"].read_text()
    for own in ("service.pid", "service"):
        text = text.replace(str(kit.state / "server" / own), str(kit.state / "serverless" / own))
    ports = [f"EVENKEEL_PORT={kit.ports[arm]}" for arm in ("server", "serverless")]
    assert "gunicorn" in text and ports[0] in text
    scripts["serverless"].write_text(text.replace(*ports))


def measured(kit: Toolkit, seed: int) -> dict[str, Any]:
    """A complete run of both arms, valid unless other work on the machine took CPUs from one arm alone."""
    done = kit.play("benchmark", **RUN, run_seed=seed)
    run = run_json(kit.results / last_line(done).split()[-1])
    others = [reason for reason in run["invalid_reasons"] if "effective cores" not in reason["message"]]
    assert (run["status"], others) == ("complete", []), done.stdout
    assert done.returncode == (0 if run["valid"] else 2), done.stdout
    return run


def primary(run: dict[str, Any]) -> dict[str, Any]:
    metric: dict[str, Any] = next(each for each in run["metrics"] if each["primary"])
    return metric


def test_a_rule_that_is_none_is_refused_before_anything_is_measured(toolkit: Toolkit) -> None:
    done = toolkit.play("benchmark", **(RUN | {"stop_when": "ci_half_width<5%", "looks": None}))
    assert done.returncode != 0
    assert "stop_when=ci_half_width<5% is not known; it may be null" in " ".join(done.stdout.split())
    assert not toolkit.results.exists() or not list(toolkit.results.iterdir())


def test_no_repeat_names_the_same_winner(toolkit: Toolkit) -> None:
    first = measured(toolkit, 11)
    answers = {arm: toolkit.ask(arm) for arm in toolkit.ports}
    assert answers["server"]["model_sha256"] == answers["serverless"]["model_sha256"]
    look_is_kept(toolkit.results / first["run_id"], first)
    word = primary(first)["verdict"]
    # A run that is not valid names no winner.
    if word in WINNERS:
        assert primary(measured(toolkit, 12))["verdict"] != word, primary(first)["reason"]


def look_is_kept(folder: Path, run: dict[str, Any]) -> None:
    """The look after 6 blocks ended the run, or did not; run and record agree on it."""
    seen = json.loads((folder / "raw" / "look-0006.json").read_text())
    found = run["stopping"]
    assert found["looks"][0]["stop"] is seen["stop"]
    blocks = 6 if seen["stop"] else BLOCKS
    assert primary(run)["n"] == blocks
    assert {trial["block"] for trial in run["trials"] if trial.get("not_needed")} == set(range(blocks + 1, BLOCKS + 1))
    if run["valid"]:
        assert found["reason"] in " ".join((folder / "report.md").read_text().replace("\\", "").split())
