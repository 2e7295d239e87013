# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The server arm on a machine of its own: real SSH, a real systemd, 2 CPUs and 4 GB.

Deployed, measured, changed over to good and to broken releases, killed, rebooted, measured beside the function's
container, and removed. The machine is a container (ssh_machine.py).
"""

from __future__ import annotations

import contextlib
import json
import re
import shutil
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.integration import standin_images
from tests.integration.debian_machine import differences
from tests.integration.ssh_machine import PACKAGES, SshMachine, ssh_machine
from tests.integration.toolkit import ROOT, SHORT, Toolkit, free_port, last_line, run_json, run_playbook

PORT = 8080
GRANTED_BYTES = 4 << 30
UNIT = "evenkeel-server"
STATE = "/var/lib/evenkeel"
# What runs on the machine beside a deployment: asks again and again, each time on a new connection, and counts.
CLIENT = """
import json, pathlib, sys, time, urllib.request
refused, served = [], 0
pathlib.Path(sys.argv[1] + '.begun').touch()
while not pathlib.Path(sys.argv[1] + '.stop').exists():
    try:
        with urllib.request.urlopen('http://127.0.0.1:8080/healthz', timeout=60) as answer:
            served += answer.status == 200
    except OSError as error:
        refused.append(str(error))
    time.sleep(0.05)
