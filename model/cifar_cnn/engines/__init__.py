# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How the model computes. An engine turns a network into functions from raw images to class scores.

A new engine is one module here with the functions of `Engine`, and one entry in `ENGINES`. All engines do the same
mathematics; they may differ in number format, memory layout and compilation.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol, cast

if TYPE_CHECKING:
    from torch import Tensor

    from cifar_cnn.network import CifarCnn

    Forward = Callable[[Tensor], Tensor]
    """uint8 images (n, 32, 32, 3) -> float32 class scores (n, classes)."""


class Engine(Protocol):
    """The functions of an engine's module."""

    def training_forward(self, network: CifarCnn) -> Forward:
        """Returns the forward pass of training: dropout active, gradients flow to `network`'s parameters."""

    def inference_forward(self, network: CifarCnn) -> Forward:
        """Returns the forward pass of evaluation and prediction: no dropout, no gradients."""


# Names are known here without importing the modules: settings are checked before PyTorch is loaded.
ENGINES = {"reference": "cifar_cnn.engines.reference"}


def load_engine(name: str) -> Engine:
    """Imports the engine called `name`, which must be a key of `ENGINES`."""
    return cast(Engine, importlib.import_module(ENGINES[name]))
