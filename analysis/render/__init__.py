# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From the content of ``run.json`` to what people and programs read. Nothing here computes a figure."""