print(json.dumps({'served': served, 'refused': refused}))
"""


@dataclass
class Deployment:
    """The toolkit with an inventory in which the server is the machine, and the function a container beside it."""

    folder: Path
    machine: SshMachine
    project: Path = ROOT
    function_port: int = field(default_factory=free_port)

    def inventory(self, **server: Any) -> Path:
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        state = str(self.folder / "state")
        serverless = {"platform": "docker", "service_port": self.function_port, "evenkeel_state_dir": state}
        there = {"platform": "systemd", "service_port": PORT, "ansible_become": True, "python_env_cache": PACKAGES}
        groups = {
            "server": {"hosts": {"the-server": self.machine.variables() | there | server}},
            "serverless": {"hosts": {"the-function": local | serverless}},
        }
        path = self.folder / "inventory.yml"
        path.write_text(yaml.safe_dump({"all": {"children": groups}}))
        return path

    def play(
        self, playbook: str, *options: str, limit: str = "server", **variables: Any
    ) -> subprocess.CompletedProcess[str]:
        """Run a playbook; variables of Ansible's connection are the machine's in the inventory, others for all."""
        server = {name: variables.pop(name) for name in [*variables] if name.startswith("ansible_")}
        chosen = {"results_dir": str(self.folder / "results"), "platform_docker_name": self.container}
        # Images of its own name: another test removes its own while this one has a container of them.
        chosen["function_image"] = f"{self.machine.container}/cifar-cnn"
        chosen |= standin_images.variables() | variables
        arguments = ["-i", str(self.inventory(**server)), f"{playbook}.yml", "--limit", limit, "-e", json.dumps(chosen)]
        return run_playbook(*arguments, *options, cwd=self.project, project=self.project)

    @property
    def container(self) -> str:
        return f"{self.machine.container}-{{{{ arm }}}}"

    def ask(self, path: str = "/") -> dict[str, Any]:
        url = f"http://127.0.0.1:{PORT}{path}"
        script = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=60).read().decode())"
        answer: dict[str, Any] = json.loads(self.machine.run("python3", "-c", script))
        return answer

    def wait_until_ready(self, seconds: float = 120) -> str:
        give_up = time.monotonic() + seconds
        while True:
            try:
                return str(self.ask("/ready?wait=20")["instance_id"])
            except AssertionError:
                assert time.monotonic() < give_up, self.machine.shell(f"journalctl -u {UNIT} -n 40 --no-pager")
                time.sleep(0.5)

    def newest_run(self) -> Path:
        runs = (path for path in (self.folder / "results").iterdir() if path.name != "latest")
        return max(runs, key=lambda path: path.name)

    @contextlib.contextmanager
    def a_client(self) -> Iterator[dict[str, Any]]:
        """A client on the machine for the time of the block; after it the dictionary has what it counted."""
        counted: dict[str, Any] = {}
        signal = "/tmp/test-client"
        self.machine.shell(f"rm -f {signal}.*")
        argv = ["docker", "exec", self.machine.container, "python3", "-c", CLIENT, signal]
        client = subprocess.Popen(argv, stdout=subprocess.PIPE, text=True)
        try:
            self.machine.shell(f"for i in $(seq 100); do test -e {signal}.begun && break; sleep 0.1; done")
            yield counted
        finally:
            self.machine.shell(f"touch {signal}.stop")
            counted.update(json.loads(client.communicate(timeout=90)[0]))


def said(done: subprocess.CompletedProcess[str]) -> str:
    return " ".join(done.stdout.split())


def listing(machine: SshMachine) -> dict[str, list[str]]:
    """All that a deployment may leave there, but for what Ansible, sudo and the package manager keep of their own."""
    kept = "/(proc|sys|run|tmp|dev|var/log|var/cache|var/lib/(apt|dpkg|systemd)|(home/admin|root)/.ansible)(/|$)"
    # Those of the machine's own units have another name after each start of it.
    kept += "|^/home/admin/.sudo_as_admin_successful|^/var/tmp/systemd-private-[0-9a-f]+-(systemd|dbus|ssh)"
    commands = {
        "files": f"find / -xdev | grep -vE '^{kept}|/__pycache__'",
        "users": "cut -d : -f 1 /etc/passwd /etc/group",
        "units": "systemctl list-unit-files --no-legend --plain | awk '{print $1, $2}'",
        "loaded": "systemctl list-units --all --no-legend --plain '*evenkeel*' | awk '{print $1}'",
        "packages": "dpkg-query --show --showformat '${Package} ${db:Status-Status}\\n'",
        "processes": "ps -eo args= | grep -iE 'gunicorn|evenkeel' | grep -v grep || true",
    }
    return {name: sorted(machine.shell(command).splitlines()) for name, command in commands.items()}


@pytest.fixture(scope="module")
def deployment(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployment]:
    folder = tmp_path_factory.mktemp("ssh")
    with ssh_machine(folder) as machine:
        yield Deployment(folder, machine)
        for arm in ("server", "serverless"):
            argv = ["docker", "rm", "--force", "--volumes", f"{machine.container}-{arm}"]
            subprocess.run(argv, capture_output=True, check=False)


@pytest.fixture(scope="module")
def before(deployment: Deployment) -> dict[str, list[str]]:
    """What the machine was before anything of the toolkit's came, which is read after a rehearsal."""
    found = listing(deployment.machine)
    rehearsed = deployment.play("site", "--check", profile="demo")
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert differences(found, listing(deployment.machine)) == []
    return found


@pytest.fixture(scope="module")
def deployed(deployment: Deployment, before: dict[str, list[str]]) -> Deployment:
    done = deployment.play("site", profile="demo")
    assert done.returncode == 0, done.stdout
    return deployment


def test_the_service_answers_and_starts_with_the_machine(deployed: Deployment) -> None:
    answer = deployed.ask()
    assert answer["accuracy"] > 0.8
    enabled = deployed.machine.run("systemctl", "is-enabled", f"{UNIT}.socket", f"{UNIT}.service")
    assert enabled.split() == ["enabled", "enabled"]
    listens = deployed.machine.shell("ss -Htln 'sport = :8080'").split()
    assert listens[3] == "127.0.0.1:8080"


def test_deploying_again_changes_nothing(deployed: Deployment) -> None:
    instance = deployed.ask("/ready")["instance_id"]
    again = deployed.play("site")
    assert again.returncode == 0, again.stdout
    assert "changed=0" in again.stdout[again.stdout.index("PLAY RECAP") :], again.stdout
    assert deployed.ask("/ready")["instance_id"] == instance


