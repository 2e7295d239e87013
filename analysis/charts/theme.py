# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What all charts have in common: widths, colours, the marks of the arms, axes, and how layers become a drawing.

Colours are the page's CSS variables, so that light, dark and print are the page's business. Every place is given here
and nothing is laid out by the width of a text, which differs with the fonts of a machine.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import altair as alt

Layer = alt.Chart | alt.LayerChart
Rows = Sequence[Mapping[str, Any]]

ARMS = ("server", "serverless")
COLOURS: Mapping[str, str] = {"server": "var(--server)", "serverless": "var(--serverless)"}
DASHES: Mapping[str, list[int]] = {"server": [1, 0], "serverless": [6, 3]}
SHAPES: Mapping[str, str] = {"server": "circle", "serverless": "diamond"}
INK, QUIET, RULE, BAND, PANEL = "var(--ink)", "var(--quiet)", "var(--rule)", "var(--band)", "var(--panel)"
TEXT = 13
# A layer of this name has letters with a rim of the ground's colour, by the page's CSS.
HALO = "halo"


@dataclass(frozen=True)
class Layout:
    """One of the two widths that every chart is drawn in, in pixels at which its letters have their own size."""

    name: str
    width: int


WIDE, NARROW = Layout("wide", 540), Layout("narrow", 340)
LAYOUTS = (WIDE, NARROW)


@dataclass(frozen=True)
class Room:
    """What lies around a plot, in pixels: titles above, values and a title below, values at the left."""

    left: int = 52
    top: int = 50
    right: int = 14
    bottom: int = 46


@dataclass(frozen=True)
class Drawing:
    """A whole specification and the size of what it draws, in pixels."""

    spec: alt.LayerChart | alt.VConcatChart
    width: int
    height: int


def rows(found: Rows) -> alt.InlineData:
    """Give rows as a chart's own data."""
    return alt.InlineData(values=[dict(row) for row in found])


def chart(found: Rows) -> alt.Chart:
    """Begin a chart of these rows."""
    return alt.Chart(rows(found))


def horizontal(title: str | None, values: Sequence[float] | None = None, count: int = 6, **more: Any) -> alt.Axis:
    """Give the axis below a plot."""
    chosen = {"values": list(values)} if values is not None else {"tickCount": count}
    return alt.Axis(title=title, **chosen, **more)


def vertical(values: Sequence[float] | None = None, count: int = 5) -> alt.Axis:
    """Give the axis at the left of a plot; its unit stands above it, by ``heading``."""
    chosen = {"values": list(values)} if values is not None else {"tickCount": count}
    return alt.Axis(title=None, **chosen)


def linear(low: float, high: float) -> alt.Scale:
    """Give a scale from low to high."""
    return alt.Scale(domain=[low, high], nice=False, zero=False)


def around(values: Sequence[float], *, from_zero: bool) -> tuple[float, float]:
    """Give bounds that hold all values with room to spare, from 0 on where asked."""
    low, high = (0.0 if from_zero else min(values)), max(values)
    spare = (high - low or abs(high) or 1.0) * 0.08
    return (low if from_zero else low - spare), high + spare


def points(base: alt.Chart, size: int = 70) -> alt.Chart:
    """Draw the arms' marks: the server's is a circle, the serverless arm's a diamond."""
    found: alt.Chart = base.mark_point(
        filled=True, opacity=1, size=size, stroke=PANEL, strokeWidth=1, aria=True
    ).encode(color=_by_arm(COLOURS, alt.Color), shape=_by_arm(SHAPES, alt.Shape))
    return found


def lines(base: alt.Chart, **mark: Any) -> alt.Chart:
    """Draw the arms' lines: the server's is whole, the serverless arm's dashed."""
    found: alt.Chart = base.mark_line(strokeWidth=2, **mark).encode(
        color=_by_arm(COLOURS, alt.Color), strokeDash=_by_arm(DASHES, alt.StrokeDash)
    )
    return found


