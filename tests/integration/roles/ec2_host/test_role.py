# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""An EC2 instance through site.yml and reset.yml with inventory/aws, against a stand-in of AWS built on moto."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import boto3
import pytest
from evenkeel import journal

from tests.integration.toolkit import ANSIBLE_PLAYBOOK, PLAYBOOK_SECONDS, ROOT, run_playbook
from tests.standins.ec2_api import QUOTA, UNAUTHORISED, StandinEc2, console, refusal

NAME = "evenkeel-tests-server-ec2"


def host_key(folder: Path, name: str) -> str:
    """A new public key."""
    path = folder / name
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", path], check=True)
    return " ".join(path.with_suffix(".pub").read_text().split()[:2])


def printed(*keys: str) -> str:
    """A console on which a machine has printed its host keys."""
    return "\n".join(["[ OK ] Started.", "-----BEGIN SSH HOST KEY KEYS-----", *keys, "-----END SSH HOST KEY KEYS-----"])


@dataclass
class Played:
    """How a playbook ended: its exit code, the number of its changes, and what it printed, with single spaces."""

    code: int
    changed: int
    text: str

    @property
    def failures(self) -> int:
        """How many tasks failed, which are as many messages."""
        return self.text.count("fatal: [")


@dataclass
class Cloud:
    """site.yml and reset.yml with inventory/aws, a state directory of their own and a stand-in of AWS."""

    aws: StandinEc2
    folder: Path

    def __post_init__(self) -> None:
        self.client = boto3.client(
            "ec2",
            region_name="us-east-1",
            endpoint_url=self.aws.url,
            aws_access_key_id="stand-in",
            aws_secret_access_key="stand-in",
        )
        self.key = host_key(self.folder, "host_key")
        self.aws.answers["GetConsoleOutput"] = console(printed(self.key))

    @property
    def state(self) -> Path:
        return self.folder / "state" / "evenkeel-ec2"

    @property
    def home(self) -> Path:
        return self.state / "server-ec2"

    def record(self) -> dict[str, Any]:
        record: dict[str, Any] = json.loads((self.home / "instance.json").read_text())
        return record

    def instances(self) -> list[dict[str, Any]]:
        """Those that are not terminated."""
        listed = [one for part in self.client.describe_instances()["Reservations"] for one in part["Instances"]]
        return [one for one in listed if one["State"]["Name"] != "terminated"]

    def rules(self) -> list[dict[str, Any]]:
        """What may come in."""
        groups = self.client.describe_security_groups()["SecurityGroups"]
        (rules,) = [group["IpPermissions"] for group in groups if group["GroupName"] == NAME]
        return list(rules)

    def arguments(self, playbook: str, *options: str, **variables: Any) -> list[str]:
        given = {
            "ec2_admin_cidr": "203.0.113.7/32",
            "ec2_host_key_deadline_seconds": 1,
            "ec2_ssh_deadline_seconds": 1,
            # moto's addresses are made up, and are other people's.
            "ansible_host": "127.0.0.1",
            "ansible_port": 9,
        }
        tags = ["--tags", "host"] if playbook == "site" else []
        chosen = json.dumps({**given, **variables})
        return ["-i", "inventory/aws", f"{playbook}.yml", "--limit", "server", *tags, "-e", chosen, *options]

    def environment(self, **changed: str) -> dict[str, str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("AWS_")}
        own = {"LC_ALL": "C.UTF-8", "XDG_STATE_HOME": str(self.folder / "state"), "EVENKEEL_EC2_DEPLOYMENT": "tests"}
        return inherited | own | self.aws.environment() | changed

    def play(self, playbook: str, *options: str, environment: dict[str, str] | None = None, **variables: Any) -> Played:
        arguments = self.arguments(playbook, *options, **variables)
        done = run_playbook(*arguments, environment=self.environment(**(environment or {})))
        # YAML, in which results are printed, doubles an apostrophe.
        text = " ".join(done.stdout.split()).replace("''", "'")
        counted = re.search(r"changed=(\d+)", text)
        return Played(done.returncode, int(counted[1]) if counted else -1, text)

    def inventory(self) -> dict[str, Any]:
        """What ansible-inventory lists."""
        listed = subprocess.run(
            [str(Path(sys.executable).with_name("ansible-inventory")), "-i", "inventory/aws", "--list"],
            cwd=ROOT,
            env=self.environment(),
            check=True,
            capture_output=True,
            text=True,
        )
        inventory: dict[str, Any] = json.loads(listed.stdout)
        return inventory

    def reset(self, **variables: Any) -> Played:
        done = self.play("reset", **variables)
        assert done.code == 0, done.text
        assert not self.state.exists() and self.left() == []
        return done

    def left(self) -> list[str]:
        """All that a reset is to remove, as AWS lists it."""
        groups = self.client.describe_security_groups()["SecurityGroups"]
        return [
            *(one["InstanceId"] for one in self.instances()),
            *(one["VolumeId"] for one in self.client.describe_volumes()["Volumes"]),
            *(one["KeyName"] for one in self.client.describe_key_pairs()["KeyPairs"]),
            *(one["GroupName"] for one in groups if one["GroupName"] != "default"),
        ]