def test_the_unit_is_hardened_and_serves(deployed: Deployment) -> None:
    analysed = deployed.machine.shell(f"systemd-analyze security --no-pager {UNIT}.service | tail -n 1")
    exposure = float(analysed.split("level for")[1].split(":")[1].split()[0])
    assert exposure <= 2.0, deployed.machine.shell(f"systemd-analyze security --no-pager {UNIT}.service")
    pid = deployed.machine.run("systemctl", "show", "--property=MainPID", "--value", UNIT)
    assert deployed.machine.shell(f"stat -c %U /proc/{pid}") == "evenkeel"
    # Root's files cannot be written by the service, nor read in the homes.
    assert "NoNewPrivs:\t1" in deployed.machine.shell(f"cat /proc/{pid}/status")


def test_the_limits_take_effect(deployed: Deployment) -> None:
    """As read from the control groups themselves; where units' limits were ignored, these would be absent."""
    quota = limit(deployed.machine, "cpu/{}/cpu.cfs_quota_us", "{}/cpu.max").split()[0]
    assert int(quota) == 200_000
    assert int(limit(deployed.machine, "memory/{}/memory.limit_in_bytes", "{}/memory.max")) == GRANTED_BYTES


def test_a_run_over_ssh(deployed: Deployment) -> None:
    short = SHORT | {"trained_starts": 1, "idle_windows": 1, "idle_seconds": 4, "load_requests": 20}
    done = deployed.play("benchmark", **short)
    assert done.returncode == 0, done.stdout
    run = run_json(deployed.newest_run())
    assert (run["status"], run["valid"]) == ("one_arm", True)
    checks = {check["name"]: check["server"] for check in run["parity"]["checks"]}
    assert checks["CPU quota, cores"] == 2.0
    assert checks["memory limit, bytes"] == GRANTED_BYTES
    raw = deployed.newest_run() / "raw"
    start = json.loads(next(raw.glob("*-server-start*.json")).read_text())["facts"]["service_startup"]
    assert start["valid"] is True
    assert 0 < start["first_reply_seconds"] <= start["ready_seconds"]
    load = json.loads((raw / "b01-server-load.json").read_text())["facts"]
    assert load["htop"]["processes"]
    assert load["htop"]["version"].startswith("3.")
    metrics = {metric["name"]: metric for metric in run["metrics"]}
    for name in ("idle_memory_bytes", "busy_memory_bytes", "busy_cpu_seconds_per_request", "ready_seconds"):
        assert metrics[name]["server"]["median"] > 0, name
    # What ran before runs again.
    deployed.wait_until_ready()


def test_a_release_that_is_broken_does_not_serve(deployed: Deployment, tmp_path: Path) -> None:
    instance = deployed.wait_until_ready()
    broken = changed_project(tmp_path, "app/wsgi.py", "\nraise RuntimeError('broken on purpose')\n")
    with deployed.a_client() as client:
        done = Deployment(deployed.folder, deployed.machine, broken).play("site", "--tags", "deploy")
    assert done.returncode == 2, done.stdout
    assert "did not get ready, and is removed" in said(done)
    assert "broken on purpose" in said(done)
    assert client["refused"] == []
    assert client["served"] > 10
    assert deployed.ask("/ready")["instance_id"] == instance
    assert len(releases(deployed)) == 1
    # The application as it was: that release serves already.
    mended = deployed.play("site", "--tags", "deploy")
    assert mended.returncode == 0, mended.stdout
    assert deployed.ask("/ready")["instance_id"] == instance


