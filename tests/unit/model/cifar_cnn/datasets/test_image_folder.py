# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import shutil
from pathlib import Path

import numpy as np
import pytest
from cifar_cnn.datasets.image_folder import Source
from cifar_cnn.datasets.prepared import prepare
from cifar_cnn.errors import DatasetError
from PIL import Image

COLOURS = {"blue": (0, 0, 255), "red": (255, 0, 0)}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Two classes with two training images and one test image each, of different sizes and formats."""
    root = tmp_path / "images"
    for part, names in (("train", ["a.png", "b.jpg"]), ("test", ["c.bmp"])):
        for label, colour in COLOURS.items():
            (root / part / label).mkdir(parents=True)
            for number, name in enumerate(names):
                Image.new("RGB", (32 + number, 32), colour).save(root / part / label / name)
    return root


def read_error(folder: Path) -> str:
    with pytest.raises(DatasetError) as error:
        prepare("image_folder", {"folder": str(folder)}, folder.parent / "out")
    assert not (folder.parent / "out").exists()
    return str(error.value)


def test_classes_are_the_folders_names_in_order(folder: Path) -> None:
    arrays = Source({"folder": str(folder)}).read()
    assert arrays.classes == ("blue", "red")
    assert arrays.train_labels.tolist() == [0, 0, 1, 1] and arrays.test_labels.tolist() == [0, 1]
    for image, label in zip(arrays.test_images, arrays.test_labels, strict=True):
        assert np.array_equal(image, np.full((32, 32, 3), COLOURS[arrays.classes[label]], dtype=np.uint8))


def test_hidden_files_are_passed_over(folder: Path) -> None:
    before = Source({"folder": str(folder)}).read().sha256()
    for place in (folder / "train", folder / "train/red"):
        (place / ".DS_Store").write_text("left behind")
    assert Source({"folder": str(folder)}).read().sha256() == before


def test_preparing_again_reads_files_only_when_they_changed(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    out = folder.parent / "out"
    assert prepare("image_folder", {"folder": str(folder)}, out)[1] is True
    with monkeypatch.context() as patch:
        patch.setattr(Source, "read", lambda source: pytest.fail("nothing has changed"))
        assert prepare("image_folder", {"folder": str(folder)}, out)[1] is False
    Image.new("RGB", (32, 32), (0, 255, 0)).save(folder / "train/red/a.png")
    assert prepare("image_folder", {"folder": str(folder)}, out)[1] is True


def test_a_moved_folder_with_the_same_images_is_no_change(folder: Path) -> None:
    out = folder.parent / "out"
    prepare("image_folder", {"folder": str(folder)}, out)
    moved = folder.rename(folder.parent / "moved")
    assert prepare("image_folder", {"folder": str(moved)}, out)[1] is False


def test_a_missing_folder(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match="nowhere does not exist"):
        Source({"folder": str(tmp_path / "nowhere")})


def test_a_file_for_a_folder(tmp_path: Path) -> None:
    (tmp_path / "archive.tar").write_text("")
    with pytest.raises(DatasetError, match=r"archive\.tar is not a folder"):
        Source({"folder": str(tmp_path / "archive.tar")})


@pytest.mark.parametrize("part", ["train", "test"])
def test_a_missing_part(folder: Path, part: str) -> None:
    shutil.rmtree(folder / part)
    assert f"{folder / part} is missing" in read_error(folder)


def test_an_empty_part(folder: Path) -> None:
    shutil.rmtree(folder / "train")
    (folder / "train").mkdir()
    assert f"the train folder {folder / 'train'} is empty" in read_error(folder)


def test_an_empty_class(folder: Path) -> None:
    (folder / "test/red/c.bmp").unlink()
    assert f"the class folder {folder / 'test/red'} is empty" in read_error(folder)


def test_one_class(folder: Path) -> None:
    for part in ("train", "test"):
        shutil.rmtree(folder / part / "blue")
    assert f"{folder} has one class, red; at least 2 are needed" in read_error(folder)


def test_classes_that_differ(folder: Path) -> None:
    (folder / "test/red").rename(folder / "test/green")
    assert "train and test must have the same classes; only one of them has green, red" in read_error(folder)


def test_a_file_where_a_class_should_be(folder: Path) -> None:
    for part in ("train", "test"):
        (folder / part / "README").write_text("hello")
    assert f"{folder / 'train/README'} is not a folder" in read_error(folder)


def test_a_file_that_is_no_image(folder: Path) -> None:
    (folder / "train/red/notes.txt").write_text("hello")
    assert f"{folder / 'train/red/notes.txt'} is not an image that can be read" in read_error(folder)


def test_a_truncated_image(folder: Path) -> None:
    image = folder / "train/red/b.jpg"
    image.write_bytes(image.read_bytes()[:-60])
    assert f"{image} is not an image that can be read" in read_error(folder)


def test_a_folder_inside_a_class(folder: Path) -> None:
    (folder / "train/red/more").mkdir()
    assert f"{folder / 'train/red/more'} is not an image that can be read" in read_error(folder)


def test_a_link_that_leads_nowhere(folder: Path) -> None:
    (folder / "train/red/link.png").symlink_to(folder / "gone.png")
    assert f"{folder / 'train/red/link.png'}: No such file" in read_error(folder)
