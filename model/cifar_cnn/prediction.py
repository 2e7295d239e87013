# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The class of one image."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch

from cifar_cnn.images import Pixels

if TYPE_CHECKING:
    from cifar_cnn.engines import Forward


@dataclass(frozen=True, slots=True)
class Prediction:
    """`index` of the class and its softmax `probability`."""

    index: int
    probability: float


def predict(forward: Forward, pixels: Pixels) -> Prediction:
    """Classifies one RGB image of (32, 32, 3)."""
    scores = forward(torch.from_numpy(pixels.copy()).unsqueeze(0))
    probabilities = scores.softmax(dim=1).squeeze(0)
    index = int(probabilities.argmax())
    return Prediction(index, round(float(probabilities[index]), 6))
