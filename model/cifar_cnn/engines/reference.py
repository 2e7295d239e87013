# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The reference engine: plain float32, one PyTorch operator after the other.

The channels-last layout changes where the numbers lie in memory, not the arithmetic; prepared images are stored with
the channels last, so they reach it without a copy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from cifar_cnn.network import CifarCnn

if TYPE_CHECKING:
    from cifar_cnn.engines import Forward


def _inputs(images: Tensor) -> Tensor:
    """uint8 (n, 32, 32, 3) -> float32 (n, 3, 32, 32) in [-1, 1]."""
    return images.permute(0, 3, 1, 2).float().mul_(2 / 255).sub_(1)


def training_forward(network: CifarCnn) -> Forward:
    network.to(memory_format=torch.channels_last)
    network.train()

    def forward(images: Tensor) -> Tensor:
        scores: Tensor = network(_inputs(images))
        return scores

    return forward


def inference_forward(network: CifarCnn) -> Forward:
    network.to(memory_format=torch.channels_last)
    network.eval()

    def forward(images: Tensor) -> Tensor:
        with torch.inference_mode():
            scores: Tensor = network(_inputs(images))
            return scores

    return forward
