# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Prepared data sets: a folder with four .npy files and dataset.json, which is written last and makes them valid."""

from __future__ import annotations

import fcntl
import json
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from cifar_cnn.datasets import load_source
from cifar_cnn.datasets.arrays import ARRAY_NAMES, ImageArrays
from cifar_cnn.errors import DatasetError

SCHEMA_VERSION = 1
DESCRIPTION = "dataset.json"
SAMPLE = "sample.png"
"""The first test image as a file: what a client can send to `POST /predict` without knowing the data set."""
_ARRAY_FILES = {name: f"{name}.npy" for name in ARRAY_NAMES}
_PARTIAL = ".partial"


@dataclass(frozen=True, slots=True)
class Prepared:
    """A prepared data set that was read and verified. `source` says what it was made from."""

    name: str
    sha256: str
    arrays: ImageArrays
    source: Mapping[str, object]


def prepare(dataset: str, options: Mapping[str, object], folder: Path) -> tuple[Prepared, bool]:
    """Makes `folder` hold the data set called `dataset` (a key of `SOURCES`) and tells whether it had to change.

    What `folder` held stays valid until the new arrays are complete on disk. Raises DatasetError.
    """
    source = load_source(dataset)(options)
    with _readable(dataset):
        origin = {"options": dict(options), "fingerprint": source.fingerprint()}
    try:
        present = load_prepared(folder)
    except DatasetError:
        present = None
    if present is not None and present.name == dataset and present.source == origin and (folder / SAMPLE).is_file():
        return present, False
    with _readable(dataset):
        arrays = source.read()
    prepared = Prepared(dataset, arrays.sha256(), arrays, origin)
    try:
        _write(prepared, folder)
    except OSError as error:
        raise DatasetError(f"cannot write the prepared data set to {folder}: {error.strerror}") from error
    # Only the description may have changed: files that were copied, or touched, with the same pixels.
    return prepared, present is None or present.name != dataset or present.sha256 != prepared.sha256


@contextmanager
def _readable(dataset: str) -> Iterator[None]:
    """Turns what the file system refuses into a DatasetError."""
    try:
        yield
    except OSError as error:
        raise DatasetError(f"cannot read data set {dataset}: {error.filename}: {error.strerror}") from error


def _write(prepared: Prepared, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    # The description is the last, because it makes the others valid.
    partials = {folder / f"{name}{_PARTIAL}": folder / name for name in (*_ARRAY_FILES.values(), SAMPLE, DESCRIPTION)}
    with _exclusive(folder):
        try:
            for name, file_name in _ARRAY_FILES.items():
                with (folder / f"{file_name}{_PARTIAL}").open("wb") as file:
                    np.save(file, np.ascontiguousarray(getattr(prepared.arrays, name)), allow_pickle=False)
                    file.flush()
                    os.fsync(file.fileno())
            with (folder / f"{SAMPLE}{_PARTIAL}").open("wb") as file:
                Image.fromarray(prepared.arrays.test_images[0]).save(file, format="PNG")
            description = json.dumps(_description(prepared), indent=2, sort_keys=True)
            (folder / f"{DESCRIPTION}{_PARTIAL}").write_text(description + "\n")
            # From here to the last replacement the folder is not valid; a crash in between means preparing again.
            (folder / DESCRIPTION).unlink(missing_ok=True)
            for partial, final in partials.items():
                partial.replace(final)
        finally:
            for partial in partials:
                partial.unlink(missing_ok=True)


@contextmanager
def _exclusive(folder: Path) -> Iterator[None]:
    """Holds a lock on the folder itself, so that two preparations never mix their files."""
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        yield
    except BlockingIOError as error:
        raise DatasetError(f"{folder} is being prepared by another process; wait for it and try again") from error
    finally:
        os.close(handle)


def _description(prepared: Prepared) -> dict[str, object]:
    return {
        "schema_version": SCHEMA_VERSION,
        "dataset": prepared.name,
        "sha256": prepared.sha256,
        "train": len(prepared.arrays.train_labels),
        "test": len(prepared.arrays.test_labels),
        "classes": list(prepared.arrays.classes),
        "bytes": prepared.arrays.nbytes(),
        "source": prepared.source,
    }


def load_prepared(folder: Path) -> Prepared:
    """Reads the arrays in `folder` into memory and verifies their checksum. Raises DatasetError."""
    description = folder / DESCRIPTION
    again = "prepare the data set again"
    try:
        document = json.loads(description.read_text())
    except OSError as error:
        raise DatasetError(f"no prepared data set in {folder} ({DESCRIPTION}: {error.strerror}); {again}") from error
    except ValueError as error:
        raise DatasetError(f"{description} is not valid JSON: {error}; {again}") from error
    if not isinstance(document, dict) or document.get("schema_version") != SCHEMA_VERSION:
        raise DatasetError(f"{description}: expected schema_version {SCHEMA_VERSION}; {again}")
    try:
        name, expected, classes, source = (document[key] for key in ("dataset", "sha256", "classes", "source"))
        arrays = ImageArrays(
            **{name: np.load(folder / file_name, allow_pickle=False) for name, file_name in _ARRAY_FILES.items()},
            classes=tuple(classes),
        )
    except KeyError as error:
        raise DatasetError(f"{description} lacks {error}; {again}") from error
    except (OSError, ValueError, EOFError, TypeError, DatasetError) as error:
        raise DatasetError(f"the prepared data set in {folder} cannot be read: {error}; {again}") from error
    if (actual := arrays.sha256()) != expected:
        raise DatasetError(
            f"checksum mismatch in {folder}: {DESCRIPTION} says {expected}, the arrays have {actual}; {again}"
        )
    return Prepared(name, expected, arrays, source)
