# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``report.html``: one file without a request to anywhere, readable without JavaScript, in light, dark and print."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Mapping
from importlib import resources
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined

from analysis.charts import charts
from analysis.charts.theme import LAYOUTS
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
    style, script = _template("report.css"), _template("report.js")
    return environment.get_template("report.html.j2").render(
        report=report,
        charts=charts(run),
        layouts=LAYOUTS,
        valid=run["valid"],
        style=style,
        script=script,
        policy=_policy(style, script),
    )


def _template(name: str) -> str:
    return resources.files("analysis.render").joinpath("templates", name).read_text("utf-8")


def _policy(style: str, script: str) -> str:
    """Give a content security policy that allows this style and this script by their hashes, and nothing else."""
    return (
        f"default-src 'none'; style-src {_hash(style)}; script-src {_hash(script)}; img-src data:; base-uri 'none'; "
        "form-action 'none'"
    )


def _hash(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
