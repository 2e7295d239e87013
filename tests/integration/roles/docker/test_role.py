# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role docker: on this machine's own engine, on what only claims to be one, and on machines without any."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.integration.debian_base import docker, ensure_base_image, ensure_engine
from tests.integration.debian_machine import Host, differences, listing, managed_machine, plain_machine
from tests.standins.docker_info import StandinInfo


class DockerHost(Host):
    """A machine that the role is applied to."""

    def bring(self, *options: str, then: list[dict[str, Any]] | None = None, **variables: Any) -> dict[str, Any]:
        """The role, and the fact that it leaves."""
        kept = self.folder / "engine.json"
        kept.unlink(missing_ok=True)
        keep = {
            "ansible.builtin.copy": {"content": "{{ docker_engine | to_json }}", "dest": str(kept)},
            "delegate_to": "localhost",
            "vars": {"ansible_connection": "local", "ansible_python_interpreter": sys.executable},
            "changed_when": False,
            "check_mode": False,
        }
        done = self.play(
            [{"ansible.builtin.include_role": {"name": "docker"}}, *(then or []), keep], *options, **variables
        )
        assert done.returncode == 0, done.stdout
        self.changed = int(re.findall(r"changed=(\d+)", done.stdout)[-1])
        self.said = done.stdout
        engine: dict[str, Any] = json.loads(kept.read_text())
        return engine

    def refuse(self, *options: str, **variables: Any) -> str:
        """What the role says when it ends the play; on one line, since the output is wrapped."""
        done = self.play([{"ansible.builtin.include_role": {"name": "docker"}}], *options, **variables)
        assert done.returncode == 2, done.stdout
        return " ".join(done.stdout.split())


@pytest.fixture
def here(tmp_path: Path) -> DockerHost:
    return DockerHost(tmp_path, str(tmp_path / "state"))


@pytest.fixture
def this_engine(here: DockerHost) -> DockerHost:
    ensure_engine()
    if host := os.environ.get("DOCKER_HOST"):
        here.environment["DOCKER_HOST"] = host
    return here


def test_the_engine_that_is_there_is_used_and_nothing_is_made(this_engine: DockerHost) -> None:
    info = json.loads(docker("info", "--format", "{{json .}}"))
    for options in ((), ("--check",), ()):
        engine = this_engine.bring(*options)
        assert this_engine.changed == 0
        assert engine["source"] == "present"
        assert info["ServerVersion"].startswith(engine["version"])
        assert engine["cgroup_version"] == int(info["CgroupVersion"])
        assert engine["cgroup_driver"] == info["CgroupDriver"]
        assert engine["storage_driver"] == info["Driver"]
        assert engine["runtime"] == info["DefaultRuntime"]
        assert engine["root_dir"] == info["DockerRootDir"]
        assert engine["cpus"] == os.cpu_count()
        assert engine["rootless"] is False
        assert not Path(this_engine.state).exists()


def test_whether_privileged_containers_start_is_known_before_one_is_tried(this_engine: DockerHost) -> None:
    base = ensure_base_image()
    engine = this_engine.bring()
    argv = ["docker", "run", "--rm", "--privileged", "--network", "none", base, "/bin/true"]
    tried = subprocess.run(argv, capture_output=True, text=True, timeout=120, check=False)
    assert engine["privileged"] is (tried.returncode == 0), tried.stderr
    assert ("docker_source=upstream" in this_engine.said) is (tried.returncode != 0)


def test_an_engine_of_another_origin_is_not_replaced(this_engine: DockerHost) -> None:
    """This machine's engine came with at most one of the two packages."""
    of_debian = subprocess.run(["dpkg-query", "--show", "docker.io"], capture_output=True, check=False).returncode == 0
    source, package = ("upstream", "docker-ce") if of_debian else ("distribution", "docker.io")
    said = this_engine.refuse(docker_source=source)
    assert f"An engine that did not come with the package {package} answers at" in said
    assert "docker_source=present" in said
    assert not Path(this_engine.state).exists()


def test_the_engine_to_bring_is_the_machines_own(here: DockerHost) -> None:
    here.environment["DOCKER_HOST"] = f"unix://{here.folder}/none.sock"
    said = here.refuse("--check")
    assert "docker_source=distribution brings the engine of the whole machine" in said
    assert "docker_source=present" in said


