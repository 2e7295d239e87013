# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a chart is: a drawing, a line that says how to read it, and the same figures as a table."""

from __future__ import annotations

from dataclasses import dataclass

from analysis.table import Table


@dataclass(frozen=True)
class Chart:
    """One chart. ``svg`` is markup whose texts are escaped; ``reading`` says how to read it."""

    id: str
    title: str
    reading: str
    svg: str
    table: Table
