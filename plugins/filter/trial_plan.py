# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The filter that makes a run's list of trials."""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleFilterError

# Ansible ships module_utils to targets; on the controller the package is found beside this plugin.
_MODULE_UTILS = str(Path(__file__).resolve().parents[1] / "module_utils")
if _MODULE_UTILS not in sys.path:
    sys.path.append(_MODULE_UTILS)

from evenkeel import plan  # noqa: E402

DOCUMENTATION = r"""
name: trial_plan
short_description: The list of a run's trials in balanced random order
description: >-
  Makes one list of trials (block, kind, arm, host) from a profile's counts. Within each pair of blocks either arm goes
  first once; the seed decides the rest.
positional: arms, seed
options:
  _input:
    description: A profile's C(run) part.
    type: dict
    required: true
  arms:
    description: >-
      The arms that are measured, each with C(host) and C(load_host), and C(load_hosts) where several send its open
      loop.
    type: dict
    required: true
  seed:
    description: The seed of the order.
    type: int
    required: true
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
trials: "{{ run | trial_plan({'server': {'host': 'a', 'load_host': 'a'}}, 7) }}"
"""

RETURN = r"""
_value:
  description: The trials in order.
  type: list
  elements: dict
"""


def trial_plan(run: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """See :func:`evenkeel.plan.trial_plan`."""
    try:
        return plan.trial_plan(run, arms, int(seed))
    except (KeyError, TypeError, ValueError) as error:
        raise AnsibleFilterError(f"trial_plan: {error}") from error


class FilterModule:
    """What Ansible asks a filter plugin for."""

    def filters(self) -> dict[str, Callable[..., list[dict[str, Any]]]]:
        """The filters by name."""
        return {"trial_plan": trial_plan}
