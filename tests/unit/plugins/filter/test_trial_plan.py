# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/filter/trial_plan.py: the filter hands on, and says what it cannot plan."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from types import ModuleType

import pytest
from ansible.errors import AnsibleFilterError

ROOT = Path(__file__).resolve().parents[4]
RUN = {"trained_starts": 0, "loading_starts": 1, "blocks": 1, "idle_windows": 0}
ARMS = {"server": {"host": "a", "load_host": "a"}}


@pytest.fixture(scope="module")
def plugin() -> ModuleType:
    spec = importlib.util.spec_from_file_location("evenkeel_filter_trial_plan", ROOT / "plugins/filter/trial_plan.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_plans(plugin: ModuleType) -> None:
    plan = plugin.FilterModule().filters()["trial_plan"]
    assert [trial["id"] for trial in plan(RUN, ARMS, "7")] == [
        "w01-server-imports",
        "b01-server-start",
        "b01-server-load",
    ]


@pytest.mark.parametrize(("run", "arms"), [({}, ARMS), (RUN, {}), ({**RUN, "blocks": "many"}, ARMS), (None, ARMS)])
def test_what_it_cannot_plan_is_a_filter_error(
    plugin: ModuleType, run: dict[str, int], arms: dict[str, dict[str, str]]
) -> None:
    with pytest.raises(AnsibleFilterError, match="trial_plan"):
        plugin.trial_plan(run, arms, 1)
