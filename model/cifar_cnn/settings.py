# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The settings of a service, read from its service.json and checked field by field."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from pathlib import Path

from cifar_cnn.datasets import SOURCES
from cifar_cnn.engines import ENGINES
from cifar_cnn.errors import SettingsError
from cifar_cnn.recipes import RECIPES

SCHEMA_VERSION = 1
SERVICE_DIR = "EVENKEEL_SERVICE_DIR"
"""The environment variable with the folder of service.json and model.pt."""
MODEL_DIR = "EVENKEEL_MODEL_DIR"
"""The environment variable with the folder that a trained model is saved in; the service's folder without it."""
START_MODES = ("train", "load")
DEFAULT_REQUEST_THREADS = 8
RESERVED_THREADS = 2
"""Threads that the queue leaves free: one for a held /ready, one for /healthz."""


@dataclass(frozen=True, slots=True)
class Settings:
    """One service.json. `compute_threads` None means as many as CPUs are granted; `sha256` is the file's."""

    dataset: str
    dataset_sha256: str
    engine: str
    recipe: str
    epochs: int
    batch_size: int
    dropout: float
    seed: int
    start_with: str
    request_threads: int
    compute_threads: int | None
    queue_limit: int
    sha256: str


def _whole(low: int, high: int) -> Callable[[object], bool]:
    # bool is an int in Python; true is no count.
    return lambda value: isinstance(value, int) and not isinstance(value, bool) and low <= value <= high


def _one_of(names: Mapping[str, str] | tuple[str, ...]) -> tuple[str, Callable[[object], bool]]:
    return "one of " + ", ".join(sorted(names)), lambda value: isinstance(value, str) and value in names


def _fraction(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value < 1


def _sha256(value: object) -> bool:
    return isinstance(value, str) and re.fullmatch("[0-9a-f]{64}", value) is not None


_EXPECTED: dict[str, tuple[str, Callable[[object], bool]]] = {
    "schema_version": (str(SCHEMA_VERSION), _whole(SCHEMA_VERSION, SCHEMA_VERSION)),
    "dataset": _one_of(SOURCES),
    "dataset_sha256": ("64 hexadecimal digits in lower case", _sha256),
    "engine": _one_of(ENGINES),
    "recipe": _one_of(RECIPES),
    "epochs": ("a whole number from 1 to 10000", _whole(1, 10_000)),
    "batch_size": ("a whole number from 1 to 100000", _whole(1, 100_000)),
    "dropout": ("a number from 0 to below 1", _fraction),
    "seed": ("a whole number from 0 to 4294967295", _whole(0, 2**32 - 1)),
    "start_with": _one_of(START_MODES),
    "request_threads": ("a whole number from 3 to 1024", _whole(RESERVED_THREADS + 1, 1024)),
    "compute_threads": (
        "null or a whole number from 1 to 1024",
        lambda value: value is None or _whole(1, 1024)(value),
    ),
    "queue_limit": ("a whole number from 1 to 1022", _whole(1, 1024 - RESERVED_THREADS)),
}


def _without_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    names = [name for name, _ in pairs]
    if repeated := sorted({name for name in names if names.count(name) > 1}):
        raise ValueError(f"it names {', '.join(repeated)} more than once")
    return dict(pairs)


def parse_settings(text: bytes, source: str) -> Settings:
    """Reads settings from the bytes of a service.json; `source` names them in messages.

    Raises SettingsError with every wrong field: its name, what was expected, what was found.
    """
    try:
        document = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise SettingsError(f"{source} is not valid JSON: {error}") from error
    if not isinstance(document, dict):
        raise SettingsError(f"{source} must hold a JSON object, got {type(document).__name__}")
    problems = [
        f"{name}: expected {expected}, got {_shown(document[name])}" if name in document else f"{name} is missing"
        for name, (expected, accepts) in _EXPECTED.items()
        if name not in document or not accepts(document[name])
    ]
    problems += [f"unknown key {name!r}" for name in sorted(document.keys() - _EXPECTED.keys())]
    if not problems and document["queue_limit"] > document["request_threads"] - RESERVED_THREADS:
        problems.append(
            f"queue_limit: expected at most request_threads - {RESERVED_THREADS} = "
            f"{document['request_threads'] - RESERVED_THREADS}, got {document['queue_limit']}"
        )
    if problems:
        raise SettingsError(f"{source}: {'; '.join(problems)}")
    values = {field.name: document[field.name] for field in fields(Settings) if field.name != "sha256"}
    values["dropout"] = float(values["dropout"])
    return Settings(**values, sha256=hashlib.sha256(text).hexdigest())


def _shown(value: object) -> str:
    text = json.dumps(value)
    return text if len(text) <= 60 else text[:57] + "..."


def read_settings(path: Path) -> Settings:
    """Reads the service.json at `path`. Raises SettingsError when it is missing or wrong."""
    try:
        text = path.read_bytes()
    except OSError as error:
        raise SettingsError(f"cannot read the settings {path}: {error.strerror}; deploy the service again") from error
    return parse_settings(text, str(path))
