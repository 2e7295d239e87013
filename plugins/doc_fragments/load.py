# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The options that the modules for a load have in common; ab_load.REQUEST_ARGUMENTS takes them."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's loader of fragments looks for this name."""

    DOCUMENTATION = r"""
options:
  method:
    description: The request's method.
    type: str
    choices: [GET, POST, PUT]
    default: GET
  body:
    description: The body of a C(POST) or C(PUT) request, as text.
    type: str
  body_path:
    description: A file on this host with the body of a C(POST) or C(PUT) request, for instance an image.
    type: path
  content_type:
    description: The body's content type.
    type: str
    default: application/json
  headers:
    description: Further headers of every request.
    type: dict
    default: {}
  fail_on_invalid:
    description: Whether a load that is not valid fails the task.
    type: bool
    default: true
  ready_file:
    description: Files that are waited for before the load begins, one for each watcher that runs beside it.
    type: list
    elements: path
    default: []
  ready_deadline_seconds:
    description: How long O(ready_file) is waited for before the task fails without having sent a load.
    type: float
    default: 60.0
  stop_file:
    description: A file that is made when the load is over, also when it failed, so that watchers end.
    type: path
  clock_url:
    description:
      - Where the clock of the service's host can be asked for, the C(/clock) of a service of this toolkit. It is
        asked 20 times before the load and after it.
      - Give it where the load comes from another host than the one whose watchers see the service, so that the load's
        window can be found on their clock.
    type: str
"""
