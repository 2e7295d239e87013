# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a recorded run: every load with its requests, where it comes from, and what the run said."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from analysis import report
from benchmarks import record_trials
from tests.unit.fixtures.runs.generator import SyntheticRun


def reported(folder: Path) -> dict[str, Any]:
    report.build(folder)
    run: dict[str, Any] = json.loads((folder / "run.json").read_text())
    return run


def test_every_load_is_kept_with_its_provenance(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",), blocks=3).write(tmp_path)
    kept = json.loads(record_trials.laid_out(record_trials.recording(reported(folder))))
    assert [(trial["block"], trial["arm"]) for trial in kept["trials"]] == [(1, "server"), (2, "server"), (3, "server")]
    assert all(len(trial["samples_seconds"]) == 10 for trial in kept["trials"])
    assert kept["provenance"]["run_id"] == folder.name
    assert kept["provenance"]["slower_by"] is None
    assert kept["provenance"]["host"] == {
        "cpu_model": "Example CPU",
        "cpu_count": 2,
        "memory_bytes": 4 * 2**30,
        "busy_cores": 0.02,
    }


def test_of_two_arms_each_load_names_its_own_and_the_verdict_is_kept(tmp_path: Path) -> None:
    run = reported(SyntheticRun(blocks=8, effects={"response_mean_seconds": 1.5}).write(tmp_path))
    kept = record_trials.recording(run, 0.5)
    assert sorted((trial["block"], trial["arm"]) for trial in kept["trials"]) == [
        (block, arm) for block in range(1, 9) for arm in ("server", "serverless")
    ]
    assert kept["provenance"]["slower_by"] == 0.5
    assert kept["provenance"]["verdict"].startswith("slower: 1.5"), kept["provenance"]["verdict"]


def test_an_invalid_run_is_not_kept(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",), blocks=3).write(tmp_path)
    (folder / "raw" / "b02-server-load.json").unlink()
    with pytest.raises(SystemExit, match="INVALID"):
        record_trials.recording(reported(folder))
