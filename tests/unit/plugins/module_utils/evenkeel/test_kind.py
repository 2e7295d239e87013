# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""plugins/module_utils/evenkeel/kind.py: what is read and decided, without a program being run."""

from __future__ import annotations

import dataclasses
import json
import os
import socket
import tomllib
from pathlib import Path
from typing import Any

import pytest
import yaml
from evenkeel import kind

from tests.standins.kind import nodes_document

GIB = 1 << 30
HOST = kind.Host(kubernetes=(1, 34), containerd_config=2, oom_can_be_lowered=True, cgroup=2)


def plan(**given: Any) -> kind.Plan:
    asked: dict[str, Any] = {
        "name": "evenkeel",
        "kubeconfig": "/nonexistent/kubeconfig",
        "owner_file": "/nonexistent/owner.json",
        "docker_path": "docker",
        "kind_path": "kind",
        "config": {"nodes": [{"role": "control-plane"}]},
        "node_image": "kindest/node:v1.34.0",
        "limits": None,
        "registries": {},
        "recreate": False,
        "deadline_seconds": 60,
    }
    return kind.Plan(**{**asked, **given})


def node(name: str, container_id: str, status: str = "running") -> kind.Node:
    return kind.Node(name=name, container_id=container_id, role="control-plane", status=status, pid=1)


@pytest.mark.parametrize(
    ("text", "cause"),
    [
        ("Bind for 127.0.0.1:31112 failed: port is already allocated", "a port that the node is to publish is taken"),
        ("listen tcp4 127.0.0.1:31112: bind: address already in use", "a port that the node is to publish is taken"),
        ("mkdir /var/lib/docker/tmp: no space left on device", "the disk of the Docker engine is full"),
        ("Failed to create inotify object: Too many open files", "the kernel's limits on inotify are too low"),
        (
            "permission denied while trying to connect to the Docker daemon socket at unix:///var/run/docker.sock",
            "this user may not open the Docker engine's socket",
        ),
        ("Cannot connect to the Docker daemon at unix:///var/run/docker.sock.", "no Docker engine answers"),
        ("unable to apply caps: operation not permitted", "the Docker engine cannot start privileged containers here"),
        ('failed to pull image "kindest/node:v0": manifest unknown', "the node image cannot be had"),
        ("dial tcp: lookup registry-1.docker.io: no such host", "the node image cannot be had"),
        (
            'could not find a log line that matches "Reached target .*Multi-User System.*|detected cgroup v1"',
            "systemd did not come up in the node",
        ),
        ("kubelet is configured to not run on a host using cgroup v1", "this host has cgroup version 1"),
    ],
)
def test_known_words_are_explained(text: str, cause: str) -> None:
    found = kind.cause_of(text)
    assert found is not None
    assert found[0].startswith(cause)
    assert found[1]


def test_unknown_words_are_not_explained() -> None:
    assert kind.cause_of("failed to init node with kubeadm") is None


def test_what_a_nodes_programs_say_of_other_things_is_not_taken_for_dockers() -> None:
    text = "dial tcp 172.18.0.2:6443: i/o timeout"
    assert kind.cause_of(text) is not None
    assert kind.cause_of(text, kind.NODE_CAUSES) is None


def test_last_lines_have_no_colours_and_no_empty_ones() -> None:
    assert kind.last_lines("a\n\x1b[31mb\x1b[0m\n\n  c \n", 2) == "b\n  c"


def test_a_reason_is_not_dockers_hint_at_its_help() -> None:
    said = "docker: Error response from daemon: no.\nSee 'docker run --help'.\nRun 'docker run --help' for more"
    assert kind.reason_of(said) == "docker: Error response from daemon: no."


def test_nodes_are_read_from_dockers_description() -> None:
    described = {
        "Id": "abc",
        "Name": "/evenkeel-control-plane",
        "Config": {"Labels": {"io.x-k8s.kind.role": "control-plane"}},
        "State": {"Status": "exited", "Pid": 0},
    }
    (found,) = kind.parse_nodes(json.dumps([described]))
    assert (found.name, found.container_id, found.role) == ("evenkeel-control-plane", "abc", "control-plane")
    assert not found.running


@pytest.mark.parametrize("document", ["", "{}x", '[{"Id": "abc"}]', '[{"Name": null}]', "[1]"])
def test_another_description_is_a_failure_that_says_so(document: str) -> None:
    with pytest.raises(kind.KindFailed, match="not known here") as failed:
        kind.parse_nodes(document)
    assert "20.10" in failed.value.details["next_step"]


def test_a_node_is_ready_when_it_says_so() -> None:
    (ready,), (not_ready,) = (kind.parse_states(json.dumps(nodes_document(["n"], said))) for said in (True, False))
    assert ready.ready
    assert not not_ready.ready
    assert kind.describe_conditions([ready]) == "n: Ready"
    said = kind.describe_conditions([not_ready])
    assert said.startswith("n: Ready=False (KubeletNotReady) container runtime network not ready")


