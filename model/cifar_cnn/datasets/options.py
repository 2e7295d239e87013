# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Checks the options of a data set (`dataset_options` of a profile)."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from cifar_cnn.errors import DatasetError


def refuse_unknown(dataset: str, options: Mapping[str, object], known: tuple[str, ...]) -> None:
    """Raises DatasetError when `options` has a key that is not `known`."""
    if unknown := sorted(options.keys() - set(known)):
        accepted = ", ".join(known) if known else "none"
        raise DatasetError(f"unknown option of data set {dataset}: {', '.join(unknown)} (known: {accepted})")


def whole_number(dataset: str, options: Mapping[str, object], name: str, *, default: int, low: int, high: int) -> int:
    """Returns option `name`. Raises DatasetError when it is no whole number from `low` to `high`."""
    value = options.get(name, default)
    if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
        raise DatasetError(
            f"option {name} of data set {dataset}: expected a whole number from {low} to {high}, got {value!r}"
        )
    return value


def folder(dataset: str, options: Mapping[str, object], name: str) -> Path:
    """Returns option `name` as a folder. Raises DatasetError when it is not the path of one."""
    value = options.get(name)
    if not isinstance(value, str) or not value:
        raise DatasetError(f"option {name} of data set {dataset}: expected the path of a folder, got {value!r}")
    path = Path(value).expanduser()
    if not path.is_dir():
        state = "is not a folder" if path.exists() else "does not exist"
        raise DatasetError(f"option {name} of data set {dataset}: {path} {state}")
    return path
