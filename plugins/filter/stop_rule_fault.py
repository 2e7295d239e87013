# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filters that read a profile's rule to end a run before all its blocks are measured."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

# Ansible ships module_utils to targets; on the controller the package is found beside this plugin.
_MODULE_UTILS = str(Path(__file__).resolve().parents[1] / "module_utils")
if _MODULE_UTILS not in sys.path:
    sys.path.append(_MODULE_UTILS)

from evenkeel import stop_rule  # noqa: E402

DOCUMENTATION = r"""
name: stop_rule_fault
short_description: Why a rule to end a run early cannot be used
description: >-
  Empty for a rule that can be used, and for none. C(stop_rule_looks) gives the numbers of blocks at which such a rule
  is looked at.
positional: looks, blocks
options:
  _input:
    description: A profile's C(stop_when), as V(ci_half_width<=5%) or V(verdict); null for none.
    type: str
  looks:
    description: A profile's C(looks), for V(verdict) only.
    type: list
    elements: int
  blocks:
    description: The most blocks that the run may take.
    type: int
    required: true
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Check when the run may end
  ansible.builtin.assert:
    that: stop_when | stop_rule_fault(looks, blocks) | length == 0
    fail_msg: "{{ stop_when | stop_rule_fault(looks, blocks) }}."
"""

RETURN = r"""
_value:
  description: The reason, without a full stop; empty where there is none.
  type: str
"""


def stop_rule_fault(stop_when: Any, looks: Any, blocks: Any) -> str:
    """Why the rule cannot be used; empty where it can."""
    try:
        stop_rule.parse(stop_when, looks, int(blocks))
    except ValueError as error:
        return str(error)
    return ""


def stop_rule_looks(stop_when: Any, looks: Any, blocks: Any) -> list[int]:
    """The numbers of blocks after which the rule is looked at; none without a rule, or with one that cannot be used."""
    try:
        rule = stop_rule.parse(stop_when, looks, int(blocks))
    except ValueError:
        return []
    return list(rule.looks) if rule else []


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """The filters by name."""
        return {"stop_rule_fault": stop_rule_fault, "stop_rule_looks": stop_rule_looks}
