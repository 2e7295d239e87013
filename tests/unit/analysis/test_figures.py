# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest

from analysis.figures import ratio


@pytest.mark.parametrize(
    ("value", "printed"),
    [
        (0.9628, "0.963"),
        (1.0, "1.000"),
        (0.01, "0.010"),
        (12.345, "12.345"),
        (0.0098765, "0.00988"),
        (1e-4, "0.000100"),
        (1.23456e-7, "1.23e-07"),
        (99.996, "100"),
        (246.56, "247"),
        (12345.6, "12 300"),
        (1e5, "100 000"),
        (12345678.0, "1.23e+07"),
        (0.0, "0"),
    ],
)
def test_a_ratio_keeps_three_digits_however_far_from_1_it_is(value: float, printed: str) -> None:
    assert ratio(value) == printed
