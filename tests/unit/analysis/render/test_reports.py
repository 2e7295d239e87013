# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The reports as text: what they say, in which order, and that no measured text becomes markup."""

from __future__ import annotations

import base64
import csv
import hashlib
import html as html_module
import io
import json
import os
import re
from collections.abc import Callable
from html.parser import HTMLParser
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from prometheus_client import parser as prometheus_text
from prometheus_client.openmetrics import parser as openmetrics

from analysis import wording
from analysis.charts import charts
from analysis.evaluate import evaluate
from analysis.render.document import document, in_short
from analysis.render.html import html
from analysis.render.markdown import markdown
from analysis.render.prometheus import prometheus
from analysis.render.samples import samples_csv
from analysis.run_store import read_run
from analysis.schema import Caution
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
    assert lines[0].startswith("# Mean response time: serverless is slower. It takes 1")
    assert "6 blocks of each arm" in lines[0]
    assert lines[1].startswith("Start-up, model loaded: equivalent (ratio ")
    assert lines[2] == "**VALID, complete**"
    assert [line.partition(": ")[0] for line in lines[3:6]] == ["- met"] * 3
    assert lines[6].startswith("Embedded: the function's process against the server's process on one machine, without")
    assert lines[7].startswith("Profile demo, data set digits, ab -n 10 -c 2 of GET /; begun 2026")


def test_a_rule_that_is_missed_or_does_not_apply_is_said(evaluated: Make, tmp_path: Path) -> None:
    assert [rule.word for rule in document(hostile_run(tmp_path)).rules] == ["missed", "met", "met"]
    assert [rule.word for rule in document(evaluated(blocks=5)).rules] == ["met", "met", "missed"]
    one_arm = document(evaluated(arms=("server",))).rules
    assert [rule.word for rule in one_arm] == ["met", "does not apply", "does not apply"]


def test_the_short_report_has_verdict_table_remarks_and_links(evaluated: Make) -> None:
    run = evaluated()
    text = markdown(in_short(document(run)))
    assert headings(text) == ["The table", "What to know before relying on it", "Everything else"]
    assert text.startswith(f"# {wording.verdict_sentence(run)}")
    for name in ("report.html", "run.json", "samples.csv", "metrics.prom", "raw/"):
        assert f"[{name}]({name})" in text
    assert len(text) < 6000


def test_every_remark_has_a_next_step(evaluated: Make) -> None:
    assert set(wording.NEXT_STEPS) == set(Caution)
    warnings = next(section for section in document(evaluated()).sections if section.id == "warnings")
    assert warnings.items and all(" Next: " in item for item in warnings.items)


def test_the_commands_that_make_such_a_run_are_given(evaluated: Make) -> None:
    last = document(evaluated()).sections[-1]
    assert last.commands == (
        f"git checkout {'0' * 40}",
        "ansible-playbook site.yml -e profile=demo",
        "ansible-playbook benchmark.yml -e profile=demo -e run_seed=7",
        "ansible-playbook report.yml -e run=20261124T220000Z-0a1b2c",
    )
    elsewhere = document(evaluated(platforms={"server": "docker", "serverless": "kind"})).sections[-1]
    assert "-i YOUR_INVENTORY" in elsewhere.commands[1] and "YOUR_INVENTORY is the one" in elsewhere.paragraphs[1]


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
        "Cost",
        "The study this toolkit starts from",
        "Method and limits",
        "The run",
        "Raw data",
        "Hosts and software",
        "How to reproduce",
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
    run = evaluated()
    page = page_of(run)
    found = Page(page)
    tags = [tag for tag, _ in found.tags]
    assert not set(tags) & {"img", "iframe", "object", "base", "embed", "form"}
    assert tags.count("script") == tags.count("style") == tags.count("link") == 1
    assert [given["href"] for tag, given in found.tags if tag == "link"] == ["data:,"]
    assert [given["href"] for tag, given in found.tags if tag == "a"] == [file["path"] for file in run["files"]]
    assert not [name for _, given in found.tags for name in given if name in ("src", "style") or name[:2] == "on"]
    assert not re.search(r"@import|javascript:|url\((?!#)", page)
    addresses = set(re.findall(r"https?://[^\s\"'<]+", page))
    assert addresses <= {"http://www.w3.org/2000/svg"}


