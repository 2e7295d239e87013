# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""How the C library keeps the memory that arrays leave behind."""

from __future__ import annotations

import ctypes

# mallopt(3), malloc.h of glibc.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_KEPT_BYTES = 1 << 30
_LARGEST_MMAP_THRESHOLD = 32 << 20  # DEFAULT_MMAP_THRESHOLD_MAX of 64-bit glibc; a larger value is refused


def keep_freed_memory() -> bool:
    """Makes malloc keep up to 1 GiB of freed memory for the next array, and tells whether it will.

    By default glibc gives the activations of one batch back to the kernel and gets them anew, page by page, for the
    next. How much of that happens depends on the order of allocations in a process's life, so that two starts of the
    same service differ in speed. A C library without mallopt is left as it is.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except AttributeError:
        return False
    return bool(mallopt(_M_MMAP_THRESHOLD, _LARGEST_MMAP_THRESHOLD)) and bool(mallopt(_M_TRIM_THRESHOLD, _KEPT_BYTES))
