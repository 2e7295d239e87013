# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Image files to pixels, the same way for a request's body and for a folder of training images."""

from __future__ import annotations

import io
import struct

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from cifar_cnn.errors import DamagedImageError, EmptyImageError, ImageTooLargeError, NotAnImageError
from cifar_cnn.geometry import IMAGE_SIZE

Pixels = NDArray[np.uint8]
"""One RGB image: (32, 32, 3)."""

MAX_PIXELS = 4096 * 4096
"""A small file can unpack to a huge image; this one takes 48 MB."""

_PNG_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_PNG_END = b"IEND" + struct.pack(">I", 0xAE426082)
_JPEG_SIGNATURE = b"\xff\xd8\xff"
_JPEG_SCAN, _JPEG_END = b"\xff\xda", b"\xff\xd9"


def decode_image(data: bytes) -> Pixels:
    """Decodes a PNG or JPEG file, resized to 32x32 RGB.

    Raises EmptyImageError, ImageTooLargeError, NotAnImageError or DamagedImageError.
    """
    if not data:
        raise EmptyImageError("the body is empty; send a PNG or JPEG image")
    # The start of a signature counts as a truncated image, not as something else.
    if not any(data.startswith(known[: len(data)]) for known in (_PNG_SIGNATURE, _JPEG_SIGNATURE)):
        raise NotAnImageError("the body is neither a PNG nor a JPEG image")
    try:
        with Image.open(io.BytesIO(data), formats=("PNG", "JPEG")) as image:
            if image.width * image.height > MAX_PIXELS:
                raise ImageTooLargeError(
                    f"the image has {image.width} x {image.height} pixels; at most {MAX_PIXELS} are accepted"
                )
            image.load()
            pixels = to_pixels(image)
    except (ImageTooLargeError, Image.DecompressionBombError) as error:
        raise ImageTooLargeError(str(error)) from error
    except Exception as error:  # Pillow's decoders raise nearly any class on broken input
        raise DamagedImageError(f"the image is truncated or damaged: {error}") from error
    if not _is_whole(data):
        raise DamagedImageError("the image is truncated: its end marker is missing")
    return pixels


def _is_whole(data: bytes) -> bool:
    """Tells whether the file's end marker is there; Pillow accepts files that lack only that."""
    if data.startswith(_PNG_SIGNATURE):
        return _PNG_END in data
    # Inside a scan 0xFF is always followed by 0, and thumbnails come before the last scan.
    return data.rfind(_JPEG_END) > data.rfind(_JPEG_SCAN)


def to_pixels(image: Image.Image) -> Pixels:
    """Converts an opened image to 32x32 RGB, bilinear where its size differs; an alpha channel is dropped."""
    if image.mode.startswith("I;16"):
        # Pillow would cut 16-bit grey at 255 instead of scaling it.
        image = Image.fromarray((np.asarray(image) >> 8).astype(np.uint8))
    rgb = image.convert("RGB")
    if rgb.size != (IMAGE_SIZE, IMAGE_SIZE):
        rgb = rgb.resize((IMAGE_SIZE, IMAGE_SIZE), Image.Resampling.BILINEAR)
    return np.asarray(rgb, dtype=np.uint8)


def encode_png(pixels: Pixels) -> bytes:
    """Encodes (32, 32, 3) pixels without loss, as a client would send them."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, format="PNG")
    return file.getvalue()
