# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""CIFAR-10 as its authors publish it, through torchvision's loader: from a folder, a mirror or the original address."""

from __future__ import annotations

import hashlib
import tempfile
import time
import urllib.request
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

import numpy as np

from cifar_cnn.datasets import options as checks
from cifar_cnn.datasets.arrays import ImageArrays
from cifar_cnn.errors import DatasetError

if TYPE_CHECKING:
    from torchvision.datasets import CIFAR10

# Of cifar-10-python.tar.gz: keras, keras/src/datasets/cifar10.py, file_hash. torchvision itself compares only MD5 sums.
ARCHIVE_SHA256 = "6d958be074577803d12ecdefd02955f39262c83c16fe9348329d7fe0b5c001ce"
_DOWNLOAD_DEADLINE_SECONDS = 1800
_SILENCE_SECONDS = 60
_CHUNK_BYTES = 1 << 20


class Source:
    def __init__(self, options: Mapping[str, object]) -> None:
        """Options, at most one of them: `folder` (with cifar-10-python.tar.gz or what it unpacks to) and `mirror` (the
        archive's http or https address, or that of the folder it lies in, ending in /)."""
        checks.refuse_unknown("cifar10", options, ("folder", "mirror"))
        if len(options) > 1:
            raise DatasetError("options of data set cifar10: give folder or mirror, not both")
        self._folder = checks.folder("cifar10", options, "folder") if "folder" in options else None
        self._mirror = _address(options["mirror"]) if "mirror" in options else None

    def fingerprint(self) -> str:
        """The content is fixed by its checksums."""
        return ""

    def read(self) -> ImageArrays:
        from torchvision.datasets import CIFAR10  # noqa: PLC0415  # slow; only preparation needs it

        with tempfile.TemporaryDirectory(prefix="cifar10-") as scratch:
            unpacked = self._unpacked(CIFAR10)
            root = unpacked or self._archive_in(Path(scratch), CIFAR10)
            try:
                # Where the verified archive lies in `root`, "download" only unpacks it.
                train, test = (CIFAR10(str(root), train=part, download=unpacked is None) for part in (True, False))
            except (RuntimeError, OSError, EOFError) as error:
                raise DatasetError(f"{root / CIFAR10.base_folder} is incomplete or damaged: {error}") from error
            return ImageArrays(
                np.asarray(train.data),
                np.array(train.targets, dtype=np.int64),
                np.asarray(test.data),
                np.array(test.targets, dtype=np.int64),
                tuple(train.classes),
            )

    def _unpacked(self, loader: type[CIFAR10]) -> Path | None:
        """Returns the folder above the unpacked batches, if that is what the user gave."""
        if self._folder is not None and (self._folder / loader.base_folder).is_dir():
            return self._folder
        if self._folder is not None and self._folder.name == loader.base_folder:
            return self._folder.parent
        return None

    def _archive_in(self, scratch: Path, loader: type[CIFAR10]) -> Path:
        """Puts the verified archive into `scratch` and returns it; the user's folder is not written to."""
        archive = scratch / loader.filename
        if self._folder is None:
            _download(self._mirror or loader.url, loader.filename, archive)
        elif (self._folder / loader.filename).is_file():
            archive.symlink_to((self._folder / loader.filename).resolve())
        else:
            raise DatasetError(f"{self._folder} holds neither {loader.filename} nor {loader.base_folder}/")
        _verify(archive)
        return scratch


def _address(value: object) -> str:
    if not isinstance(value, str) or urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).netloc:
        raise DatasetError(f"option mirror of data set cifar10: expected an http or https address, got {value!r}")
    return value


def _verify(archive: Path) -> None:
    with archive.open("rb") as file:
        actual = hashlib.file_digest(file, "sha256").hexdigest()
    if actual != ARCHIVE_SHA256:
        raise DatasetError(f"checksum mismatch: {archive.resolve()} has SHA-256 {actual}, expected {ARCHIVE_SHA256}")


def _download(address: str, filename: str, target: Path) -> None:
    """Fetches the archive. Raises DatasetError when the mirror cannot be reached, stalls or is too slow."""
    if address.endswith("/"):
        address += filename
    deadline = time.monotonic() + _DOWNLOAD_DEADLINE_SECONDS
    try:
        with urllib.request.urlopen(address, timeout=_SILENCE_SECONDS) as response, target.open("wb") as file:
            while chunk := response.read(_CHUNK_BYTES):
                file.write(chunk)
                if time.monotonic() > deadline:
                    raise DatasetError(f"{address} did not finish within {_DOWNLOAD_DEADLINE_SECONDS} s; use a mirror")
    except (OSError, ValueError) as error:
        raise DatasetError(
            f"cannot download {address}: {error}; give dataset_options folder or mirror, or use dataset digits"
        ) from error