def test_the_policy_allows_the_pages_own_script_and_style_alone(evaluated: Make) -> None:
    page = page_of(evaluated())
    (policy,) = re.findall(r'Content-Security-Policy" content="([^"]+)"', page)
    rules = dict(rule.strip().split(" ", 1) for rule in html_module.unescape(policy).split(";"))
    assert rules["default-src"] == "'none'" and "unsafe" not in policy
    for tag in ("style", "script"):
        (text,) = re.findall(rf"<{tag}>(.*?)</{tag}>", page, re.S)
        digest = base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()
        assert rules[f"{tag}-src"] == f"'sha256-{digest}'"


def test_the_same_run_gives_the_same_bytes(evaluated: Make) -> None:
    run = evaluated()
    again = json.loads(json.dumps(run))
    assert page_of(run) == page_of(again)
    assert markdown(document(run)) == markdown(document(again))
    assert len(page_of(run).encode()) < 1_000_000


def test_the_page_can_be_read_by_everyone(evaluated: Make) -> None:
    found = Page(page_of(evaluated()))
    attributes = dict(found.tags)
    assert attributes["html"]["lang"] == "en"
    assert "title" in attributes
    levels = [int(tag[1]) for tag, _ in found.tags if re.fullmatch(r"h[1-6]", tag)]
    assert levels[0] == 1 and levels.count(1) == 1
    assert all(later - earlier <= 1 for earlier, later in pairwise(levels))
    assert all(given.get("scope") in ("col", "row") for tag, given in found.tags if tag == "th")
    drawings = [given for tag, given in found.tags if tag == "svg"]
    assert len(drawings) == 2 * len(charts(evaluated()))
    assert all(given.get("aria-label") and given.get("role") == "img" for given in drawings)
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
    tags = [tag for tag, _ in found.tags]
    assert tags.count("script") == 1 and "img" not in tags
    assert "&lt;img src=x onerror=alert(1)&gt;" in page


def test_no_measured_text_becomes_markdown(tmp_path: Path) -> None:
    text = markdown(document(hostile_run(tmp_path)))
    code = [line for line in text.splitlines() if line.startswith("    ")]
    assert "<img" not in "\n".join(line for line in text.splitlines() if line not in code).replace("\\<", "")
    assert [line.split()[0] for line in code] == ["git", *["ansible-playbook"] * 3]
    rows = [line for line in text.splitlines() if "second line" in line]
    assert len(rows) == 1
    assert len(re.findall(r"(?<!\\)\|", rows[0])) == 4


def test_every_table_row_has_as_many_cells_as_its_head(evaluated: Make) -> None:
    for section in document(evaluated()).sections:
        for table in section.tables:
            assert {len(row) for row in table.rows} <= {len(table.headers)}, table.caption


def test_samples_have_one_row_a_request(evaluated: Make) -> None:
    run = evaluated()
    rows = list(csv.DictReader(io.StringIO(samples_csv(run))))
    assert len(rows) == 2 * 6 * 10
    load = next(trial for trial in run["trials"] if trial["id"] == "b01-server-load")
    found = [row for row in rows if row["trial"] == "b01-server-load"]
    assert [float(row["response_seconds"]) for row in found] == load["data"]["samples_seconds"]
    assert [row["sample"] for row in found] == [str(number) for number in range(1, 11)]
    assert {(row["arm"], row["block"], row["counted"], row["at_least_seconds"]) for row in found} == {
        ("server", "1", "True", "")
    }


def test_samples_of_a_long_load_are_its_percentiles_and_a_cut_off_request_is_at_least(evaluated: Make) -> None:
    run = evaluated()
    run["trials"] = [next(trial for trial in run["trials"] if trial["id"] == "b01-server-load")]
    data = run["trials"][0]["data"]
    data.update(samples_seconds=None, quantiles_seconds=[0.1, 0.2], censored={"n": 1, "at_least_seconds": 60.0})
    rows = list(csv.DictReader(io.StringIO(samples_csv(run))))
    assert [(row["percent_of_requests"], row["response_seconds"]) for row in rows] == [
        ("0", "0.1"),
        ("1", "0.2"),
        ("", ""),
    ]
    assert rows[-1]["at_least_seconds"] == "60.0"


