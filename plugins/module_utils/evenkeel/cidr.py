# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Which range of addresses may reach a port that stands open to the Internet."""

from __future__ import annotations

import ipaddress

# A large company's own network; what is wider is a mistake.
_WIDEST = {4: 8, 6: 32}


def fault(text: str) -> str:
    """Why ``text`` is not a range that a port may be opened to; empty where it is one."""
    address, slash, prefix = text.partition("/")
    if not slash:
        whole = "it has no prefix length; one address alone ends with /32, or /128 with IPv6"
        return whole if text else "it is not set"
    try:
        network = ipaddress.ip_network(text, strict=False)
    except ValueError:
        return "it is not a range of IP addresses"
    faults = {
        f"its prefix length is not a number; the range is {network}": not prefix.isdigit(),
        f"it has bits beside its prefix; the range is {network}": ipaddress.ip_address(address)
        != network.network_address,
        "it is the whole Internet": network.prefixlen == 0,
        f"it is wider than a /{_WIDEST[network.version]}": network.prefixlen < _WIDEST[network.version],
    }
    return next((text for text, found in faults.items() if found), "")
