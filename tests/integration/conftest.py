# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Which of these tests may run beside others, and which of them stay together in a parallel run.

``make test`` runs those that are not marked ``alone`` first, two at a time. A file's tests stay together, since they
share what they deployed. So do those that build images: a reset with images removes what no image names, which another
build may be about to use.
"""

from __future__ import annotations

import contextlib
from typing import TYPE_CHECKING, Any

import pytest
from xdist.scheduler import LoadFileScheduling

from tests.integration.debian_base import ensure_engine

if TYPE_CHECKING:
    from xdist.remote import Producer

BUILDING = ("test_images.py", "test_kind_inventory.py", "test_ssh_host.py", "test_load_hosts.py")
"""They take longest, and begin first."""


class Scheduling(LoadFileScheduling):
    """A file's tests on one worker, and all files that build images on the same one."""

    def _split_scope(self, nodeid: str) -> str:
        path: str = super()._split_scope(nodeid)
        return "images" if path.endswith(BUILDING) else path


def pytest_xdist_make_scheduler(config: pytest.Config, log: Producer) -> Any:
    """Schedule by the above; --dist says only that tests are spread at all."""
    return Scheduling(config, log) if config.getoption("dist") == "loadfile" else None


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put what takes longest first."""
    items.sort(key=lambda item: item.path.name not in BUILDING)


def pytest_configure(config: pytest.Config) -> None:
    """Have one Docker engine for all processes of a parallel run, which ends after them."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        with contextlib.suppress(pytest.skip.Exception):
            ensure_engine()
