# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from analysis import wording


@pytest.mark.parametrize(
    ("value", "unit", "printed"),
    [
        (None, "s", "not measured"),
        (0.0, "requests", "0 requests"),
        (0.0, "s", "0 s"),
        (0.7984, "s", "798 ms"),
        (0.00004, "s", "0.04 ms"),
        (4.6, "s", "4.60 s"),
        (844.46, "s", "844 s"),
        (1252.8, "s", "1 253 s"),
        (310 * 2**20, "bytes", "310 MiB"),
        (1.5 * 2**30, "bytes", "1.50 GiB"),
        (512.0, "bytes", "512 bytes"),
        (0.00404, "cores", "0.00404 cores"),
        (7.99e-5, "cores", "0.0000799 cores"),
        (0.5, "cores", "0.5 cores"),
        (14.34, "requests/s", "14.3 requests/s"),
    ],
)
def test_a_quantity_has_its_unit_and_three_digits(value: float | None, unit: str, printed: str) -> None:
    assert wording.quantity(value, unit) == printed


def test_below_the_resolution_is_printed_as_less_than() -> None:
    found = {"n": 2, "median": None, "min": None, "max": None, "less_than": 0.004, "values": []}
    assert wording.summary(found, "cores") == "< 0.004 cores"
    assert wording.figure({"value": None, "less_than": 0.004, "reason": None}, "cores") == "< 0.004 cores"


def test_what_is_absent_is_not_measured() -> None:
    assert wording.summary(None, "s") == "not measured"
    assert (wording.ratio(None), wording.interval(None), wording.probability(None)) == ("-", "-", "-")


def test_a_small_p_is_not_printed_as_0() -> None:
    assert wording.probability(0.00004) == "< 0.001"
