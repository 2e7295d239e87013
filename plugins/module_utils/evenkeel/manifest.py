# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the toolkit made on a host, written down before it is made, so that a reset removes that and nothing else."""

from __future__ import annotations

import json
import os
import tempfile
from typing import Any

SCHEMA_VERSION = 1


class ManifestError(Exception):
    """The manifest cannot be read; the message names the file and what to do."""


def load(path: str) -> list[dict[str, Any]]:
    """The entries in the order they were made; an absent file holds none.

    Raises:
        ManifestError: the file is not a manifest of a version this code reads.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            document = json.load(stream)
        if document["schema_version"] != SCHEMA_VERSION:
            raise ManifestError(f"{path} has schema version {document['schema_version']}, expected {SCHEMA_VERSION}")
        return list(document["entries"])
    except FileNotFoundError:
        return []
    except (ValueError, KeyError, TypeError) as error:
        raise ManifestError(
            f"{path} is not a readable manifest ({error}). It lists what the toolkit made here: "
            "mend it or move it away; without it nothing is removed by a reset"
        ) from error


def _missing(folder: str) -> list[str]:
    """``folder`` and those above it that do not exist, the deepest one first."""
    missing = []
    while not os.path.isdir(folder):
        missing.append(folder)
        folder = os.path.dirname(folder)
    return missing


def missing_parents(path: str) -> list[dict[str, Any]]:
    """Entries for the folders that do not exist above the manifest's own folder, the deepest one first."""
    missing = _missing(os.path.dirname(os.path.dirname(path)))
    return [{"kind": "parent", "name": folder, "existed_before": False} for folder in missing]


def with_entries(known: list[dict[str, Any]], wanted: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """``known`` followed by those of ``wanted`` it lacks; one entry a role, kind and name, the first one stays.

    The first one alone knows whether the thing was there before the toolkit came.
    """
    identities = {(entry["role"], entry["kind"], entry["name"]) for entry in known}
    fresh = []
    for entry in wanted:
        identity = (entry["role"], entry["kind"], entry["name"])
        if identity not in identities:
            identities.add(identity)
            fresh.append(entry)
    return [*known, *fresh]


def save(path: str, entries: list[dict[str, Any]]) -> None:
    """Replaces the manifest in one step: a reader sees the old one or the new one, also after a crash."""
    folder = os.path.dirname(path)
    made = _missing(folder)
    os.makedirs(folder, exist_ok=True)
    # A service may be another user, and passes through them whatever the umask is.
    for each in made:
        os.chmod(each, 0o755)
    handle, temporary = tempfile.mkstemp(dir=folder, prefix=".manifest-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            json.dump({"schema_version": SCHEMA_VERSION, "entries": entries}, stream, indent=2, sort_keys=True)
            stream.write("\n")
            stream.flush()
            os.fsync(stream.fileno())
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
