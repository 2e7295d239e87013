# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The base images of both arms where no image can be pulled: the stand-ins of tests/standins/images."""

from __future__ import annotations

import functools
from typing import Any

from tests.integration.debian_base import build_network, certificates, docker, ensure_base_image
from tests.integration.toolkit import ROOT

FOLDER = ROOT / "tests" / "standins" / "images"
CONDA, WATCHDOG = "evenkeel-test/conda:standin", "evenkeel-test/of-watchdog:standin"
# What their labels say, and every report made with them.
NAMES = ("stand-in of Conda (Debian's Python in a venv)", "stand-in of of-watchdog (a proxy in Python)")


@functools.cache
def build_standins() -> None:
    """Build them. Skips the test, with the reason, where there is no Docker engine or no Debian image."""
    base = ensure_base_image()
    options = [*build_network(), "--build-arg", f"BASE_IMAGE={base}"]
    docker("build", "--tag", CONDA, *options, str(FOLDER / "conda"), timeout=300)
    docker("build", "--tag", WATCHDOG, str(FOLDER / "watchdog"), timeout=300)


def variables() -> dict[str, Any]:
    """What the playbooks are told, to build on them through this machine's own network."""
    return {
        "image_build_conda_image": CONDA,
        "image_build_watchdog_image": WATCHDOG,
        "image_build_network": "host",
        "image_build_ca_bundle": str(certificates() or ""),
    }
