# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The charts of a report, each a pure function from the content of ``run.json``.

A new one is one module and one line here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from analysis.charts.blocks import blocks
from analysis.charts.chart import Chart
from analysis.charts.course import memory, processor
from analysis.charts.latency import latency
from analysis.charts.phases import phases
from analysis.charts.ratio import ratios


def charts(run: Mapping[str, Any]) -> list[Chart]:
    """Draw every chart there are figures for."""
    drawn = [ratios(run), blocks(run), latency(run), *phases(run), processor(run), memory(run)]
    return [chart for chart in drawn if chart is not None]
