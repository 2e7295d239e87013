# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The data sets a model can learn. A source turns its options into arrays, once, before any service starts.

A new data set is one module here with a class `Source`, and one entry in `SOURCES`.
"""

from __future__ import annotations

import importlib
from collections.abc import Mapping
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from cifar_cnn.datasets.arrays import ImageArrays


class Source(Protocol):
    """One data set with its options, not read yet."""

    def fingerprint(self) -> str:
        """Returns a text that changes when what would be read changes although the options are the same.

        It is cheap: nothing is decoded. Raises DatasetError when there is nothing to read.
        """

    def read(self) -> ImageArrays:
        """Reads everything. Raises DatasetError naming the path and the fix."""


class SourceFactory(Protocol):
    """What a data set's module exports as `Source`."""

    def __call__(self, options: Mapping[str, object]) -> Source:
        """Checks the options. Raises DatasetError when one is unknown or wrong."""


# Names are known here without importing the modules: settings are checked before NumPy is loaded.
SOURCES = {
    "cifar10": "cifar_cnn.datasets.cifar10",
    "digits": "cifar_cnn.datasets.digits",
    "image_folder": "cifar_cnn.datasets.image_folder",
    "synthetic": "cifar_cnn.datasets.synthetic",
}


def load_source(name: str) -> SourceFactory:
    """Imports the data set called `name`, which must be a key of `SOURCES`."""
    factory: SourceFactory = importlib.import_module(SOURCES[name]).Source
    return factory
