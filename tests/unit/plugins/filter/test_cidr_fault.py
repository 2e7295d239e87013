# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/filter/cidr_fault.py: the filter hands on."""

from __future__ import annotations

import importlib.util
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[4]


def test_it_hands_on_and_its_page_is_whole() -> None:
    spec = importlib.util.spec_from_file_location("evenkeel_cidr_fault", ROOT / "plugins/filter/cidr_fault.py")
    assert spec is not None and spec.loader is not None
    plugin = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(plugin)
    fault = plugin.FilterModule().filters()["cidr_fault"]
    assert (fault("203.0.113.7/32"), fault(None), fault("0.0.0.0/0")) == (
        "",
        "it is not set",
        "it is the whole Internet",
    )
    assert yaml.safe_load(plugin.DOCUMENTATION)["name"] == "cidr_fault"
    assert yaml.safe_load(plugin.EXAMPLES) and yaml.safe_load(plugin.RETURN)["_value"]["type"] == "str"
