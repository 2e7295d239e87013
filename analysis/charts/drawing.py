# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From a chart's specification to SVG for a page.

Vega numbers its clip paths over the life of the process and names every mark for screen readers; a page needs ids of
its own, the same bytes each time, and one text for the whole picture.
"""

from __future__ import annotations

import re
from xml.etree import ElementTree

import vl_convert

from analysis.charts.theme import Drawing

_SVG = "http://www.w3.org/2000/svg"
_REFERENCE = re.compile(r"url\(#([^)]+)\)")
_LONG_NUMBER = re.compile(r"-?\d+\.\d{3,}(?:e-?\d+)?")
# Where Vega prints places: more than two decimals of a pixel are nothing to see, and differ between processors.
_PLACES = frozenset({"d", "height", "transform", "width", "x", "x2", "y", "y2"})
_FOR_SCREEN_READERS = frozenset({"role", "aria-label", "aria-roledescription", "aria-hidden"})


def svg(chart: Drawing, name: str, label: str) -> str:
    """Draw a chart; ``name`` begins every id in it, ``label`` is what a screen reader says of it.

    What a mark's channel ``description`` says becomes its title, which browsers show at the pointer without a script.
    """
    root = ElementTree.fromstring(vl_convert.vegalite_to_svg(chart.spec.to_dict()))
    renamed = {found: f"{name}-{number}" for number, found in enumerate(_ids(root), start=1)}
    for element in root.iter():
        element.tag = element.tag.removeprefix(f"{{{_SVG}}}")
        said = element.get("aria-label")
        for key, value in list(element.attrib.items()):
            if key in _FOR_SCREEN_READERS:
                del element.attrib[key]
            elif key == "id":
                element.set(key, renamed[value])
            else:
                element.set(key, _attribute(key, value, renamed))
        if said:
            ElementTree.SubElement(element, "title").text = said
    _drop_invisible(root)
    size = f"0 0 {chart.width} {chart.height}"
    root.attrib.clear()
    root.attrib.update({"xmlns": _SVG, "viewBox": size, "role": "img", "aria-label": label, "class": "drawing"})
    return ElementTree.tostring(root, encoding="unicode")


def _ids(root: ElementTree.Element) -> list[str]:
    return [found for element in root.iter() if (found := element.get("id")) is not None]


def _attribute(key: str, value: str, renamed: dict[str, str]) -> str:
    if key in _PLACES:
        return _LONG_NUMBER.sub(lambda found: f"{float(found.group()):.2f}".rstrip("0").rstrip("."), value)
    return _REFERENCE.sub(lambda found: f"url(#{renamed[found.group(1)]})", value)


def _drop_invisible(parent: ElementTree.Element) -> None:
    """Drop the empty shapes by which Vega holds a place for backgrounds, and texts that are blank."""
    for child in list(parent):
        empty = child.tag == "path" and child.get("class") in ("background", "foreground")
        if empty or (child.tag == "text" and not (child.text or "").strip()):
            parent.remove(child)
        else:
            _drop_invisible(child)
