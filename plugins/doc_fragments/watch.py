# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The options that the watchers have in common; watch.ARGUMENTS takes them, and each watcher its own interval."""

from __future__ import annotations


class ModuleDocFragment:
    """Ansible's loader of fragments looks for this name."""

    DOCUMENTATION = r"""
options:
  duration_seconds:
    description:
      - How long to watch, counted from the first good reading of all that is watched.
      - Exactly one of O(duration_seconds) and O(stop_file) is needed to watch.
    type: float
  stop_file:
    description: The watch ends when this file appears. It must not exist at the beginning.
    type: path
  ready_file:
    description:
      - A file made when the first good reading of all that is watched is in, for a load that waits for it.
      - It must not exist at the beginning.
    type: path
  deadline_seconds:
    description:
      - The watch ends after this time whatever happens.
      - The default is O(duration_seconds) and 30 seconds, or an hour with O(stop_file).
      - With O(recording), how long to wait for the watching task to end; 60 seconds by default.
    type: float
  artifact_dir:
    description:
      - An existing directory on the target.
      - Where the facts would hold more than 1,000 values, the lists of samples are written there as
        C(FACT.frames.json), after the name of the fact, and are null in the facts.
    type: path
  recording:
    description:
      - The registered result of an earlier task of this module that ran asynchronously, or of C(async_status) for it.
      - With it nothing is watched; the facts of that job are returned, waiting for its end where needed, and its file
        is removed from the target.
    type: dict
attributes:
  diff_mode:
    description: Returns details on what has changed.
    support: none
"""
