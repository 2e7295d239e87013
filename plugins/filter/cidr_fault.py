# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that says why a port must not be opened to a range of addresses."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

# Ansible ships module_utils to targets; on the controller the package is found beside this plugin.
_MODULE_UTILS = str(Path(__file__).resolve().parents[1] / "module_utils")
if _MODULE_UTILS not in sys.path:
    sys.path.append(_MODULE_UTILS)

from evenkeel import cidr  # noqa: E402

DOCUMENTATION = r"""
name: cidr_fault
short_description: Why a port must not be opened to a range of addresses
description: Empty for a range of IPv4 or IPv6 addresses that is neither the whole Internet nor a large part of it.
options:
  _input:
    description: The range, as V(203.0.113.7/32).
    type: str
    required: true
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Check who may log in
  ansible.builtin.assert:
    that: ec2_admin_cidr | cidr_fault | length == 0
    fail_msg: "ec2_admin_cidr={{ ec2_admin_cidr }}: {{ ec2_admin_cidr | cidr_fault }}."
"""

RETURN = r"""
_value:
  description: The reason, without a full stop; empty where there is none.
  type: str
"""


def cidr_fault(text: object) -> str:
    """Why ``text`` is no range for an open port; empty where it is one."""
    return cidr.fault("" if text is None else str(text))


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, Callable[[object], str]]:
        """The filter's name and function."""
        return {"cidr_fault": cidr_fault}
