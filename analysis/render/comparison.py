# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A comparison of runs as Markdown and for a terminal: first what differs besides the figures, then the figures."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from analysis import thresholds, wording
from analysis.figures import percent
from analysis.render.document import Document, Section
from analysis.render.markdown import markdown
from analysis.render.terminal import WIDTH, aligned, printable
from analysis.schema import THRESHOLD_MISSED, Verdict
from analysis.table import Table

Comparison = Mapping[str, Any]

HEADERS = ("Metric", "Of", "Reference", "Other", "Other / reference", "95 % interval", "n", "p", "Verdict")
MOST_NAMES = 6
NUMERIC = frozenset(range(2, 8))
PARTS = {"server": "server", "serverless": "serverless", "ratio": "serverless / server"}


def comparison_markdown(found: Comparison) -> str:
    """Print a comparison as Markdown."""
    return markdown(
        Document(
            title="Evenkeel: runs compared",
            verdict="Evenkeel: runs compared",
            opening=tuple(_opening(found)),
            stamp=stamp(found),
            rules=(),
            about=f"Reference {_run(found['reference'])}.",
            sections=tuple(_sections(found)),
        )
    )


def comparison_terminal(found: Comparison, files: str) -> str:
    """Print a comparison whose files are ``files`` with a suffix each; the last line says what came of it."""
    lines = [line for sentence in (stamp(found), *_opening(found)) for line in textwrap.wrap(sentence, WIDTH)]
    for each in found["comparisons"]:
        lines += ["", f"{each['run']['run_id']} against {found['reference']['run_id']}:"]
        lines += [line for one in _differences(each) for line in textwrap.wrap(f"Differs: {one}", WIDTH)]
        lines += ["", *aligned(_table(each, tested=True))]
    lines += ["", *(line for note in found["notes"] for line in textwrap.wrap(f"Note: {note}", WIDTH))]
    lines += [f"Comparison: {files}.md and {files}.json", last_line(found)]
    return "\n".join(printable(line) for line in lines) + "\n"


def stamp(found: Comparison) -> str:
    """Say whether the runs are alike, and whether a rule is missed."""
    against = len(thresholds.missed(found["thresholds"]))
    of_rules = f", MISSED {against} of {len(found['thresholds'])} thresholds" if against else ""
    return f"{found['stamp'] or 'Like runs'}{of_rules}"


def last_line(found: Comparison) -> str:
    """Print ``COMPARED <run ids>``, or ``MISSED threshold_missed <run ids>: <each missed rule>``.

    Before either stands UNLIKE RUNS where they are.
    """
    runs = " ".join([found["reference"]["run_id"], *(each["run"]["run_id"] for each in found["comparisons"])])
    before = f"{found['stamp']} " if found["stamp"] else ""
    against = thresholds.missed(found["thresholds"])
    if not against:
        return f"{before}COMPARED {runs}"
    said = "; ".join(f"{rule['run_id']} {thresholds.sentence(rule)}" for rule in against)
    return f"{before}MISSED {THRESHOLD_MISSED} {runs}: {said}"


def _opening(found: Comparison) -> Iterator[str]:
    for rule in found["thresholds"]:
        yield f"Threshold for {rule['run_id']}, {thresholds.sentence(rule)}."
    for each in found["comparisons"]:
        tested = [metric for metric in each["metrics"] if metric["tested"] and metric["p_adjusted"] is not None]
        apart = [
            f"{metric['title']} ({PARTS[metric['part']]}) {metric['verdict']}, ratio {wording.ratio(metric['ratio'])}, "
            f"95 % interval {wording.interval(metric['interval'])}"
            for metric in tested
            if metric["verdict"] not in (Verdict.EQUIVALENT, Verdict.INCONCLUSIVE)
        ]
        who = f"{each['run']['run_id']} against {found['reference']['run_id']}"
        yield f"{who}: {_what_differs(each['differences'])}"
        if not tested:
            yield f"{who}: too few blocks for any verdict."
        elif apart:
            yield f"{who}: {len(apart)} of {len(tested)} tested figures differ. {'; '.join(apart)}."
        else:
            same = sum(metric["verdict"] == Verdict.EQUIVALENT for metric in tested)
            yield (
                f"{who}: no difference is shown. Of {len(tested)} tested figures {same} are equivalent within "
                f"{percent(found['margin'])} and {len(tested) - same} inconclusive."
            )


