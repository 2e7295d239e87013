# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import platform
from pathlib import Path
from typing import Any

import pytest
import torch
from cifar_cnn import calibration
from cifar_cnn.calibration import Work, calibrate, cpu_model

LITTLE = Work(steps=2, batch_size=8, images=12, repeats=3, warm_up_steps=1)


@pytest.fixture(autouse=True)
def _threads_as_before() -> Any:
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


def test_the_work_is_that_of_the_documentation() -> None:
    assert Work(steps=50, batch_size=64, images=2000, repeats=3, warm_up_steps=10) == calibration.WORK


def test_a_score_is_images_over_the_median_round(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_seconds", lambda work: next(rounds))
    rounds = iter([0.4, 0.1, 0.2])
    found: dict[str, Any] = calibrate(1, LITTLE)
    assert torch.get_num_threads() == found["threads"] == 1
    assert found["training"] == {
        "steps": 2,
        "batch_size": 8,
        "images": 16,
        "n": 3,
        "seconds": [0.4, 0.1, 0.2],
        "median_seconds": 0.2,
        "images_per_second": 80.0,
    }
    evaluation = found["evaluation"]
    assert (evaluation["images"], evaluation["n"], len(evaluation["seconds"])) == (12, 3, 3)
    assert evaluation["images_per_second"] > 0
    assert (found["engine"], found["python"], found["torch"]) == (
        "reference",
        platform.python_version(),
        torch.__version__,
    )


def test_every_round_computes_the_same(monkeypatch: pytest.MonkeyPatch) -> None:
    sums: list[float] = []

    def train(images: torch.Tensor, *given: Any, **options: Any) -> Any:
        network = real(images, *given, **options)
        sums.append(sum(float(weight.detach().double().sum()) for weight in network.parameters()))
        return network

    real = calibration.train
    monkeypatch.setattr(calibration, "train", train)
    calibrate(1, LITTLE)
    calibrate(1, LITTLE)
    assert sums[: len(sums) // 2] == sums[len(sums) // 2 :], "two calibrations compute the same"
    assert len(sums) == 2 * (1 + LITTLE.repeats), "a short one warms up"
    assert len(set(sums)) == 2


@pytest.mark.parametrize(
    ("text", "model"),
    [
        ("processor\t: 0\nmodel name\t: Example @ 2 GHz\n\nprocessor\t: 1\nmodel name\t: Other\n", "Example @ 2 GHz"),
        ("CPU part\t: 0xd0c\n", "0xd0c"),
        ("processor\t: 0\n", None),
        (None, None),
    ],
)
def test_the_cpu_is_named_as_the_kernel_names_it(tmp_path: Path, text: str | None, model: str | None) -> None:
    if text is not None:
        (tmp_path / "proc").mkdir()
        (tmp_path / "proc" / "cpuinfo").write_text(text)
    assert cpu_model(tmp_path) == model