def test_a_good_release_takes_over_without_a_refused_connection(deployed: Deployment, tmp_path: Path) -> None:
    instance = deployed.wait_until_ready()
    newer = changed_project(tmp_path, "app/wsgi.py", "\n# another release\n")
    with deployed.a_client() as client:
        done = Deployment(deployed.folder, deployed.machine, newer).play("site", "--tags", "deploy")
    assert done.returncode == 0, done.stdout
    waited = re.search(r"serves now in place of .* waited or were refused for ([0-9.]+) s", said(done))
    assert waited and float(waited[1]) > 0.5, done.stdout
    assert client["refused"] == []
    assert deployed.wait_until_ready() != instance
    assert len(releases(deployed)) == 2
    back = deployed.play("site", "--tags", "deploy")
    assert back.returncode == 0, back.stdout
    assert len(releases(deployed)) == 2


def test_too_little_memory_does_not_serve(deployed: Deployment) -> None:
    instance = deployed.wait_until_ready()
    """The unit alone would change: it is proven as a release is."""
    little = {"granted_memory_bytes": 96 << 20, "ready_deadline_seconds": 20}
    done = deployed.play("site", "--tags", "deploy", **little)
    assert done.returncode == 2, done.stdout
    assert "did not get ready in the unit that it was to have; that, which serves, was not touched" in said(done)
    assert deployed.ask("/ready")["instance_id"] == instance


@pytest.mark.parametrize("whom", ["worker", "master"])
def test_what_is_killed_comes_back(deployed: Deployment, whom: str) -> None:
    deployed.wait_until_ready()
    expected = deployed.ask()
    master = deployed.machine.run("systemctl", "show", "--property=MainPID", "--value", UNIT)
    victim = master if whom == "master" else deployed.machine.run("pgrep", "--parent", master)
    deployed.machine.run("kill", "-9", victim)
    deployed.wait_until_ready()
    answer = deployed.ask()
    assert answer.pop("instance_id") != expected.pop("instance_id")
    assert answer == expected


def test_it_comes_back_with_the_machine(deployed: Deployment) -> None:
    deployed.wait_until_ready()
    expected = deployed.ask()
    deployed.machine.restart()
    deployed.wait_until_ready()
    answer = deployed.ask()
    assert answer.pop("instance_id") != expected.pop("instance_id")
    assert answer == expected


def test_what_an_interrupted_run_told_it_is_told_anew(deployed: Deployment) -> None:
    settings = f"{STATE}/server/service/service.json"
    deployed.wait_until_ready()
    before = deployed.machine.run("cat", settings)
    deployed.machine.shell(f'sed -i \'s/"epochs": 1/"epochs": 2/\' {settings} && systemctl restart {UNIT}')
    assert deployed.machine.run("cat", settings) != before
    deployed.wait_until_ready()
    done = deployed.play("site", "--tags", "deploy")
    assert done.returncode == 0, done.stdout
    assert deployed.machine.run("cat", settings) == before
    deployed.wait_until_ready()


def test_stopped_is_stopped(deployed: Deployment) -> None:
    candidate = "/run/systemd/system/evenkeel-server-candidate.service"
    deployed.machine.shell(
        f"printf '[Service]\\nExecStart=/bin/sleep 1000\\n' >{candidate} && systemctl start evenkeel-server-candidate"
    )
    # A host that site.yml made goes on costing: only who made it is told so.
    done = deployed.play("stop", host_made_by="ec2_host")
    assert done.returncode == 0, done.stdout
    assert "and the-server itself is not: what site.yml made goes on costing" in said(done)
    assert deployed.machine.shell("ss -Htln 'sport = :8080'") == ""
    assert deployed.machine.shell(f"ls {candidate} 2>&1; pgrep -x sleep; true").endswith("No such file or directory")
    started = deployed.play("site", "--tags", "deploy")
    assert started.returncode == 0, started.stdout
    assert deployed.ask("/ready")["ready"] is True


