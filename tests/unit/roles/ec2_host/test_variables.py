# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the role makes of an instance's type, of prices, and of what AWS says."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "ec2_host"
NOTHING: dict[str, Any] = {"volumes": [], "key_pairs": [], "security_groups": [], "network_interfaces": []}


def value(name: str, **variables: Any) -> Any:
    """A variable of the role, as Ansible reads it with these others set."""
    loader = DataLoader()
    known: dict[str, Any] = {"inventory_hostname": "server-ec2", "ansible_check_mode": False}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    return Templar(loader, known | variables).template(known[name])


@pytest.mark.parametrize(
    ("kind", "architecture"),
    [
        ("t3.medium", "x86_64"),
        ("t3a.small", "x86_64"),
        ("m5.large", "x86_64"),
        ("g4dn.xlarge", "x86_64"),
        ("t4g.medium", "arm64"),
        ("c7gn.large", "arm64"),
        ("im4gn.large", "arm64"),
        ("a1.medium", "arm64"),
    ],
)
def test_the_processor_is_told_from_the_types_name(kind: str, architecture: str) -> None:
    assert value("ec2_architecture", ec2_instance_type=kind) == architecture
    debian = {"x86_64": "debian-12-amd64-*", "arm64": "debian-12-arm64-*"}[architecture]
    assert value("ec2_ami_name", ec2_instance_type=kind) == debian


@pytest.mark.parametrize(("kind", "bursts"), [("t3.medium", True), ("t4g.nano", True), ("trn1.2xlarge", False)])
def test_only_types_with_credits_have_a_credit_mode(kind: str, bursts: bool) -> None:
    assert value("ec2_host_bursts", ec2_instance_type=kind) is bursts


def test_a_price_is_known_or_given_and_never_made_up() -> None:
    assert value("ec2_host_price") == 0.0416
    assert value("ec2_host_price", ec2_region="eu-central-1") is None
    assert value("ec2_host_price", ec2_instance_type="t3.large") is None
    assert value("ec2_host_price", ec2_instance_type="t3.large", ec2_hourly_price_usd=0.5) == 0.5
    # t3.medium, 20 GB of disk for a month of 730 hours, an address.
    assert value("ec2_host_whole_price") == pytest.approx(0.0416 + 20 * 0.08 / 730 + 0.005)
    assert "its price is not known here" in value("ec2_host_cost", ec2_region="eu-central-1")


@pytest.mark.parametrize(
    ("code", "message", "advice"),
    [
        ("", "Unable to locate credentials", "Give your credentials of AWS"),
        ("AuthFailure", "not able to validate", "AWS does not take these credentials"),
        ("ExpiredToken", "The security token included in the request is expired", "The credentials have expired"),
        ("UnauthorizedOperation", "You are not authorized", "These credentials may not do this"),
        (
            "",
            'Could not connect to the endpoint URL: "https://ec2.us-x-1.amazonaws.com/"',
            "Check AWS_REGION (us-east-1)",
        ),
        ("", "Provided region_name 'x y' doesn't match a supported format.", "Check AWS_REGION"),
        (
            "VcpuLimitExceeded",
            "You have requested more vCPU capacity",
            "The account's quota does not allow another t3.medium",
        ),
        ("InstanceLimitExceeded", "You have requested more instances", "The account's quota"),
        ("InsufficientInstanceCapacity", "We currently do not have", "AWS has no such instance to give"),
        ("InvalidAMIID.NotFound", "The image id '[ami-1]' does not exist", "There is no such image in us-east-1"),
        ("DependencyViolation", "resource sg-1 has a dependent object", "Something that this toolkit did not make"),
        ("", "Failed to import the required Python library (botocore and boto3)", "Run `make venv`"),
        ("SomethingNew", "?", "Nothing is known here about this failure"),
    ],
)
def test_what_aws_says_has_a_next_step(code: str, message: str, advice: str) -> None:
    answer = {"msg": message, **({"error": {"code": code}} if code else {})}
    assert value("ec2_host_next", ec2_host_answer=answer).startswith(advice)
    assert value("ec2_host_said", ec2_host_answer={"msg": "no.."}) == "no"
    assert value("ec2_host_said", ec2_host_answer={}) == "no reason was given"


def test_what_is_left_is_said_with_its_price() -> None:
    instance = {"id": "i-1", "state": "running"}
    there = {**NOTHING, "instances": [instance], "volumes": [{"id": "vol-1"}], "key_pairs": [{"name": "k"}]}
    left = value("ec2_host_left", ec2_host_left_seen={"ec2_tagged": there})
    assert left.startswith(
        "There is now in us-east-1: i-1, vol-1, key pair k; the instance costs about 0.0488 USD an hour. reset.yml with"
    )
    cheap = {**NOTHING, "instances": [], "key_pairs": [{"name": "k"}]}
    assert "key pair k; that costs nothing." in value("ec2_host_left", ec2_host_left_seen={"ec2_tagged": cheap})
    disk = {**NOTHING, "instances": [], "volumes": [{"id": "vol-1"}]}
    assert "vol-1; a disk costs money too." in value("ec2_host_left", ec2_host_left_seen={"ec2_tagged": disk})
    nothing = {**NOTHING, "instances": []}
    said = value("ec2_host_left", ec2_host_left_seen={"ec2_tagged": nothing})
    assert said == "Nothing of it exists in us-east-1, and nothing costs money."


def test_where_aws_could_not_be_asked_the_record_says_what_was_made() -> None:
    unknown: dict[str, Any] = {"ec2_host_left_seen": {}, "ec2_host_seen": {"msg": "no"}}
    assert value("ec2_host_left", **unknown, ec2_host_manifest_read={"entries": []}) == "Nothing was made."
    entries = [{"kind": "path", "name": "/x"}, {"kind": "instance", "name": "evenkeel-ops-server-ec2"}]
    said = value("ec2_host_left", **unknown, ec2_host_manifest_read={"entries": entries})
    assert said.startswith("Written down as made before: instance evenkeel-ops-server-ec2;")
