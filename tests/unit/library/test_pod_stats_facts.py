# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/pod_stats_facts.py, run as Ansible runs it, with the real client against a stand-in API server."""

from __future__ import annotations

import builtins
import json
import os
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.evenkeel import cgroup

from tests.standins.kubernetes_api import FUNCTION, NODE, OLD_CONTAINER, StandinCluster

Run = Callable[..., dict[str, Any]]
GROUP = {"name": "function", "namespace": "openfaas-fn", "label_selector": f"faas_function={FUNCTION}"}


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("pod_stats_facts")


@pytest.fixture
def here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The stand-in's container runs on this host: its control group, in version 2."""
    group = tmp_path / OLD_CONTAINER
    group.mkdir()
    (group / "cpu.stat").write_text("usage_usec 5000000\nnr_throttled 0\nthrottled_usec 0\n")
    (group / "memory.current").write_text("5000\n")
    (group / "memory.stat").write_text("inactive_file 1000\n")
    (group / "memory.peak").write_text("6000\n")
    monkeypatch.setattr(cgroup, "processes_of_containers", lambda wanted: dict.fromkeys(wanted, os.getpid()))
    monkeypatch.setattr(cgroup, "paths_of", lambda pid: {cgroup.UNIFIED: str(group)})
    monkeypatch.setattr(cgroup, "cpu_quota_cores", lambda pid: 2.0)
    monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda pid: None)
    return group


def options(cluster: StandinCluster, folder: Path, **given: Any) -> dict[str, Any]:
    kubeconfig = str(cluster.kubeconfig(folder / "kubeconfig"))
    return {"kubeconfig": kubeconfig, "groups": [GROUP], "duration_seconds": 0.4, "interval_seconds": 0.1, **given}


def test_every_documented_figure_is_returned(module: ModuleType, run_module: Run, tmp_path: Path, here: Path) -> None:
    with StandinCluster() as cluster:
        result = run_module(module, options(cluster, tmp_path, ready_file=str(tmp_path / "ready")))
    assert (result["failed"], result["changed"]) == (False, False), result.get("msg")
    assert (tmp_path / "ready").exists()
    facts = result["ansible_facts"]["pod_stats"]
    (group,) = facts["groups"]
    returned = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["pod_stats"]["contains"]
    sample = returned["groups"]["sample"][0]
    assert facts.keys() == returned.keys()
    assert group.keys() == sample.keys()
    assert group["cgroup"].keys() == sample["cgroup"].keys()
    assert group["containers"][0].keys() == sample["containers"][0].keys()
    assert (group["containers"][0]["id"], group["containers"][0]["node"]) == (OLD_CONTAINER, NODE)
    assert group["memory_bytes"] == 4000
    assert group["cpu_seconds_less_than"] == 1e-6
    assert any("labelSelector=faas_function%3Dcifar-cnn" in request for request in cluster.requests)


def test_long_lists_go_to_a_file(
    module: ModuleType, run_module: Run, tmp_path: Path, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module.watch, "MOST_VALUES_IN_FACTS", 10)
    with StandinCluster() as cluster:
        result = run_module(module, options(cluster, tmp_path, artifact_dir=str(tmp_path)))
    (artifact,) = result["artifacts"]
    assert artifact["path"] == str(tmp_path / "pod_stats.frames.json")
    short = result["ansible_facts"]["pod_stats"]
    assert short["groups"][0]["counters"]["samples"] is None
    lists = json.loads((tmp_path / "pod_stats.frames.json").read_text())
    assert module.watch.merge_long_lists(short, lists)["groups"][0]["counters"]["samples"]


def test_a_container_of_another_host_fails_and_has_no_facts(
    module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    with StandinCluster() as cluster:
        result = run_module(module, options(cluster, tmp_path))
    assert result["failed"] is True
    assert f"does not run on this host but on node {NODE}" in result["msg"]
    assert "ansible_facts" not in result


def test_check_mode_asks_no_cluster(module: ModuleType, run_module: Run) -> None:
    result = run_module(
        module, {"kubeconfig": "/nonexistent", "groups": [GROUP], "duration_seconds": 5}, check_mode=True
    )
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["plan"]["groups"] == [GROUP]
    assert "ansible_facts" not in result


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"groups": None}, "at least one group"),
        ({"groups": [{"name": "a"}]}, "missing required arguments: namespace"),
        ({"kubeconfig": "/nonexistent/config"}, "the kubeconfig /nonexistent/config does not say"),
        ({"context": "elsewhere"}, "in the context elsewhere"),
        ({"interval_seconds": 0.01}, "interval_seconds must be between 0.1 and 60"),
        ({"duration_seconds": None}, "either duration_seconds or stop_file"),
        ({"groups": [{**GROUP, "label_selector": "faas_function=other"}]}, "no container of group function"),
    ],
)
def test_bad_input_gets_one_clear_message(
    given: dict[str, Any], message: str, module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    with StandinCluster() as cluster:
        result = run_module(module, options(cluster, tmp_path, **given))
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_garbled_kubeconfig_is_said(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    (tmp_path / "garbled").write_text("{ not: yaml: at all")
    result = run_module(module, {"kubeconfig": str(tmp_path / "garbled"), "groups": [GROUP], "duration_seconds": 1})
    assert result["failed"] is True and "does not say how to reach a cluster" in result["msg"]


@pytest.mark.parametrize(
    ("cluster", "message"),
    [
        (
            {"unauthorized": True},
            "the cluster refused to list the pods faas_function=cifar-cnn in namespace openfaas-fn",
        ),
        ({"forbidden": ["pods"]}, "403"),
    ],
)
def test_a_cluster_that_refuses_is_quoted(
    cluster: dict[str, Any], message: str, module: ModuleType, run_module: Run, tmp_path: Path
) -> None:
    with StandinCluster(**cluster) as refusing:
        result = run_module(module, options(refusing, tmp_path))
    assert result["failed"] is True
    assert message in result["msg"]


def test_a_cluster_that_is_down_is_said(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    with StandinCluster() as cluster:
        given = options(cluster, tmp_path)
    result = run_module(module, given)
    assert result["failed"] is True
    assert "the cluster does not answer for the pods" in result["msg"]


def test_a_missing_package_is_named(
    module: ModuleType, run_module: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = builtins.__import__

    def without(name: str, *rest: Any) -> Any:
        if name == "kubernetes":
            raise ImportError("No module named 'kubernetes'")
        return real(name, *rest)

    monkeypatch.setattr(builtins, "__import__", without)
    result = run_module(module, {"kubeconfig": str(tmp_path), "groups": [GROUP], "duration_seconds": 1})
    assert result["failed"] is True
    assert "kubernetes" in result["msg"] and "Python library" in result["msg"]


def test_a_recording_is_handed_on_and_needs_no_cluster(module: ModuleType, run_module: Run, tmp_path: Path) -> None:
    path = tmp_path / "j7.1"
    path.write_text(json.dumps({"changed": False, "ansible_facts": {"pod_stats": {"groups": []}}}))
    job = {"ansible_job_id": "j7.1", "results_file": str(path), "started": True, "finished": False, "changed": True}
    result = run_module(module, {"recording": job})
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["ansible_facts"] == {"pod_stats": {"groups": []}}
    assert not path.exists()
