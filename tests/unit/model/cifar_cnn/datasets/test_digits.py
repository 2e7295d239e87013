# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
from cifar_cnn.datasets.digits import Source


def test_the_split_is_stratified_and_always_the_same() -> None:
    arrays = Source({}).read()
    assert (len(arrays.train_labels), len(arrays.test_labels)) == (1437, 360)
    assert arrays.classes == tuple("0123456789")
    share = np.bincount(arrays.test_labels) / np.bincount(np.concatenate([arrays.train_labels, arrays.test_labels]))
    assert np.abs(share - 0.2).max() < 0.01
    assert arrays.sha256() == "ece1d1dc683e622a0cfa955bdf69342fa28d24209e4c336a2e1df553b3905f41"


def test_images_are_grey_and_use_the_whole_range() -> None:
    images = Source({}).read().test_images
    assert images.shape[1:] == (32, 32, 3)
    assert np.array_equal(images[..., 0], images[..., 1]) and np.array_equal(images[..., 0], images[..., 2])
    assert (images.min(), images.max()) == (0, 255)
