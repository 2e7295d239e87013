# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The accuracy over a whole test set, as exact counts."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor

if TYPE_CHECKING:
    from cifar_cnn.engines import Forward

BATCH_SIZE = 100
"""Images a batch. From 64 to 250 the speed is the same, from 500 on a batch no longer fits the CPU's caches and takes
nearly twice as long an image (measured on 2 cores); a small batch lets a prediction in sooner."""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """`correct` of `total` images were classified as labelled; `seconds` is the time its own batches took."""

    correct: int
    total: int
    seconds: float

    @property
    def accuracy(self) -> float:
        """The fraction of correct answers, rounded so that its JSON text is short and always the same."""
        return round(self.correct / self.total, 6)


def evaluate(forward: Forward, images: Tensor, labels: Tensor, between_batches: Callable[[], None]) -> Evaluation:
    """Classifies all `images` (uint8, (n, 32, 32, 3), n >= 1) and compares with `labels` (int64, (n,)).

    `between_batches` is called between batches, so that more urgent work can go first.
    """
    correct = 0
    seconds = 0.0
    batches = zip(torch.split(images, BATCH_SIZE), torch.split(labels, BATCH_SIZE), strict=True)
    for number, (batch, expected) in enumerate(batches):
        if number:
            between_batches()
        begin = time.monotonic()
        scores = forward(batch)
        correct += int((scores.argmax(dim=1) == expected).sum())
        seconds += time.monotonic() - begin
    return Evaluation(correct, len(labels), seconds)
