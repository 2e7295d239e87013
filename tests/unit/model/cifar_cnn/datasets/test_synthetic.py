# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import numpy as np
import pytest
from cifar_cnn.datasets.synthetic import Source
from cifar_cnn.errors import DatasetError


def test_the_content_is_the_same_on_every_machine() -> None:
    """The checksum was computed once; it must never change, or saved results lose their meaning."""
    expected = "b0b77e313966344963c988a9f7ec6d1f5008da110bca5fd508612222cd8e6846"
    assert Source({"train": 50, "test": 20, "seed": 1}).read().sha256() == expected


def test_sizes_and_classes_are_as_asked_and_balanced() -> None:
    arrays = Source({"train": 1500, "test": 70, "classes": 7}).read()
    assert (len(arrays.train_labels), len(arrays.test_labels), len(arrays.classes)) == (1500, 70, 7)
    assert np.bincount(arrays.test_labels).tolist() == [10] * 7
    assert np.ptp(np.bincount(arrays.train_labels)) <= 1


def test_train_and_test_share_no_image() -> None:
    arrays = Source({"train": 200, "test": 100}).read()
    assert len({image.tobytes() for image in (*arrays.train_images, *arrays.test_images)}) == 300


def test_brightness_and_colour_do_not_give_the_class_away() -> None:
    arrays = Source({"train": 2000, "test": 10}).read()
    colours = arrays.train_images.mean(axis=(1, 2))
    by_class = np.stack([colours[arrays.train_labels == label].mean(axis=0) for label in range(10)])
    assert np.ptp(by_class, axis=0).max() < colours.std(axis=0).min()


@pytest.mark.parametrize(
    "options", [{"train": 0}, {"test": 9}, {"classes": 1}, {"seed": -1}, {"train": "many"}, {"train": True}]
)
def test_wrong_options_are_refused(options: dict[str, object]) -> None:
    (name,) = options
    with pytest.raises(DatasetError, match=f"option {name} of data set synthetic: expected a whole number"):
        Source(options)
