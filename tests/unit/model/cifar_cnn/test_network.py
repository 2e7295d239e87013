# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import pytest
import torch
from cifar_cnn.network import CifarCnn
from torch import nn


def test_it_is_the_studys_network() -> None:
    network = CifarCnn(classes=10, dropout=0.2)
    assert sum(parameter.numel() for parameter in network.parameters()) == 106_538
    kinds = [type(layer) for layer in network.features]
    half = [nn.Conv2d, nn.ReLU, nn.Dropout, nn.Conv2d, nn.MaxPool2d]
    assert kinds == half + half
    convolutions = [layer for layer in network.features if isinstance(layer, nn.Conv2d)]
    channels = [(layer.in_channels, layer.out_channels) for layer in convolutions]
    assert channels == [(3, 32), (32, 32), (32, 64), (64, 64)]
    assert {layer.kernel_size for layer in convolutions} == {(3, 3)}


@pytest.mark.parametrize("classes", [2, 10, 100])
def test_the_output_has_one_score_a_class(classes: int) -> None:
    assert CifarCnn(classes, dropout=0.0)(torch.zeros(5, 3, 32, 32)).shape == (5, classes)
