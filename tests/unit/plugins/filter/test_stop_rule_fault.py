# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/filter/stop_rule_fault.py: the filters hand on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[4]


def test_they_hand_on_and_their_page_is_whole() -> None:
    spec = importlib.util.spec_from_file_location("evenkeel_stop_rule", ROOT / "plugins/filter/stop_rule_fault.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    filters = plugin.FilterModule().filters()
    fault, looks = filters["stop_rule_fault"], filters["stop_rule_looks"]
    assert (fault(None, None, 6), fault("verdict", [6, 8], "8")) == ("", "")
    assert fault("soon", None, 20).startswith("stop_when=soon is not known; it may be null")
    assert (looks("ci_half_width<=5%", None, 13), looks(None, None, 6)) == ([10, 12, 13], [])
    assert looks("soon", None, 20) == []
    assert yaml.safe_load(plugin.DOCUMENTATION)["name"] == "stop_rule_fault"
    assert yaml.safe_load(plugin.EXAMPLES) and yaml.safe_load(plugin.RETURN)["_value"]["type"] == "str"
