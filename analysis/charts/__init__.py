# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The charts of a report, each a pure function from the content of ``run.json``.

A new one is one module and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.charts import course, shares
from analysis.charts.blocks import blocks
from analysis.charts.break_even import break_even
from analysis.charts.chart import Chart
from analysis.charts.latency import latency
from analysis.charts.phases import phases
from analysis.charts.ratio import ratios
from analysis.charts.tail import tail


def charts(run: Mapping[str, Any]) -> list[Chart]:
    """Give every chart there are figures for."""
    found = [
        ratios(run),
        latency(run),
        tail(run),
        blocks(run),
        *phases(run),
        course.processor(run),
        course.memory(run),
        shares.processor(run),
        shares.memory(run),
        break_even(run),
    ]
    return [chart for chart in found if chart is not None]
