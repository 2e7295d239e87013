# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How fast this machine computes this network: a score to set two machines side by side by, made without a service.

The work is the same on every machine: seeded weights, made-up images, the reference engine. It is no service's figure;
no server, queue or client has a part in it.
"""

from __future__ import annotations

import platform
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import torch

from cifar_cnn.allocator import keep_freed_memory
from cifar_cnn.datasets.synthetic import Source
from cifar_cnn.engines import load_engine
from cifar_cnn.evaluation import evaluate
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes import load_recipe
from cifar_cnn.training import train

SCHEMA_VERSION = 1
ENGINE = "reference"
RECIPE = "study"
CLASSES = 10
DROPOUT = 0.2
SEED = 0


@dataclass(frozen=True, slots=True)
class Work:
    """What one round computes: `steps` training steps of `batch_size` images, and `images` evaluated.

    Each is done `repeats` times, after a warm-up of `warm_up_steps` steps and one evaluation, which does not count.
    """

    steps: int = 50
    batch_size: int = 64
    images: int = 2000
    repeats: int = 3
    warm_up_steps: int = 10


WORK = Work()


def calibrate(threads: int, work: Work = WORK) -> dict[str, object]:
    """Returns the scores of this machine with `threads` threads (at least 1), in images a second.

    The score of each half is its images over the median of its rounds' wall seconds. Sets PyTorch's thread count for
    the calling thread.
    """
    keep_freed_memory()
    torch.set_num_threads(threads)
    trained = work.steps * work.batch_size
    arrays = Source({"train": trained, "test": work.images, "classes": CLASSES, "seed": SEED}).read()
    engine = load_engine(ENGINE)
    train_images, train_labels = torch.from_numpy(arrays.train_images), torch.from_numpy(arrays.train_labels)
    test_images, test_labels = torch.from_numpy(arrays.test_images), torch.from_numpy(arrays.test_labels)

    def training(steps: int = work.steps) -> CifarCnn:
        return train(
            train_images[: steps * work.batch_size],
            train_labels[: steps * work.batch_size],
            CLASSES,
            engine=engine,
            recipe=load_recipe(RECIPE),
            epochs=1,
            batch_size=work.batch_size,
            dropout=DROPOUT,
            seed=SEED,
            progress=lambda _done, _total: None,
        )

    forward = engine.inference_forward(training(work.warm_up_steps))
    evaluate(forward, test_images, test_labels, lambda: None)
    training_seconds = [_seconds(training) for _ in range(work.repeats)]
    evaluation_seconds = [
        evaluate(forward, test_images, test_labels, lambda: None).seconds for _ in range(work.repeats)
    ]
    return {
        "schema_version": SCHEMA_VERSION,
        "threads": threads,
        "engine": ENGINE,
        "recipe": RECIPE,
        "seed": SEED,
        "training": {
            "steps": work.steps,
            "batch_size": work.batch_size,
            **_score(trained, training_seconds),
        },
        "evaluation": _score(work.images, evaluation_seconds),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "cpu_model": cpu_model(),
    }


def _score(images: int, seconds: list[float]) -> dict[str, object]:
    """`images` computed in each of the rounds, which took `seconds`."""
    median = statistics.median(seconds)
    return {
        "images": images,
        "n": len(seconds),
        "seconds": [round(one, 6) for one in seconds],
        "median_seconds": round(median, 6),
        "images_per_second": round(images / median, 3),
    }


def _seconds(work: Callable[[], object]) -> float:
    begin = time.monotonic()
    work()
    return time.monotonic() - begin


def cpu_model(root: Path = Path("/")) -> str | None:
    """Returns what the kernel calls the CPU (proc(5), cpuinfo); None where it does not say."""
    try:
        lines = (root / "proc/cpuinfo").read_text(errors="replace").splitlines()
    except OSError:
        return None
    named: dict[str, str] = {}
    for line in lines:
        name, _, value = line.partition(":")
        named.setdefault(name.strip(), value.strip())  # the first CPU's
    return named.get("model name") or named.get("CPU part") or None
