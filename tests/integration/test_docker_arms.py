# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""inventory/docker.yml's way through the playbooks: both arms as containers on a real Docker engine.

Deployed, measured, broken, and removed. The base images are stand-ins where none can be pulled, and the report says so.
"""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.integration import standin_images
from tests.integration.debian_base import docker
from tests.integration.toolkit import SHORT, Toolkit, last_line, run_json

GRANTED_BYTES = 4 << 30


def names(arm: str) -> str:
    """Names of this test run alone: another one may use the same engine."""
    return f"evenkeel-test-{os.getpid()}-{arm}"


@pytest.fixture(scope="module")
def toolkit(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Toolkit]:
    """Both arms, deployed as containers. Whatever a test leaves behind is removed."""
    standin_images.build_standins()
    variables = {"profile": "demo", "platform_docker_name": names("{{ arm }}")} | standin_images.variables()
    kit = Toolkit(tmp_path_factory.mktemp("arms"), variables, platform="docker")
    rehearsed = kit.play("site", "--check")
    assert rehearsed.returncode == 0, rehearsed.stdout
    assert not kit.state.exists()
    with standin_images.building():
        deployed = kit.play("site")
        assert deployed.returncode == 0, deployed.stdout
        standin_images.keep_packages()
    yield kit
    for arm in kit.ports:
        subprocess.run(["docker", "rm", "--force", "--volumes", names(arm)], check=False, capture_output=True)


def test_both_arms_answer_the_same(toolkit: Toolkit) -> None:
    answers = {arm: toolkit.ask(arm) for arm in toolkit.ports}
    for answer in answers.values():
        assert answer.pop("instance_id")
    assert answers["server"] == answers["serverless"]
    assert answers["server"]["accuracy"] > 0.8


def test_the_settings_are_mounted_read_only(toolkit: Toolkit) -> None:
    for arm in toolkit.ports:
        inspected: dict[str, Any] = json.loads(docker("container", "inspect", names(arm)))[0]
        assert [(mount["Destination"], mount["RW"]) for mount in inspected["Mounts"]] == [
            ("/var/openfaas/secrets", False)
        ]
        limits = inspected["HostConfig"]
        assert (limits["NanoCpus"], limits["Memory"], limits["MemorySwap"]) == (2 * 10**9, GRANTED_BYTES, GRANTED_BYTES)


def test_deploying_again_changes_nothing(toolkit: Toolkit) -> None:
    instances = {arm: toolkit.ask(arm, "/ready")["instance_id"] for arm in toolkit.ports}
    again = toolkit.play("site")
    assert again.returncode == 0, again.stdout
    assert again.stdout[again.stdout.index("PLAY RECAP") :].count("changed=0") == 2, again.stdout
    assert {arm: toolkit.ask(arm, "/ready")["instance_id"] for arm in toolkit.ports} == instances


def test_a_run_measures_both_containers(toolkit: Toolkit) -> None:
    short = SHORT | {"trained_starts": 1, "idle_windows": 1, "idle_seconds": 4, "load_requests": 20}
    done = toolkit.play("benchmark", **short)
    run = run_json(toolkit.newest_run())
    # Other work on this machine may take CPUs away from one arm's two evaluations alone. That such a run is INVALID is
    # right, and no fault of the containers.
    others = [reason for reason in run["invalid_reasons"] if "effective cores" not in reason["message"]]
    assert (run["status"], others) == ("complete", []), done.stdout
    assert done.returncode == (0 if run["valid"] else 2)
    checks = {check["name"]: check for check in run["parity"]["checks"]}
    assert checks["CPU quota, cores"]["server"] == checks["CPU quota, cores"]["serverless"] == 2.0
    assert checks["memory limit, bytes"]["server"] == checks["memory limit, bytes"]["serverless"] == GRANTED_BYTES
    for arm in toolkit.ports:
        record = json.loads((toolkit.newest_run() / "raw" / f"b01-{arm}-load.json").read_text())
        (container,) = record["facts"]["docker_stats"]["containers"]
        assert container["name"] == names(arm)
        assert container["memory_kind"] == "working_set"
        assert container["cpu_cores"] > 0
    metrics = {metric["name"]: metric for metric in run["metrics"]}
    for name in ("idle_memory_bytes", "busy_memory_bytes", "busy_cpu_seconds_per_request", "ready_seconds"):
        assert all(metrics[name][arm]["median"] > 0 for arm in toolkit.ports), name
    report = (toolkit.newest_run() / "report.md").read_text()
    for standin in standin_images.NAMES:
        assert standin in report
    assert "process against" not in report


def test_one_arm_alone(toolkit: Toolkit) -> None:
    other = toolkit.wait_until_ready("server")
    done = toolkit.play("benchmark", "--limit", "serverless", **SHORT)
    assert done.returncode == 0, done.stdout
    run = run_json(toolkit.newest_run())
    assert (run["status"], run["valid"]) == ("one_arm", True)
    assert "VALID" in last_line(done)
    # What ran before runs again; the other arm was stopped for the time of the run.
    assert {toolkit.wait_until_ready(arm) for arm in toolkit.ports}.isdisjoint({other})


def test_too_little_memory_is_said(toolkit: Toolkit) -> None:
    done = toolkit.play("site", "--tags", "deploy", "--limit", "serverless", granted_memory_bytes=64 << 20)
    said = " ".join(done.stdout.split())
    assert done.returncode == 2
    # The watchdog outlives the killed function, and then ends with a code of its own.
    assert f"The container {names('serverless')} ended with exit code 1, out of memory" in said
    mended = toolkit.play("site", "--tags", "deploy", "--limit", "serverless")
    assert mended.returncode == 0, mended.stdout


def test_another_s_container_is_left_alone(toolkit: Toolkit) -> None:
    name = names("another")
    docker("create", "--name", name, standin_images.CONDA, "true")
    try:
        done = toolkit.play("site", "--tags", "deploy", "--limit", "server", platform_docker_name=name)
        assert done.returncode == 2
        assert f"There is a container {name} on the-server that this toolkit did not make" in " ".join(
            done.stdout.split()
        )
        assert docker("container", "inspect", "--format", "{{.Config.Image}}", name) == standin_images.CONDA
    finally:
        docker("rm", name)


def test_a_port_in_use_is_told_from_our_own(toolkit: Toolkit) -> None:
    done = toolkit.play("site", "--tags", "preflight")
    assert done.returncode == 0, done.stdout
    taken = toolkit.play("site", "--tags", "preflight", "--limit", "server", service_port=toolkit.ports["serverless"])
    assert taken.returncode == 2
    assert f"Port {toolkit.ports['serverless']} on the-server is in use" in " ".join(taken.stdout.split())


def test_both_containers_can_be_stopped(toolkit: Toolkit) -> None:
    done = toolkit.play("stop")
    assert done.returncode == 0, done.stdout
    for arm in toolkit.ports:
        assert docker("container", "inspect", "--format", "{{.State.Running}}", names(arm)) == "false"


def test_a_reset_removes_containers_and_images(toolkit: Toolkit) -> None:
    manifest = json.loads((toolkit.state / "manifest.json").read_text())["entries"]
    # The images that they are built on were there before.
    images = [entry["name"] for entry in manifest if entry["kind"] == "image" and not entry["existed_before"]]
    assert len(images) == 2
    with standin_images.nobody_building():
        done = toolkit.play("reset", reset_images=True)
    assert done.returncode == 0, done.stdout
    assert not toolkit.state.exists()
    listed = docker("ps", "--all", "--format", "{{.Names}}").splitlines()
    assert [names(arm) for arm in toolkit.ports if names(arm) in listed] == []
    kept = docker("image", "ls", "--format", "{{.Repository}}:{{.Tag}}").splitlines()
    assert [image for image in images if image in kept] == []