def test_bad_ways_in_are_named(deployed: Deployment, tmp_path: Path) -> None:
    other = tmp_path / "other"
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(other)], check=True)
    # A connection that is still open would let anybody in.
    fresh = {"ansible_ssh_args": "-o ControlPath=none"}
    wrong = deployed.play("site", ansible_ssh_private_key_file=str(other), **fresh)
    assert wrong.returncode == 4
    assert "Permission denied (publickey" in said(wrong)
    changed = tmp_path / "changed"
    kind, key = other.with_suffix(".pub").read_text().split()[:2]
    changed.write_text(f"[127.0.0.1]:{deployed.machine.port} {kind} {key}\n")
    options = f"-o UserKnownHostsFile={changed} -o StrictHostKeyChecking=yes"
    stranger = deployed.play("site", ansible_ssh_common_args=options, **fresh)
    assert stranger.returncode == 4
    assert "REMOTE HOST IDENTIFICATION HAS CHANGED" in said(stranger)
    absent = deployed.play("site", ansible_port=free_port(), **fresh)
    assert absent.returncode == 4
    assert "Connection refused" in said(absent)
    powerless = deployed.play("site", ansible_user="guest")
    assert powerless.returncode != 0
    assert "sudo" in said(powerless)
    rootless = deployed.play("site", ansible_become=False)
    assert rootless.returncode == 2
    assert "needs root on the-server. Set `ansible_become: true`" in said(rootless)


def test_a_full_disk_is_said_before_anything_is_made(deployed: Deployment) -> None:
    elsewhere = {"evenkeel_state_dir": "/var/lib/elsewhere", "service_port": 8090}
    done = deployed.play("site", preflight_free_gib_new=100000, **elsewhere)
    assert done.returncode == 2
    assert "free, and 97.66 TB are needed" in said(done), done.stdout
    assert deployed.machine.shell("ls /var/lib/elsewhere 2>&1; true").endswith("No such file or directory")


def test_a_folder_that_keeps_the_services_user_out_is_said_before_anything_is_made(deployed: Deployment) -> None:
    deployed.machine.shell("install -d -m 0700 /srv/private; install -d /srv/private/below")
    done = deployed.play("site", evenkeel_state_dir="/srv/private/below/evenkeel", service_port=8090)
    assert done.returncode == 2
    assert "/srv/private on the-server keeps other users out (mode 0700)" in said(done), done.stdout
    assert "chmod o+x /srv/private" in said(done)
    assert deployed.machine.shell("ls /srv/private/below; rm -r /srv/private") == ""


def test_another_lock_needs_room_for_all_its_packages(deployed: Deployment, tmp_path: Path) -> None:
    other = Deployment(
        deployed.folder, deployed.machine, changed_project(tmp_path, "requirements/service.txt", "# x\n")
    )
    done = other.play("site", "--tags", "preflight", preflight_free_gib_new=100000)
    assert done.returncode == 2
    assert "free, and 97.66 TB are needed" in said(done), done.stdout


def test_a_lock_that_the_index_does_not_match_is_refused(deployed: Deployment, tmp_path: Path) -> None:
    other = Deployment(deployed.folder, deployed.machine, changed_project(tmp_path, "requirements/service.txt", ""))
    lock = other.project / "requirements" / "service.txt"
    pinned = re.search(r"^waitress==\S+( \\\n    --hash=sha256:\w+)+", lock.read_text(), re.MULTILINE)
    assert pinned is not None
    wrong = re.sub(r"sha256:\w+", "sha256:" + "0" * 64, pinned[0])
    lock.write_text(lock.read_text().replace(pinned[0], wrong))
    instance = deployed.wait_until_ready()
    # An index is only asked for what is not installed.
    again = {"evenkeel_state_dir": "/var/lib/elsewhere", "service_port": 8090, "preflight_free_gib_new": 1}
    try:
        done = other.play("site", "--tags", "environment", **again)
    finally:
        deployed.machine.shell("rm -rf /var/lib/elsewhere")
    assert done.returncode == 2, done.stdout
    assert "a package that the index has is not the one that the lock names" in said(done), done.stdout
    assert deployed.ask("/ready")["instance_id"] == instance


