# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import itertools
from typing import Any

import pytest
import torch
from cifar_cnn.checkpoint import model_sha256
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.datasets.synthetic import Source
from cifar_cnn.engines import load_engine
from cifar_cnn.errors import TrainingError
from cifar_cnn.evaluation import evaluate
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes import load_recipe
from cifar_cnn.training import train


def trained(arrays: ImageArrays, **changes: Any) -> CifarCnn:
    parameters: dict[str, Any] = {
        "engine": load_engine("reference"),
        "recipe": load_recipe("study"),
        "epochs": 1,
        "batch_size": 32,
        "dropout": 0.2,
        "seed": 3,
        "progress": lambda done, total: None,
    }
    images, labels = torch.from_numpy(arrays.train_images), torch.from_numpy(arrays.train_labels)
    return train(images, labels, len(arrays.classes), **{**parameters, **changes})


def test_progress_counts_every_batch_the_smaller_last_one_included(arrays: ImageArrays) -> None:
    seen: list[tuple[int, int]] = []
    trained(arrays, epochs=2, batch_size=40, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 6) for done in range(1, 7)]


def test_a_seed_decides_the_weights(arrays: ImageArrays) -> None:
    first = model_sha256(trained(arrays))
    torch.rand(10)  # other use of PyTorch's generator in between must not matter
    assert model_sha256(trained(arrays)) == first
    assert model_sha256(trained(arrays, seed=4)) != first


def test_pytorchs_generator_is_left_as_it_was(arrays: ImageArrays) -> None:
    before = torch.random.get_rng_state()
    trained(arrays)
    assert torch.equal(torch.random.get_rng_state(), before)


def test_learns_what_an_untrained_network_does_not_know() -> None:
    arrays = Source({"train": 160, "test": 120, "classes": 4}).read()
    engine = load_engine("reference")
    images, labels = torch.from_numpy(arrays.test_images), torch.from_numpy(arrays.test_labels)

    def accuracy(network: CifarCnn) -> float:
        return evaluate(engine.inference_forward(network), images, labels, lambda: None).accuracy

    torch.manual_seed(1)
    assert accuracy(CifarCnn(4, 0.2)) < 0.4
    assert accuracy(trained(arrays, epochs=4, batch_size=8)) > 0.6


def test_a_loss_that_is_no_number_ends_the_training_with_the_place(arrays: ImageArrays) -> None:
    losses = itertools.chain([1.0, 0.5, 0.4, float("nan")])

    class Diverging:
        """A stand-in for a recipe whose fourth loss is not a number."""

        def __init__(self, network: CifarCnn, total_steps: int) -> None:
            assert total_steps == 6

        def step(self, *batch: object) -> float:
            return next(losses)

    with pytest.raises(TrainingError, match="nan in epoch 2 of 2, batch 4 of 6"):
        trained(arrays, recipe=Diverging, epochs=2)
