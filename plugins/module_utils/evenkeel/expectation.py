# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Whether a JSON answer holds what it is expected to hold."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

FLOAT_TOLERANCE = 1e-9


def parse_answer(body: bytes) -> Any:
    """The JSON value of a body. Raises ValueError naming the beginning of a body that is not JSON."""
    try:
        return json.loads(body.decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise ValueError(f"the answer is not JSON: {body[:60]!r}{'...' if len(body) > 60 else ''}") from error


def mismatches(expected: Mapping[str, Any], answer: Any) -> list[str]:
    """Everything `expected` asks for that `answer` does not hold, one sentence each; empty when it holds all.

    Keys that are not asked for may be there. Strings, integers, booleans and null must be equal and of the same type
    (1 is not true, and not 1.0); where a float is expected, a number within 1e-9 will do. A mapping is compared key by
    key, a list entry by entry and in its whole length.
    """
    return _differences(expected, answer, "the answer")


def _differences(expected: Any, actual: Any, where: str) -> list[str]:
    if isinstance(expected, Mapping):
        if not isinstance(actual, dict):
            return [f"{where} is {_shown(actual)}, expected a mapping"]
        found = []
        for key, value in expected.items():
            name = str(key) if where == "the answer" else f"{where}.{key}"
            found += _differences(value, actual[key], name) if key in actual else [f"{name} is missing"]
        return found
    if isinstance(expected, (list, tuple)):
        if not isinstance(actual, list) or len(actual) != len(expected):
            return [f"{where} is {_shown(actual)}, expected a list of {len(expected)}"]
        pairs = enumerate(zip(expected, actual))
        return [text for index, (one, other) in pairs for text in _differences(one, other, f"{where}[{index}]")]
    if _equal(expected, actual):
        return []
    return [f"{where} is {_shown(actual)}, expected {_shown(expected)}"]


def _equal(expected: Any, actual: Any) -> bool:
    if isinstance(expected, float):
        if not isinstance(actual, (int, float)) or isinstance(actual, bool):
            return False
        try:
            return abs(actual - expected) <= FLOAT_TOLERANCE
        except OverflowError:  # an integer beyond every float
            return False
    for kind in (bool, int, str):  # bool first: it is a kind of int
        if isinstance(expected, kind):
            return isinstance(actual, kind) and isinstance(actual, bool) == (kind is bool) and bool(actual == expected)
    return expected is None and actual is None


def _shown(value: Any) -> str:
    text = json.dumps(value, default=str)
    return text if len(text) <= 80 else f"{text[:77]}..."
