# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

import io
import zlib

import numpy as np
import pytest
from cifar_cnn.errors import DamagedImageError, EmptyImageError, ImageError, ImageTooLargeError, NotAnImageError
from cifar_cnn.images import Pixels, decode_image, encode_png
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image


def picture() -> Pixels:
    return np.random.RandomState(1).randint(0, 256, size=(32, 32, 3)).astype(np.uint8)


def encoded(image: Image.Image, file_format: str) -> bytes:
    file = io.BytesIO()
    image.save(file, format=file_format)
    return file.getvalue()


PNG = encode_png(picture())
JPEG = encoded(Image.fromarray(picture()), "JPEG")


def test_a_png_of_the_right_size_keeps_its_pixels() -> None:
    assert np.array_equal(decode_image(PNG), picture())


def test_a_jpeg_comes_near() -> None:
    smooth = np.add.outer(np.arange(32), np.arange(32))[..., None].repeat(3, axis=2).astype(np.uint8)
    decoded = decode_image(encoded(Image.fromarray(smooth), "JPEG"))
    assert np.abs(decoded.astype(int) - smooth).max() < 8


@pytest.mark.parametrize(("mode", "colour"), [("1", 1), ("L", 255), ("LA", (255, 0)), ("P", 0), ("RGBA", (255,) * 4)])
def test_any_size_and_mode_becomes_32_by_32_rgb(mode: str, colour: int) -> None:
    pixels = decode_image(encoded(Image.new(mode, (50, 20), colour), "PNG"))
    assert (pixels.shape, pixels.dtype) == ((32, 32, 3), np.uint8)
    assert pixels.min() == pixels.max() == (0 if mode == "P" else 255)


def test_16_bit_grey_is_scaled_and_not_cut() -> None:
    assert decode_image(encoded(Image.new("I;16", (32, 32), 0x8000), "PNG"))[0, 0].tolist() == [0x80] * 3


def test_no_bytes() -> None:
    with pytest.raises(EmptyImageError):
        decode_image(b"")


GIF = encoded(Image.new("RGB", (4, 4)), "GIF")


@pytest.mark.parametrize("data", [b"hello", b"\x00" * 100, b"%PDF-1.7", GIF, PNG[1:]])
def test_other_files(data: bytes) -> None:
    with pytest.raises(NotAnImageError, match="neither a PNG nor a JPEG"):
        decode_image(data)


@pytest.mark.parametrize("whole", [PNG, JPEG], ids=["png", "jpeg"])
def test_every_truncation_is_seen(whole: bytes) -> None:
    decode_image(whole)
    for length in range(1, len(whole)):
        with pytest.raises(DamagedImageError):
            decode_image(whole[:length])


@given(st.sampled_from([PNG, JPEG]), st.lists(st.tuples(st.integers(0, 500), st.integers(0, 255)), max_size=6))
def test_damage_gives_an_image_error_or_pixels(whole: bytes, changes: list[tuple[int, int]]) -> None:
    data = bytearray(whole)
    for position, value in changes:
        data[position] = value
    try:
        assert decode_image(bytes(data)).shape == (32, 32, 3)
    except ImageError as error:
        assert str(error)


def test_bytes_after_the_image_are_no_damage() -> None:
    for whole in (PNG, JPEG):
        assert np.array_equal(decode_image(whole + b"\0" * 10), decode_image(whole))


@pytest.mark.parametrize("side", [4097, 30_000])
def test_a_small_file_with_too_many_pixels_is_not_unpacked(side: int) -> None:
    def chunk(kind: bytes, data: bytes) -> bytes:
        return len(data).to_bytes(4) + kind + data + zlib.crc32(kind + data).to_bytes(4)

    header = side.to_bytes(4) * 2 + bytes([8, 0, 0, 0, 0])
    bomb = PNG[:8] + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"\0" * 1000)) + chunk(b"IEND", b"")
    with pytest.raises(ImageTooLargeError, match="pixels"):
        decode_image(bomb)
