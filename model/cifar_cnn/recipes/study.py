# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's recipe: stochastic gradient descent with Nesterov momentum and a constant rate."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor
from torch.nn import functional
from torch.optim.sgd import sgd

from cifar_cnn.network import CifarCnn

if TYPE_CHECKING:
    from cifar_cnn.engines import Forward

LEARNING_RATE = 0.01
MOMENTUM = 0.9


class Recipe:
    def __init__(self, network: CifarCnn, total_steps: int) -> None:
        """The rate stays the same whatever `total_steps` is.

        PyTorch's own function of SGD, not its class: the class imports torch._dynamo at its first step, seconds in
        which nothing is trained.
        """
        self._parameters: list[Tensor] = list(network.parameters())
        self._momenta: list[Tensor | None] = [None] * len(self._parameters)

    def step(self, forward: Forward, images: Tensor, labels: Tensor) -> float:
        for parameter in self._parameters:
            parameter.grad = None
        loss = functional.cross_entropy(forward(images), labels)
        loss.backward()  # type: ignore[no-untyped-call]  # PyTorch does not annotate it
        with torch.no_grad():
            sgd(
                self._parameters,
                [parameter.grad for parameter in self._parameters if parameter.grad is not None],
                self._momenta,
                weight_decay=0,
                momentum=MOMENTUM,
                lr=LEARNING_RATE,
                dampening=0,
                nesterov=True,
                maximize=False,
            )
        return loss.item()