def test_a_load_that_abs_own_time_out_ended_has_no_samples(evaluated: Make) -> None:
    run = evaluated()
    run["trials"] = [next(trial for trial in run["trials"] if trial["id"] == "b01-server-load")]
    run["trials"][0]["data"].update(samples_seconds=None, censored={"n": None, "at_least_seconds": 3.0})
    assert list(csv.DictReader(io.StringIO(samples_csv(run)))) == []


def test_the_metrics_are_openmetrics_and_prometheus_text(tmp_path: Path) -> None:
    run = hostile_run(tmp_path)
    text = prometheus(run)
    for parse in (openmetrics.text_string_to_metric_families, prometheus_text.text_string_to_metric_families):
        families = {family.name: family for family in parse(text)}
        assert {family.type for family in families.values()} == {"gauge"}
        (valid,) = families["evenkeel_run_valid"].samples
        assert (valid.value, valid.labels["profile"]) == (0, HOSTILE)
        for metric in run["metrics"]:
            medians = {arm: found["median"] for arm in ("server", "serverless") if (found := metric[arm]) is not None}
            exported = families.get(f"evenkeel_{metric['name']}")
            samples = {sample.labels["arm"]: sample.value for sample in exported.samples} if exported else {}
            assert samples == {arm: median for arm, median in medians.items() if median is not None}
    assert text.endswith("# EOF\n") and "docker_stats" not in text


def test_ratios_are_exported_where_there_are_any(evaluated: Make) -> None:
    text = prometheus(evaluated(effects={"response_mean_seconds": 1.1}))
    assert re.search(r'^evenkeel_ratio_low\{.*metric="response_mean_seconds"\} 1\.0', text, re.M)


def test_what_a_profile_asks_of_its_figures_is_exported(evaluated: Make) -> None:
    run = evaluated()
    run["thresholds"] = [
        {"rule": "response_mean_seconds.ratio.high <= 1.1", "measured": 1.0, "met": True, "reason": ""},
        {"rule": "ready_seconds.server <= 0.1", "measured": None, "met": False, "reason": "not measured"},
    ]
    families = {family.name: family for family in openmetrics.text_string_to_metric_families(prometheus(run))}
    met = {sample.labels["rule"]: sample.value for sample in families["evenkeel_threshold_met"].samples}
    assert met == {"response_mean_seconds.ratio.high <= 1.1": 1, "ready_seconds.server <= 0.1": 0}


GOLDEN = Path(__file__).parent / "golden"


class Words(HTMLParser):
    """The text of a page, a line an element that has any; scripts and styles have none."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.lines: list[str] = []
        self.silent = False
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.silent = tag in ("script", "style")

    def handle_endtag(self, tag: str) -> None:
        self.silent = False

    def handle_data(self, data: str) -> None:
        if data.strip() and not self.silent:
            self.lines.append(" ".join(data.split()))


# The last digits of a double are the mathematical library's, and another system has another one.
LAST_DIGITS = re.compile(r"\d+\.\d+(e-\d+)?$", re.MULTILINE)


@pytest.mark.parametrize("name", ["report.md", "report.txt", "metrics.prom", "samples.csv"])
def test_the_reports_of_one_run_are_word_for_word_these(evaluated: Make, name: str) -> None:
    """EVENKEEL_GOLDEN=write pytest tests/unit/analysis/render -k word_for_word writes them anew: read the diff."""
    run = evaluated(effects={"response_mean_seconds": 1.1, "ready_seconds": 0.8})
    laid_out = document(run)
    outputs = {
        "report.md": lambda: markdown(in_short(laid_out)),
        # report.html's words; the browser's tests look at the rest of it.
        "report.txt": lambda: "\n".join(Words(html(laid_out, run)).lines) + "\n",
        "metrics.prom": lambda: LAST_DIGITS.sub(lambda at: f"{float(at[0]):.9g}", prometheus(run)),
        "samples.csv": lambda: samples_csv(run),
    }
    found = outputs[name]()
    if os.environ.get("EVENKEEL_GOLDEN") == "write":
        GOLDEN.mkdir(exist_ok=True)
        (GOLDEN / name).write_text(found, "utf-8")
    assert found == (GOLDEN / name).read_text("utf-8")
