# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Real handwritten digits that ship inside scikit-learn: 1,797 images of 8x8, scaled to 32x32x3; no download."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from PIL import Image

from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.datasets.options import refuse_unknown
from cifar_cnn.images import Pixels, to_pixels

_TEST_EVERY = 5
_HIGHEST = 16


class Source:
    def __init__(self, options: Mapping[str, object]) -> None:
        """There are no options."""
        refuse_unknown("digits", options, ())

    def fingerprint(self) -> str:
        return ""

    def read(self) -> ImageArrays:
        """Every fifth image, counted class by class, is for testing: 1,437 and 360, stratified, the same always."""
        from sklearn.datasets import load_digits  # noqa: PLC0415  # slow; only preparation needs it

        digits = load_digits()
        images = np.stack([_scaled(image) for image in digits.images])
        labels = digits.target.astype(np.int64)
        by_class = np.argsort(labels, kind="stable")
        is_test = np.arange(len(by_class)) % _TEST_EVERY == 0
        train, test = np.sort(by_class[~is_test]), np.sort(by_class[is_test])
        classes = tuple(str(name) for name in digits.target_names)
        return ImageArrays(images[train], labels[train], images[test], labels[test], classes)


def _scaled(image: np.ndarray) -> Pixels:
    """Brightness 0 to 16, (8, 8) -> grey RGB pixels."""
    return to_pixels(Image.fromarray((image * (255 / _HIGHEST)).round().astype(np.uint8)))