def colour() -> alt.Color:
    """Give the colour channel of the arms."""
    found: alt.Color = _by_arm(COLOURS, alt.Color)
    return found


def _by_arm(values: Mapping[str, Any], channel: Any) -> Any:
    return channel("arm:N", scale=alt.Scale(domain=list(ARMS), range=[values[arm] for arm in ARMS]), legend=None)


def words(x: float, y: float, said: str, **mark: Any) -> alt.Chart:
    """Write a line at a place in pixels from the plot's upper left corner."""
    found: alt.Chart = (
        chart([{"said": said}])
        .mark_text(**{"align": "left", "baseline": "middle", **mark})
        .encode(x=alt.value(x), y=alt.value(y), text="said:N")
    )
    return found


def heading(said: str, room: Room | None = None) -> alt.Chart:
    """Write the unit of the vertical axis above it."""
    return words(-(room or Room()).left + 2, -14, said, color=QUIET)


def key(present: Sequence[str] = ARMS, room: Room | None = None) -> list[alt.Chart]:
    """Write above the plot what stands for which arm: mark, line and name."""
    found: list[alt.Chart] = []
    left, y = -(room or Room()).left + 2, -36
    for arm in present:
        base = chart([{"arm": arm}])
        found += [
            base.mark_rule(strokeWidth=2, color=COLOURS[arm], strokeDash=DASHES[arm]).encode(
                x=alt.value(left), x2=alt.value(left + 28), y=alt.value(y)
            ),
            points(base).encode(x=alt.value(left + 14), y=alt.value(y)),
            words(left + 36, y, arm),
        ]
        left += 120
    return found


def plot(layers: Sequence[Layer], width: int, height: int) -> alt.LayerChart:
    """Put layers upon each other, to be part of a drawing."""
    found: alt.LayerChart = alt.LayerChart(layer=list(layers)).properties(width=width, height=height)
    return found


def drawing(layers: Sequence[Layer], layout: Layout, height: int, room: Room | None = None) -> Drawing:
    """Make a drawing of one plot, ``height`` pixels high, that is as wide as the layout with what lies around it."""
    around_it = room or Room()
    one = plot(layers, layout.width - around_it.left - around_it.right, height)
    return Drawing(_finished(one, around_it), layout.width, around_it.top + height + around_it.bottom)


def stacked(panels: Sequence[Sequence[Layer]], layout: Layout, height: int, gap: int, room: Room) -> Drawing:
    """Make a drawing of several plots of one height, one below the other."""
    plots = [plot(layers, layout.width - room.left - room.right, height) for layers in panels]
    whole = alt.vconcat(*plots, spacing=gap, bounds="flush")
    heights = height * len(plots) + gap * (len(plots) - 1)
    return Drawing(_finished(whole, room), layout.width, room.top + heights + room.bottom)


def _finished(whole: Any, room: Room) -> Any:
    axis: dict[str, Any] = {
        "domainColor": QUIET,
        "gridColor": RULE,
        "labelColor": INK,
        "labelFlush": False,
        "labelFontSize": TEXT,
        "labelLimit": 0,
        "labelOverlap": False,
        "labelPadding": 5,
        "tickColor": QUIET,
        "tickSize": 4,
        "titleColor": QUIET,
        "titleFontSize": TEXT,
        "titleFontWeight": "normal",
        "titleLimit": 0,
        "titlePadding": 6,
    }
    return whole.properties(
        autosize=alt.AutoSizeParams(type="none"),
        padding={"left": room.left, "top": room.top, "right": room.right, "bottom": room.bottom},
    ).configure(
        aria=False,
        background="transparent",
        font="inherit",
        axis=alt.AxisConfig(**axis),
        text=alt.MarkConfig(color=INK, fontSize=TEXT, limit=0),
        view=alt.ViewConfig(stroke=None),
    )
