# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A real Docker engine and a Debian base image for the tests that build images and run containers.

Where no image can be pulled the base is made by debootstrap from the distribution's packages, under the name that a
registry would have it by, so that a Dockerfile's `FROM` finds it.
"""

from __future__ import annotations

import atexit
import contextlib
import fcntl
import functools
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from evenkeel import docker_engine

BASE_IMAGE = "debian:bookworm-slim"
ENGINE_START_SECONDS = 60
BOOTSTRAP_SECONDS = 900
# What a Dockerfile of a test may rely on beyond debootstrap's smallest variant.
BASE_PACKAGES = ("ca-certificates",)


def docker(*arguments: str, timeout: float = 120, **options: Any) -> str:
    """What `docker ARGUMENTS` prints; it must succeed."""
    completed = subprocess.run(
        ["docker", *arguments], capture_output=True, text=True, timeout=timeout, check=False, **options
    )
    assert completed.returncode == 0, f"docker {' '.join(arguments)}: {completed.stdout}{completed.stderr}"
    return completed.stdout.strip()


@contextlib.contextmanager
def locked(what: str, *, shared: bool = False) -> Iterator[None]:
    """Hold a lock of all tests on this machine, in whatever process: shared ones together, any other alone."""
    with Path(tempfile.gettempdir(), f"evenkeel-{what}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_SH if shared else fcntl.LOCK_EX)
        yield


def engine_answers() -> bool:
    """Whether the engine of this process's environment answers."""
    try:
        docker_engine.engine_from(None)
    except docker_engine.EngineError:
        return False
    return True


def _start_engine() -> None:
    """dockerd with this test run's own log; it ends with the run."""
    folder = Path(tempfile.mkdtemp(prefix="evenkeel-dockerd-"))
    log = folder / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(["dockerd"], stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)

    def end() -> None:
        process.terminate()
        process.wait(timeout=60)
        shutil.rmtree(folder, ignore_errors=True)

    atexit.register(end)
    give_up = time.monotonic() + ENGINE_START_SECONDS
    while not engine_answers():
        if process.poll() is not None or time.monotonic() > give_up:
            pytest.skip(f"dockerd does not start here: {log.read_text(errors='replace')[-500:]}")
        time.sleep(0.2)


def ensure_engine() -> None:
    """A Docker engine: the one that answers, else one that is started here and ended with the test run.

    Skips the test, with the reason, where there can be none.
    """
    if engine_answers():
        return
    if shutil.which("docker") is None or shutil.which("dockerd") is None:
        pytest.skip("no Docker engine is installed (docker and dockerd are not both on PATH)")
    if os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and only root can start one")
    with locked("engine"):
        if not engine_answers():
            _start_engine()


def _bootstrap(folder: Path) -> None:
    """Debian 12's smallest system in ``folder``, from the mirror that this machine's own package manager uses."""
    mirror = _apt_mirror()
    include = f"--include={','.join(BASE_PACKAGES)}"
    argv = ["debootstrap", "--variant=minbase", include, "bookworm", str(folder), *([mirror] if mirror else [])]
    made = subprocess.run(argv, capture_output=True, text=True, timeout=BOOTSTRAP_SECONDS, check=False)
    if made.returncode != 0:
        pytest.skip(f"debootstrap cannot make a Debian system here: {(made.stdout + made.stderr)[-500:]}")
    for packages in (folder / "var" / "cache" / "apt" / "archives").glob("*.deb"):
        packages.unlink()


def _apt_mirror() -> str | None:
    """Where this machine gets Debian 12 from, None where it is no Debian 12."""
    wanted = ["apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE)", "Created-By: Packages"]
    try:
        listed = subprocess.run(wanted, capture_output=True, text=True, timeout=60, check=False).stdout
    except FileNotFoundError:
        return None
    return next((uri for uri, release in (line.split() for line in listed.splitlines()) if release == "bookworm"), None)


@functools.cache
def ensure_base_image() -> str:
    """The name of a Debian 12 image: the one that is there, else made by debootstrap (30-100 s, once), else pulled.

    It stays afterwards: the next test run finds it. Skips the test, with the reason, where there can be none.
    """
    ensure_engine()
    with locked("debian-base"):
        if docker("image", "ls", "--quiet", BASE_IMAGE):
            return BASE_IMAGE
        if os.geteuid() != 0 or shutil.which("debootstrap") is None:
            argv = ["docker", "pull", "--quiet", BASE_IMAGE]
            pulled = subprocess.run(argv, capture_output=True, text=True, timeout=300, check=False)
            if pulled.returncode != 0:
                pytest.skip(
                    f"{BASE_IMAGE} cannot be pulled ({pulled.stderr.strip()}), nor made without debootstrap and root"
                )
            return BASE_IMAGE
        with tempfile.TemporaryDirectory(prefix="evenkeel-debian-base-") as folder:
            _bootstrap(Path(folder))
            tar = subprocess.Popen(["tar", "-C", folder, "-c", "."], stdout=subprocess.PIPE)
            docker("import", "-", BASE_IMAGE, stdin=tar.stdout, timeout=300)
            assert tar.stdout is not None
            tar.stdout.close()
            assert tar.wait(timeout=60) == 0
    return BASE_IMAGE


def build_network() -> list[str]:
    """What `docker build` and `docker run` need to reach a package registry through this machine's own network."""
    return ["--network", "host"]


def certificates() -> Path | None:
    """The bundle of certificate authorities that this machine trusts, to be put into an image that downloads."""
    bundle = Path("/etc/ssl/certs/ca-certificates.crt")
    return bundle if bundle.is_file() else None
