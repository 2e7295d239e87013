# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import hashlib
import io
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest
import torch
from cifar_cnn import checkpoint
from cifar_cnn.errors import CheckpointError
from cifar_cnn.network import CifarCnn
from cifar_cnn.settings import Settings


@pytest.fixture
def saved(tmp_path: Path, settings: Settings) -> Path:
    checkpoint.save(CifarCnn(4, 0.2), 4, settings, tmp_path)
    return tmp_path


def replace_model(folder: Path, data: bytes) -> None:
    """Puts other bytes in place of the model, with a right checksum."""
    (folder / "model.pt").write_bytes(data)
    (folder / "model.pt.sha256").write_text(f"{hashlib.sha256(data).hexdigest()}  model.pt\n")


def test_the_weights_come_back_as_they_were(tmp_path: Path, settings: Settings) -> None:
    network = CifarCnn(4, 0.2).to(memory_format=torch.channels_last)
    checkpoint.save(network, 4, settings, tmp_path)
    loaded = checkpoint.load(tmp_path, 4, settings)
    assert checkpoint.model_sha256(loaded) == checkpoint.model_sha256(network)
    for name, tensor in network.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_a_model_of_ten_classes_takes_some_426_kilobytes(tmp_path: Path, settings: Settings) -> None:
    checkpoint.save(CifarCnn(10, 0.2), 10, settings, tmp_path)
    assert 106_538 * 4 < (tmp_path / "model.pt").stat().st_size < 435_000


def test_the_side_file_is_one_that_sha256sum_checks(saved: Path) -> None:
    done = subprocess.run(["sha256sum", "-c", "model.pt.sha256"], cwd=saved, capture_output=True, check=False)
    assert done.stdout == b"model.pt: OK\n"


def test_saving_leaves_nothing_else_behind(saved: Path, settings: Settings) -> None:
    checkpoint.save(CifarCnn(4, 0.2), 4, settings, saved)
    assert sorted(path.name for path in saved.iterdir()) == ["model.pt", "model.pt.sha256"]


def test_the_checksum_follows_every_weight() -> None:
    network = CifarCnn(4, 0.2)
    before = checkpoint.model_sha256(network)
    assert checkpoint.model_sha256(network.to(memory_format=torch.channels_last)) == before
    with torch.no_grad():
        network.classifier.bias[3] += 1
    assert checkpoint.model_sha256(network) != before


@pytest.mark.parametrize(
    ("name", "value"), [("epochs", 9), ("dropout", 0.5), ("seed", 8), ("dataset_sha256", "0" * 64), ("batch_size", 1)]
)
def test_a_model_of_other_settings_is_refused(saved: Path, settings: Settings, name: str, value: Any) -> None:
    other = dataclasses.replace(settings, **{name: value})
    with pytest.raises(CheckpointError, match="belongs to other settings") as error:
        checkpoint.load(saved, 4, other)
    assert f"{name} is {getattr(settings, name)!r} there and {value!r} here" in str(error.value)


def test_settings_that_do_not_make_the_weights_may_differ(saved: Path, settings: Settings) -> None:
    other = dataclasses.replace(settings, start_with="load", request_threads=4, compute_threads=2, sha256="1")
    assert checkpoint.load(saved, 4, other).classifier.out_features == 4


def test_a_model_of_another_number_of_classes_is_refused(saved: Path, settings: Settings) -> None:
    with pytest.raises(CheckpointError, match="it knows 4 classes and the data set has 5"):
        checkpoint.load(saved, 5, settings)


@pytest.mark.parametrize("name", ["model.pt", "model.pt.sha256"])
def test_a_missing_file_is_named(saved: Path, settings: Settings, name: str) -> None:
    (saved / name).unlink()
    with pytest.raises(CheckpointError, match=f"{name}: No such file .*train the model again"):
        checkpoint.load(saved, 4, settings)


def test_damage_is_a_checksum_mismatch(saved: Path, settings: Settings) -> None:
    data = bytearray((saved / "model.pt").read_bytes())
    data[len(data) // 2] ^= 1
    (saved / "model.pt").write_bytes(data)
    with pytest.raises(CheckpointError, match="checksum mismatch"):
        checkpoint.load(saved, 4, settings)


@pytest.mark.parametrize("text", [b"", b"\xff\xfe\xff"])
def test_a_damaged_side_file_is_named(saved: Path, settings: Settings, text: bytes) -> None:
    (saved / "model.pt.sha256").write_bytes(text)
    with pytest.raises(CheckpointError, match="model.pt.sha256 is damaged"):  # noqa: RUF043
        checkpoint.load(saved, 4, settings)


def test_a_checksummed_file_that_is_no_model_is_refused(saved: Path, settings: Settings) -> None:
    for document in ([1, 2], {"schema_version": 1}, {"schema_version": 9}, {"schema_version": 1, "trained_with": {}}):
        file = io.BytesIO()
        torch.save(document, file)
        replace_model(saved, file.getvalue())
        with pytest.raises(CheckpointError, match="train the model again"):
            checkpoint.load(saved, 4, settings)
    replace_model(saved, b"not even a zip file")
    with pytest.raises(CheckpointError, match="is not a model of this program"):
        checkpoint.load(saved, 4, settings)


def test_code_in_a_model_file_is_not_run(saved: Path, settings: Settings, tmp_path: Path) -> None:
    class Harmful:
        def __reduce__(self) -> tuple[Any, ...]:
            return os.mkdir, (str(tmp_path / "was-here"),)

    file = io.BytesIO()
    torch.save({"schema_version": Harmful()}, file)
    replace_model(saved, file.getvalue())
    with pytest.raises(CheckpointError):
        checkpoint.load(saved, 4, settings)
    assert not (tmp_path / "was-here").exists()


def test_swapped_weights_are_seen(saved: Path, settings: Settings) -> None:
    document = torch.load(saved / "model.pt", weights_only=True)
    document["weights"]["classifier.bias"] += 1
    file = io.BytesIO()
    torch.save(document, file)
    replace_model(saved, file.getvalue())
    with pytest.raises(CheckpointError, match="not those whose model_sha256"):
        checkpoint.load(saved, 4, settings)


def test_a_save_that_cannot_write_keeps_the_old_model(
    saved: Path, settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = {path.name: path.read_bytes() for path in saved.iterdir()}

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="No space left"):
        checkpoint.save(CifarCnn(4, 0.2), 4, settings, saved)
    assert {path.name: path.read_bytes() for path in saved.iterdir()} == before
