# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Every name that settings accept can be loaded, and does what its seam asks."""

from __future__ import annotations

import pytest
import torch
from cifar_cnn.datasets import SOURCES, load_source
from cifar_cnn.engines import ENGINES, load_engine
from cifar_cnn.errors import DatasetError
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes import RECIPES, load_recipe


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_computes_the_networks_scores(name: str) -> None:
    torch.manual_seed(1)
    network = CifarCnn(4, 0.5)
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    with torch.no_grad():
        expected = network.eval()(images.permute(0, 3, 1, 2).double().div(127.5).sub(1).float())
    scores = load_engine(name).inference_forward(network)(images)
    assert scores.dtype == torch.float32
    torch.testing.assert_close(scores, expected, rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", ENGINES)
def test_every_engine_trains_with_dropout_and_gradients(name: str) -> None:
    network = CifarCnn(4, 0.5)
    forward = load_engine(name).training_forward(network)
    images = torch.randint(0, 256, (3, 32, 32, 3), dtype=torch.uint8)
    first, second = forward(images), forward(images)
    assert not torch.equal(first, second)
    first.sum().backward()
    assert all(parameter.grad is not None for parameter in network.parameters())


@pytest.mark.parametrize("recipe", RECIPES)
@pytest.mark.parametrize("engine", ENGINES)
def test_every_recipe_lowers_the_loss_of_a_batch_it_repeats(recipe: str, engine: str) -> None:
    torch.manual_seed(1)
    network = CifarCnn(2, 0.0)
    labels = torch.arange(8) % 2
    images = (labels * 255).to(torch.uint8).view(8, 1, 1, 1).expand(8, 32, 32, 3).contiguous()
    training = load_recipe(recipe)(network, 30)
    forward = load_engine(engine).training_forward(network)
    losses = [training.step(forward, images, labels) for _ in range(30)]
    assert losses[-1] < losses[0] / 2


@pytest.mark.parametrize("name", SOURCES)
def test_every_data_set_refuses_options_it_does_not_know(name: str) -> None:
    with pytest.raises(DatasetError, match=f"unknown option of data set {name}: colour"):
        load_source(name)({"colour": "blue"})
