# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the role makes of what an engine, a kernel and a package manager say."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "docker"
NO_SUCH_FILE = (
    "Status code was -1 and not [200]: Request failed: <urlopen error Invalid Socket File (/var/run/docker.sock): "
    "[Errno 2] No such file or directory>"
)
DENIED = NO_SUCH_FILE.replace("[Errno 2] No such file or directory", "[Errno 13] Permission denied")


def value(name: str, **variables: Any) -> Any:
    """A variable of the role, as Ansible reads it with these others set."""
    loader = DataLoader()
    known: dict[str, Any] = {"ansible_facts": {"machine": {"user_id": 1000, "user": "ops"}}}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    return Templar(loader, known | variables).template(known[name])


def answer(**said: Any) -> dict[str, Any]:
    return {"status": 200, "json": {"Version": "20.10.24+dfsg1", "ApiVersion": "1.41"} | said}


@pytest.mark.parametrize(
    ("asked", "source"),
    [
        ({}, "distribution"),
        ({"status": -1, "msg": NO_SUCH_FILE}, "distribution"),
        ({"status": -1, "msg": DENIED}, "present"),
        (answer(), "present"),
    ],
)
def test_an_engine_that_is_there_is_the_default(asked: dict[str, Any], source: str) -> None:
    assert value("docker_source", docker_asked=asked) == source


def test_before_anything_was_asked_the_default_is_one_of_the_choices() -> None:
    """Ansible checks the arguments before the first task."""
    assert value("docker_source") == "distribution"
    assert value("docker_join_group") is False


@pytest.mark.parametrize(("way", "joins"), [("present", False), ("distribution", True), ("upstream", True)])
def test_only_an_engine_that_is_brought_is_opened_by_itself(way: str, joins: bool) -> None:
    assert value("docker_join_group", docker_way=way) is joins


@pytest.mark.parametrize(
    ("environment", "host", "socket"),
    [
        ("", "unix:///var/run/docker.sock", "/var/run/docker.sock"),
        ("unix:///run/user/1000/docker.sock", "unix:///run/user/1000/docker.sock", "/run/user/1000/docker.sock"),
        ("tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375", "tcp://127.0.0.1:2375"),
    ],
)
def test_the_engine_is_the_one_that_the_docker_command_speaks_to(environment: str, host: str, socket: str) -> None:
    read = {"docker_host_read": {"stdout": environment}}
    assert (value("docker_host", **read), value("docker_socket", **read)) == (host, socket)


def test_why_none_answers_is_said_in_short() -> None:
    said = value("docker_said", docker_asked={"status": -1, "msg": NO_SUCH_FILE})
    assert said == "Invalid Socket File (/var/run/docker.sock): [Errno 2] No such file or directory"


@pytest.mark.parametrize("version", ["20.10.24+dfsg1", "29.1.3", "26.1.5+dfsg1", "28.3.3-ce"])
def test_a_version_is_its_numbers(version: str) -> None:
    assert version.startswith(value("docker_version", docker_asked=answer(Version=version)))
    assert value("docker_version", docker_asked=answer(Version=version)).replace(".", "").isdigit()


def kernel(bounding_set: str, last: int = 40) -> dict[str, Any]:
    status = f"Name:\tpython3\nCapEff:\t{bounding_set}\nCapBnd:\t{bounding_set}\nCapAmb:\t0000000000000000\n"
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in (("s", status), ("l", f"{last}\n"))}
    return {"docker_own_status": {"content": encoded["s"]}, "docker_kernel_capability": {"content": encoded["l"]}}


@pytest.mark.parametrize(
    ("bounding_set", "last", "complete"),
    [("000001ffffffffff", 40, True), ("000001fffeffffff", 40, False), ("000000ffffffffff", 40, False), ("3f", 5, True)],
)
def test_all_capabilities_are_those_that_the_kernel_knows(bounding_set: str, last: int, complete: bool) -> None:
    assert value("docker_all_capabilities", **kernel(bounding_set, last)) is complete


@pytest.mark.parametrize(
    ("bounding_set", "version", "info", "works"),
    [
        ("000001ffffffffff", "20.10.24", {}, True),
        ("000001fffeffffff", "20.10.24", {}, False),
        ("000001fffeffffff", "23.0.0", {}, True),
        ("000001fffeffffff", "20.10.24", {"DefaultRuntime": "without-resource"}, True),
        ("000001fffeffffff", "20.10.24", {"SecurityOptions": ["name=seccomp", "name=rootless"]}, True),
    ],
)
def test_a_privileged_container_needs_what_the_engine_asks_for(
    bounding_set: str, version: str, info: dict[str, Any], works: bool
) -> None:
    settings = {"json": {"DefaultRuntime": "runc", "SecurityOptions": []} | info}
    said = {"docker_asked": answer(Version=version), "docker_settings": settings}
    assert value("docker_privileged", **kernel(bounding_set), **said) is works


@pytest.mark.parametrize(("members", "belongs"), [("", False), ("ops", True), ("adam,ops", True), ("opsadmin", False)])
def test_a_member_is_named_whole(members: str, belongs: bool) -> None:
    facts = {"machine": {"user": "ops", "user_id": 1000}, "getent_group": {"docker": ["x", "999", members]}}
    owner = {"stat": {"gr_name": "docker"}}
    assert value("docker_member", ansible_facts=facts, docker_socket_owner=owner) is belongs


@pytest.mark.parametrize(
    ("before", "removal"), [([], "purge"), (["/etc/apt/keyrings/docker.asc"], "purge"), (["/var/lib/docker"], "remove")]
)
def test_data_that_was_there_before_is_not_purged(before: list[str], removal: str) -> None:
    assert value("docker_removal", docker_before={"paths": before}) == removal


def test_only_what_came_with_the_role_goes() -> None:
    entries = [
        {"role": "docker", "kind": "package", "name": "docker.io", "existed_before": False},
        {"role": "docker", "kind": "package", "name": "iptables", "existed_before": True},
        {"role": "measuring_tools", "kind": "package", "name": "htop", "existed_before": False},
        {"role": "docker", "kind": "path", "name": "/x", "existed_before": False},
    ]
    assert value("docker_installed", reset_manifest=entries) == ["docker.io"]