def test_a_node_without_conditions_is_told_from_a_ready_one() -> None:
    states = kind.parse_states('{"items": [{"metadata": {"name": "n"}, "status": {}}]}')
    assert kind.describe_conditions(states) == "n: it has no conditions yet"


@pytest.mark.parametrize("document", ["", "[]", "{}", '{"items": [{}]}', "Error from server"])
def test_what_is_no_list_of_nodes_is_refused(document: str) -> None:
    with pytest.raises(ValueError):
        kind.parse_states(document)


def test_the_probe_is_read() -> None:
    found = kind.parse_probe("kubernetes=v1.35.0\ncontainerd=3\noom=kept\ncgroup=1\n")
    assert found == kind.Host(kubernetes=(1, 35), containerd_config=3, oom_can_be_lowered=False, cgroup=1)


def test_a_containerd_that_names_no_version_has_the_older_format() -> None:
    assert kind.parse_probe("kubernetes=v1.27.3\ncontainerd=\noom=lowered\ncgroup=2\n").containerd_config == 2


@pytest.mark.parametrize("text", ["", "kubernetes=\ncontainerd=2\noom=kept\ncgroup=1\n", "kubernetes=v1.34.0\n"])
def test_an_image_that_is_no_nodes_is_refused(text: str) -> None:
    with pytest.raises(ValueError):
        kind.parse_probe(text)


@pytest.mark.parametrize(("quantity", "cores"), [("2", 2), ("1930m", 1.93), ("0", 0)])
def test_cpus_are_read(quantity: str, cores: float) -> None:
    assert kind.cores_of(quantity) == cores


@pytest.mark.parametrize(("quantity", "size"), [("4194304Ki", 4 * GIB), ("4Gi", 4 * GIB), ("17", 17), ("1Mi", 1 << 20)])
def test_memory_is_read(quantity: str, size: int) -> None:
    assert kind.bytes_of(quantity) == size


def test_unknown_memory_is_refused() -> None:
    with pytest.raises(ValueError, match="4GB"):
        kind.bytes_of("4GB")


def test_the_ports_that_a_document_publishes() -> None:
    mappings = [
        {"containerPort": 31112, "hostPort": 31112, "listenAddress": "127.0.0.1"},
        {"containerPort": 80, "hostPort": 8080},
        {"containerPort": 81},
    ]
    config = {"nodes": [{"role": "control-plane", "extraPortMappings": mappings}, {"role": "worker"}]}
    assert kind.published(config) == [("127.0.0.1", 31112), ("0.0.0.0", 8080)]
    assert kind.published({}) == []


def test_a_port_is_taken_while_somebody_listens() -> None:
    with socket.socket() as server:
        server.bind(("127.0.0.1", 0))
        server.listen()
        port = server.getsockname()[1]
        assert kind.taken("127.0.0.1", port)
        with pytest.raises(kind.KindFailed) as failed:
            config = {"nodes": [{"extraPortMappings": [{"hostPort": port, "listenAddress": "127.0.0.1"}]}]}
            kind.check_ports(plan(config=config))
    assert f"Port {port} on 127.0.0.1" in str(failed.value)
    assert f"by pid {os.getpid()}" in str(failed.value)
    assert not kind.taken("127.0.0.1", port)


@pytest.mark.parametrize(
    ("proxy", "loopback"),
    [
        ("http://127.0.0.1:3128", True),
        ("http://user:secret@localhost:3128", True),
        ("127.9.9.9:3128", True),
        ("http://[::1]:3128", True),
        ("http://proxy.example:3128", False),
        ("http://10.0.0.1:3128", False),
    ],
)
def test_a_proxy_at_a_loopback_address_is_known(proxy: str, loopback: bool) -> None:
    assert kind.is_loopback(proxy) is loopback


def test_kind_gets_no_proxy_that_a_node_cannot_reach_and_keeps_the_others() -> None:
    given = kind.environment({"HTTP_PROXY": "http://127.0.0.1:1", "https_proxy": "http://proxy.example:2", "X": "1"})
    assert given == {
        "KIND_EXPERIMENTAL_PROVIDER": "docker",
        "KIND_EXPERIMENTAL_DOCKER_NETWORK": "",
        "HTTP_PROXY": "",
    }


def test_the_rest_of_the_host_is_reserved() -> None:
    limits = {"cpus": 2.0, "memory_bytes": 4 * GIB}
    assert kind.reserved(limits, 32, 64 * GIB) == {"cpu": "30000m", "memory": f"{60 * 1024 * 1024}Ki"}
    assert kind.reserved(limits, 2, 4 * GIB) == {}
    assert kind.reserved({"cpus": 1.5, "memory_bytes": 4 * GIB}, 2, 4 * GIB) == {"cpu": "500m"}


