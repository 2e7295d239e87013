# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The one error that a person who reads a run can do something about."""

from __future__ import annotations


class RunUnreadable(Exception):
    """A run folder, or a file in it, cannot be used. The message says what, where, why, and what to do."""
