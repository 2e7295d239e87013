# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

import json
import math
from typing import Any

import pytest
from evenkeel.expectation import mismatches, parse_answer
from hypothesis import given
from hypothesis import strategies as st

ANSWER = {"accuracy": 0.7421, "correct": 7421, "total": 10000, "engine": "reference", "fresh": True, "model": None}
TEXTS = st.text(max_size=5)
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=5,
)


@pytest.mark.parametrize(
    "expected",
    [
        {},
        {"accuracy": 0.7421, "total": 10000},
        {"accuracy": 0.7421 + 9e-10},
        {"engine": "reference", "fresh": True, "model": None},
    ],
)
def test_an_answer_that_holds_it(expected: dict[str, Any]) -> None:
    assert mismatches(expected, ANSWER) == []


@pytest.mark.parametrize(
    ("expected", "sentence"),
    [
        ({"accuracy": 0.7421 + 2e-9}, "accuracy is 0.7421, expected 0.742100002"),
        ({"correct": 7420}, "correct is 7421, expected 7420"),
        ({"engine": "tuned"}, 'engine is "reference", expected "tuned"'),
        ({"missing": None}, "missing is missing"),
        ({"fresh": 1}, "fresh is true, expected 1"),
        ({"fresh": False}, "fresh is true, expected false"),
        ({"total": "10000"}, 'total is 10000, expected "10000"'),
        ({"model": "x"}, 'model is null, expected "x"'),
    ],
)
def test_an_answer_that_does_not(expected: dict[str, Any], sentence: str) -> None:
    assert mismatches(expected, ANSWER) == [sentence]


@pytest.mark.parametrize(
    ("expected", "actual", "holds"),
    [
        (True, 1, False),
        (1, True, False),
        (1, 1.0, False),
        (1.0, 1, True),
        (1.0, True, False),
        (0.5, "0.5", False),
        (0.5, math.nan, False),
        (0.5, 10**400, False),
        (None, 0, False),
        ([1, 2.0], [1, 2.0 + 1e-10], True),
        ([1, 2], [1, 2, 3], False),
        ([1], {"0": 1}, False),
        ({"a": 1}, [1], False),
        ({"a": {"b": 1}}, {"a": {"b": 1, "c": 2}}, True),
    ],
)
def test_types_are_part_of_a_value(expected: Any, actual: Any, holds: bool) -> None:
    assert (mismatches({"key": expected}, {"key": actual}) == []) is holds


def test_a_nested_difference_is_named_by_its_path() -> None:
    assert mismatches({"a": {"b": [1, {"c": 2}]}}, {"a": {"b": [1, {"c": 3}]}}) == ["a.b[1].c is 3, expected 2"]


def test_every_difference_is_named() -> None:
    assert len(mismatches({"accuracy": 0.1, "total": 1, "none": 0}, ANSWER)) == 3


@pytest.mark.parametrize("answer", [None, [], "text", 1])
def test_an_answer_that_is_no_mapping(answer: Any) -> None:
    assert "expected a mapping" in mismatches({"accuracy": 0.1}, answer)[0]


def test_a_long_value_is_shortened() -> None:
    assert len(mismatches({"engine": "x" * 1000}, ANSWER)[0]) < 200


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4))
def test_every_json_answer_holds_itself(answer: dict[str, Any]) -> None:
    assert mismatches(answer, json.loads(json.dumps(answer))) == []


@given(st.dictionaries(TEXTS, JSON_VALUES, max_size=4), JSON_VALUES)
def test_no_answer_raises(expected: dict[str, Any], answer: Any) -> None:
    assert all(isinstance(sentence, str) for sentence in mismatches(expected, answer))


@pytest.mark.parametrize("body", [b"", b"<html>502</html>", b"\xff\xfe", b'{"accuracy": 0.74', b"[" * 100_000])
def test_a_body_that_is_not_json(body: bytes) -> None:
    with pytest.raises(ValueError, match="not JSON") as error:
        parse_answer(body)
    assert len(str(error.value)) < 300


def test_a_body_that_is_json() -> None:
    assert parse_answer(b'{"accuracy": 0.5}') == {"accuracy": 0.5}
