# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Builds every output of a run from what lies in its folder."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from analysis import run_store
from analysis.evaluate import evaluate
from analysis.open_loop import histogram_logs
from analysis.render.document import document, in_short
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.prometheus import prometheus
from analysis.render.samples import samples_csv


def build(folder: Path) -> dict[str, Any]:
    """Evaluate the run in ``folder``, write its run.json and reports, and give what run.json holds.

    Nothing is written before everything is made; then every file is replaced in one step, run.json last. Raises
    RunUnreadable where the run, or the base run its plan names, cannot be used.
    """
    run = evaluated(folder)
    outputs = _outputs(run) | {"run.json": run_store.run_text(run)}
    for name, text in outputs.items():
        run_store.write_atomically(folder / name, text)
    return run


def evaluated(folder: Path) -> dict[str, Any]:
    """Evaluate the run in ``folder`` and write nothing. Raises RunUnreadable as ``build`` does."""
    run = run_store.read_run(folder)
    base_run = run.plan["base_run"]
    return evaluate(run, run_store.read_run(folder.parent / base_run) if base_run else None)


def _outputs(run: Mapping[str, Any]) -> dict[str, str]:
    laid_out = document(run)
    return {
        "report.md": markdown(in_short(laid_out)),
        "report.html": html(laid_out, run),
        "samples.csv": samples_csv(run),
        "metrics.prom": prometheus(run),
        **histogram_logs(run),
    }
