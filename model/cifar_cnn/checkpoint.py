# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Saved models: model.pt with weights and what they were trained on and with, and its checksum in model.pt.sha256."""

from __future__ import annotations

import hashlib
import io
import os
import tempfile
from pathlib import Path

import torch

from cifar_cnn.errors import CheckpointError
from cifar_cnn.network import CifarCnn
from cifar_cnn.settings import Settings

FILE = "model.pt"
_SCHEMA_VERSION = 1
# What makes the weights: a model trained with another value of any of these is another model.
_TRAINED_WITH = ("dataset", "dataset_sha256", "engine", "recipe", "epochs", "batch_size", "dropout", "seed")


def model_sha256(network: CifarCnn) -> str:
    """Returns the SHA-256 over the weights: each tensor's name, type, shape and bytes, in order of definition.

    It does not depend on the file format or the memory layout, so equal weights have equal checksums everywhere.
    """
    digest = hashlib.sha256()
    for name, tensor in network.state_dict().items():
        array = tensor.detach().contiguous().numpy()
        digest.update(f"{name} {array.dtype.str} {array.shape}\n".encode())
        digest.update(array.tobytes())
    return digest.hexdigest()


def save(network: CifarCnn, classes: int, settings: Settings, folder: Path) -> None:
    """Writes model.pt and model.pt.sha256 (in sha256sum's format) into `folder`.

    Each file appears whole or not at all. The old checksum goes first and the new one comes last, so that after a
    crash in between the model is seen to be unverified. Raises OSError when `folder` cannot be written.
    """
    file = io.BytesIO()
    torch.save(
        {
            "schema_version": _SCHEMA_VERSION,
            "trained_with": {name: getattr(settings, name) for name in _TRAINED_WITH},
            "classes": classes,
            "model_sha256": model_sha256(network),
            "weights": {name: tensor.detach().contiguous() for name, tensor in network.state_dict().items()},
        },
        file,
    )
    data = file.getvalue()
    checksum = folder / f"{FILE}.sha256"
    # Whether the folder can be written is found out before anything old is lost.
    with tempfile.TemporaryDirectory(prefix=".saving-", dir=folder) as partial:
        new_model, new_checksum = Path(partial, FILE), Path(partial, checksum.name)
        _write(new_model, data)
        _write(new_checksum, f"{hashlib.sha256(data).hexdigest()}  {FILE}\n".encode())
        checksum.unlink(missing_ok=True)
        new_model.replace(folder / FILE)
        new_checksum.replace(checksum)


def _write(path: Path, data: bytes) -> None:
    with path.open("wb") as file:
        file.write(data)
        file.flush()
        os.fsync(file.fileno())


def load(folder: Path, classes: int, settings: Settings) -> CifarCnn:
    """Reads the model that `save` wrote, for a data set of `classes` classes.

    Raises CheckpointError when it is missing, damaged, or was trained on other data or with other settings.
    """
    path = folder / FILE
    again = "train the model again (start_with: train)"
    try:
        expected = path.with_name(f"{FILE}.sha256").read_text().split(maxsplit=1)[0]
        data = path.read_bytes()
    except (OSError, IndexError, UnicodeDecodeError) as error:
        detail = f"{error.filename}: {error.strerror}" if isinstance(error, OSError) else f"{FILE}.sha256 is damaged"
        raise CheckpointError(f"no verified model in {folder} ({detail}); {again}") from error
    if (actual := hashlib.sha256(data).hexdigest()) != expected:
        raise CheckpointError(f"checksum mismatch: {path} is {actual}, {FILE}.sha256 says {expected}; {again}")
    try:
        document = torch.load(io.BytesIO(data), weights_only=True)
        if document["schema_version"] != _SCHEMA_VERSION:
            found = document["schema_version"]
            raise CheckpointError(f"{path} has schema_version {found}, not {_SCHEMA_VERSION}; {again}")
        trained_with, trained_classes = document["trained_with"], document["classes"]
        differences = [
            f"{name} is {trained_with.get(name)!r} there and {getattr(settings, name)!r} here"
            for name in _TRAINED_WITH
            if trained_with.get(name) != getattr(settings, name)
        ]
        if trained_classes != classes:
            differences.append(f"it knows {trained_classes} classes and the data set has {classes}")
        if differences:
            raise CheckpointError(f"{path} belongs to other settings: {'; '.join(differences)}; {again}")
        network = CifarCnn(classes, settings.dropout)
        network.load_state_dict(document["weights"])
        recorded = document["model_sha256"]
    except CheckpointError:
        raise
    except Exception as error:  # torch.load and load_state_dict raise many classes on a file of another kind
        first_line = str(error).partition("\n")[0]
        raise CheckpointError(f"{path} is not a model of this program: {first_line}; {again}") from error
    if model_sha256(network) != recorded:
        raise CheckpointError(f"{path}: the weights are not those whose model_sha256 it records; {again}")
    return network
