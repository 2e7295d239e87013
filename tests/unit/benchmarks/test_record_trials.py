# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What is kept of a recorded run: every load with its requests, and where it comes from."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from analysis import report
from benchmarks import record_trials
from tests.unit.fixtures.runs.generator import SyntheticRun


def test_every_load_is_kept_with_its_provenance(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",), blocks=3).write(tmp_path)
    report.build(folder)
    kept = json.loads(record_trials.laid_out(record_trials.recording(folder)))
    assert [trial["block"] for trial in kept["trials"]] == [1, 2, 3]
    assert all(len(trial["samples_seconds"]) == 10 for trial in kept["trials"])
    assert kept["provenance"]["run_id"] == folder.name
    assert kept["provenance"]["host"] == {
        "cpu_model": "Example CPU",
        "cpu_count": 2,
        "memory_bytes": 4 * 2**30,
        "busy_cores": 0.02,
    }


def test_an_invalid_run_is_not_kept(tmp_path: Path) -> None:
    folder = SyntheticRun(arms=("server",), blocks=3).write(tmp_path)
    (folder / "raw" / "b02-server-load.json").unlink()
    report.build(folder)
    with pytest.raises(SystemExit, match="INVALID"):
        record_trials.recording(folder)