def _what_differs(differences: Sequence[Mapping[str, Any]]) -> str:
    """Say how much differs besides the figures, and name the first of it: what makes runs unlike comes first."""
    if not differences:
        return "nothing that is recorded differs besides the figures."
    names = ", ".join(one["name"] for one in differences[:MOST_NAMES])
    more = f" and {len(differences) - MOST_NAMES} more, listed below" if len(differences) > MOST_NAMES else ""
    count = "1 recorded value differs" if len(differences) == 1 else f"{len(differences)} recorded values differ"
    return f"{count} besides the figures: {names}{more}."


def _run(run: Mapping[str, Any]) -> str:
    where = ", a stored baseline" if run["baseline"] else ""
    return f"{run['run_id']}{where} (profile {run['profile']}, planned {run['created_utc']})"


def _differences(each: Comparison) -> list[str]:
    return [
        f"{'UNLIKE: ' if one['unlike'] else ''}{one['name']}: {_value(one['reference'])} / {_value(one['other'])}"
        for one in each["differences"]
    ] or ["nothing that is recorded, besides the figures"]


def _sections(found: Comparison) -> Iterator[Section]:
    for number, each in enumerate(found["comparisons"], start=1):
        rows = tuple(
            ("unlike" if one["unlike"] else "", one["name"], _value(one["reference"]), _value(one["other"]))
            for one in each["differences"]
        )
        headers = ("", "What", f"Reference {found['reference']['run_id']}", f"Other {each['run']['run_id']}")
        yield Section(
            f"differences-{number}",
            f"What differs besides the figures: {each['run']['run_id']}",
            paragraphs=() if rows else ("Nothing that is recorded.",),
            tables=(Table("Versions, hosts, settings, seeds, data, prices", headers, rows),) if rows else (),
        )
        missing = tuple(
            (metric["title"], PARTS[metric["part"]], metric["verdict"] or "not tested", metric["reason"])
            for metric in each["metrics"]
            if metric["tested"]
        )
        yield Section(
            f"figures-{number}",
            f"What differs of the figures: {_run(each['run'])}",
            (
                "Medians over trials; the ratio is other / reference, above 1 where the other run needs more. The "
                "blocks of two runs are not paired: exp of the Hodges-Lehmann shift of ln(figure), with the interval "
                f"of the Mann-Whitney test. The primary metric, {found['primary']}, is tested apart: its p of this run "
                f"are one family, the {found['family']} other tests of all runs another one, each adjusted by Holm. "
                f"Margin of the reference: {percent(found['margin'])}. serverless / server compares the ratios of the "
                "arms.",
            ),
            tables=(
                _table(each, tested=True),
                Table("Why each verdict", ("Metric", "Of", "Verdict", "Reason"), missing),
                _table(each, tested=False),
            ),
        )
    yield Section("notes", "What to know before relying on it", items=tuple(found["notes"]))


def _table(each: Comparison, *, tested: bool) -> Table:
    rows = tuple(
        (
            metric["title"],
            PARTS[metric["part"]],
            _median(metric["reference"], metric),
            _median(metric["other"], metric),
            wording.ratio(metric["ratio"]),
            wording.interval(metric["interval"]),
            " and ".join(str(sample["n"] if sample else 0) for sample in (metric["reference"], metric["other"])),
            wording.probability(metric["p_adjusted"]),
            metric["verdict"] or "not tested",
        )
        for metric in each["metrics"]
        if metric["tested"] is tested
    )
    return Table("The figures, tested" if tested else "Further figures, not tested", HEADERS, rows, NUMERIC)


def _median(sample: Mapping[str, Any] | None, metric: Mapping[str, Any]) -> str:
    if sample is None:
        return wording.NOT_MEASURED
    return wording.quantity(sample["median"], "" if metric["part"] == thresholds.RATIO else metric["unit"]).strip()


def _value(value: Any) -> str:
    if value is None:
        return "-"
    text = " ".join(map(str, value)) if isinstance(value, Sequence) and not isinstance(value, str) else str(value)
    return text if len(text) <= 64 else f"{text[:30]}...{text[-12:]}"
