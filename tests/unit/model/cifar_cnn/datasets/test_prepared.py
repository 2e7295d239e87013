# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from cifar_cnn.datasets.prepared import load_prepared, prepare
from cifar_cnn.errors import DatasetError
from PIL import Image

OPTIONS = {"train": 20, "test": 12, "classes": 2}
FILES = ["dataset.json", "sample.png", "test_images.npy", "test_labels.npy", "train_images.npy", "train_labels.npy"]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    prepare("synthetic", OPTIONS, tmp_path / "data")
    return tmp_path / "data"


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_what_was_prepared_is_read_back(folder: Path) -> None:
    assert sorted(contents(folder)) == FILES
    prepared = load_prepared(folder)
    description = json.loads((folder / "dataset.json").read_text())
    assert (description["dataset"], description["train"], description["test"]) == ("synthetic", 20, 12)
    assert description["classes"] == ["texture-0", "texture-1"]
    assert prepared.sha256 == description["sha256"] == prepared.arrays.sha256()


def test_the_sample_is_the_first_test_image_and_comes_back_when_it_is_lost(folder: Path) -> None:
    (folder / "sample.png").unlink()
    prepared, changed = prepare("synthetic", OPTIONS, folder)
    assert not changed
    with Image.open(folder / "sample.png") as sample:
        assert np.array_equal(np.asarray(sample), prepared.arrays.test_images[0])


def test_preparing_again_changes_nothing(folder: Path) -> None:
    times = {path: path.stat().st_mtime_ns for path in folder.iterdir()}
    assert prepare("synthetic", OPTIONS, folder)[1] is False
    assert {path: path.stat().st_mtime_ns for path in folder.iterdir()} == times


def test_other_options_or_another_data_set_replace_it(folder: Path) -> None:
    first = load_prepared(folder).sha256
    prepared, changed = prepare("synthetic", {**OPTIONS, "seed": 9}, folder)
    assert changed and prepared.sha256 != first
    assert load_prepared(folder).sha256 == prepared.sha256
    assert sorted(contents(folder)) == FILES


def test_options_that_lead_to_the_same_content_are_no_change(folder: Path) -> None:
    assert prepare("synthetic", {**OPTIONS, "seed": 0}, folder)[1] is False
    assert json.loads((folder / "dataset.json").read_text())["source"]["options"]["seed"] == 0


def test_damage_is_a_checksum_mismatch_and_preparing_again_repairs_it(folder: Path) -> None:
    images = np.load(folder / "test_images.npy")
    images[0, 0, 0, 0] ^= 1
    np.save(folder / "test_images.npy", images)
    with pytest.raises(DatasetError, match=r"checksum mismatch in .*; prepare the data set again") as error:
        load_prepared(folder)
    assert str(folder) in str(error.value)
    assert prepare("synthetic", OPTIONS, folder)[1] is True
    assert load_prepared(folder).name == "synthetic"


@pytest.mark.parametrize("name", [name for name in FILES if name != "sample.png"])
@pytest.mark.parametrize("size", [None, 0, 20, 100])
def test_a_missing_or_cut_file_is_one_clear_error(folder: Path, name: str, size: int | None) -> None:
    if size is None:
        (folder / name).unlink()
    else:
        os.truncate(folder / name, size)
    with pytest.raises(DatasetError, match="prepare the data set again") as error:
        load_prepared(folder)
    assert str(folder) in str(error.value)


@pytest.mark.parametrize("text", ["[]", '{"schema_version": 2}', '{"schema_version": 1}', "nonsense"])
def test_a_wrong_description_is_one_clear_error(folder: Path, text: str) -> None:
    (folder / "dataset.json").write_text(text)
    with pytest.raises(DatasetError, match=r"dataset\.json.*prepare the data set again"):
        load_prepared(folder)


def test_arrays_with_objects_in_them_are_not_unpickled(folder: Path) -> None:
    np.save(folder / "train_labels.npy", np.array([{}] * 20), allow_pickle=True)
    with pytest.raises(DatasetError, match="cannot be read"):
        load_prepared(folder)


def test_a_source_that_cannot_be_read_leaves_the_folder_as_it_was(folder: Path, tmp_path: Path) -> None:
    before = contents(folder)
    with pytest.raises(DatasetError):
        prepare("image_folder", {"folder": str(tmp_path / "data")}, folder)
    assert contents(folder) == before


def test_a_full_disk_leaves_the_folder_as_it_was(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(folder)

    def full(handle: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(DatasetError, match=r"cannot write the prepared data set to .*: No space left on device"):
        prepare("synthetic", {**OPTIONS, "seed": 9}, folder)
    assert contents(folder) == before


def test_a_crash_between_the_last_steps_is_seen_and_repaired(folder: Path) -> None:
    (folder / "dataset.json").unlink()
    shutil.copy(folder / "train_images.npy", folder / "train_images.npy.partial")
    with pytest.raises(DatasetError, match="no prepared data set"):
        load_prepared(folder)
    assert prepare("synthetic", OPTIONS, folder)[1] is True
    assert sorted(contents(folder)) == FILES


def test_two_preparations_of_one_folder_do_not_mix(folder: Path) -> None:
    handle = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(handle, fcntl.LOCK_EX)
        with pytest.raises(DatasetError, match="is being prepared by another process"):
            prepare("synthetic", {**OPTIONS, "seed": 9}, folder)
    finally:
        os.close(handle)


def test_a_file_in_the_folders_place_is_named(tmp_path: Path) -> None:
    (tmp_path / "data").write_text("here first")
    with pytest.raises(DatasetError, match=r"cannot write the prepared data set to .*data: File exists"):
        prepare("synthetic", OPTIONS, tmp_path / "data")