def test_without_systemd_it_is_refused(tmp_path: Path) -> None:
    if Path("/run/systemd/system").is_dir():
        pytest.skip("this machine was booted with systemd")
    kit = Toolkit(tmp_path, {"profile": "demo"}, platform={"server": "systemd", "serverless": "process"})
    done = kit.play("site", "--limit", "the-server", "--tags", "preflight")
    assert done.returncode == 2
    assert "the-server was not booted with systemd, which platform=systemd needs" in said(done)


def test_a_unit_of_somebody_else_is_left_alone(deployed: Deployment) -> None:
    theirs = "/etc/systemd/system/theirs.service"
    deployed.machine.shell(f"printf '[Service]\\nExecStart=/bin/true\\n' >{theirs}")
    done = deployed.play("site", "--tags", "deploy", platform_systemd_unit="theirs")
    assert done.returncode == 2
    assert "There is a unit theirs on the-server that this toolkit did not make" in said(done)
    deployed.machine.shell(f"rm {theirs}")


def test_both_arms_on_one_machine(deployed: Deployment) -> None:
    """inventory/samehost.yml's pairing: the function's container, and the service under systemd, one at a time."""
    with standin_images.building():
        standin_images.build_standins()
        done = deployed.play("site", limit="all")
        assert done.returncode == 0, done.stdout
        standin_images.keep_packages()
    measured = deployed.play("benchmark", limit="all", **SHORT | {"trained_starts": 1, "load_requests": 20})
    run = run_json(deployed.newest_run())
    # Other work on this machine may take CPUs away from one arm's two evaluations alone.
    others = [reason for reason in run["invalid_reasons"] if "effective cores" not in reason["message"]]
    assert (run["status"], others) == ("complete", []), measured.stdout
    checks = {check["name"]: (check["server"], check["serverless"]) for check in run["parity"]["checks"]}
    assert checks["CPU quota, cores"] == (2.0, 2.0)
    assert checks["memory limit, bytes"] == (GRANTED_BYTES, GRANTED_BYTES)
    assert "VALID" in last_line(measured)
    # A unit and a container are counted by the same counters, so that each can be set beside the other.
    metrics = {metric["name"]: metric for metric in run["metrics"]}
    for name, kind in {"busy_cpu_seconds_per_request": "cgroup", "busy_memory_bytes": "working_set"}.items():
        assert metrics[name]["kind"] == kind
        assert None not in (metrics[name]["server"], metrics[name]["serverless"])
        # What other work makes INVALID has no ratio of anything.
        assert (metrics[name]["ratio"] is not None) == run["valid"], metrics[name]


def test_a_reset_leaves_the_machine_as_it_was(deployed: Deployment, before: dict[str, list[str]]) -> None:
    with standin_images.nobody_building():
        done = deployed.play("reset", limit="all", reset_packages=True, reset_images=True)
    assert done.returncode == 0, done.stdout
    assert differences(before, listing(deployed.machine)) == []
    again = deployed.play("reset")
    assert again.returncode == 0, again.stdout


def limit(machine: SshMachine, first_version: str, second_version: str) -> str:
    """What the unit's control group holds, in either version of control groups."""
    files = (
        f"/sys/fs/cgroup/{name.format(f'system.slice/{UNIT}.service')}" for name in (first_version, second_version)
    )
    return machine.shell(" || ".join(f"cat {name} 2>/dev/null" for name in files))


def releases(deployment: Deployment) -> list[str]:
    return deployment.machine.run("ls", f"{STATE}/server/releases").split()


def changed_project(folder: Path, path: str, addition: str) -> Path:
    """This project with one file changed, as a developer's working copy would be."""
    tracked = subprocess.run(["git", "ls-files"], cwd=ROOT, check=True, capture_output=True, text=True).stdout
    project = folder / "project"
    for name in tracked.splitlines():
        if not name.startswith(("tests/", "docs/")):
            (project / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, project / name)
    with (project / path).open("a") as stream:
        stream.write(addition)
    return project
