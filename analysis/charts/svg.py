# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The few SVG elements the charts are made of.

Colours and fonts are classes, so that the page's CSS sets light and dark.
"""

from __future__ import annotations

from collections.abc import Sequence
from html import escape

Point = tuple[float, float]


def element(name: str, content: str = "", **attributes: float | str) -> str:
    """Print one element; ``content`` is markup. An underscore at an attribute's end goes, one inside is a hyphen."""
    printed = "".join(f' {key.rstrip("_").replace("_", "-")}="{_value(value)}"' for key, value in attributes.items())
    return f"<{name}{printed}>{content}</{name}>" if content else f"<{name}{printed}/>"


def text(x: float, y: float, content: str, class_: str = "", anchor: str = "start") -> str:
    """Print a line of text; its content is escaped here."""
    return element("text", escape(content), x=x, y=y, text_anchor=anchor, class_=class_ or "label")


def line(start: Point, end: Point, class_: str) -> str:
    """Print a straight line."""
    return element("line", x1=start[0], y1=start[1], x2=end[0], y2=end[1], class_=class_)


def polyline(points: Sequence[Point], class_: str) -> str:
    """Print a line through all points."""
    return element("polyline", points=" ".join(f"{_value(x)},{_value(y)}" for x, y in points), class_=class_)


def rectangle(x: float, y: float, width: float, height: float, class_: str) -> str:
    """Print a filled rectangle."""
    return element("rect", x=x, y=y, width=max(width, 0), height=height, class_=class_)


def marker(arm: str, x: float, y: float, size: float = 4.5) -> str:
    """Print an arm's mark: the server's is a circle, the serverless arm's a diamond."""
    if arm == "server":
        return element("circle", cx=x, cy=y, r=size, class_="mark server")
    reach = size * 1.3
    corners = " ".join(
        f"{_value(px)},{_value(py)}" for px, py in ((x, y - reach), (x + reach, y), (x, y + reach), (x - reach, y))
    )
    return element("polygon", points=corners, class_="mark serverless")


def legend(x: float, y: float) -> str:
    """Print the key to the arms: mark, line style and name."""
    parts = []
    for arm, offset in (("server", 0.0), ("serverless", 110.0)):
        left = x + offset
        parts += [
            line((left, y - 4), (left + 26, y - 4), f"series {arm}"),
            marker(arm, left + 13, y - 4),
            text(left + 32, y, arm),
        ]
    return "".join(parts)


def drawing(width: float, height: float, label: str, parts: Sequence[str]) -> str:
    """Print a whole drawing; ``label`` is what a screen reader says of it."""
    return element(
        "svg",
        "".join(parts),
        xmlns="http://www.w3.org/2000/svg",
        viewBox=f"0 0 {_value(width)} {_value(height)}",
        role="img",
        aria_label=label,
    )


def _value(value: float | str) -> str:
    if isinstance(value, str):
        return escape(value, quote=True)
    return f"{value:.2f}".rstrip("0").rstrip(".") or "0"
