# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The host keys that a new machine prints on its console, and a known_hosts file of one's own that holds them.

cloud-init prints a block once, at a machine's first boot: `-----BEGIN SSH HOST KEY KEYS-----`, the lines of the public
key files, `-----END SSH HOST KEY KEYS-----` (canonical/cloud-init at 0a4f91c8, tools/write-ssh-key-fingerprints). The
console has other writers, so that a line may bear a prefix and foreign lines may stand between; it may be cut off too.
"""

from __future__ import annotations

import base64
import binascii
import re
import struct

BEGIN = "-----BEGIN SSH HOST KEY KEYS-----"
END = "-----END SSH HOST KEY KEYS-----"
_KEY = re.compile(r"\b(ssh-ed25519|ssh-rsa|ecdsa-sha2-nistp(?:256|384|521)) ([A-Za-z0-9+/]+={0,2})(?=\s|$)")

Keys = dict[str, str]
"""A key's type, and the key in base64."""


class HostKeyChanged(Exception):
    """A machine has another key than the one it is known by; the message names both."""


def _whole(kind: str, key: str) -> bool:
    """Whether a key in base64 is all there: fields with their lengths before them, the first one being its type."""
    try:
        blob = base64.b64decode(key, validate=True)
    except (binascii.Error, ValueError):
        return False
    fields, offset = [], 0
    while offset + 4 <= len(blob):
        (length,) = struct.unpack_from(">I", blob, offset)
        fields.append(blob[offset + 4 : offset + 4 + length])
        offset += 4 + length
    return offset == len(blob) and len(fields) >= 2 and fields[0] == kind.encode()


def from_console(text: str) -> Keys:
    """The keys of the last whole block in a console's text; none where there is no such block yet.

    A line that was cut off or mixed up with another writer's is left out: a key is whole or it is none.
    """
    found: Keys = {}
    for part in text.replace("\r", "\n").split(BEGIN)[1:]:
        block, closed, _rest = part.partition(END)
        keys = {match[1]: match[2] for match in _KEY.finditer(block) if _whole(match[1], match[2])}
        if closed and keys:
            found = keys
    return found


def known(text: str, name: str) -> Keys:
    """The keys that the text of a known_hosts file has for ``name``."""
    rows = [line.split() for line in text.splitlines() if not line.startswith(("#", "@"))]
    return {row[1]: row[2] for row in rows if len(row) >= 3 and name in row[0].split(",")}


def merged(text: str, name: str, keys: Keys) -> str:
    """The text of a known_hosts file with ``keys`` for ``name``; what it has for others stays.

    Raises:
        HostKeyChanged: ``name`` is known by another key of the same type.
    """
    before = known(text, name)
    for kind in sorted(keys.keys() & before.keys()):
        if keys[kind] != before[kind]:
            raise HostKeyChanged(f"its {kind} key is {keys[kind]}, and it is known by {before[kind]}")
    fresh = [f"{name} {kind} {keys[kind]}" for kind in sorted(keys.keys() - before.keys())]
    lines = text.splitlines() + fresh
    return "".join(f"{line}\n" for line in lines)
