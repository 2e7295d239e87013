# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A table of text, before anything is printed: what reports and charts hand on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Table:
    """A table of text.

    The first column names the row; ``numeric`` are the columns printed flush right, counted from 0; ``paths`` those of
    files of the run, relative to its folder. In a narrow window the cells of a ``stacked`` table stand below their
    row's name, each with its header.
    """

    caption: str
    headers: tuple[str, ...]
    rows: tuple[tuple[str, ...], ...]
    numeric: frozenset[int] = frozenset()
    paths: frozenset[int] = frozenset()
    stacked: bool = False
