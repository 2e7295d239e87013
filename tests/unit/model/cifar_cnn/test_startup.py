# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import dataclasses
import json
import logging
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from cifar_cnn import startup
from cifar_cnn.errors import CheckpointError, DatasetError, SettingsError
from cifar_cnn.lifecycle import Lifecycle, Phase
from cifar_cnn.settings import Settings


@pytest.fixture
def lifecycle() -> Lifecycle:
    lifecycle = Lifecycle(time.monotonic())
    lifecycle.enter(Phase.IMPORTS)
    return lifecycle


def phases(lifecycle: Lifecycle) -> list[Phase]:
    return [record.phase for record in lifecycle.records()]


def test_a_trained_start_saves_what_a_loading_start_loads(
    settings: Settings, data_dir: Path, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    trained = startup.start_up(settings, tmp_path, data_dir, lifecycle)
    assert phases(lifecycle)[2:] == [Phase.DATA, Phase.TRAIN, Phase.SELF_TEST]
    loading = Lifecycle(time.monotonic())
    loading.enter(Phase.IMPORTS)
    loaded = startup.start_up(dataclasses.replace(settings, start_with="load"), tmp_path, data_dir, loading)
    assert phases(loading)[2:] == [Phase.DATA, Phase.LOAD, Phase.SELF_TEST]
    assert loaded.model_sha256 == trained.model_sha256
    assert loaded.evaluate(lambda: None).correct == trained.evaluate(lambda: None).correct


def test_a_folder_that_cannot_be_written_stops_only_the_saving(
    settings: Settings, data_dir: Path, lifecycle: Lifecycle, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        classifier = startup.start_up(settings, Path("/proc/self"), data_dir, lifecycle)
    assert classifier.evaluate(lambda: None).total == 40
    assert "the trained model is not saved: cannot write to /proc/self" in caplog.text


def test_a_trained_model_is_saved_where_the_settings_are_not(
    settings: Settings, data_dir: Path, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    service_dir, model_dir = tmp_path / "service", tmp_path / "model"
    service_dir.mkdir()
    trained = startup.start_up(settings, service_dir, data_dir, lifecycle, model_dir=model_dir)
    assert list(service_dir.iterdir()) == []
    assert sorted(path.name for path in model_dir.iterdir()) == ["model.pt", "model.pt.sha256"]
    # It is loaded from the settings' folder, wherever the next one is saved.
    loading = dataclasses.replace(settings, start_with="load")
    again = Lifecycle(time.monotonic())
    again.enter(Phase.IMPORTS)
    with pytest.raises(CheckpointError, match=f"no verified model in {service_dir}"):
        startup.start_up(loading, service_dir, data_dir, again, model_dir=model_dir)
    again = Lifecycle(time.monotonic())
    again.enter(Phase.IMPORTS)
    loaded = startup.start_up(loading, model_dir, data_dir, again, model_dir=tmp_path / "elsewhere")
    assert loaded.model_sha256 == trained.model_sha256
    assert not (tmp_path / "elsewhere").exists()


def test_the_threads_asked_for_take_effect(
    settings: Settings, data_dir: Path, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    try:
        two = dataclasses.replace(settings, compute_threads=2)
        assert startup.start_up(two, tmp_path, data_dir, lifecycle).compute_threads == 2
    finally:
        torch.set_num_threads(1)


def test_other_data_than_the_settings_name_are_refused(
    settings: Settings, data_dir: Path, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    other = dataclasses.replace(settings, dataset_sha256="0" * 64)
    with pytest.raises(DatasetError, match=f"but the settings ask for synthetic with {'0' * 64}; prepare it again"):
        startup.start_up(other, tmp_path, data_dir, lifecycle)


def test_loading_without_a_model_says_how_to_get_one(
    settings: Settings, data_dir: Path, tmp_path: Path, lifecycle: Lifecycle
) -> None:
    with pytest.raises(CheckpointError, match="train the model again"):
        startup.start_up(dataclasses.replace(settings, start_with="load"), tmp_path, data_dir, lifecycle)


def test_train_and_save(data_dir: Path, write_service: Callable[..., Path]) -> None:
    folder = write_service()
    model_sha256 = startup.train_and_save(folder, data_dir, lambda done, total: None)
    saved = torch.load(folder / "model.pt", weights_only=True)
    assert saved["model_sha256"] == model_sha256
    assert saved["trained_with"]["epochs"] == json.loads((folder / "service.json").read_text())["epochs"]


def test_train_and_save_refuses_bad_settings(data_dir: Path, write_service: Callable[..., Path]) -> None:
    with pytest.raises(SettingsError, match="epochs"):
        startup.train_and_save(write_service(epochs=0), data_dir, lambda done, total: None)
