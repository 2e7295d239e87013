# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Settings of every test: property tests try the same examples in every run, however slow the machine is."""

from hypothesis import settings

settings.register_profile("evenkeel", deadline=None, derandomize=True, database=None)
settings.load_profile("evenkeel")
