# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The training loop: seeded, on arrays in memory, in one process."""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

from cifar_cnn.engines import Engine
from cifar_cnn.errors import TrainingError
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes import RecipeFactory


def train(
    images: Tensor,
    labels: Tensor,
    classes: int,
    *,
    engine: Engine,
    recipe: RecipeFactory,
    epochs: int,
    batch_size: int,
    dropout: float,
    seed: int,
    progress: Callable[[int, int], None],
) -> CifarCnn:
    """Trains a new network on `images` (uint8, (n, 32, 32, 3)) and `labels` (int64, (n,)).

    The same seed, thread count and PyTorch build give the same weights, bit for bit. `progress` is called after every
    batch with the batches done and their total. The last batch of an epoch may be smaller; none is dropped.

    Raises TrainingError when the loss stops being a finite number.
    """
    batches_per_epoch = math.ceil(len(images) / batch_size)
    total = epochs * batches_per_epoch
    # Dropout and initialisation draw from PyTorch's global generator; its state is given back afterwards.
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        network = CifarCnn(classes, dropout)
        forward = engine.training_forward(network)
        steps = recipe(network, total)
        shuffling = torch.Generator().manual_seed(seed)
        done = 0
        for epoch in range(1, epochs + 1):
            for batch in torch.split(torch.randperm(len(images), generator=shuffling), batch_size):
                loss = steps.step(forward, images[batch], labels[batch])
                done += 1
                if not math.isfinite(loss):
                    raise TrainingError(
                        f"training diverged: the loss is {loss} in epoch {epoch} of {epochs}, batch {done} of {total}; "
                        "use a larger batch_size or another seed"
                    )
                progress(done, total)
    return network
