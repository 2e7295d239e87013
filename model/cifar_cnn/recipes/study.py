# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's recipe: stochastic gradient descent with Nesterov momentum and a constant rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional

from cifar_cnn.network import CifarCnn

if TYPE_CHECKING:
    from cifar_cnn.engines import Forward

LEARNING_RATE = 0.01
MOMENTUM = 0.9


class Recipe:
    def __init__(self, network: CifarCnn, total_steps: int) -> None:
        """The rate stays the same whatever `total_steps` is."""
        self._optimiser = torch.optim.SGD(network.parameters(), lr=LEARNING_RATE, momentum=MOMENTUM, nesterov=True)

    def step(self, forward: Forward, images: Tensor, labels: Tensor) -> float:
        self._optimiser.zero_grad(set_to_none=True)
        loss = functional.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
        self._optimiser.step()
        return loss.item()
