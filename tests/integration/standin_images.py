# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The base images of both arms where no image can be pulled: the stand-ins of tests/standins/images."""

from __future__ import annotations

import atexit
import contextlib
import functools
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from tests.integration.debian_base import build_network, certificates, docker, ensure_base_image, locked
from tests.integration.toolkit import ROOT
from tests.standins import kind

FOLDER = ROOT / "tests" / "standins" / "images"
CONDA, WATCHDOG = "evenkeel-test/conda:standin", "evenkeel-test/of-watchdog:standin"
PACKAGES = "evenkeel-test/packages"
REGISTRY, NODE = "evenkeel-test/registry:debian", "evenkeel-test/kind-node:standin"
SECRET = "s3cr3t-of-the-index"
# What their labels say, and every report made with them.
NAMES = ("stand-in of Conda (Debian's Python in a venv)", "stand-in of of-watchdog (a proxy in Python)")


@functools.cache
def build_standins() -> None:
    """Build them. Skips the test, with the reason, where there is no Docker engine or no Debian image."""
    base = ensure_base_image()
    options = [*build_network(), "--build-arg", f"BASE_IMAGE={base}"]
    docker("build", "--tag", CONDA, *options, str(FOLDER / "conda"), timeout=300)
    docker("build", "--tag", WATCHDOG, str(FOLDER / "watchdog"), timeout=300)


@functools.cache
def build_cluster_standins() -> None:
    """Build what a KinD cluster with a local registry is made of. Skips the test as ``build_standins`` does."""
    base = ensure_base_image()
    options = [*build_network(), "--build-arg", f"BASE_IMAGE={base}"]
    docker("build", "--tag", REGISTRY, *options, str(FOLDER / "registry"), timeout=300)
    with tempfile.TemporaryDirectory() as folder:
        docker("build", "--tag", NODE, str(kind.node_image_folder(Path(folder), base)), timeout=300)


def variables() -> dict[str, Any]:
    """What the playbooks are told, to build on them through this machine's own network."""
    return {
        "image_build_conda_image": CONDA,
        "image_build_watchdog_image": WATCHDOG,
        "image_build_network": "host",
        "image_build_ca_bundle": str(certificates() or ""),
        # A secret of the network's, which must not be found in an image.
        "image_build_environment": {"EVENKEEL_TEST_SECRET": SECRET},
    }


@contextlib.contextmanager
def building() -> Iterator[None]:
    """Around what builds images."""
    with locked("images", shared=True):
        yield


@contextlib.contextmanager
def nobody_building() -> Iterator[None]:
    """Around a reset with images: it removes what no image names, which another test's build may be about to use."""
    with locked("images"):
        yield


def keep_packages() -> None:
    """Keep the stage of a build that has the packages for the next test that builds: to make it takes minutes.

    A reset removes what has no name. This gives it one, until the test run ends.
    """
    for image in docker("image", "ls", "--quiet", "--filter", "label=com.evenkeel.stage=packages").split():
        if docker("image", "inspect", "--format", "{{len .RepoTags}}", image) == "0":
            name = f"{PACKAGES}:{image}"
            docker("tag", image, name)
            removal = ["docker", "image", "rm", "--force", name]
            atexit.register(subprocess.run, removal, capture_output=True, check=False)


def packages() -> list[str]:
    """The names of what was kept."""
    return docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}", PACKAGES).splitlines()
