# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Fixtures: a synthetic run on disk, and what the analysis makes of it."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluate import evaluate
from analysis.run_store import read_run
from tests.unit.fixtures.runs.generator import SyntheticRun


@pytest.fixture
def run_folder(tmp_path: Path) -> Path:
    """A complete, valid run in which the serverless arm takes 10 % longer."""
    return SyntheticRun(effects={"response_mean_seconds": 1.1}).write(tmp_path)


@pytest.fixture(scope="session")
def evaluated(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., dict[str, Any]]:
    """Gives what the analysis makes of a synthetic run of these truths; the same truths are evaluated once."""

    @cache
    def make(truths: str) -> str:
        results = tmp_path_factory.mktemp("results")
        return json.dumps(evaluate(read_run(SyntheticRun(**json.loads(truths)).write(results))))

    def loaded(**truths: Any) -> dict[str, Any]:
        run: dict[str, Any] = json.loads(make(json.dumps(truths)))
        return run

    return loaded
