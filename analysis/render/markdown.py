# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``report.md``: the report in short, for a terminal, a pull request or an issue."""

from __future__ import annotations

from collections.abc import Iterator
from urllib.parse import quote

from analysis.render.document import Document, Section
from analysis.table import Table

# What Markdown or the HTML inside it would read as markup; a measured text, such as an error, may hold any of it.
_ESCAPES = str.maketrans({mark: f"\\{mark}" for mark in "\\`*_[]|<>"} | {"\n": " ", "\r": " "})


def markdown(report: Document) -> str:
    """Print a report as Markdown."""
    return "\n".join([*_head(report), *(line for section in report.sections for line in _section(section))])


def _head(report: Document) -> Iterator[str]:
    yield from (f"# {_text(report.verdict)}", "", *((_text(report.beside), "") if report.beside else ()))
    yield from (f"**{_text(report.stamp)}**", "")
    yield from (*(f"- {rule.word}: {_text(rule.said)}" for rule in report.rules), "")
    for sentence in report.opening:
        yield from (_text(sentence), "")
    yield from (_text(report.about), "")


def _section(section: Section) -> Iterator[str]:
    yield from (f"## {_text(section.title)}", "")
    for paragraph in section.paragraphs:
        yield from (_text(paragraph), "")
    if section.items:
        yield from (*(f"- {_text(item)}" for item in section.items), "")
    if section.charts:
        yield from ("The charts are in report.html, beside this file.", "")
    if section.commands:
        # Indented, since no mark in a line ends such a block.
        yield from (*(f"    {' '.join(command.splitlines())}" for command in section.commands), "")
    for table in section.tables:
        yield from (*_table(table), "")


def _table(table: Table) -> Iterator[str]:
    yield from (f"{_text(table.caption)}:", "")
    yield _row(table.headers)
    yield "|" + "|".join(" ---: " if column in table.numeric else " --- " for column in range(len(table.headers))) + "|"
    yield from (_row(row, table.paths) for row in table.rows)


def _row(cells: tuple[str, ...], paths: frozenset[int] = frozenset()) -> str:
    shown = (f"[{_text(cell)}]({quote(cell)})" if column in paths else _text(cell) for column, cell in enumerate(cells))
    return "| " + " | ".join(shown) + " |"


def _text(text: str) -> str:
    return text.translate(_ESCAPES)
