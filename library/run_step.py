# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The documentation of run_step; its code is the action plugin of the same name, since it works on the controller."""

from __future__ import annotations

DOCUMENTATION = r"""
module: run_step
short_description: Writes a step of a run into its journal, and what it measured into its raw records
description:
  - Runs on the controller, whatever host the task is for.
  - At the begin of a trial it returns a line that says where the run is; the callback plugin prints it.
options:
  run_dir:
    description: The run's folder; with O(event=alone) the folder of all runs.
    type: path
    required: true
  event:
    description:
      - What happened. V(reported) is no step of the run and leaves its journal alone.
      - V(alone) writes nothing, and fails where another run is under way.
    type: str
    required: true
    choices: [run_begun, run_resumed, step_begun, step_done, step_failed, run_closing, run_finished, alone, reported]
  step:
    description: A trial's id, or V(run).
    type: str
    required: true
  facts:
    description: What a trial that is done measured; kept as C(raw/<step>.json).
    type: dict
  artifacts:
    description: Files that belong to it and were brought beside it, each with C(path) on its host and C(sha256).
    type: list
    elements: dict
  texts:
    description: Raw outputs to keep beside it, by file ending; an empty one is left out.
    type: dict
  expected_seconds:
    description: How long a sort of trial takes where none was done yet, for the time to go.
    type: dict
  message:
    description: Why a step failed; with O(event=reported), what is shown at once.
    type: str
  closing:
    description: What came of the run, for a person; the callback plugin prints it after the recap.
    type: str
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Write down that it begins
  run_step:
    run_dir: results/20260101T000000Z-abcdef
    event: step_begun
    step: b01-server-load
"""

RETURN = r"""
done:
  description:
    - The trials that need not be repeated.
    - What was recorded of a turn that was broken off is kept in C(raw/superseded/).
  returned: when a run is resumed
  type: list
  elements: str
progress:
  description: Where the run is, or what it waits for, for a person.
  returned: at the begin of a trial, and where something is reported
  type: str
"""
