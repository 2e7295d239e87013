# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Made-up images of CIFAR-10's shape: any size, the same for a seed on every machine.

Each class is a coloured texture of blocks. An image shows it moved by a random offset (wrapped around), with random
contrast, over another random texture, under noise. Every texture has the same brightness and colour on average, so
that these do not give the class away: a network has to learn the texture, and one that does not work scores near
chance.
Only integer arithmetic and NumPy's legacy generator, whose streams are frozen (NEP 19), make up the pixels: the
checksum is the same everywhere.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.datasets.options import refuse_unknown, whole_number
from cifar_cnn.geometry import IMAGE_SIZE

_BLOCK = 4
_CHUNK = 1000
_MOST = 10_000_000
_SIGNAL = (16, 48)
_DISTRACTION = 32
_NOISE = 64
_LARGEST_OFFSET = 6


class Source:
    def __init__(self, options: Mapping[str, object]) -> None:
        """Options: `train` and `test` (numbers of images), `classes`, `seed`."""
        refuse_unknown("synthetic", options, ("train", "test", "classes", "seed"))
        self._classes = whole_number("synthetic", options, "classes", default=10, low=2, high=1000)
        self._train = whole_number("synthetic", options, "train", default=2000, low=self._classes, high=_MOST)
        self._test = whole_number("synthetic", options, "test", default=500, low=self._classes, high=_MOST)
        self._seed = whole_number("synthetic", options, "seed", default=0, low=0, high=2**32 - 1)

    def fingerprint(self) -> str:
        return ""

    def read(self) -> ImageArrays:
        random = np.random.RandomState(self._seed)
        textures = _textures(random, self._classes)
        train = _images(random, textures, self._train)
        test = _images(random, textures, self._test)
        return ImageArrays(*train, *test, classes=tuple(f"texture-{number}" for number in range(self._classes)))


def _textures(random: np.random.RandomState, count: int) -> NDArray[np.int16]:
    """(count, 32, 32, 3) of -1 and 1, as many of either in every channel."""
    blocks = (IMAGE_SIZE // _BLOCK) ** 2
    balanced = np.repeat(np.array([-1, 1], dtype=np.int16), blocks // 2)
    flat = np.stack([[random.permutation(balanced) for _ in range(3)] for _ in range(count)])
    grid = flat.reshape(count, 3, IMAGE_SIZE // _BLOCK, IMAGE_SIZE // _BLOCK).transpose(0, 2, 3, 1)
    return grid.repeat(_BLOCK, axis=1).repeat(_BLOCK, axis=2)


def _images(
    random: np.random.RandomState, textures: NDArray[np.int16], count: int
) -> tuple[NDArray[np.uint8], NDArray[np.int64]]:
    """`count` images with labels, every class equally often (give or take one), in random order."""
    labels = random.permutation(np.arange(count, dtype=np.int64) % len(textures))
    images = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), dtype=np.uint8)
    for begin in range(0, count, _CHUNK):
        part = labels[begin : begin + _CHUNK]
        shape = (len(part), IMAGE_SIZE, IMAGE_SIZE, 3)
        signal = random.randint(*_SIGNAL, size=(len(part), 1, 1, 1))
        noise = random.randint(-_NOISE, _NOISE + 1, size=shape)
        other = _textures(random, len(part))
        pixels = 128 + _shifted(random, textures[part]) * signal + other * _DISTRACTION + noise
        images[begin : begin + len(part)] = pixels.clip(0, 255)
    return images, labels


def _shifted(random: np.random.RandomState, images: NDArray[np.int16]) -> NDArray[np.int16]:
    """Moves each image by an offset of its own, wrapped around."""
    offsets = random.randint(0, _LARGEST_OFFSET + 1, size=(2, len(images), 1))
    positions = (np.arange(IMAGE_SIZE) + offsets) % IMAGE_SIZE
    moved: NDArray[np.int16] = images[
        np.arange(len(images))[:, None, None], positions[0][:, :, None], positions[1][:, None, :]
    ]
    return moved
