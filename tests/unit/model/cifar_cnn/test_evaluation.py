# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from cifar_cnn.evaluation import BATCH_SIZE, Evaluation, evaluate
from torch import Tensor


def brightness_as_class(images: Tensor) -> Tensor:
    """A stand-in for a network: the class is the first pixel's value, 0 to 9."""
    return torch.nn.functional.one_hot(images[:, 0, 0, 0].long(), 10).float()


@pytest.mark.parametrize("count", [1, BATCH_SIZE - 1, BATCH_SIZE, BATCH_SIZE + 1, 3 * BATCH_SIZE])
def test_counts_are_exact_and_every_image_is_seen_once(count: int) -> None:
    labels = torch.arange(count) % 10
    images = torch.zeros(count, 32, 32, 3, dtype=torch.uint8)
    images[:, 0, 0, 0] = labels
    wrong = labels.clone()
    wrong[-1] = (wrong[-1] + 1) % 10
    gaps: list[None] = []
    evaluation = evaluate(brightness_as_class, images, wrong, lambda: gaps.append(None))
    assert (evaluation.correct, evaluation.total) == (count - 1, count)
    assert len(gaps) == (count - 1) // BATCH_SIZE


def test_the_accuracy_is_a_short_number() -> None:
    assert Evaluation(1, 3, 0.0).accuracy == 0.333333
    assert Evaluation(7123, 10_000, 0.0).accuracy == 0.7123
