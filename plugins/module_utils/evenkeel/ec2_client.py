# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A client of EC2 with deadlines, and its failures in the form that the amazon.aws modules give theirs.

It runs on the controller, whose environment has boto3; credentials and endpoint are found as boto3 finds them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

try:
    import boto3
    import botocore.config
    import botocore.exceptions
except ImportError:
    boto3 = None

CONNECT_SECONDS = 10
ANSWER_SECONDS = 60


class Ec2Failed(Exception):
    """AWS could not be asked, or refused; ``details`` are a module result's."""

    def __init__(self, message: str, details: dict[str, Any]) -> None:
        super().__init__(message)
        self.details = details


def connect(region: str) -> Any:
    """A client for ``region``.

    Raises:
        Ec2Failed: there is no boto3, or the region's name cannot be one.
    """
    if boto3 is None:
        raise Ec2Failed(
            "The Python package boto3 is missing. Run `make venv` and use .venv/bin/ansible-playbook.",
            {"operation": "import boto3"},
        )
    config = botocore.config.Config(
        connect_timeout=CONNECT_SECONDS,
        read_timeout=ANSWER_SECONDS,
        retries={"mode": "standard", "total_max_attempts": 3},
    )
    return asked("connect", lambda: boto3.client("ec2", region_name=region, config=config))


def asked(operation: str, call: Callable[[], Any]) -> Any:
    """What ``call`` returns.

    Raises:
        Ec2Failed: AWS could not be asked, or refused.
    """
    try:
        return call()
    except botocore.exceptions.ClientError as error:
        code = str(error.response["Error"].get("Code", ""))
        raise Ec2Failed(str(error), {"operation": operation, "error": {"code": code}}) from error
    except (botocore.exceptions.BotoCoreError, ValueError) as error:
        raise Ec2Failed(str(error), {"operation": operation}) from error


def pages(client: Any, operation: str, key: str, filters: dict[str, list[str]]) -> list[dict[str, Any]]:
    """All things that a describing operation lists under ``key``.

    Raises:
        Ec2Failed: as of `asked`.
    """
    wanted = [{"Name": name, "Values": values} for name, values in filters.items()]
    if not client.can_paginate(operation):
        return list(asked(operation, lambda: getattr(client, operation)(Filters=wanted))[key])
    paginator = client.get_paginator(operation)
    return asked(operation, lambda: [item for page in paginator.paginate(Filters=wanted) for item in page[key]])  # type: ignore[no-any-return]
