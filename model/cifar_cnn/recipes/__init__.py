# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How the weights are found. A recipe owns one training's optimiser and does its steps.

A new recipe is one module here with a class `Recipe`, and one entry in `RECIPES`.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor

    from cifar_cnn.engines import Forward
    from cifar_cnn.network import CifarCnn


class Recipe(Protocol):
    """One training in progress."""

    def step(self, forward: Forward, images: Tensor, labels: Tensor) -> float:
        """Updates the weights from one batch (uint8 (n, 32, 32, 3), int64 (n,)) and returns its loss."""


class RecipeFactory(Protocol):
    """What a recipe's module exports as `Recipe`."""

    def __call__(self, network: CifarCnn, total_steps: int) -> Recipe:
        """Begins a training of `total_steps` batches."""


# Names are known here without importing the modules: settings are checked before PyTorch is loaded.
RECIPES = {"study": "cifar_cnn.recipes.study"}


def load_recipe(name: str) -> RecipeFactory:
    """Imports the recipe called `name`, which must be a key of `RECIPES`."""
    factory: RecipeFactory = importlib.import_module(RECIPES[name]).Recipe
    return factory
