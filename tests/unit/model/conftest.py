# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the model's tests share: a tiny data set, settings for it, and a service of stand-in parts."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.datasets.prepared import Prepared, prepare
from cifar_cnn.settings import Settings, parse_settings

# Ansible, which other unit tests load into this process, replaces sys.intern by an object that torch._dynamo refuses;
# PyTorch imports that with the first optimiser, so it is imported here, with the real one.
with pytest.MonkeyPatch.context() as patch:
    patch.setattr(sys, "intern", getattr(sys.intern, "unpatched_implementation", sys.intern))
    import torch._dynamo

OPTIONS = {"train": 96, "test": 40, "classes": 4, "seed": 5}


@pytest.fixture(scope="session", autouse=True)
def _one_compute_thread() -> None:
    """Tests share their CPUs with others; threads that wait for each other would only slow them."""
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def data_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a prepared synthetic data set of 96 + 40 images in 4 classes; not to be changed."""
    folder = tmp_path_factory.mktemp("data")
    prepare("synthetic", OPTIONS, folder)
    return folder


@pytest.fixture(scope="session")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Prepared:
    """The same data set in memory."""
    return prepare("synthetic", OPTIONS, tmp_path_factory.mktemp("prepared"))[0]


@pytest.fixture(scope="session")
def arrays(prepared: Prepared) -> ImageArrays:
    return prepared.arrays


@pytest.fixture
def document(prepared: Prepared) -> dict[str, Any]:
    """A valid service.json for that data set, as a dict to change."""
    return {
        "schema_version": 1,
        "dataset": "synthetic",
        "dataset_sha256": prepared.sha256,
        "engine": "reference",
        "recipe": "study",
        "epochs": 1,
        "batch_size": 32,
        "dropout": 0.2,
        "seed": 3,
        "start_with": "train",
        "request_threads": 8,
        "compute_threads": 1,
        "queue_limit": 6,
    }


@pytest.fixture
def settings(document: dict[str, Any]) -> Settings:
    return parse_settings(json.dumps(document).encode(), "service.json")


@pytest.fixture
def write_service(tmp_path: Path, document: dict[str, Any]) -> Callable[..., Path]:
    """A function that writes service.json with changed values and returns its folder."""

    def write(**changes: Any) -> Path:
        folder = tmp_path / "service"
        folder.mkdir(exist_ok=True)
        (folder / "service.json").write_text(json.dumps({**document, **changes}))
        return folder

    return write
