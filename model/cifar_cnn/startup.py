# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From settings to a classifier that serves. Importing this module imports PyTorch; that is the imports phase."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import torch

from cifar_cnn import checkpoint
from cifar_cnn.allocator import keep_freed_memory
from cifar_cnn.classifier import Classifier
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.datasets.prepared import load_prepared
from cifar_cnn.engines import load_engine
from cifar_cnn.errors import CheckpointError, DatasetError
from cifar_cnn.lifecycle import Lifecycle, Phase
from cifar_cnn.network import CifarCnn
from cifar_cnn.recipes import load_recipe
from cifar_cnn.resources import granted_cpus
from cifar_cnn.settings import Settings, read_settings
from cifar_cnn.training import train

_log = logging.getLogger(__name__)


def start_up(
    settings: Settings, service_dir: Path, data_dir: Path, lifecycle: Lifecycle, *, model_dir: Path | None = None
) -> Classifier:
    """Goes through the phases from data to self_test and returns the classifier; the caller enters ready.

    Sets PyTorch's thread count for the calling thread, which must be the one that computes later. A model is loaded
    from `service_dir`; a trained one is saved into `model_dir` (by default `service_dir`) where that can be written.
    Raises a subclass of ModelError.
    """
    model_dir = model_dir or service_dir
    keep_freed_memory()
    torch.set_num_threads(settings.compute_threads or granted_cpus())
    lifecycle.enter(Phase.DATA)
    arrays = read_data(settings, data_dir)
    if settings.start_with == "load":
        lifecycle.enter(Phase.LOAD)
        network = checkpoint.load(service_dir, len(arrays.classes), settings)
    else:
        lifecycle.enter(Phase.TRAIN)
        network = train_network(settings, arrays, lifecycle.advance)
        try:
            model_dir.mkdir(exist_ok=True)
            checkpoint.save(network, len(arrays.classes), settings, model_dir)
        except OSError as error:
            # A read-only mount is a normal place for settings; the trained model serves all the same.
            _log.warning("the trained model is not saved: cannot write to %s: %s", model_dir, error.strerror)
    lifecycle.enter(Phase.SELF_TEST)
    classifier = Classifier(network, settings.engine, arrays)
    classifier.self_test()
    return classifier


def train_and_save(service_dir: Path, data_dir: Path, progress: Callable[[int, int], None]) -> str:
    """Trains as service.json in `service_dir` says, saves the model beside it and returns its model_sha256.

    Raises a subclass of ModelError.
    """
    settings = read_settings(service_dir / "service.json")
    torch.set_num_threads(settings.compute_threads or granted_cpus())
    arrays = read_data(settings, data_dir)
    network = train_network(settings, arrays, progress)
    try:
        checkpoint.save(network, len(arrays.classes), settings, service_dir)
    except OSError as error:
        raise CheckpointError(f"cannot save the model in {service_dir}: {error.strerror}") from error
    return checkpoint.model_sha256(network)


def read_data(settings: Settings, data_dir: Path) -> ImageArrays:
    """Reads the prepared data set and checks that it is the one the settings name. Raises DatasetError."""
    prepared = load_prepared(data_dir)
    if (prepared.name, prepared.sha256) != (settings.dataset, settings.dataset_sha256):
        raise DatasetError(
            f"{data_dir} holds data set {prepared.name} with SHA-256 {prepared.sha256}, but the settings ask for "
            f"{settings.dataset} with {settings.dataset_sha256}; prepare it again"
        )
    return prepared.arrays


def train_network(settings: Settings, arrays: ImageArrays, progress: Callable[[int, int], None]) -> CifarCnn:
    """Trains as the settings say; `progress` gets the batches done and their total. Raises TrainingError."""
    return train(
        torch.from_numpy(arrays.train_images),
        torch.from_numpy(arrays.train_labels),
        len(arrays.classes),
        engine=load_engine(settings.engine),
        recipe=load_recipe(settings.recipe),
        epochs=settings.epochs,
        batch_size=settings.batch_size,
        dropout=settings.dropout,
        seed=settings.seed,
        progress=progress,
    )
