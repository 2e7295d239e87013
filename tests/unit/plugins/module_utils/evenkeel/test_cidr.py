# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.cidr: a port is opened to few addresses, and why not is said."""

from __future__ import annotations

import pytest
from evenkeel import cidr


@pytest.mark.parametrize(
    "text", ["203.0.113.7/32", "203.0.113.0/24", "10.0.0.0/8", "2001:db8::7/128", "2001:DB8:7::/64"]
)
def test_a_range_may_have_a_port_open(text: str) -> None:
    assert cidr.fault(text) == ""


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", "it is not set"),
        ("203.0.113.7", "it has no prefix length; one address alone ends with /32, or /128 with IPv6"),
        ("0.0.0.0/0", "it is the whole Internet"),
        ("::/0", "it is the whole Internet"),
        ("0.0.0.0/1", "it is wider than a /8"),
        ("2000::/3", "it is wider than a /32"),
        ("203.0.113.7/24", "it has bits beside its prefix; the range is 203.0.113.0/24"),
        ("203.0.113.0/255.255.255.0", "its prefix length is not a number; the range is 203.0.113.0/24"),
        ("203.0.113.7/33", "it is not a range of IP addresses"),
        ("203.0.113/24", "it is not a range of IP addresses"),
        ("my-laptop/32", "it is not a range of IP addresses"),
        ("203.0.113.7/32, 203.0.113.8/32", "it is not a range of IP addresses"),
    ],
)
def test_what_is_refused_is_named(text: str, fault: str) -> None:
    assert cidr.fault(text) == fault
