# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a chart is: a drawing of two widths, what it shows in this run, how it is read, and its figures as a table."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from analysis.charts import drawing, theme
from analysis.charts.theme import Layout
from analysis.table import Table


@dataclass(frozen=True)
class Chart:
    """One chart.

    ``finding`` says in sentences what this run shows, for those who read it and those who hear it; ``reading`` says how
    to read the drawing; ``draw`` makes the specification for a width.
    """

    id: str
    title: str
    finding: str
    reading: str
    draw: Callable[[Layout], theme.Drawing]
    table: Table

    def svg(self, layout: Layout) -> str:
        """Draw it as SVG. The same chart gives the same bytes, and no name in it is that of another chart's."""
        return drawing.svg(self.draw(layout), f"{self.id}-{layout.name}", f"{self.title} {self.finding}")