@pytest.mark.parametrize(("cpus", "memory"), [(4.0, GIB), (1.0, 9 * GIB)])
def test_more_than_the_host_has_is_refused(cpus: float, memory: int) -> None:
    with pytest.raises(kind.KindFailed, match="this host has 2 and"):
        kind.reserved({"cpus": cpus, "memory_bytes": memory}, 2, 8 * GIB)


def test_a_host_that_needs_nothing_gets_the_document_as_it_is() -> None:
    config = {"kind": "Cluster", "nodes": [{"role": "control-plane"}]}
    assert kind.adapted(config, HOST, {}) == (config, [])


@pytest.mark.parametrize(
    ("containerd_config", "plugin"), [(2, "io.containerd.grpc.v1.cri"), (3, "io.containerd.cri.v1.runtime")]
)
def test_where_nobody_may_lower_an_oom_score_containerd_is_told(containerd_config: int, plugin: str) -> None:
    host = dataclasses.replace(HOST, oom_can_be_lowered=False, containerd_config=containerd_config)
    before = ['[plugins."x"]\n  y = 1\n']
    config = {"containerdConfigPatches": list(before)}
    document, added = kind.adapted(config, host, {})
    assert added == ["restrict_oom_score_adj"]
    assert config["containerdConfigPatches"] == before
    first, second = document["containerdConfigPatches"]
    assert [first] == before
    assert tomllib.loads(second) == {"plugins": {plugin: {"restrict_oom_score_adj": True}}}


@pytest.mark.parametrize(
    ("kubernetes", "cgroup", "told"), [((1, 34), 1, False), ((1, 35), 1, True), ((1, 36), 2, False), ((2, 0), 1, True)]
)
def test_kubelet_is_told_of_cgroup_version_1_where_it_would_refuse_it(
    kubernetes: tuple[int, int], cgroup: int, told: bool
) -> None:
    document, added = kind.adapted({}, kind.Host(kubernetes, 2, True, cgroup), {})
    assert added == (["failCgroupV1"] if told else [])
    if told:
        (patch,) = document["kubeadmConfigPatches"]
        assert yaml.safe_load(patch) == {"kind": "KubeletConfiguration", "failCgroupV1": False}


def test_what_is_reserved_is_a_patch_of_kubelet() -> None:
    document, added = kind.adapted({"kubeadmConfigPatches": ["a: b"]}, HOST, {"cpu": "500m"})
    assert added == ["systemReserved"]
    first, patch = document["kubeadmConfigPatches"]
    assert first == "a: b"
    assert yaml.safe_load(patch) == {"kind": "KubeletConfiguration", "systemReserved": {"cpu": "500m"}}


def test_a_registrys_file_is_toml() -> None:
    read = tomllib.loads(kind.hosts_file("http://172.18.0.250:5000"))
    assert read == {"host": {"http://172.18.0.250:5000": {"capabilities": ["pull", "resolve"]}}}


@pytest.mark.parametrize(
    ("before", "after", "places"),
    [
        ({"a": 1}, {"a": 1}, []),
        ({"a": {"b": 1}, "c": 2}, {"a": {"b": 3}, "c": 2}, ["a.b"]),
        ({"nodes": [{"image": "x"}]}, {"nodes": [{"image": "y"}]}, ["nodes[0].image"]),
        ({"nodes": [1]}, {"nodes": [1, 2]}, ["nodes"]),
        ({"limits": None}, {"limits": {"cpus": 2.0}}, ["limits"]),
        ({"a": 1}, {}, ["a"]),
    ],
)
def test_differences_are_named(before: Any, after: Any, places: list[str]) -> None:
    assert kind.differences(before, after) == places


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"name": "Evenkeel"}, "no name of a KinD cluster"),
        ({"name": "-x"}, "no name of a KinD cluster"),
        ({"name": "x" * 51}, "no name of a KinD cluster"),
        ({"name": ""}, "no name of a KinD cluster"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds must be above 0"),
        ({"registries": {"docker.io": "mirror.example"}}, "is no registry and the address"),
        ({"registries": {'x"]\n': "http://x"}}, "is no registry and the address"),
        ({"registries": {"x": 'http://x"'}}, "is no registry and the address"),
        ({"registries": {"../x": "http://x"}}, "is no registry and the address"),
        (
            {"limits": {"cpus": 1.0, "memory_bytes": GIB}, "config": {"nodes": [{}, {}]}},
            "limits need a cluster of one node",
        ),
        ({"limits": {"cpus": 0.0, "memory_bytes": GIB}}, "must be above 0"),
        ({"kubeconfig": "~/.kube/config"}, "is your own"),
    ],
)
def test_what_cannot_be_meant_is_refused(given: dict[str, Any], message: str) -> None:
    if "kubeconfig" in given:
        given["kubeconfig"] = os.path.expanduser(given["kubeconfig"])
    with pytest.raises(kind.KindFailed, match=message) as failed:
        kind.check_plan(plan(**given))
    assert failed.value.details["next_step"]


