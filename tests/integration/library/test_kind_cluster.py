# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/kind_cluster.py, run as Ansible runs it, against stand-ins of kind and of the docker command."""

from __future__ import annotations

import json
import os
import socket
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.evenkeel import kind as kind_utils

from tests.standins import kind as standin

GIB = 1 << 30
NODE = "evenkeel-control-plane"
CONFIG = {
    "kind": "Cluster",
    "apiVersion": "kind.x-k8s.io/v1alpha4",
    "nodes": [{"role": "control-plane"}],
}
Act = Callable[..., dict[str, Any]]


class Bench:
    """The module beside stand-ins, each in a folder of its own."""

    def __init__(self, folder: Path, run: Callable[..., dict[str, Any]], module: ModuleType) -> None:
        self.programs = folder / "bin"
        self.kubeconfig = folder / "state" / "kubeconfig"
        self.owner_file = folder / "state" / "kind" / "evenkeel.json"
        self._run, self._module = run, module
        self.options: dict[str, Any] = {
            "name": "evenkeel",
            "config": CONFIG,
            "node_image": "kindest/node:v1.34.0",
            "kubeconfig": str(self.kubeconfig),
            "owner_file": str(self.owner_file),
            "kind_path": str(self.programs / "kind"),
            "deadline_seconds": 20,
        }

    def act(self, check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return self._run(self._module, {**self.options, **options}, check_mode=check_mode)

    def remove(self, **how: Any) -> dict[str, Any]:
        return self.act(state="absent", config=None, node_image=None, **how)

    def verbs(self, name: str) -> list[str]:
        """The first two words of each call that changes something."""
        reading = {"kind": ("get", "version"), "docker": ("ps", "inspect", "exec", "logs", "network")}[name]
        return [" ".join(argv[:2]) for argv in standin.calls(self.programs, name) if argv[0] not in reading]

    def containers(self) -> dict[str, Any]:
        path = self.programs / "containers.json"
        return json.loads(path.read_text()) if path.exists() else {}


@pytest.fixture
def bench(
    tmp_path: Path,
    load_module: Callable[[str], ModuleType],
    run_module: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
) -> Bench:
    made = Bench(tmp_path, run_module, load_module("kind_cluster"))
    standin.install(made.programs, pid=os.getpid())
    monkeypatch.setenv("PATH", f"{made.programs}{os.pathsep}{os.environ['PATH']}")
    monkeypatch.setattr(kind_utils, "POLL_SECONDS", 0.01)
    return made


@pytest.fixture
def granted(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    """The node's control group says what ``docker update`` was told: here there is no such group."""

    def limits() -> dict[str, int]:
        return next(iter(bench.containers().values()))["HostConfig"]

    monkeypatch.setattr(kind_utils.cgroup, "cpu_quota_cores", lambda _: limits()["NanoCpus"] / 1e9 or None)
    monkeypatch.setattr(kind_utils.cgroup, "memory_limit_bytes", lambda _: limits()["Memory"] or None)


def test_a_cluster_is_made_kept_and_removed(bench: Bench) -> None:
    assert bench.act(check_mode=True)["changed"]
    assert bench.verbs("kind") == bench.verbs("docker") == []

    made = bench.act()
    assert (made["changed"], made["created"], made["started"]) == (True, True, False)
    assert made["nodes"] == [{"name": NODE, "container_id": bench.containers()[NODE]["Id"]}]
    assert made["server"] == "https://127.0.0.1:46443"
    assert (made["limits"], made["host_patches"]) == (None, [])
    create = next(argv for argv in standin.calls(bench.programs, "kind") if argv[0] == "create")
    assert create[:5] == ["create", "cluster", "--name", "evenkeel", "--config"]
    assert create[6:] == ["--image", "kindest/node:v1.34.0", "--kubeconfig", str(bench.kubeconfig), "--retain"]

    before = bench.kubeconfig.stat()
    for check_mode in (False, True):
        again = bench.act(check_mode=check_mode)
        assert (again["failed"], again["changed"], again["created"]) == (False, False, False)
        assert again["nodes"] == made["nodes"]
    assert bench.verbs("kind") == ["create cluster"]
    assert bench.kubeconfig.stat().st_mtime_ns == before.st_mtime_ns

    assert bench.remove(check_mode=True)["changed"]
    assert NODE in bench.containers()
    assert bench.remove()["changed"]
    assert bench.containers() == {}
    assert not bench.kubeconfig.exists()
    assert not bench.owner_file.exists()
    assert not bench.remove()["changed"]
    assert bench.verbs("kind") == ["create cluster", "delete cluster"]


def test_the_kubeconfig_is_its_owners_alone_and_mended(bench: Bench) -> None:
    bench.act()
    assert bench.kubeconfig.stat().st_mode & 0o777 == 0o600
    text = bench.kubeconfig.read_text()
    assert yaml.safe_load(text)["current-context"] == "kind-evenkeel"
    bench.kubeconfig.chmod(0o644)
    assert bench.act()["changed"]
    assert bench.kubeconfig.stat().st_mode & 0o777 == 0o600
    bench.kubeconfig.unlink()
    assert bench.act(check_mode=True)["changed"]
    assert not bench.kubeconfig.exists()
    assert bench.act()["changed"]
    assert bench.kubeconfig.read_text() == text


def test_no_key_is_in_a_result(bench: Bench) -> None:
    assert "client-key-data" not in json.dumps(bench.act())


def test_proxies_on_loopback_stay_out_of_the_nodes(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:3128")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy.example:3128")
    monkeypatch.setenv("KIND_EXPERIMENTAL_PROVIDER", "podman")
    bench.act()
    environment = json.loads((bench.programs / "kind.environment.json").read_text())
    assert environment["HTTPS_PROXY"] == ""
    assert environment["HTTP_PROXY"] == "http://proxy.example:3128"
    assert environment["KIND_EXPERIMENTAL_PROVIDER"] == "docker"


def test_anothers_cluster_of_the_same_name_is_refused_and_left_alone(bench: Bench) -> None:
    bench.act()
    bench.owner_file.unlink()
    refused = bench.act()
    assert refused["failed"]
    assert f"that this toolkit did not make (containers {NODE})" in refused["msg"]
    assert "choose another name" in refused["next_step"]
    assert bench.act(recreate=True)["failed"]
    left = bench.remove()
    assert (left["changed"], left["left_alone"]) == (False, [NODE])
    assert "was not made here and is left alone" in json.dumps(left["warnings"])
    assert NODE in bench.containers()
    assert bench.kubeconfig.exists()


def test_one_made_again_by_hand_is_anothers(bench: Bench) -> None:
    bench.act()
    containers = bench.containers()
    containers[NODE]["Id"] = "f" * 64
    (bench.programs / "containers.json").write_text(json.dumps(containers))
    assert bench.act()["failed"]
    assert bench.remove()["left_alone"] == [NODE]


def test_a_creation_that_was_cut_short_is_made_good(bench: Bench) -> None:
    made = bench.act()
    owner = json.loads(bench.owner_file.read_text())
    bench.owner_file.write_text(json.dumps({**owner, "phase": "creating", "containers": {}}))
    again = bench.act()
    assert (again["changed"], again["created"]) == (True, True)
    assert again["nodes"] != made["nodes"]
    assert bench.verbs("kind") == ["create cluster", "delete cluster", "create cluster"]


def test_a_cluster_made_of_something_else_is_made_anew_only_when_told(bench: Bench) -> None:
    bench.act()
    other = {**CONFIG, "networking": {"podSubnet": "10.1.0.0/16"}}
    refused = bench.act(config=other)
    assert refused["failed"]
    assert "it was made with other values of config.networking" in refused["msg"]
    assert "kind_recreate=true" in refused["next_step"]
    assert bench.verbs("kind") == ["create cluster"]
    assert bench.act(config=other, recreate=True, check_mode=True)["created"]
    assert bench.verbs("kind") == ["create cluster"]
    anew = bench.act(config=other, recreate=True)
    assert (anew["created"], anew["changed"]) == (True, True)
    assert anew["diff"]["before"]["config"]["kind"] == "Cluster"
    assert anew["diff"]["after"]["config"]["networking"] == {"podSubnet": "10.1.0.0/16"}
    assert not bench.act(config=other, recreate=True)["changed"]


def test_another_node_image_is_something_else(bench: Bench) -> None:
    bench.act()
    assert "config.node_image" in bench.act(node_image="kindest/node:v1.35.0")["msg"]


def test_stopped_nodes_are_started(bench: Bench) -> None:
    bench.act()
    containers = bench.containers()
    containers[NODE]["State"]["Status"] = "exited"
    (bench.programs / "containers.json").write_text(json.dumps(containers))
    assert bench.act(check_mode=True)["started"]
    assert bench.containers()[NODE]["State"]["Status"] == "exited"
    started = bench.act()
    assert (started["changed"], started["started"], started["created"]) == (True, True, False)
    assert bench.containers()[NODE]["State"]["Status"] == "running"


def test_it_waits_until_the_nodes_are_ready(bench: Bench) -> None:
    standin.change(bench.programs, ready_after=3)
    assert bench.act()["created"]
    assert bench.containers()[NODE]["asked"] == 4


def test_a_node_that_never_gets_ready_fails_with_the_evidence_and_is_removed(bench: Bench) -> None:
    standin.change(bench.programs, ready="never")
    failed = bench.act(deadline_seconds=2)
    assert failed["failed"]
    assert "no node was Ready within 2 s" in failed["msg"]
    assert "KubeletNotReady" in failed["msg"]
    assert "NetworkPluginNotReady" in failed["msg"]
    assert "removed again" in failed["msg"]
    assert failed["msg"].endswith(".")
    assert failed["evidence"][f"{NODE} kubelet"] == "kubelet: a line of the stand-in's journal"
    assert "FailedScheduling" in failed["evidence"][f"{NODE} events"]
    assert "Pending" in failed["evidence"][f"{NODE} pods"]
    assert "Welcome" in failed["evidence"][f"{NODE} log"]
    assert "KubeletNotReady" in failed["evidence"]["conditions"]
    assert bench.containers() == {}
    assert not bench.owner_file.exists()
    assert not bench.kubeconfig.exists()


def test_a_cluster_that_is_there_and_not_ready_is_kept(bench: Bench) -> None:
    bench.act()
    standin.change(bench.programs, ready="never")
    failed = bench.act(deadline_seconds=1)
    assert failed["failed"]
    assert "In the cluster evenkeel no node was Ready" in failed["msg"]
    assert failed["evidence"]["conditions"]
    assert NODE in bench.containers()


def test_a_node_that_ends_fails_at_once(bench: Bench) -> None:
    standin.change(bench.programs, ready="ends")
    failed = bench.act(deadline_seconds=600)
    assert f"{NODE} ended" in failed["msg"]
    assert "Welcome" in failed["evidence"][f"{NODE} log"]
    assert bench.containers() == {}


@pytest.mark.parametrize(
    ("settings", "message", "next_step"),
    [
        ({"create": "fail"}, "failed to init node with kubeadm", "run the command by hand"),
        ({"create": "fail", "message": "port is already allocated"}, "a port that the node is to publish", "ss -ltnp"),
        ({"create": "fail", "message": "no space left on device"}, "the disk of the Docker engine", "make room"),
        ({"create": "image"}, "the node image cannot be had", "kind_node_image"),
        ({"probe": "absent"}, "the node image cannot be had", "kind_node_image"),
        ({"probe": "caps"}, "cannot start privileged containers here", "capsh"),
        ({"kubernetes": "latest"}, "is no node image of KinD", "kind_node_image"),
        ({"refuse": "Cannot connect to the Docker daemon at x."}, "no Docker engine answers", "systemctl start docker"),
    ],
)
def test_a_failure_says_what_why_and_what_to_do(
    settings: dict[str, Any], message: str, next_step: str, bench: Bench
) -> None:
    standin.change(bench.programs, **settings)
    failed = bench.act()
    assert failed["failed"]
    assert message in failed["msg"]
    assert next_step in failed["next_step"]
    assert failed["operation"]
    assert bench.containers() == {}
    standin.change(bench.programs, create="ok", probe="ok", refuse="", kubernetes="v1.34.0")
    assert bench.act()["created"]


def test_a_creation_that_hangs_is_ended_and_removed(bench: Bench) -> None:
    standin.change(bench.programs, create="hang")
    failed = bench.act(deadline_seconds=4)
    assert "did not end within" in failed["msg"]
    assert bench.containers() == {}


def test_what_cannot_be_removed_is_said_and_stays_ours(bench: Bench) -> None:
    standin.change(bench.programs, create="fail", delete="keep")
    failed = bench.act()
    assert "could not be removed" in failed["msg"]
    standin.change(bench.programs, create="ok", delete="ok")
    assert bench.act()["created"]


def test_a_removal_that_fails_says_so(bench: Bench) -> None:
    bench.act()
    standin.change(bench.programs, delete="fail")
    failed = bench.remove()
    assert failed["failed"]
    assert "failed to delete nodes" in failed["msg"]
    assert bench.owner_file.exists()


def test_without_kind_docker_removes_the_cluster(bench: Bench) -> None:
    bench.act()
    (bench.programs / "kind").unlink()
    assert bench.remove()["changed"]
    assert bench.containers() == {}
    assert bench.verbs("docker")[-1] == "rm --force"


def test_without_kind_none_is_made(bench: Bench) -> None:
    (bench.programs / "kind").unlink()
    assert bench.act(check_mode=True)["changed"]
    failed = bench.act()
    assert "kind cannot be run" in failed["msg"]
    assert "site.yml" in failed["next_step"]
    assert not bench.owner_file.exists()


def test_without_docker_there_is_no_cluster(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", str(bench.programs / "nothing"))
    assert bench.act(check_mode=True)["created"]
    assert not bench.remove()["changed"]
    failed = bench.act()
    assert "There is no docker command" in failed["msg"]


def test_a_port_that_is_taken_is_named_before_anything_is_made(bench: Bench) -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        mapping = {"containerPort": 31112, "hostPort": port, "listenAddress": "127.0.0.1"}
        config = {**CONFIG, "nodes": [{"role": "control-plane", "extraPortMappings": [mapping]}]}
        for check_mode in (True, False):
            failed = bench.act(config=config, check_mode=check_mode)
            assert f"Port {port} on 127.0.0.1" in failed["msg"]
    assert bench.verbs("docker") == []
    assert bench.act(config=config)["created"]


def test_a_kubeconfig_of_others_is_not_written(bench: Bench) -> None:
    bench.kubeconfig.parent.mkdir(parents=True)
    bench.kubeconfig.write_text("clusters:\n- name: prod\n")
    failed = bench.act()
    assert "leads to more than the cluster evenkeel" in failed["msg"]
    assert bench.kubeconfig.read_text() == "clusters:\n- name: prod\n"
    assert bench.verbs("docker") == []


def document_given_to_kind(bench: Bench, monkeypatch: pytest.MonkeyPatch, **options: Any) -> dict[str, Any]:
    """The Cluster document as kind gets it, kept before its file is gone."""
    kept: list[dict[str, Any]] = []
    run = kind_utils.run_with_deadline

    def keep(argv: list[str], *how: Any, **more: Any) -> Any:
        if "--config" in argv:
            kept.append(yaml.safe_load(Path(argv[argv.index("--config") + 1]).read_text()))
        return run(argv, *how, **more)

    monkeypatch.setattr(kind_utils, "run_with_deadline", keep)
    assert bench.act(**options)["created"]
    (document,) = kept
    return document


def test_what_the_host_needs_is_added_and_told(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    standin.change(bench.programs, oom="kept", cgroup=1, kubernetes="v1.35.0")
    document = document_given_to_kind(bench, monkeypatch)
    assert document["nodes"] == CONFIG["nodes"]
    assert "restrict_oom_score_adj = true" in document["containerdConfigPatches"][0]
    assert yaml.safe_load(document["kubeadmConfigPatches"][0])["failCgroupV1"] is False
    again = bench.act()
    assert (again["changed"], again["host_patches"]) == (False, ["restrict_oom_score_adj", "failCgroupV1"])


def test_a_host_that_needs_nothing_gets_nothing(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    assert document_given_to_kind(bench, monkeypatch) == CONFIG


@pytest.mark.usefixtures("granted")
def test_a_node_is_limited_and_its_limits_read_back(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind_utils.os, "cpu_count", lambda: 8)
    monkeypatch.setattr(kind_utils.procfs, "host_memory", lambda: {"total_bytes": 16 * GIB})
    limits = {"cpus": 2, "memory_bytes": 4 * GIB}
    document = document_given_to_kind(bench, monkeypatch, limits=limits)
    reserved = yaml.safe_load(document["kubeadmConfigPatches"][0])["systemReserved"]
    assert reserved == {"cpu": "6000m", "memory": f"{12 * 1024 * 1024}Ki"}
    update = next(argv for argv in standin.calls(bench.programs, "docker") if argv[0] == "update")
    assert update == ["update", "--cpus", "2", "--memory", str(4 * GIB), "--memory-swap", str(4 * GIB), NODE]
    again = bench.act(limits=limits)
    assert not again["changed"]
    assert again["limits"] == {
        "cpu_quota_cores": 2.0,
        "memory_limit_bytes": 4 * GIB,
        "allocatable": {"cpu_cores": 2.0, "memory_bytes": 4 * GIB},
    }
    assert "other values of limits" in bench.act()["msg"]


@pytest.mark.usefixtures("granted")
def test_limits_that_were_taken_off_are_set_again(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind_utils.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(kind_utils.procfs, "host_memory", lambda: {"total_bytes": 8 * GIB})
    limits = {"cpus": 2, "memory_bytes": 4 * GIB}
    bench.act(limits=limits)
    containers = bench.containers()
    containers[NODE]["HostConfig"] |= {"NanoCpus": 0, "Memory": 0}
    (bench.programs / "containers.json").write_text(json.dumps(containers))
    assert bench.act(limits=limits, check_mode=True)["changed"]
    assert bench.containers()[NODE]["HostConfig"]["Memory"] == 0
    assert bench.act(limits=limits)["limits"]["memory_limit_bytes"] == 4 * GIB


def test_limits_that_take_no_effect_are_a_failure(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind_utils.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(kind_utils.cgroup, "cpu_quota_cores", lambda _: None)
    monkeypatch.setattr(kind_utils.cgroup, "memory_limit_bytes", lambda _: None)
    monkeypatch.setattr(kind_utils.procfs, "host_memory", lambda: {"total_bytes": 8 * GIB})
    failed = bench.act(limits={"cpus": 2, "memory_bytes": 4 * GIB})
    assert failed["failed"]
    assert "its control group says None and None" in failed["msg"]


@pytest.mark.usefixtures("granted")
def test_a_node_that_hands_out_something_else_is_warned_of(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(kind_utils.os, "cpu_count", lambda: 2)
    monkeypatch.setattr(kind_utils.procfs, "host_memory", lambda: {"total_bytes": 8 * GIB})
    standin.change(bench.programs, allocatable={"cpu": "2", "memory": "8388608Ki"})
    made = bench.act(limits={"cpus": 2, "memory_bytes": 4 * GIB})
    assert "hands out memory_bytes 8589934592" in json.dumps(made["warnings"])


def test_more_than_the_host_has_is_refused_before_anything_is_made(bench: Bench) -> None:
    failed = bench.act(limits={"cpus": 100000, "memory_bytes": GIB}, check_mode=True)
    assert "and this host has" in failed["msg"]
    assert bench.verbs("docker") == []


def test_registries_are_written_on_the_node_once(bench: Bench) -> None:
    registries = {"172.18.0.250:5000": "http://172.18.0.250:5000"}
    bench.act(registries=registries)
    path = "/etc/containerd/certs.d/172.18.0.250:5000/hosts.toml"
    assert bench.containers()[NODE]["files"] == {path: kind_utils.hosts_file("http://172.18.0.250:5000")}
    assert not bench.act(registries=registries)["changed"]
    more = {**registries, "docker.io": "https://mirror.example"}
    assert bench.act(registries=more, check_mode=True)["changed"]
    assert len(bench.containers()[NODE]["files"]) == 1
    assert bench.act(registries=more)["changed"]
    assert len(bench.containers()[NODE]["files"]) == 2
    assert not bench.act(registries=more)["changed"]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Not A Name"}, "no name of a KinD cluster"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"config": None}, "state=present needs config"),
        ({"node_image": ""}, "state=present needs node_image"),
        ({"limits": {"cpus": 2}}, "missing required arguments: memory_bytes"),
    ],
)
def test_bad_input_gets_one_clear_message(given: dict[str, Any], message: str, bench: Bench) -> None:
    failed = bench.act(**given)
    assert failed["failed"]
    assert message in failed["msg"]
    assert standin.calls(bench.programs, "docker") == []


def test_a_damaged_owner_file_stops_everything(bench: Bench) -> None:
    bench.act()
    bench.owner_file.write_text("{")
    assert "cannot be read" in bench.act()["msg"]
    assert "cannot be read" in bench.remove()["msg"]
    assert NODE in bench.containers()


def test_every_key_of_a_result_is_documented(bench: Bench, load_module: Callable[[str], ModuleType]) -> None:
    documented = set(yaml.safe_load(load_module("kind_cluster").RETURN))
    around = {"changed", "failed", "diff", "invocation", "warnings"}
    assert set(bench.act()) - around <= documented
    assert set(bench.act(check_mode=True)) - around <= documented
    assert set(bench.remove()) - around <= documented
