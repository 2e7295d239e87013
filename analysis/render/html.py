# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file without scripts or outside references; light, dark and print by CSS alone."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.charts import charts
from analysis.render.document import Document


def html(report: Document, run: Mapping[str, Any]) -> str:
    """Print a report as HTML; the charts are drawn from ``run``. The same run gives the same bytes."""
    environment = Environment(
        loader=PackageLoader("analysis.render"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    return environment.get_template("report.html.j2").render(
        report=report, charts=charts(run), valid=run["valid"], cluster="cold_starts" in run
    )
