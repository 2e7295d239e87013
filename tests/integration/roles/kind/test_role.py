# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""roles/kind: what is pinned, what is refused, what a cluster is made of, and that a reset takes nothing of others'."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.standins import kind as standin

ROOT = Path(__file__).resolve().parents[4]
ROLE = ROOT / "roles" / "kind"
DEFAULTS = yaml.safe_load((ROLE / "defaults" / "main.yml").read_text())
VARIABLES = yaml.safe_load((ROLE / "vars" / "main.yml").read_text())
PINNED = re.compile(r".+@sha256:[0-9a-f]{64}")


def test_every_version_has_a_checksum_and_a_node_image() -> None:
    assert VARIABLES["kind_downloads"].keys() == VARIABLES["kind_node_images"].keys()
    assert DEFAULTS["kind_version"] in VARIABLES["kind_downloads"]
    for version, downloads in VARIABLES["kind_downloads"].items():
        assert downloads.keys() == {"amd64", "arm64"}
        for architecture, download in downloads.items():
            assert download["url"].endswith(f"/v{version}/kind-linux-{architecture}")
            assert re.fullmatch(r"[0-9a-f]{64}", download["sha256"])
    assert len({one["sha256"] for each in VARIABLES["kind_downloads"].values() for one in each.values()}) == 6


def test_images_are_pinned_by_their_digest() -> None:
    assert PINNED.fullmatch(DEFAULTS["kind_registry_image"])
    assert all(PINNED.fullmatch(image) for image in VARIABLES["kind_node_images"].values())


