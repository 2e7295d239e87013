# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Throw-away machines for the tests of roles that install packages: containers of Debian, with and without systemd.

Nothing is installed on this machine.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.integration.debian_base import build_network, docker, ensure_base_image

ROOT = Path(__file__).resolve().parents[2]
PLAYBOOK_SECONDS = 600
# Of this test run alone: another one may use the same engine.
MACHINE_IMAGE = f"evenkeel-test-machine-{os.getpid()}:latest"
MACHINE_START_SECONDS = 60

# Enough of a machine to be reached by Ansible; what roles install only lies in the package manager's cache.
DOCKERFILE = """
FROM {base}
COPY machine /usr/local/sbin/machine
RUN rm -f /etc/apt/apt.conf.d/docker-clean /usr/sbin/policy-rc.d \\
 && apt-get update \\
 && apt-get install --yes --no-install-recommends systemd systemd-sysv dbus python3 sudo iproute2 procps \\
 && apt-get install --yes --no-install-recommends --download-only docker.io iptables ca-certificates acl \\
 && apt-get install --yes --no-install-recommends --download-only apache2-utils htop \\
 && useradd --create-home --shell /bin/sh ops && echo 'ops ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/ops \\
 && useradd --create-home --shell /bin/sh guest
ENTRYPOINT ["/usr/local/sbin/machine"]
"""
# A container's view of the kernel is read-only in places where an engine or systemd must write.
MACHINE = """#!/bin/sh
set -e
mount -o remount,rw /proc/sys
if [ -e /sys/fs/cgroup/cgroup.controllers ]; then
  mount -o remount,rw /sys/fs/cgroup
else
  for name in cpu cpuacct cpuset memory devices freezer blkio pids; do
    umount /sys/fs/cgroup/$name
    mount -t cgroup -o $name cgroup /sys/fs/cgroup/$name
  done
  umount /sys/fs/cgroup/systemd
  mount -t cgroup -o none,name=systemd cgroup /sys/fs/cgroup/systemd
fi
exec "$@"
"""


@dataclass
class Host:
    """A machine that the role is applied to: this one, or a container by its name."""

    folder: Path
    state: str
    container: str | None = None
    user: str = "root"
    environment: dict[str, str] = field(default_factory=dict)

    def play(self, tasks: list[dict[str, Any]], *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        """Apply ``tasks`` with what every play of the toolkit knows of a host."""
        local = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable}
        remote = {
            "ansible_connection": "community.docker.docker",
            "ansible_host": self.container,
            "ansible_user": self.user,
            "ansible_python_interpreter": "/usr/bin/python3",
        }
        known = {
            "arm": "server",
            "evenkeel_state_dir": self.state,
            "reset_packages": False,
            "reset_images": False,
            "results_dir": str(self.folder / "results"),
            "settings_manifest": f"{self.state}/manifest.json",
            "settings_project_dir": str(ROOT),
        }
        inventory = {"all": {"hosts": {"the-host": {**(remote if self.container else local), **known}}}}
        play = {
            "hosts": "all",
            "gather_facts": False,
            "tasks": [{"ansible.builtin.include_role": {"name": "machine"}}, *tasks],
        }
        (self.folder / "inventory.json").write_text(json.dumps(inventory))
        (self.folder / "play.json").write_text(json.dumps([play]))
        extra = ["-e", json.dumps(variables)] if variables else []
        program = str(Path(sys.executable).with_name("ansible-playbook"))
        argv = [program, "-i", str(self.folder / "inventory.json"), *options, *extra, str(self.folder / "play.json")]
        around = {name: value for name, value in os.environ.items() if name != "DOCKER_HOST"} | self.environment
        return subprocess.run(
            argv,
            cwd=ROOT,
            env=around | {"ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "ANSIBLE_STDOUT_CALLBACK": "default"},
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            check=False,
            timeout=PLAYBOOK_SECONDS,
        )

    def reset(self, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return self.play([{"ansible.builtin.include_role": {"name": "reset"}}], *options, **variables)

    def run(self, *argv: str, user: str | None = None) -> str:
        assert self.container is not None
        return docker("exec", "--user", user or "root", self.container, *argv)

    def succeeds(self, *argv: str, user: str | None = None) -> bool:
        assert self.container is not None
        command = ["docker", "exec", "--user", user or "root", self.container, *argv]
        return subprocess.run(command, capture_output=True, timeout=60, check=False).returncode == 0


@functools.cache
def machine_image() -> str:
    """Build the image of the machines, once a test run. Skips the test, with the reason, where there can be none."""
    base = ensure_base_image()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "Dockerfile").write_text(DOCKERFILE.format(base=base))
        (folder / "machine").write_text(MACHINE)
        (folder / "machine").chmod(0o755)
        docker("build", *build_network(), "--tag", MACHINE_IMAGE, str(folder), timeout=900)
    removal = ["docker", "image", "rm", "--force", MACHINE_IMAGE]
    atexit.register(subprocess.run, removal, capture_output=True, check=False)
    return MACHINE_IMAGE


def machine(name: str, *command: str) -> None:
    """Start a container that is a machine, with the rights that an engine in it needs and no more."""
    argv = ["run", "--detach", "--name", name, "--cgroupns", "private", "--security-opt", "seccomp=unconfined"]
    argv += ["--security-opt", "apparmor=unconfined", "--cap-add", "SYS_ADMIN", "--cap-add", "NET_ADMIN"]
    argv += ["--tmpfs", "/run", "--tmpfs", "/run/lock", "--env", "container=docker"]
    docker(*argv, machine_image(), *command)


@contextlib.contextmanager
def plain_machine() -> Iterator[str]:
    """The name of a machine on which nothing manages services."""
    name = f"evenkeel-test-plain-{os.getpid()}"
    try:
        # bash waits for the dead, as an init does.
        machine(name, "bash", "-c", "while :; do sleep 1; done")
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


@contextlib.contextmanager
def managed_machine() -> Iterator[str]:
    """The name of a machine with systemd, which is up."""
    name = f"evenkeel-test-managed-{os.getpid()}"
    running = ["docker", "exec", name, "sh", "-c", "systemctl is-system-running | grep -E 'running|degraded'"]
    try:
        machine(name, "/sbin/init")
        give_up = time.monotonic() + MACHINE_START_SECONDS
        while subprocess.run(running, capture_output=True, timeout=60, check=False).returncode:
            assert time.monotonic() < give_up, docker("logs", name)
            time.sleep(0.5)
        yield name
    finally:
        docker("rm", "--force", "--volumes", name)


def listing(host: Host) -> dict[str, list[str]]:
    """What a deployment may have changed on a machine."""
    commands = {
        "packages": "dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n'",
        "groups": "cut -d : -f 1,4 /etc/group",
        "files": "find /etc /var/lib -xdev -maxdepth 2 | grep -vE '^/var/lib/(apt|dpkg|systemd)'",
        # Nobody waits for the dead where nothing manages services.
        "processes": "ps -eo stat=,comm= | grep -v ^Z | grep -oE 'docker.*|containerd.*' || true",
        "units": "find /etc/systemd/system -type l",
    }
    return {name: sorted(host.run("sh", "-c", command).splitlines()) for name, command in commands.items()}


def differences(before: dict[str, list[str]], after: dict[str, list[str]]) -> list[str]:
    """What has come (+) and what has gone (-)."""
    changes = (
        (sign, what, one)
        for what in before
        for sign, new, old in (("+", after, before), ("-", before, after))
        for one in sorted(set(new[what]) - set(old[what]))
    )
    return [f"{sign} {what}: {one}" for sign, what, one in changes]
