# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""With a small stand-in for the archive: the same layout, ten images a batch."""

from __future__ import annotations

import hashlib
import io
import pickle
import tarfile
import threading
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
from cifar_cnn.datasets import cifar10
from cifar_cnn.datasets.cifar10 import Source
from cifar_cnn.datasets.prepared import prepare
from cifar_cnn.errors import DatasetError
from torchvision.datasets import CIFAR10

NAMES = ["airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder with the stand-in archive, whose checksums replace the real ones."""
    random = np.random.RandomState(1)
    files = {"batches.meta": pickle.dumps({"label_names": NAMES})}
    for name in ("data_batch_1", "data_batch_2", "test_batch"):
        pixels = random.randint(0, 256, size=(10, 3072)).astype(np.uint8)
        files[name] = pickle.dumps({"data": pixels, "labels": list(range(10))})
    md5 = {name: hashlib.md5(data).hexdigest() for name, data in files.items()}
    folder = tmp_path / "downloads"
    folder.mkdir()
    with tarfile.open(folder / CIFAR10.filename, "w:gz") as archive:
        for name, data in files.items():
            member = tarfile.TarInfo(f"{CIFAR10.base_folder}/{name}")
            member.size = len(data)
            archive.addfile(member, io.BytesIO(data))
    packed = (folder / CIFAR10.filename).read_bytes()
    monkeypatch.setattr(CIFAR10, "train_list", [[name, md5[name]] for name in ("data_batch_1", "data_batch_2")])
    monkeypatch.setattr(CIFAR10, "test_list", [["test_batch", md5["test_batch"]]])
    monkeypatch.setattr(CIFAR10, "meta", {**CIFAR10.meta, "md5": md5["batches.meta"]})
    monkeypatch.setattr(CIFAR10, "tgz_md5", hashlib.md5(packed).hexdigest())
    monkeypatch.setattr(cifar10, "ARCHIVE_SHA256", hashlib.sha256(packed).hexdigest())
    return folder


@pytest.fixture
def mirror(folder: Path) -> Iterator[str]:
    """The address of a local server for that folder."""

    class Quiet(SimpleHTTPRequestHandler):
        def log_message(self, *arguments: object) -> None:
            """Nothing is printed."""

    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()
        thread.join(10)


def unpack(folder: Path) -> Path:
    with tarfile.open(folder / CIFAR10.filename) as archive:
        archive.extractall(folder, filter="data")
    (folder / CIFAR10.filename).unlink()
    return folder


def test_from_an_archive_in_a_folder_that_is_left_as_it_was(folder: Path) -> None:
    arrays = Source({"folder": str(folder)}).read()
    assert arrays.classes == tuple(NAMES)
    assert (arrays.train_images.shape, arrays.test_images.shape) == ((20, 32, 32, 3), (10, 32, 32, 3))
    assert arrays.test_labels.tolist() == list(range(10))
    assert [path.name for path in folder.iterdir()] == [CIFAR10.filename]


def test_archive_batches_and_mirror_give_the_same(folder: Path, mirror: str) -> None:
    expected = Source({"folder": str(folder)}).read().sha256()
    assert Source({"mirror": mirror}).read().sha256() == expected
    assert Source({"mirror": mirror + CIFAR10.filename}).read().sha256() == expected
    unpack(folder)
    assert Source({"folder": str(folder)}).read().sha256() == expected
    assert Source({"folder": str(folder / CIFAR10.base_folder)}).read().sha256() == expected


def test_without_options_the_loaders_own_address_is_used(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CIFAR10, "url", mirror + CIFAR10.filename)
    assert len(Source({}).read().train_labels) == 20


def test_a_damaged_archive_is_a_checksum_mismatch(folder: Path) -> None:
    archive = folder / CIFAR10.filename
    archive.write_bytes(archive.read_bytes()[:-1] + b"x")
    with pytest.raises(DatasetError, match=r"checksum mismatch: .* has SHA-256 .*, expected ") as error:
        Source({"folder": str(folder)}).read()
    assert str(archive) in str(error.value)


@pytest.mark.parametrize("change", ["damage", "remove"])
def test_a_damaged_or_missing_batch_is_named_by_its_folder(folder: Path, change: str) -> None:
    batch = unpack(folder) / CIFAR10.base_folder / "test_batch"
    batch.write_bytes(b"x") if change == "damage" else batch.unlink()
    with pytest.raises(DatasetError, match="is incomplete or damaged") as error:
        Source({"folder": str(folder)}).read()
    assert str(batch.parent) in str(error.value)


def test_a_folder_without_it(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"holds neither cifar-10-python\.tar\.gz nor cifar-10-batches-py/"):
        Source({"folder": str(tmp_path)}).read()


def test_a_mirror_that_does_not_have_it_or_is_not_there(mirror: str) -> None:
    for address in (mirror + "elsewhere/", "http://127.0.0.1:1/"):
        with pytest.raises(DatasetError, match=f"cannot download {address}.*give dataset_options folder or mirror"):
            Source({"mirror": address}).read()


def test_a_mirror_that_never_ends_is_given_up(mirror: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cifar10, "_DOWNLOAD_DEADLINE_SECONDS", -1)
    with pytest.raises(DatasetError, match="did not finish within -1 s"):
        Source({"mirror": mirror}).read()


@pytest.mark.parametrize("value", ["", "ftp://host/x", "/some/path", "https://", 7, None])
def test_an_address_that_is_none_is_refused(value: object) -> None:
    with pytest.raises(DatasetError, match="option mirror of data set cifar10: expected an http or https address"):
        Source({"mirror": value})


def test_folder_and_mirror_together_are_refused(folder: Path) -> None:
    with pytest.raises(DatasetError, match="give folder or mirror, not both"):
        Source({"folder": str(folder), "mirror": "http://127.0.0.1/"})


def test_preparing_it_again_reads_nothing(folder: Path) -> None:
    out = folder.parent / "out"
    assert prepare("cifar10", {"folder": str(folder)}, out)[1] is True
    (folder / CIFAR10.filename).write_bytes(b"")
    assert prepare("cifar10", {"folder": str(folder)}, out)[1] is False