def play(folder: Path, hosts: dict[str, dict[str, Any]], tasks: list[dict[str, Any]]) -> dict[str, Any]:
    """Run the tasks for each host, and return what each wrote into its variable ``found``, or why it failed."""
    common = {
        "ansible_connection": "local",
        "ansible_python_interpreter": sys.executable,
        "evenkeel_state_dir": str(folder / "state"),
        "kubeconfig": str(folder / "state" / "kubeconfig"),
        "gateway_url": "http://127.0.0.1:31112",
        "function_registry": "local",
        "granted_cpus": 2,
        "granted_memory_bytes": 4294967296,
        "reset_images": False,
    }
    inventory = {"all": {"vars": common, "hosts": hosts}}
    told = {"copy": {"dest": f"{folder}/{{{{ inventory_hostname }}}}.json", "content": "{{ found | to_json }}"}}
    failed = {"copy": {**told["copy"], "content": "{{ {'failed': ansible_failed_result.msg} | to_json }}"}}
    block = [{"machine_facts": {}}, *tasks, told]
    book = [{"hosts": "all", "gather_facts": False, "tasks": [{"block": block, "rescue": [failed]}]}]
    (folder / "inventory.yml").write_text(yaml.safe_dump(inventory))
    (folder / "play.yml").write_text(yaml.safe_dump(book))
    program = Path(sys.executable).with_name("ansible-playbook")
    done = subprocess.run(
        [str(program), "-i", str(folder / "inventory.yml"), str(folder / "play.yml")],
        env={**os.environ, "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), "LC_ALL": "C.UTF-8"},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return {name: json.loads((folder / f"{name}.json").read_text()) for name in hosts}


def test_what_cannot_work_is_refused_with_the_way_out(tmp_path: Path) -> None:
    hosts = {
        "usual": {},
        "subnet": {"kind_network_subnet": "10.89.0.0/16"},
        "away": {"gateway_url": "http://gateway.example:31112"},
        "version": {"kind_version": "0.1.0"},
        "public": {"kind_network_subnet": "100.64.0.0/16"},
        "narrow": {"kind_network_subnet": "192.168.1.0/28"},
    }
    include = {"include_role": {"name": "kind", "tasks_from": "validate"}}
    found = play(tmp_path, hosts, [include, {"set_fact": {"found": "passed"}}])
    assert (found["usual"], found["subnet"]) == ("passed", "passed")
    assert "http://127.0.0.1:31112" in found["away"]["failed"]
    assert "0.30.0" in found["version"]["failed"]
    for name in ("public", "narrow"):
        assert "Give a subnet of 10.0.0.0/8" in found[name]["failed"]


def test_a_cluster_publishes_its_gateway_on_loopback_alone(tmp_path: Path) -> None:
    read = {
        "network": {
            "Labels": {"com.evenkeel.state-dir": str(tmp_path / "state")},
            "IPAM": {"Config": [{"Subnet": "fc00::/64"}, {"Subnet": "172.18.0.0/16"}]},
        }
    }
    hosts = {
        "ours": {"gateway_url": "http://127.0.0.1:8085", "kind_network_read": read},
        "others": {"kind_network_read": {"network": {"Labels": {}, "IPAM": {"Config": [{"Subnet": "172.18.0.0/16"}]}}}},
        "mirrored": {
            "kind_network_read": {"network": None},
            "kind_registry_mirrors": {"docker.io": "https://mirror.example"},
            "kind_registry_pull": "172.18.0.250:5000",
        },
    }
    names = ("document", "limits", "registry_fixed", "registries", "node_image", "owner_file", "label_filters")
    found = play(
        tmp_path,
        hosts,
        [
            {"include_role": {"name": "kind", "tasks_from": "validate", "public": True}},
            {"set_fact": {"found": {name: f"{{{{ kind_{name} }}}}" for name in names}}},
        ],
    )
    (node,) = found["ours"]["document"]["nodes"]
    assert node == {
        "role": "control-plane",
        "extraPortMappings": [
            {"containerPort": 31112, "hostPort": 8085, "listenAddress": "127.0.0.1", "protocol": "TCP"}
        ],
    }
    assert found["ours"]["document"]["networking"]["apiServerAddress"] == "127.0.0.1"
    assert 'config_path = "/etc/containerd/certs.d"' in found["ours"]["document"]["containerdConfigPatches"][0]
    assert found["ours"]["limits"] == {"cpus": 2.0, "memory_bytes": 4294967296}
    assert PINNED.fullmatch(found["ours"]["node_image"])
    assert found["ours"]["registry_fixed"] == "172.18.0.250"
    assert found["others"]["registry_fixed"] == ""
    assert found["ours"]["registries"] == {}
    assert found["mirrored"]["registries"] == {
        "docker.io": "https://mirror.example",
        "172.18.0.250:5000": "http://172.18.0.250:5000",
    }
    assert found["ours"]["label_filters"] == [
        f"--filter=label=com.evenkeel.state-dir={tmp_path}/state",
        "--filter=label=com.evenkeel.role=kind",
    ]


@pytest.mark.parametrize("network", ["free", "used"])
def test_a_reset_removes_what_bears_our_labels_and_nothing_else(
    network: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    programs = tmp_path / "bin"
    standin.install(programs, network=network)
    monkeypatch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
    ours = {"com.evenkeel.state-dir": str(tmp_path / "state"), "com.evenkeel.role": "kind"}
    containers = {
        "registry": {"Id": "a" * 64, "Config": {"Labels": ours}},
        "function": {"Id": "b" * 64, "Config": {"Labels": {**ours, "com.evenkeel.role": "platform_docker"}}},
        "other-registry": {"Id": "c" * 64, "Config": {"Labels": {**ours, "com.evenkeel.state-dir": "/elsewhere"}}},
    }
    (programs / "containers.json").write_text(json.dumps(containers))
    entries = [
        {"role": "kind", "kind": "cluster", "name": "evenkeel", "existed_before": False},
        {"role": "kind", "kind": "image", "name": "kindest/node:ours", "existed_before": False},
        {"role": "kind", "kind": "image", "name": "kindest/node:theirs", "existed_before": True},
        {"role": "platform_docker", "kind": "image", "name": "flask", "existed_before": False},
    ]
    play(
        tmp_path,
        {"h": {"reset_manifest": entries, "reset_images": True}},
        [{"include_role": {"name": "kind", "tasks_from": "absent"}}, {"set_fact": {"found": "passed"}}],
    )
    left = json.loads((programs / "containers.json").read_text())
    assert left.keys() == {"function", "other-registry"}
    done = [argv for argv in standin.calls(programs, "docker") if argv[:2] in (["network", "rm"], ["image", "rm"])]
    assert done == [["network", "rm", "0123456789ab"], ["image", "rm", "kindest/node:ours"]]
