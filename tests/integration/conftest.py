# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Which of these tests may run beside others, and which of them stay together in a parallel run.

``make test`` runs those that are not marked ``alone`` first, two at a time. A file's tests stay together, since they
share what they deployed. So do the files that build the same images. What takes longest begins first, and takes turns:
of two workers each has half of it.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.integration.debian_base import ensure_engine

if TYPE_CHECKING:
    from xdist.remote import Producer

BUILDING = ("test_images.py", "test_kind_inventory.py", "test_docker_arms.py")
LONGEST = (*BUILDING, "test_ssh_host.py", "test_load_hosts.py")


class Scheduling(LoadFileScheduling):
    """A file's tests on one worker, and all files that build the same images on one too."""

    def _split_scope(self, nodeid: str) -> str:
        path: str = super()._split_scope(nodeid)
        return "images" if path.endswith(BUILDING) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Any:
    """Schedule by the above; --dist says only that tests are spread at all."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first."""
    items.sort(key=lambda item: LONGEST.index(item.path.name) if item.path.name in LONGEST else len(LONGEST))


def pytest_configure(config: pytest.Config) -> None:
    """Have one Docker engine for all processes of a parallel run, which ends after them."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        with contextlib.suppress(pytest.skip.Exception):
            ensure_engine()
