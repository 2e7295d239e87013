# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A machine like a small EC2 instance: Debian with systemd and sshd in a container, 2 CPUs and 4 GB, reached by SSH."""

from __future__ import annotations

import contextlib
import os
import subprocess
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.integration.debian_base import build_network, certificates, docker, ensure_base_image
from tests.integration.debian_machine import MACHINE
from tests.integration.toolkit import free_port

START_SECONDS = 60
MEMORY_BYTES = 4 << 30
# Where the packages lie that this test run has downloaded already.
PACKAGES = "/var/cache/test-packages"

# What an instance has when it is new, with root's files closed to others. What a deployment installs lies in the
# package manager's cache alone.
DOCKERFILE = """
FROM {base}
COPY machine /usr/local/sbin/machine
RUN rm -f /etc/apt/apt.conf.d/docker-clean /usr/sbin/policy-rc.d \\
 && apt-get update \\
 && apt-get install --yes --no-install-recommends systemd systemd-sysv dbus openssh-server python3 \\
      sudo iproute2 procps ca-certificates \\
 && apt-get install --yes --no-install-recommends --download-only apache2-utils htop python3-venv \\
 && useradd --create-home --shell /bin/bash admin && echo 'admin ALL=(ALL) NOPASSWD: ALL' >/etc/sudoers.d/admin \\
 && echo 'Defaults umask=0077, umask_override' >>/etc/sudoers.d/admin \\
 && useradd --create-home --shell /bin/bash guest
# What this machine trusts, as a company's network asks it of its hosts.
COPY authorities.pem /etc/ssl/certs/ca-certificates.crt
RUN printf '[global]\\ncert = /etc/ssl/certs/ca-certificates.crt\\n' >/etc/pip.conf \\
 && mkdir /etc/uv && echo 'native-tls = true' >/etc/uv/uv.toml
ENTRYPOINT ["/usr/local/sbin/machine"]
CMD ["/sbin/init"]
"""


@dataclass(frozen=True)
class SshMachine:
    """A running machine: its container, the port of its sshd on 127.0.0.1, and what it takes to be let in."""

    container: str
    port: int
    key: Path
    known_hosts: Path

    def variables(self, user: str = "admin") -> dict[str, str | int]:
        """What an inventory says of it."""
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.port,
            "ansible_user": user,
            "ansible_ssh_private_key_file": str(self.key),
            "ansible_ssh_common_args": f"-o UserKnownHostsFile={self.known_hosts} -o StrictHostKeyChecking=yes",
        }

    def run(self, *argv: str, timeout: float = 120) -> str:
        return docker("exec", self.container, *argv, timeout=timeout)

    def shell(self, script: str, timeout: float = 120) -> str:
        return self.run("bash", "-c", script, timeout=timeout)

    @property
    def address(self) -> str:
        """Where the other machines of this engine reach it."""
        found = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        return docker("inspect", "--format", found, self.container)

    def wait_until_up(self) -> None:
        """systemd has started everything, and sshd answers."""
        asked = ["docker", "exec", self.container, "sh", "-c", "systemctl is-system-running && systemctl is-active ssh"]
        give_up = time.monotonic() + START_SECONDS
        while subprocess.run(asked, capture_output=True, timeout=60, check=False).returncode:
            assert time.monotonic() < give_up, docker("logs", self.container) + self.shell("systemctl --failed; true")
            time.sleep(0.3)

    def move_clock(self, seconds: int, boot_id: str) -> None:
        """Give whoever comes by SSH another monotonic clock and another boot id, as another machine has.

        All containers share one kernel's. A time namespace has a clock of its own, and the boot id is covered.
        """
        sshd = f"/usr/bin/unshare --time --monotonic {seconds} --boottime {seconds} --kill-child /usr/sbin/sshd -D"
        self.shell(
            f"echo {boot_id} >/etc/own-boot-id && mount --bind /etc/own-boot-id /proc/sys/kernel/random/boot_id && "
            "mkdir -p /etc/systemd/system/ssh.service.d && "
            f"printf '[Service]\nType=simple\nExecStart=\nExecStart={sshd}\n' "
            ">/etc/systemd/system/ssh.service.d/clock.conf && systemctl daemon-reload && systemctl restart ssh"
        )

    def restart(self) -> None:
        """What a reboot is: every process ends, and the machine starts again."""
        docker("restart", "--time", "30", self.container)
        self.wait_until_up()


def build(name: str) -> None:
    base = ensure_base_image()
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "Dockerfile").write_text(DOCKERFILE.format(base=base))
        Path(folder, "machine").write_text(MACHINE)
        Path(folder, "machine").chmod(0o755)
        bundle = certificates()
        Path(folder, "authorities.pem").write_bytes(bundle.read_bytes() if bundle else b"")
        docker("build", *build_network(), "--tag", name, folder, timeout=900)


@contextlib.contextmanager
def ssh_machine(folder: Path, hostname: str = "server", *, own_clock: bool = False) -> Iterator[SshMachine]:
    """Such a machine, with nothing of the toolkit's on it. Skips the test where there is no Docker engine.

    Machines of one test have a folder and a name each. One that shall have a clock of its own needs the right to that.
    """
    name, port = f"evenkeel-test-ssh-{hostname}-{os.getpid()}", free_port()
    build(f"{name}:latest")
    key, known_hosts = folder / "key", folder / "known_hosts"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(key)], check=True)
    cache = os.environ.get("UV_CACHE_DIR")
    argv = ["run", "--detach", "--name", name, "--hostname", hostname, "--cpus", "2", "--memory", str(MEMORY_BYTES)]
    argv += [
        "--cap-add",
        "SYS_ADMIN",
        "--cap-add",
        "SYS_NICE",
        "--security-opt",
        "seccomp=unconfined",
        "--security-opt",
        "apparmor=unconfined",
    ]
    argv += ["--cap-add", "SYS_TIME"] if own_clock else []
    argv += ["--cgroupns", "private", "--tmpfs", "/run", "--tmpfs", "/run/lock", "--tmpfs", "/tmp"]
    argv += ["--env", "container=docker", "--publish", f"127.0.0.1:{port}:22"]
    argv += ["--volume", f"{cache}:{PACKAGES}"] if cache else []
    try:
        docker(*argv, f"{name}:latest")
        machine = SshMachine(name, port, key, known_hosts)
        machine.wait_until_up()
        for user in ("admin", "guest"):
            machine.shell(
                f"install -d -m 0700 -o {user} -g {user} ~{user}/.ssh && "
                f"echo '{key.with_suffix('.pub').read_text().strip()}' >~{user}/.ssh/authorized_keys && "
                f"chown {user}: ~{user}/.ssh/authorized_keys"
            )
        host_key = machine.run("cat", "/etc/ssh/ssh_host_ed25519_key.pub").split()
        known_hosts.write_text(f"[127.0.0.1]:{port} {host_key[0]} {host_key[1]}\n")
        yield machine
    finally:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], capture_output=True, check=False)
        subprocess.run(["docker", "image", "rm", "--force", f"{name}:latest"], capture_output=True, check=False)
