# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Which of these tests may run beside others, and which of them stay together in a parallel run.

``make test`` runs those that are not marked ``alone`` first, two at a time. A file's tests stay together, since they
share what they deployed. So do those that build images: a reset with images removes what no image names, which another
build may be about to use.
"""

from __future__ import annotations

import contextlib

import pytest

from tests.integration.debian_base import ensure_engine

BUILDING = frozenset({"test_images.py", "test_kind_inventory.py"})
"""They take longest, and begin first."""


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Name the group of every test, before a worker reads it."""
    for item in items:
        item.add_marker(pytest.mark.xdist_group("images" if item.path.name in BUILDING else str(item.path)))
    items.sort(key=lambda item: item.path.name not in BUILDING)


def pytest_configure(config: pytest.Config) -> None:
    """Have one Docker engine for all processes of a parallel run, which ends after them."""
    if config.getoption("numprocesses", None) and not hasattr(config, "workerinput"):
        with contextlib.suppress(pytest.skip.Exception):
            ensure_engine()