def test_where_none_answers_it_says_what_to_do(here: DockerHost) -> None:
    here.environment["DOCKER_HOST"] = f"unix://{here.folder}/none.sock"
    said = here.refuse(docker_source="present")
    assert f"No Docker engine answers at unix://{here.folder}/none.sock" in said
    assert "No such file or directory" in said
    assert "-e docker_source=distribution" in said


def test_an_engine_on_another_machine_is_refused(here: DockerHost) -> None:
    here.environment["DOCKER_HOST"] = "tcp://127.0.0.1:2375"
    said = here.refuse()
    assert "DOCKER_HOST=tcp://127.0.0.1:2375" in said and "not a unix socket" in said


@pytest.mark.parametrize(
    ("version", "info", "expected"),
    [
        ({"Version": "19.03.15"}, {}, "has version 19.03.15, and 20.10 is the oldest that will do"),
        ({"Version": "5.4.2", "Components": [{"Name": "Podman Engine"}]}, {}, "Podman answers at"),
        ({}, {"CpuCfsQuota": False}, "cannot limit CPU, so two arms would not have equal resources. Mount"),
        (
            {},
            {"CpuCfsQuota": False, "MemoryLimit": False, "SecurityOptions": ["name=rootless"]},
            "cannot limit memory and CPU, so two arms would not have equal resources. A rootless engine can",
        ),
    ],
)
def test_an_engine_that_will_not_do_is_refused(
    here: DockerHost, version: dict[str, Any], info: dict[str, Any], expected: str
) -> None:
    ensure_engine()  # The docker command is there, and speaks to the stand-in.
    with StandinInfo(here.folder / "docker.sock", version, info) as engine:
        here.environment["DOCKER_HOST"] = engine.docker_host
        assert expected in here.refuse()


@pytest.fixture
def plain(tmp_path: Path) -> Iterator[DockerHost]:
    """A machine on which nothing manages services; Ansible comes as root."""
    with plain_machine() as name:
        yield DockerHost(tmp_path, "/var/lib/evenkeel", name)


@pytest.fixture
def managed(tmp_path: Path) -> Iterator[DockerHost]:
    """A machine with systemd; Ansible comes as a user with sudo."""
    with managed_machine() as name:
        yield DockerHost(tmp_path, "/home/ops/.local/state/evenkeel", name, "ops")


def test_the_distributions_engine_without_systemd(plain: DockerHost) -> None:
    before = listing(plain)

    rehearsed = plain.bring("--check")
    assert (rehearsed["source"], rehearsed["version"]) == ("distribution", None)
    assert differences(before, listing(plain)) == []

    engine = plain.bring()
    assert engine["source"] == "distribution"
    assert plain.run("docker", "version", "--format", "{{.Server.Version}}").startswith(engine["version"])
    pid = plain.run("cat", "/var/lib/evenkeel/docker/dockerd.pid")
    assert plain.run("cat", f"/proc/{pid}/comm") == "dockerd"
    manifest = json.loads(plain.run("cat", "/var/lib/evenkeel/manifest.json"))["entries"]
    kinds = {(entry["kind"], entry["name"]): entry["existed_before"] for entry in manifest}
    assert kinds[("process", "/var/lib/evenkeel/docker/dockerd.pid")] is False
    assert kinds[("package", "docker.io")] is False

    assert plain.bring()["source"] == "present"
    assert plain.changed == 0
    assert plain.run("cat", "/var/lib/evenkeel/docker/dockerd.pid") == pid

    # The machine was restarted: the process is gone, its pid file is not.
    # Nobody waits for it there, so that a zombie is all that is left.
    ended = f"while ps -o stat= -p {pid} | grep -qv Z; do sleep 0.1; done"
    plain.run("sh", "-c", f"kill -9 {pid}; {ended}; pkill -9 containerd || true")
    plain.bring()
    assert plain.run("cat", "/var/lib/evenkeel/docker/dockerd.pid") != pid
    assert plain.succeeds("docker", "info")

    kept = plain.reset()
    assert kept.returncode == 0, kept.stdout
    assert listing(plain)["processes"] == []
    assert "docker.io installed" in listing(plain)["packages"]
    assert not plain.succeeds("test", "-e", "/var/lib/evenkeel")

    plain.bring()
    assert plain.succeeds("docker", "info")