@pytest.fixture(scope="module")
def aws(tmp_path_factory: pytest.TempPathFactory) -> Iterator[StandinEc2]:
    with StandinEc2(tmp_path_factory.mktemp("aws")) as running:
        yield running


@pytest.fixture
def cloud(aws: StandinEc2, tmp_path: Path) -> Cloud:
    aws.forget()
    return Cloud(aws, tmp_path)


@pytest.fixture
def silent() -> Iterator[int]:
    """A port of loopback that takes connections and says nothing."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        yield listener.getsockname()[1]


def plain(value: Any) -> Any:
    """A variable as ansible-inventory lists it: what comes from AWS is marked as nothing that Ansible may evaluate."""
    return value.get("__ansible_unsafe", value) if isinstance(value, dict) else value


def test_it_is_made_once_and_removed_without_a_rest(cloud: Cloud) -> None:
    rehearsed = cloud.play("site", "--check")
    assert rehearsed.code == 0 and rehearsed.changed == 1, rehearsed.text
    assert "This would cost about 0.0488 USD an hour" in rehearsed.text
    assert (
        f"Would make in us-east-1 the key pair and the security group {NAME} (SSH from 203.0.113.7/32)"
        in rehearsed.text
    )
    assert cloud.left() == [] and not cloud.state.exists()
    assert all(action.startswith("Describe") for action in cloud.aws.actions())

    # Nothing answers on that port, which is the end of this play; the instance is made.
    done = cloud.play("site")
    assert "Have the instance run" in done.text, done.text
    assert done.text.index("0.0488 USD an hour, 1.17 USD a day") < done.text.index("Have the instance run")
    (instance,) = cloud.instances()
    assert instance["State"]["Name"] == "running" and instance["InstanceType"] == "t3.medium"
    assert instance["MetadataOptions"]["HttpTokens"] == "required"
    assert {"evenkeel": "tests", "evenkeel-host": "server-ec2", "Name": NAME}.items() <= {
        tag["Key"]: tag["Value"] for tag in instance["Tags"]
    }.items()
    (rule,) = cloud.rules()
    assert (rule["FromPort"], rule["ToPort"]) == (22, 22)
    assert [one["CidrIp"] for one in rule["IpRanges"]] == ["203.0.113.7/32"]
    (volume,) = cloud.client.describe_volumes()["Volumes"]
    assert (volume["Encrypted"], volume["Size"], volume["VolumeType"]) == (True, 20, "gp3")
    (asked,) = [call for call in cloud.aws.calls if call["Action"] == "RunInstances"]
    assert asked["CreditSpecification.CpuCredits"] == "standard"

    record = cloud.record()
    assert record["instance_id"] == instance["InstanceId"] and record["volume_ids"] == [volume["VolumeId"]]
    # The newest one for the type's processor.
    assert record["image"]["name"] == "debian-12-amd64-20260301-1"
    assert (cloud.home / "id_ed25519").stat().st_mode & 0o777 == 0o600
    assert cloud.home.stat().st_mode & 0o777 == 0o700
    assert (cloud.home / "known_hosts").read_text() == f"{instance['InstanceId']} {cloud.key}\n"
    entries = json.loads((cloud.home / "manifest.json").read_text())["entries"]
    assert {"instance", "key_pair", "security_group"} <= {entry["kind"] for entry in entries}
    assert (cloud.home / "id_ed25519").read_text().splitlines()[1] not in done.text

    # The inventory has it under the name that it had before.
    inventory = cloud.inventory()
    assert inventory["server"]["hosts"] == ["server-ec2"] == inventory["aws_ec2"]["hosts"]
    variables = inventory["_meta"]["hostvars"]["server-ec2"]
    assert plain(variables["ansible_host"]) == instance["PublicIpAddress"]
    assert plain(variables["ec2_instance_id"]) == instance["InstanceId"] and variables["platform"] == "systemd"

    # An image is looked up once, and a newer one is no reason for another instance.
    asked_before = cloud.aws.actions().count("DescribeImages")
    again = cloud.play("site")
    assert again.changed == 0 and cloud.aws.actions().count("DescribeImages") == asked_before, again.text
    assert [one["InstanceId"] for one in cloud.instances()] == [instance["InstanceId"]]

    # Other addresses of ours, which may reach the service too.
    moved = cloud.play("site", ec2_admin_cidr="2001:db8:7::/64", app_exposure="cidr")
    assert moved.changed == 1, moved.text
    assert sorted(rule["FromPort"] for rule in cloud.rules()) == [22, 8083]
    assert all(rule["IpRanges"] == [] for rule in cloud.rules())
    assert {one["CidrIpv6"] for rule in cloud.rules() for one in rule["Ipv6Ranges"]} == {"2001:db8:7::/64"}

    rehearsed = cloud.play("reset", "--check")
    assert rehearsed.code == 0 and f"Would remove: {instance['InstanceId']}" in rehearsed.text, rehearsed.text
    assert cloud.instances()
    proven = "Nothing in us-east-1 bears the tags evenkeel=tests and evenkeel-host=server-ec2 any more"
    assert proven in cloud.reset().text
    assert cloud.reset().changed == 0


def test_an_instance_that_cannot_be_reached_or_known_is_named_with_its_price(
    cloud: Cloud, silent: int, tmp_path: Path
) -> None:
    mute = cloud.play("site", ansible_port=silent, ec2_ssh_deadline_seconds=3)
    assert mute.code == 2 and mute.failures == 1, mute.text
    (instance,) = cloud.instances()
    identity = instance["InstanceId"]
    assert f"{identity} (127.0.0.1, port {silent}) did not answer by SSH within 3 s" in mute.text, mute.text
    assert "the instance costs about 0.0488 USD an hour. reset.yml with this inventory removes it all" in mute.text

    # Another key on its console than the one that it is known by.
    cloud.aws.answers["GetConsoleOutput"] = console(printed(host_key(tmp_path, "other_key")))
    changed = cloud.play("site")
    assert changed.code == 2 and changed.failures == 1
    assert f"The host key of {identity} has changed" in changed.text, changed.text
    assert "Nothing connects to it until then" in changed.text
    assert cloud.key in (cloud.home / "known_hosts").read_text()

    (cloud.home / "known_hosts").unlink()
    cloud.aws.answers["GetConsoleOutput"] = console("[ 0.1] Linux version 6.1.0")
    keyless = cloud.play("site")
    assert keyless.code == 2 and keyless.failures == 1
    assert f"The console of {identity} showed no SSH host keys within 1 s" in keyless.text, keyless.text
    assert "-e ssh_host_key_policy=accept-new trusts whatever answers first" in keyless.text

    # Somebody stopped it; without its console it is only reached by a policy that is asked for by name.
    cloud.client.stop_instances(InstanceIds=[identity])
    asked = cloud.aws.actions().count("GetConsoleOutput")
    started = cloud.play("site", ssh_host_key_policy="accept-new")
    assert "From now on this costs" in started.text and "did not answer by SSH" in started.text, started.text
    assert cloud.aws.actions().count("GetConsoleOutput") == asked
    assert [one["State"]["Name"] for one in cloud.instances()] == ["running"]

    other = cloud.play("site", ec2_instance_type="t3.large", ec2_hourly_price_usd=1)
    assert "was made with ec2_instance_type=t3.medium (now t3.large)" in other.text, other.text
    cloud.reset()


def test_what_cannot_be_made_is_said_before_anything_is(cloud: Cloud) -> None:
    def refused(*said: str, environment: dict[str, str] | None = None, **variables: Any) -> None:
        done = cloud.play("site", environment=environment, **variables)
        assert done.code == 2 and done.failures == 1, done.text
        assert [text for text in said if text not in done.text] == [], done.text
        assert cloud.left() == [] and not cloud.state.exists()

    refused("ec2_admin_cidr=: it is not set. Nothing was made.", ec2_admin_cidr="")
    refused("ec2_admin_cidr=0.0.0.0/0: it is the whole Internet.", ec2_admin_cidr="0.0.0.0/0")
    refused("What a m5.large costs in us-east-1 is not known here", ec2_instance_type="m5.large")
    refused("There is no image no-such-* of account 136693071363 for x86_64 in us-east-1.", ec2_ami_name="no-such-*")
    refused(
        "Looking for an instance in us-east-1 failed: Unable to locate credentials. Give your credentials",
        "Nothing was made.",
        environment={"AWS_ACCESS_KEY_ID": "", "AWS_SECRET_ACCESS_KEY": ""},
    )
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nowhere = f"http://127.0.0.1:{closed.getsockname()[1]}"
        refused(
            "Check AWS_REGION (us-nowhere-9)", environment={"AWS_REGION": "us-nowhere-9", "AWS_ENDPOINT_URL": nowhere}
        )
    cloud.aws.answers["DescribeVolumes"] = refusal(*UNAUTHORISED)
    done = cloud.play("site")
    assert (
        "These credentials may not do this. `ansible-doc -t role -r roles ec2_host` lists the permissions" in done.text
    ), done.text


def test_what_is_ours_is_told_from_what_is_not(cloud: Cloud) -> None:
    cloud.aws.answers["RunInstances"] = refusal(*QUOTA)
    refused = cloud.play("site")
    assert refused.code == 2 and refused.failures == 1
    assert "Making a t3.medium in us-east-1 failed:" in refused.text and "VcpuLimitExceeded" in refused.text, (
        refused.text
    )
    assert "The account's quota does not allow another t3.medium in us-east-1." in refused.text
    assert f"There is now in us-east-1: key pair {NAME}, security group {NAME}; that costs nothing." in refused.text
    # The next attempt goes on from there.
    del cloud.aws.answers["RunInstances"]
    cloud.play("site")
    (instance,) = cloud.instances()

    # A region that the environment names by mistake gets no second one.
    elsewhere = cloud.play("site", environment={"AWS_REGION": "eu-west-1"})
    assert "what was made for server-ec2 is in us-east-1. Nothing was changed." in elsewhere.text, elsewhere.text

    # From another machine it looks like somebody else's.
    cloud.home.rename(cloud.folder / "elsewhere")
    taken = cloud.play("site")
    assert f"{instance['InstanceId']} in us-east-1 has the tags" in taken.text, taken.text
    assert "was not made from this machine" in taken.text
    untouched = cloud.play("reset")
    assert untouched.code == 2 and "run reset.yml -e ec2_reset_unrecorded=true" in untouched.text, untouched.text
    (cloud.folder / "elsewhere").rename(cloud.home)

    # Of two, none is taken.
    tags = [{"Key": "evenkeel", "Value": "tests"}, {"Key": "evenkeel-host", "Value": "server-ec2"}]
    specification: Any = [{"ResourceType": "instance", "Tags": tags}]
    image = cloud.record()["image"]["id"]
    cloud.client.run_instances(ImageId=image, MinCount=1, MaxCount=1, TagSpecifications=specification)
    both = cloud.play("site")
    assert both.code == 2 and "2 instances in us-east-1 have the tags" in both.text, both.text
    # A reset goes to the region in which they were made, and takes both.
    done = cloud.play("reset", environment={"AWS_REGION": "eu-west-1"})
    assert done.code == 0 and cloud.instances() == [], done.text


def test_a_type_without_credits_is_made_once_too(cloud: Cloud) -> None:
    fixed = {"ec2_instance_type": "m6i.large", "ec2_hourly_price_usd": 0.096}
    cloud.play("site", **fixed)
    (instance,) = cloud.instances()
    assert (instance["InstanceType"], cloud.record()["credit_mode"]) == ("m6i.large", None)
    again = cloud.play("site", **fixed)
    assert again.changed == 0 and "was made with" not in again.text, again.text
    # What fails is the connection, to which nothing answers.
    assert "did not answer by SSH" in again.text
    cloud.reset()


def test_what_aws_does_not_let_go_is_left_whole_and_said(cloud: Cloud) -> None:
    def refused(*said: str) -> None:
        done = cloud.play("reset")
        assert done.code == 2 and done.failures == 1, done.text
        assert [text for text in said if text not in done.text] == [], done.text

    cloud.play("site")
    (instance,) = cloud.instances()
    identity = instance["InstanceId"]
    cloud.client.modify_instance_attribute(InstanceId=identity, DisableApiTermination={"Value": True})
    refused(
        f"Terminating {identity} in us-east-1 failed: Unable to terminate instances:",
        "Termination protection is on. Switch it off at AWS",
        "the instance costs about 0.0488 USD an hour",
    )
    # Its disk is in use, and nothing was taken away from it.
    assert [one["State"] for one in cloud.client.describe_volumes()["Volumes"]] == ["in-use"]
    taken = {"DetachVolume", "DeleteVolume", "DeleteSecurityGroup", "DeleteKeyPair"}
    assert taken.isdisjoint(cloud.aws.actions())
    cloud.client.modify_instance_attribute(InstanceId=identity, DisableApiTermination={"Value": False})
    cloud.aws.answers["TerminateInstances"] = refusal(*UNAUTHORISED)
    refused(f"Terminating {identity} in us-east-1 failed:", "These credentials may not do this.")
    assert taken.isdisjoint(cloud.aws.actions())
    del cloud.aws.answers["TerminateInstances"]

    # A disk that was kept, and bears our tags.
    tags: Any = [{"Key": "evenkeel", "Value": "tests"}, {"Key": "evenkeel-host", "Value": "server-ec2"}]
    specification: Any = [{"ResourceType": "volume", "Tags": tags}]
    zone = instance["Placement"]["AvailabilityZone"]
    volume = cloud.client.create_volume(AvailabilityZone=zone, Size=1, TagSpecifications=specification)["VolumeId"]
    cloud.aws.answers["DeleteVolume"] = refusal(*UNAUTHORISED)
    refused(
        f"Removing the volume {volume} in us-east-1 failed: Error while deleting volume",
        "whether these credentials may DeleteVolume",
        "a disk costs money too",
    )
    assert cloud.instances() == []
    del cloud.aws.answers["DeleteVolume"]
    cloud.aws.answers["DeleteSecurityGroup"] = refusal("DependencyViolation", "resource sg-1 has a dependent object")
    refused(
        f"Removing the security group {NAME} in us-east-1 failed:", "Something that this toolkit did not make uses it."
    )
    del cloud.aws.answers["DeleteSecurityGroup"]
    cloud.reset()


def test_a_reset_waits_for_a_run_and_removes_what_costs_money_first(cloud: Cloud) -> None:
    cloud.play("site")
    (instance,) = cloud.instances()
    results = cloud.folder / "results"
    run = results / "20260101T000000Z-aaaaaa"
    run.mkdir(parents=True)
    other = subprocess.Popen(["sleep", "600"])
    try:
        journal.append(str(run / "journal.jsonl"), "run_begun", "run", controller=journal.controller(other.pid))
        waits = cloud.play("reset", results_dir=str(results))
    finally:
        other.kill()
        other.wait()
    assert waits.code == 2 and "The run 20260101T000000Z-aaaaaa is under way" in waits.text, waits.text
    assert [one["InstanceId"] for one in cloud.instances()] == [instance["InstanceId"]]

    # The function's host cannot be reset.
    damaged = cloud.folder / "damaged"
    damaged.mkdir()
    (damaged / "manifest.json").write_text("no manifest")
    both = ("--limit", "server,serverless")
    done = cloud.play("reset", *both, results_dir=str(results), evenkeel_state_dir=str(damaged))
    assert done.code == 2 and "is not a readable manifest" in done.text, done.text
    assert cloud.left() == []


@pytest.mark.parametrize("last", ["ImportKeyPair", "RunInstances"])
def test_what_was_interrupted_goes_on_or_goes_away(cloud: Cloud, last: str) -> None:
    process = subprocess.Popen(
        [ANSIBLE_PLAYBOOK, *cloud.arguments("site")],
        cwd=ROOT,
        env=cloud.environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    deadline = time.monotonic() + PLAYBOOK_SECONDS
    while last not in cloud.aws.actions() and time.monotonic() < deadline:
        time.sleep(0.01)
    # AWS has heard of it, and nobody has written that down.
    while not cloud.left() and time.monotonic() < deadline:
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    if last == "RunInstances":
        deadline = time.monotonic() + 5
        while not cloud.instances() and time.monotonic() < deadline:
            time.sleep(0.05)
        (instance,) = cloud.instances()
        assert "instance_id" not in cloud.record()
        cloud.play("site")
        assert [one["InstanceId"] for one in cloud.instances()] == [instance["InstanceId"]]
        assert cloud.record()["instance_id"] == instance["InstanceId"]
        assert cloud.record()["image"]["name"] == "debian-12-amd64-20260301-1"
    cloud.reset()
