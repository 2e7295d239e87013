# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""profiles/*.yml: each names every key, and its counts fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from analysis.metrics import REGISTRY

PROFILES = sorted((Path(__file__).resolve().parents[2] / "profiles").glob("*.yml"))


def load(path: Path) -> dict[str, Any]:
    profile: dict[str, Any] = yaml.safe_load(path.read_text())
    return profile


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_a_profile_names_every_key(path: Path) -> None:
    profile, demo = load(path), load(PROFILES[0])
    assert profile.keys() == {"service", "run"}
    for part in ("service", "run"):
        assert profile[part].keys() == demo[part].keys()
    assert profile["run"]["load"].keys() == demo["run"]["load"].keys()


@pytest.mark.parametrize("path", PROFILES, ids=lambda path: path.stem)
def test_its_counts_fit_together(path: Path) -> None:
    run = load(path)["run"]
    assert run["loading_starts"] <= run["blocks"]
    assert run["idle_windows"] <= run["blocks"]
    assert run["load"]["concurrency"] <= run["load"]["requests"] <= run["load"]["at_most_requests"]


def test_the_counts_are_those_of_the_design() -> None:
    counts = {path.stem: load(path)["run"] for path in PROFILES}
    assert [
        (run["trained_starts"], run["loading_starts"], run["blocks"], run["idle_seconds"])
        for run in (counts["demo"], counts["paper"], counts["thorough"])
    ] == [(1, 6, 6, 5), (1, 3, 10, 60), (3, 20, 20, 60)]


def test_the_profiles_of_the_study_score_their_machines_around_every_block() -> None:
    assert {path.stem: load(path)["run"]["calibrate"] for path in PROFILES} == {
        "demo": "auto",
        "paper": "always",
        "thorough": "always",
    }


def test_the_metrics_that_a_profile_may_choose_are_those_that_are_tested() -> None:
    settings = yaml.safe_load((PROFILES[0].parents[1] / "roles" / "settings" / "vars" / "main.yml").read_text())
    assert settings["settings_primary_metrics"] == [metric.name for metric in REGISTRY if metric.words]


def test_the_paper_loads_as_the_study_did() -> None:
    load_of_paper = next(load(path)["run"]["load"] for path in PROFILES if path.stem == "paper")
    assert (load_of_paper["requests"], load_of_paper["concurrency"], load_of_paper["timeout_seconds"]) == (10, 2, 300)