def test_a_reset_with_packages_leaves_the_machine_as_it_was(plain: DockerHost) -> None:
    before = listing(plain)
    plain.bring()
    after = listing(plain)
    assert after != before
    rehearsed = plain.reset("--check", reset_packages=True)
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert differences(after, listing(plain)) == []
    done = plain.reset(reset_packages=True)
    assert done.returncode == 0, done.stdout
    assert differences(before, listing(plain)) == []


def test_a_reset_does_not_stop_an_engine_that_others_use(plain: DockerHost) -> None:
    plain.bring()
    plain.run("sh", "-c", "tar --create --file - --directory /bin true | docker import - not-ours:latest")
    plain.run("docker", "create", "--name", "not-ours", "not-ours:latest", "/true")
    refused = plain.reset()
    assert refused.returncode == 2
    assert "has containers that it did not make: not-ours" in " ".join(refused.stdout.split())
    assert plain.succeeds("docker", "info")
    plain.run("docker", "rm", "not-ours")
    assert plain.reset().returncode == 0
    assert not plain.succeeds("docker", "info")


def test_a_user_needs_no_new_login_where_systemd_keeps_the_engine(managed: DockerHost) -> None:
    before = listing(managed)
    use = [{"ansible.builtin.command": {"argv": ["docker", "ps"]}, "changed_when": False}]

    engine = managed.bring(then=use)
    assert engine["source"] == "distribution"
    assert managed.run("systemctl", "is-enabled", "docker.service") == "enabled"
    assert managed.run("systemctl", "is-active", "docker.service") == "active"
    assert "ops" in managed.run("getent", "group", "docker").split(":")[3].split(",")
    assert managed.bring(then=use)["source"] == "present"
    assert managed.changed == 0

    # A login that is older than the membership, after the engine has made its socket anew.
    managed.run("systemctl", "restart", "docker.socket", "docker.service")
    assert managed.bring(then=use)["source"] == "present"

    done = managed.reset(reset_packages=True)
    assert done.returncode == 0, done.stdout
    assert differences(before, listing(managed)) == []


def test_access_to_an_engine_that_was_there_is_given_only_on_request(managed: DockerHost) -> None:
    managed.run("sh", "-c", "apt-get install --yes --no-install-recommends docker.io iptables acl >/dev/null 2>&1")
    before = listing(managed)
    said = managed.refuse()
    assert "ops may not use the Docker engine at unix:///var/run/docker.sock" in said
    assert "sudo usermod -aG docker ops" in said and "-e docker_join_group=true" in said
    assert differences(before, listing(managed)) == []

    use = [{"ansible.builtin.command": {"argv": ["docker", "ps"]}, "changed_when": False}]
    assert managed.bring(then=use, docker_join_group=True)["source"] == "present"
    done = managed.reset()
    assert done.returncode == 0, done.stdout
    assert differences(before, listing(managed)) == []
    assert managed.run("systemctl", "is-active", "docker.service") == "active"
    assert not managed.succeeds("docker", "ps", user="ops")


def test_dockers_own_repository_is_not_named_twice(plain: DockerHost) -> None:
    """apt refuses every source once two entries of one repository name different keys."""
    repository = "https://mirror.example/linux/debian bookworm stable"
    plain.run("sh", "-c", f"echo 'deb [signed-by=/etc/a.asc] {repository}' >/etc/apt/sources.list.d/docker.list")
    plain.bring("--check", docker_source="upstream", docker_mirror="https://mirror.example")
    assert "Name the repository" not in plain.said

    plain.run("sh", "-c", f"echo 'deb [signed-by=/etc/b.asc] {repository}' >/etc/apt/sources.list.d/other.list")
    said = plain.refuse("--check", docker_source="upstream", docker_mirror="https://mirror.example")
    assert "Conflicting values set for option Signed-By" in said
    assert "/etc/apt/sources.list.d/docker.list and /etc/apt/sources.list.d/other.list" in said
    assert "sudo rm /etc/apt/sources.list.d/other.list" in said


def test_a_key_that_is_not_dockers_is_not_trusted(plain: DockerHost) -> None:
    plain.run("sh", "-c", "mkdir -p /etc/apt/keyrings && echo 'a key' >/etc/apt/keyrings/docker.asc")
    said = plain.refuse("--check", docker_source="upstream")
    assert "/etc/apt/keyrings/docker.asc on the-host is not Docker's key as it is known here" in said
    assert "sudo rm /etc/apt/keyrings/docker.asc" in said
