# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The user's own images, in the layout of torchvision's ImageFolder: train/<class>/*, test/<class>/*."""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterator, Mapping
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_cnn.datasets import options as checks
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.errors import DatasetError
from cifar_cnn.images import Pixels, to_pixels

_PARTS = ("train", "test")


class Source:
    def __init__(self, options: Mapping[str, object]) -> None:
        """Option: `folder`, the one with train/ and test/ in it."""
        checks.refuse_unknown("image_folder", options, ("folder",))
        self._folder = checks.folder("image_folder", options, "folder")

    def fingerprint(self) -> str:
        """Returns a digest over every file's name, size and time of change."""
        digest = hashlib.sha256()
        for part in _PARTS:
            for _, file in self._files(part):
                status = file.stat()
                digest.update(os.fsencode(file.relative_to(self._folder)))
                digest.update(f"\0{status.st_size}\0{status.st_mtime_ns}\n".encode())
        return digest.hexdigest()

    def read(self) -> ImageArrays:
        classes = self._classes()
        train, test = (self._read(part, classes) for part in _PARTS)
        return ImageArrays(*train, *test, classes=classes)

    def _classes(self) -> tuple[str, ...]:
        train, test = (_visible(self._part(part), f"{part} folder") for part in _PARTS)
        train_names, test_names = ({path.name for path in paths} for paths in (train, test))
        if only_one := sorted(train_names ^ test_names):
            raise DatasetError(
                f"{self._folder}: train and test must have the same classes; only one of them has {_few(only_one)}"
            )
        if len(train_names) < 2:
            raise DatasetError(f"{self._folder} has one class, {_few(sorted(train_names))}; at least 2 are needed")
        return tuple(sorted(train_names))

    def _part(self, part: str) -> Path:
        path = self._folder / part
        if not path.is_dir():
            raise DatasetError(f"{path} is missing; expected {part}/<class>/<images> in {self._folder}")
        return path

    def _files(self, part: str) -> Iterator[tuple[int, Path]]:
        """Yields every image file with the index of its class, in an order that is the same on every machine."""
        for index, name in enumerate(self._classes()):
            folder = self._part(part) / name
            if not folder.is_dir():
                raise DatasetError(f"{folder} is not a folder; expected {part}/<class>/<images>")
            for file in _visible(folder, "class folder"):
                yield index, file

    def _read(self, part: str, classes: tuple[str, ...]) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
        images, labels = [], []
        for index, file in self._files(part):
            images.append(_read_image(file))
            labels.append(index)
        return np.stack(images), np.array(labels, dtype=np.int64)


def _visible(folder: Path, kind: str) -> list[Path]:
    """Returns what `folder` holds, sorted by name, without the hidden files that desktops leave behind."""
    entries = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    if not entries:
        raise DatasetError(f"the {kind} {folder} is empty")
    return entries


def _few(names: list[str]) -> str:
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _read_image(file: Path) -> Pixels:
    try:
        with Image.open(file) as image:
            return to_pixels(image)
    except Exception as error:  # Pillow's decoders raise nearly any class on broken input
        raise DatasetError(f"{file} is not an image that can be read ({error}); remove or replace it") from error
