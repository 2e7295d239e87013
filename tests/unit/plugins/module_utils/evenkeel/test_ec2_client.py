# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.ec2_client: failures of AWS in one form, and a client that does not wait for ever."""

from __future__ import annotations

from typing import Any

import botocore.exceptions
import pytest
from evenkeel import ec2_client


def refuse() -> None:
    response: Any = {"Error": {"Code": "UnauthorizedOperation", "Message": "no"}}
    raise botocore.exceptions.ClientError(response, "DescribeInstances")


def lack() -> None:
    raise botocore.exceptions.NoCredentialsError()


def test_a_refusal_has_its_code_and_a_lack_of_credentials_none() -> None:
    with pytest.raises(ec2_client.Ec2Failed) as refused:
        ec2_client.asked("look", refuse)
    assert refused.value.details == {"operation": "look", "error": {"code": "UnauthorizedOperation"}}
    with pytest.raises(ec2_client.Ec2Failed, match="Unable to locate credentials") as lacking:
        ec2_client.asked("look", lack)
    assert lacking.value.details == {"operation": "look"}
    assert ec2_client.asked("look", lambda: 5) == 5


def test_a_region_that_cannot_be_one_and_a_missing_package_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(ec2_client.Ec2Failed, match="doesn't match a supported format"):
        ec2_client.connect("us east 1")
    monkeypatch.setattr(ec2_client, "boto3", None)
    with pytest.raises(ec2_client.Ec2Failed, match="boto3 is missing"):
        ec2_client.connect("us-east-1")


def test_it_ends_by_itself(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    config = ec2_client.connect("us-east-1").meta.config
    assert (config.connect_timeout, config.read_timeout, config.retries["total_max_attempts"]) == (10, 60, 3)
