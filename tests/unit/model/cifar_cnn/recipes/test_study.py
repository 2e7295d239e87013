# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""cifar_cnn.recipes.study: the study's optimiser, bit for bit PyTorch's own."""

from __future__ import annotations

import subprocess
import sys

import torch
from cifar_cnn.engines import load_engine
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes.study import Recipe
from torch.nn import functional


def network() -> CifarCnn:
    torch.manual_seed(3)
    return CifarCnn(4, 0.0)


def test_its_steps_are_those_of_pytorchs_sgd_with_the_studys_settings() -> None:
    ours, theirs, engine = network(), network(), load_engine("reference")
    recipe = Recipe(ours, 3)
    optimiser = torch.optim.SGD(theirs.parameters(), lr=0.01, momentum=0.9, nesterov=True)
    generator = torch.Generator().manual_seed(1)
    for _ in range(3):
        images = torch.randint(0, 256, (8, 32, 32, 3), dtype=torch.uint8, generator=generator)
        labels = torch.randint(0, 4, (8,), generator=generator)
        loss = recipe.step(engine.training_forward(ours), images, labels)
        optimiser.zero_grad()
        expected = functional.cross_entropy(engine.training_forward(theirs)(images), labels)
        expected.backward()
        optimiser.step()
        assert loss == expected.item()
    for mine, other in zip(ours.parameters(), theirs.parameters(), strict=True):
        assert torch.equal(mine, other)


def test_a_step_imports_no_compiler() -> None:
    program = (
        "import sys, torch; from cifar_cnn.recipes.study import Recipe; from cifar_cnn.network import CifarCnn; "
        "from cifar_cnn.engines import load_engine; n = CifarCnn(2, 0.0); "
        "f = load_engine('reference').training_forward(n); "
        "Recipe(n, 1).step(f, torch.zeros(2, 32, 32, 3, dtype=torch.uint8), torch.tensor([0, 1])); "
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    environment = {"PYTHONPATH": ":".join(sys.path)}
    assert subprocess.run([sys.executable, "-c", program], check=False, env=environment).returncode == 0
