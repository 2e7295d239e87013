# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A data set in memory."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from cifar_cnn.errors import DatasetError
from cifar_cnn.geometry import IMAGE_SIZE

ARRAY_NAMES = ("train_images", "train_labels", "test_images", "test_labels")


@dataclass(frozen=True, slots=True)
class ImageArrays:
    """Images are uint8, (n, 32, 32, 3), RGB; labels are int64, (n,), indices into `classes`."""

    train_images: NDArray[np.uint8]
    train_labels: NDArray[np.int64]
    test_images: NDArray[np.uint8]
    test_labels: NDArray[np.int64]
    classes: tuple[str, ...]

    def __post_init__(self) -> None:
        """Raises DatasetError when the arrays do not fit each other."""
        if len(self.classes) < 2:
            raise DatasetError(f"a data set needs at least 2 classes, got {len(self.classes)}")
        for part in ("train", "test"):
            images, labels = getattr(self, f"{part}_images"), getattr(self, f"{part}_labels")
            if images.dtype != np.uint8 or images.shape[1:] != (IMAGE_SIZE, IMAGE_SIZE, 3) or not len(images):
                raise DatasetError(
                    f"{part}_images: expected uint8 (n, {IMAGE_SIZE}, {IMAGE_SIZE}, 3) with n > 0, "
                    f"got {images.dtype} {images.shape}"
                )
            if labels.dtype != np.int64 or labels.shape != (len(images),):
                raise DatasetError(f"{part}_labels: expected int64 ({len(images)},), got {labels.dtype} {labels.shape}")
            if labels.min() < 0 or labels.max() >= len(self.classes):
                raise DatasetError(f"{part}_labels: expected values from 0 to {len(self.classes) - 1}")

    def sha256(self) -> str:
        """Returns the SHA-256 over the class names as JSON, then each array's name, type, shape and bytes."""
        digest = hashlib.sha256(json.dumps(self.classes).encode())
        for name in ARRAY_NAMES:
            array = np.ascontiguousarray(getattr(self, name))
            digest.update(f"\n{name} {array.dtype.str} {array.shape}\n".encode())
            digest.update(array.data)
        return digest.hexdigest()

    def nbytes(self) -> int:
        """Returns the size of all arrays in bytes."""
        return sum(getattr(self, name).nbytes for name in ARRAY_NAMES)
