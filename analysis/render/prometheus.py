# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``metrics.prom``: OpenMetrics, which node_exporter's textfile collector reads too; gauges in base units only."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis import parity, wording


def prometheus(run: Mapping[str, Any]) -> str:
    """Print the run's validity, every arm's medians, every ratio and rule. What was not measured has no line."""
    return "".join(f"{line}\n" for line in [*_lines(run), "# EOF"])


def _lines(run: Mapping[str, Any]) -> Iterator[str]:
    about = {"run": run["run_id"], "profile": run["profile"]["name"]}
    yield from _family("evenkeel_run_valid", "1 where the run is valid, else 0", [(about, int(run["valid"]))])
    failed = wording.parity_failed(run)
    # One arm alone has nothing to be equal to, and what an interrupted run did not record is not known.
    if failed or run["parity"]["passed"]:
        state = {"state": parity.FAILED if failed else "equal ground"}
        yield from _family(
            "evenkeel_parity_passed",
            "1 where both arms stood on equal ground, 0: PARITY FAILED",
            [({**about, **state}, int(not failed))],
        )
    for metric in run["metrics"]:
        medians = [
            ({**about, "arm": arm, "platform": run["platform"].get(arm, "")}, metric[arm]["median"])
            for arm in ("server", "serverless")
            if metric[arm] is not None and metric[arm]["median"] is not None
        ]
        yield from _family(
            f"evenkeel_{metric['name']}", f"{metric['title']}, median over trials ({metric['unit']})", medians
        )
    tested = [metric for metric in run["metrics"] if metric["ratio"] is not None]
    ratios = [({**about, "metric": metric["name"]}, metric["ratio"]) for metric in tested]
    yield from _family("evenkeel_ratio", "serverless / server", ratios)
    for bound in ("low", "high"):
        bounds = [
            ({**about, "metric": metric["name"]}, metric["interval"][bound])
            for metric in tested
            if metric["interval"] is not None
        ]
        yield from _family(f"evenkeel_ratio_{bound}", f"{bound} bound of the ratio's interval", bounds)
    judged = [({**about, "rule": found["rule"]}, int(found["met"])) for found in run["thresholds"]]
    yield from _family("evenkeel_threshold_met", "1 where the run's figure meets the profile's rule, else 0", judged)


def _family(name: str, meaning: str, samples: Sequence[tuple[dict[str, str], float]]) -> Iterator[str]:
    if not samples:
        return
    yield f"# HELP {name} {_escaped(meaning)}"
    yield f"# TYPE {name} gauge"
    for labels, value in samples:
        pairs = ",".join(f'{key}="{_escaped(text)}"' for key, text in labels.items())
        yield f"{name}{{{pairs}}} {value!r}"


def _escaped(text: str) -> str:
    return re.sub(r'[\\"\n]', lambda found: {"\\": r"\\", '"': r"\"", "\n": r"\n"}[found.group()], text)
