# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/ec2_tagged_facts.py with a client that lists what it is given."""

from __future__ import annotations

from collections.abc import Callable
from types import ModuleType
from typing import Any

import botocore.exceptions
import pytest

Listed = dict[str, list[Any]]
INSTANCE = {
    "InstanceId": "i-1",
    "State": {"Name": "running"},
    "InstanceType": "t3.medium",
    "ImageId": "ami-1",
    "PublicIpAddress": "203.0.113.9",
    "LaunchTime": "2026-01-01",
    "BlockDeviceMappings": [{"Ebs": {"VolumeId": "vol-1"}}],
}
EMPTY: Listed = {
    "describe_instances": [],
    "describe_security_groups": [],
    "describe_volumes": [],
    "describe_key_pairs": [],
}


class Client:
    """Stands for boto3's client. ``late`` is how often it lists no instance before it does."""

    def __init__(self, late: int = 0, error: Exception | None = None, **listed: list[Any]) -> None:
        self.listed = EMPTY | {f"describe_{name}": things for name, things in listed.items()}
        self.late, self.error = late, error
        self.asked: list[tuple[str, dict[str, list[str]]]] = []

    def can_paginate(self, operation: str) -> bool:
        return operation != "describe_key_pairs"

    def get_paginator(self, operation: str) -> Any:
        client, key = self, {"describe_instances": "Reservations"}.get(operation)
        key = key or operation.removeprefix("describe_").title().replace("_", "")

        class Paginator:
            def paginate(self, **options: Any) -> list[dict[str, Any]]:
                return [{key: client.answer(operation, options)}]

        return Paginator()

    def describe_key_pairs(self, **options: Any) -> dict[str, Any]:
        return {"KeyPairs": self.answer("describe_key_pairs", options)}

    def answer(self, operation: str, options: dict[str, Any]) -> list[Any]:
        self.asked.append((operation, {one["Name"]: one["Values"] for one in options["Filters"]}))
        if self.error:
            raise self.error
        if operation == "describe_instances" and self.late:
            self.late -= 1
            return []
        return self.listed[operation]


Run = Callable[..., dict[str, Any]]


@pytest.fixture
def run(
    load_module: Callable[[str], ModuleType],
    run_module: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Run:
    module = load_module("ec2_tagged_facts")
    monkeypatch.setattr(module, "LOOK_AGAIN_SECONDS", 0.01)

    def asked(client: Client, **changed: Any) -> dict[str, Any]:
        monkeypatch.setattr(module.ec2_client, "connect", lambda _region: client)
        return run_module(module, {"region": "us-east-1", "tags": {"evenkeel": "ops"}, **changed})

    return asked


def test_everything_is_asked_for_by_the_tags(run: Run) -> None:
    client = Client(
        instances=[{"Instances": [INSTANCE]}],
        security_groups=[{"GroupId": "sg-1", "GroupName": "evenkeel-ops"}],
        network_interfaces=[{"NetworkInterfaceId": "eni-1", "Status": "in-use"}],
        volumes=[{"VolumeId": "vol-1", "State": "in-use"}],
        key_pairs=[{"KeyPairId": "key-1", "KeyName": "evenkeel-ops"}],
    )
    done = run(client)
    assert done["changed"] is False
    assert done["ec2_tagged"] == {
        "instances": [
            {
                "id": "i-1",
                "state": "running",
                "type": "t3.medium",
                "image_id": "ami-1",
                "public_address": "203.0.113.9",
                "private_address": None,
                "volume_ids": ["vol-1"],
            }
        ],
        "volumes": [{"id": "vol-1", "state": "in-use"}],
        "key_pairs": [{"id": "key-1", "name": "evenkeel-ops"}],
        "security_groups": [{"id": "sg-1", "name": "evenkeel-ops"}],
        "network_interfaces": [{"id": "eni-1", "state": "in-use"}],
    }
    filters = dict(client.asked)
    assert filters["describe_network_interfaces"] == {"group-id": ["sg-1"]}
    assert "terminated" not in filters["describe_instances"].pop("instance-state-name")
    del filters["describe_network_interfaces"]
    assert filters == {operation: {"tag:evenkeel": ["ops"]} for operation in EMPTY}


def test_nothing_is_nothing_and_without_groups_no_interface_is_asked_for(run: Run) -> None:
    client = Client()
    assert not any(run(client)["ec2_tagged"].values())
    assert "describe_network_interfaces" not in dict(client.asked)


def test_an_instance_that_is_listed_late_is_waited_for(run: Run) -> None:
    late = {"late": 2, "instances": [{"Instances": [INSTANCE]}]}
    assert run(Client(**late))["ec2_tagged"]["instances"] == []
    assert len(run(Client(**late), settle_seconds=30)["ec2_tagged"]["instances"]) == 1
    assert run(Client(), settle_seconds=0.05)["ec2_tagged"]["instances"] == []


def test_what_aws_refuses_has_its_code(run: Run) -> None:
    response: Any = {"Error": {"Code": "AuthFailure", "Message": "no"}}
    done = run(Client(error=botocore.exceptions.ClientError(response, "DescribeSecurityGroups")))
    assert done["failed"] and done["error"] == {"code": "AuthFailure"} and "AuthFailure" in done["msg"]
