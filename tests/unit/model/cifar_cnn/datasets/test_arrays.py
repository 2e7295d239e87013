# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
from typing import Any

import numpy as np
import pytest
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.errors import DatasetError


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"classes": ("one",)}, "at least 2 classes, got 1"),
        ({"train_images": np.zeros((96, 32, 32, 3), dtype=np.float32)}, "train_images: expected uint8"),
        ({"train_images": np.zeros((96, 3, 32, 32), dtype=np.uint8)}, "train_images: expected uint8"),
        ({"test_images": np.zeros((0, 32, 32, 3), dtype=np.uint8)}, "test_images: expected uint8"),
        ({"test_labels": np.zeros(40, dtype=np.int32)}, "test_labels: expected int64"),
        ({"test_labels": np.zeros(39, dtype=np.int64)}, r"test_labels: expected int64 \(40,\)"),
        ({"train_labels": np.full(96, 4)}, "train_labels: expected values from 0 to 3"),
        ({"train_labels": np.full(96, -1)}, "train_labels: expected values from 0 to 3"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(arrays: ImageArrays, changes: dict[str, Any], message: str) -> None:
    with pytest.raises(DatasetError, match=message):
        dataclasses.replace(arrays, **changes)


def test_the_checksum_follows_every_part_of_the_content(arrays: ImageArrays) -> None:
    changed = [dataclasses.replace(arrays, classes=("a", "b", "c", "d"))]
    for name in ("train_images", "train_labels", "test_images", "test_labels"):
        array = getattr(arrays, name).copy()
        array.flat[0] = array.flat[0] ^ 1
        changed.append(dataclasses.replace(arrays, **{name: array}))
    assert len({arrays.sha256(), *(other.sha256() for other in changed)}) == 6


def test_the_checksum_does_not_follow_the_memory_layout(arrays: ImageArrays) -> None:
    same = dataclasses.replace(arrays, train_images=np.asfortranarray(arrays.train_images))
    assert same.sha256() == arrays.sha256()
