# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Reads what an earlier version of the toolkit wrote as the present one would have written it, or refuses it by name.

A version of the schema adds optional keys, and changes the meaning of none: a document of an earlier one lacks the keys
that came later, and each of these has a default that says what the earlier toolkit did. What a later version means is
not known here, so it is refused.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any, NamedTuple

from analysis.errors import RunUnreadable
from analysis.schema import SCHEMA_VERSION

OLDEST = 1


class Default(NamedTuple):
    """A key that came after version 1, by its path, and what stands for it where it is not written."""

    path: tuple[str, ...]
    value: Any


# One line a key that a later toolkit reads: this is the whole of the migration. A default under a key that is not there
# itself is left out, so that what it belongs to says what is missing.
DEFAULTS: Mapping[str, tuple[Default, ...]] = {
    "plan": (Default(("profile", "run", "thresholds"), []), Default(("profile", "run", "open_loop"), None)),
    "run": (
        Default(("profile", "run", "thresholds"), []),
        Default(("profile", "run", "open_loop"), None),
        Default(("thresholds",), []),
    ),
}


def version_of(document: Mapping[str, Any], where: str) -> int:
    """Give the schema version that a plan or a run.json names.

    Raises RunUnreadable where it names none, one that is no version at all, or one that this toolkit cannot read;
    ``where`` says whose it is.
    """
    if "schema_version" not in document:
        raise RunUnreadable(f"{where} names no schema_version, so it was not written by this toolkit, or was damaged")
    found = document["schema_version"]
    if isinstance(found, bool) or not isinstance(found, int) or found < OLDEST:
        raise RunUnreadable(
            f"{where} has the schema_version {found!r}, which no toolkit wrote; it was damaged. {_readable()}"
        )
    if found > SCHEMA_VERSION:
        raise RunUnreadable(
            f"{where} was made by a newer toolkit (schema {found}; {_readable(short=True)}); "
            "read it with the toolkit that made it, or a newer one"
        )
    return found


def migrated(kind: str, document: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Give a ``plan`` or a ``run`` as the present version would have written it; ``document`` stays as it is.

    Raises RunUnreadable as ``version_of`` does.
    """
    version_of(document, where)
    present = {**copy.deepcopy(dict(document)), "schema_version": SCHEMA_VERSION}
    for path, value in DEFAULTS[kind]:
        place: Any = present
        for key in path[:-1]:
            place = place.get(key) if isinstance(place, dict) else None
        if isinstance(place, dict):
            place.setdefault(path[-1], copy.deepcopy(value))
    return present


def _readable(*, short: bool = False) -> str:
    versions = " and ".join(str(version) for version in range(OLDEST, SCHEMA_VERSION + 1))
    return f"this one reads {versions}" if short else f"This toolkit reads {versions}."
