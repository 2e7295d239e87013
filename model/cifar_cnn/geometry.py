# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The shape of every image, for modules that must not import PyTorch to know it."""

IMAGE_SIZE = 32
"""Height and width in pixels."""
