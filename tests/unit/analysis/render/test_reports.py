# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The reports as text: what they say, in which order, and that no measured text becomes markup."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest

from analysis.evaluate import evaluate
from analysis.render.document import document
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.prometheus import prometheus
from analysis.render.samples import samples_csv
from analysis.run_store import read_run
from tests.unit.fixtures.runs.generator import SyntheticRun, change_record, write_json

Make = Callable[..., dict[str, Any]]
HOSTILE = """</script><img src=x onerror=alert(1)> | `code` "quoted" & 'more' [a](javascript:b)"""
VOID = {"meta", "br", "img", "link", "input"}


class Page(HTMLParser):
    """What a page is made of; raises AssertionError where a tag is closed that is not open."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(page)
        assert self.open == []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def hostile_run(tmp_path: Path) -> dict[str, Any]:
    folder = SyntheticRun().write(tmp_path)
    plan = json.loads((folder / "plan.json").read_text("utf-8"))
    plan["profile"]["name"] = HOSTILE
    plan["profile"]["service"]["dataset"] = HOSTILE
    plan["arms"]["server"]["description"] = HOSTILE
    plan["arms"]["serverless"]["standins"] = [HOSTILE]
    write_json(folder / "plan.json", plan)
    write_json(folder / "raw" / "host-local.json", {HOSTILE: HOSTILE})
    reasons = [f"wrong_answer: {HOSTILE}\nsecond line"]
    change_record(
        folder,
        "b01-server-load",
        {("ab_benchmark", "valid"): False, ("ab_benchmark", "invalid_reasons"): reasons},
    )
    change_record(folder, "b01-server-start", {("service_startup", "phases"): [phase(HOSTILE)]})
    return evaluate(read_run(folder))


def phase(name: str) -> dict[str, Any]:
    return {"name": name, "begin_seconds": 0.0, "end_seconds": 1.0}


def page_of(run: dict[str, Any]) -> str:
    return html(document(run), run)


def headings(text: str) -> list[str]:
    return re.findall(r"^## (.*)$", text, re.M)


def test_the_report_begins_with_what_it_is_and_the_verdict(evaluated: Make) -> None:
    run = evaluated(effects={"response_mean_seconds": 1.1})
    lines = [line for line in markdown(document(run)).splitlines() if line]
    assert lines[1] == "**VALID, complete**"
    assert lines[2].startswith("Embedded: the function's process against the server's process on one machine, without")
    assert lines[3].startswith("Mean response time: serverless is slower. It takes 1")
    assert "6 blocks of each arm" in lines[3]


def test_the_order_of_the_sections(evaluated: Make) -> None:
    assert headings(markdown(document(evaluated()))) == [
        "The table",
        "What to know before relying on it",
        "How sure",
        "Charts",
        "Further figures, not tested",
        "Not measured",
        "Every pair",
        "Equal ground",
        "The machines",
        "The study this toolkit starts from",
        "Method and limits",
        "The run",
        "Raw data",
        "Hosts and software",
    ]


@pytest.mark.parametrize(
    ("effect", "noise", "phrase"),
    [
        (0.8, 0.01, "serverless is faster. It takes "),
        (1.0, 0.005, "equivalent. No difference beyond the margin of 5 %"),
        (1.0, 0.4, "inconclusive. Whether the arms differ cannot be told"),
    ],
)
def test_the_fixed_phrases(evaluated: Make, effect: float, noise: float, phrase: str) -> None:
    text = markdown(document(evaluated(effects={"response_mean_seconds": effect}, noise=noise)))
    assert phrase in text


def test_no_report_names_an_overall_winner(evaluated: Make) -> None:
    run = evaluated(effects={"response_mean_seconds": 0.5, "ready_seconds": 0.5})
    assert not re.search(r"winner|wins|better|overall", markdown(document(run)) + page_of(run), re.I)


def test_too_few_blocks_are_said(evaluated: Make) -> None:
    run = evaluated(blocks=5)
    text = markdown(document(run))
    assert "too few blocks for a verdict" in text
    assert run["valid"]


def test_an_invalid_run_gives_its_reasons_before_its_table(tmp_path: Path) -> None:
    text = markdown(document(hostile_run(tmp_path)))
    assert headings(text)[0] == "Why this run is INVALID"
    assert "**INVALID, complete**" in text
    assert "not valid" in text


def test_not_measured_is_a_word_and_never_0(evaluated: Make) -> None:
    text = markdown(document(evaluated()))
    assert "| pod cold start | not measured |" in text
    assert re.search(r"\| Idle CPU as docker stats shows it \| not measured \| not measured \| - \|", text)


def test_the_study_stands_in_the_report_with_its_factor_marked(evaluated: Make) -> None:
    text = markdown(document(evaluated()))
    assert "Serverless x16, by the study" in text
    assert "1252.8" in text and "246.56" in text


@pytest.mark.parametrize("print_report", [markdown, None], ids=["markdown", "html"])
def test_markdown_and_html_say_the_same(evaluated: Make, print_report: Any) -> None:
    run = evaluated()
    text = markdown(document(run)) if print_report else page_of(run)
    for metric in run["metrics"]:
        assert metric["title"].replace("'", "&#39;" if print_report is None else "'") in text
    for file in run["files"]:
        assert file["sha256"] in text


def test_the_page_needs_nothing_from_outside(evaluated: Make) -> None:
    page = page_of(evaluated())
    found = Page(page)
    assert not {tag for tag, _ in found.tags} & {"script", "link", "img", "iframe", "object", "base"}
    assert not [
        name for _, attributes in found.tags for name in attributes if name in ("src", "href") or name[:2] == "on"
    ]
    assert not re.search(r"@import|url\(|javascript:", page)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_the_page_can_be_read_by_everyone(evaluated: Make) -> None:
    found = Page(page_of(evaluated()))
    attributes = dict(found.tags)
    assert attributes["html"]["lang"] == "en"
    assert "title" in attributes
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(given.get("scope") in ("col", "row") for tag, given in found.tags if tag == "th")
    assert all(given.get("aria-label") and given.get("role") == "img" for tag, given in found.tags if tag == "svg")
    names = [given["id"] for _, given in found.tags if given.get("id")]
    assert len(names) == len(set(names))
    captions = sum(tag == "caption" for tag, _ in found.tags)
    assert captions == sum(tag == "table" for tag, _ in found.tags)


def test_light_dark_and_print_are_styled(evaluated: Make) -> None:
    page = page_of(evaluated())
    assert "prefers-color-scheme: dark" in page and "@media print" in page


def test_no_measured_text_becomes_html(tmp_path: Path) -> None:
    page = page_of(hostile_run(tmp_path))
    found = Page(page)
    assert not {"script", "img"} & {tag for tag, _ in found.tags}
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_no_measured_text_becomes_markdown(tmp_path: Path) -> None:
    text = markdown(document(hostile_run(tmp_path)))
    assert "<img" not in text.replace("\\<", "")
    rows = [line for line in text.splitlines() if "second line" in line]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4


def test_every_table_row_has_as_many_cells_as_its_head(evaluated: Make) -> None:
    for section in document(evaluated()).sections:
        for table in section.tables:
            assert {len(row) for row in table.rows} <= {len(table.headers)}, table.caption


def test_samples_have_every_request_and_figure(evaluated: Make) -> None:
    run = evaluated()
    rows = list(csv.DictReader(io.StringIO(samples_csv(run))))
    requests = [row for row in rows if row["name"] == "response_seconds" and row["trial"] == "b01-server-load"]
    load = next(trial for trial in run["trials"] if trial["id"] == "b01-server-load")
    assert [float(row["value"]) for row in requests] == load["data"]["samples_seconds"]
    empty = next(row for row in rows if row["name"] == "response_p95_seconds")
    assert empty["value"] == "" and empty["reason"]


def test_the_prometheus_text_keeps_its_grammar(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    lines = prometheus(run).splitlines()
    sample = re.compile(r'[a-z0-9_]+\{(?:[a-z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\} -?[0-9.e+-]+')
    assert all(line.startswith("# ") or sample.fullmatch(line) for line in lines)
    assert any(line.startswith("evenkeel_run_valid{") and line.endswith(" 0") for line in lines)
    assert not any("docker_stats" in line for line in lines)


def test_ratios_are_exported_where_there_are_any(evaluated: Make) -> None:
    text = prometheus(evaluated(effects={"response_mean_seconds": 1.1}))
    assert re.search(r'^evenkeel_ratio_low\{.*metric="response_mean_seconds"\} 1\.0', text, re.M)