def test_what_is_usual_passes() -> None:
    kind.check_plan(plan(registries={"172.18.0.250:5000": "http://172.18.0.250:5000", "docker.io": "https://m/docker"}))
    kind.check_plan(plan(config={}, limits={"cpus": 2.0, "memory_bytes": GIB}))


def owner(phase: str, **containers: str) -> dict[str, Any]:
    return {"phase": phase, "containers": containers}


def test_a_cluster_is_ours_by_the_ids_of_its_containers() -> None:
    assert kind.is_ours([node("n", "1")], owner("made", n="1"))
    assert not kind.is_ours([node("n", "2")], owner("made", n="1"))
    assert not kind.is_ours([node("n", "1"), node("m", "2")], owner("made", n="1"))
    assert not kind.is_ours([node("n", "1")], None)


def test_what_was_begun_is_ours_whatever_came_of_it() -> None:
    assert kind.is_ours([node("n", "1")], owner("creating"))


def test_the_owner_file_is_read_back(tmp_path: Path) -> None:
    path = tmp_path / "kind" / "evenkeel.json"
    written = {"name": "x", "phase": "made", "containers": {}, "config": {}, "limits": None, "host_patches": []}
    kind.write_private(str(path), json.dumps({"schema_version": 1, **written}))
    assert kind.load_owner(str(path)) == written
    assert path.stat().st_mode & 0o777 == 0o600
    assert [file.name for file in path.parent.iterdir()] == ["evenkeel.json"]
    assert kind.load_owner(str(tmp_path / "absent.json")) is None


@pytest.mark.parametrize("content", ["", "[]", '{"schema_version": 2}', '{"schema_version": 1}'])
def test_a_damaged_owner_file_is_named(content: str, tmp_path: Path) -> None:
    path = tmp_path / "owner.json"
    path.write_text(content)
    with pytest.raises(kind.KindFailed, match="cannot be read") as failed:
        kind.load_owner(str(path))
    assert str(path) in str(failed.value)


KUBECONFIG = """\
apiVersion: v1
clusters:
- cluster:
    server: https://127.0.0.1:41287
  name: kind-evenkeel
contexts:
- context:
    cluster: kind-evenkeel
    user: kind-evenkeel
  name: kind-evenkeel
current-context: kind-evenkeel
kind: Config
users:
- name: kind-evenkeel
  user: {}
"""


def test_a_kubeconfig_of_one_cluster_is_told_from_one_of_more(tmp_path: Path) -> None:
    assert kind.is_only(KUBECONFIG, "kind-evenkeel")
    assert kind.is_only("", "kind-evenkeel")
    assert not kind.is_only(KUBECONFIG, "kind-other")
    assert not kind.is_only(KUBECONFIG + "- name: prod\n", "kind-evenkeel")


def test_the_clusters_address_is_read(tmp_path: Path) -> None:
    path = tmp_path / "kubeconfig"
    assert kind.server_of(str(path)) is None
    path.write_text(KUBECONFIG)
    assert kind.server_of(str(path)) == "https://127.0.0.1:41287"


@pytest.mark.parametrize(
    ("cores", "memory", "fits"),
    [
        (2.0, 4 * GIB, True),
        (2.0, 4 * GIB - 4096, True),
        (None, 4 * GIB, False),
        (2.0, None, False),
        (1.9, 4 * GIB, False),
        (2.0, 3 * GIB, False),
        (2.0, 5 * GIB, False),
    ],
)
def test_what_a_control_group_grants_is_compared(cores: float | None, memory: int | None, fits: bool) -> None:
    granted = {"cpu_quota_cores": cores, "memory_limit_bytes": memory}
    assert kind.fits(granted, {"cpus": 2.0, "memory_bytes": 4 * GIB}) is fits


def test_the_node_image_is_part_of_what_a_cluster_is_made_of() -> None:
    asked = kind.wanted(plan(limits={"cpus": 2.0, "memory_bytes": GIB}))
    assert asked["config"]["node_image"] == "kindest/node:v1.34.0"
    assert asked["limits"] == {"cpus": 2.0, "memory_bytes": GIB}


def test_no_control_plane_is_a_failure() -> None:
    worker = kind.Node(name="w", container_id="1", role="worker", status="running", pid=1)
    with pytest.raises(kind.KindFailed, match="none of the containers w is a control plane"):
        kind.control_plane([worker])
