# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.pod_stats: which containers make up a group, what they use, and what of it is no figure."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest
from evenkeel import cgroup, pod_stats, watch
from evenkeel.pod_stats import Group, PodStatsError, Running

FUNCTION = Group("function", "openfaas-fn", "faas_function=cifar-cnn")
OPENFAAS = Group("openfaas", "openfaas", "")


def pod(name: str, *containers: str, uid: str = "", node: str = "node", started: Sequence[str] = ()) -> dict[str, Any]:
    """A pod as the cluster's JSON has it, its containers' ids by name; ``started`` are those before the pod's own."""

    def status(container: str) -> dict[str, Any]:
        return {"name": container, "state": {"running": {}}, "containerID": f"containerd://{identity(container)}"}

    return {
        "metadata": {"name": name, "uid": uid or f"uid-{name}"},
        "spec": {"nodeName": node},
        "status": {
            "containerStatuses": [status(one) for one in containers],
            "initContainerStatuses": [status(one) for one in started],
        },
    }


def identity(container: str) -> str:
    return (container.encode().hex() * 64)[:64]


class Host:
    """Control groups of containers in a folder, and the pods that a cluster would list."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch, version: int = 1) -> None:
        self._folder = folder
        self._version = version
        self._pids: dict[str, int] = {}
        self.pods: dict[str, list[Mapping[str, Any]]] = {FUNCTION.namespace: [], OPENFAAS.namespace: []}
        self.refusals: list[str] = []
        names = ("cpu", "cpuacct", "memory") if version == 1 else (cgroup.UNIFIED,)

        def paths_of(pid: int) -> dict[str, str]:
            path = next(str(self.group(name)) for name, number in self._pids.items() if number == pid)
            return dict.fromkeys(names, path)

        def processes(wanted: Any) -> dict[str, int]:
            known = {identity(name): pid for name, pid in self._pids.items()}
            return {one: known[one] for one in wanted if one in known}

        monkeypatch.setattr(cgroup, "paths_of", paths_of)
        monkeypatch.setattr(cgroup, "processes_of_containers", processes)
        monkeypatch.setattr(cgroup, "cpu_quota_cores", lambda pid: 2.0)
        monkeypatch.setattr(cgroup, "memory_limit_bytes", lambda pid: 4294967296)

    def group(self, name: str) -> Path:
        return self._folder / identity(name)

    def run(self, name: str, *, seconds: float = 10.0, memory: int = 1000, cache: int = 0, throttled: int = 0) -> None:
        """Have a container that has used this much so far."""
        self._pids.setdefault(name, 100 + len(self._pids))
        group = self.group(name)
        group.mkdir(exist_ok=True)
        inactive = f"inactive_file {cache}\n"
        if self._version == 1:
            files = {
                "cpuacct.usage": f"{round(seconds * 1e9)}\n",
                "cpu.stat": f"nr_throttled {throttled}\nthrottled_time {throttled * 100_000_000}\n",
                "memory.usage_in_bytes": f"{memory}\n",
                "memory.stat": f"inactive_file 1\ntotal_{inactive}",
                "memory.max_usage_in_bytes": f"{memory}\n",
            }
        else:
            files = {
                "cpu.stat": f"usage_usec {round(seconds * 1e6)}\nnr_throttled {throttled}\n"
                f"throttled_usec {throttled * 100_000}\n",
                "memory.current": f"{memory}\n",
                "memory.stat": inactive,
                "memory.peak": f"{memory}\n",
            }
        for file, text in files.items():
            new = group / f"{file}.new"
            new.write_text(text)
            new.rename(group / file)

    def end(self, name: str) -> None:
        """The container ends, and its control group with it."""
        for file in self.group(name).iterdir():
            file.unlink()
        self.group(name).rmdir()

    def list_pods(self, namespace: str, label_selector: str) -> list[Mapping[str, Any]]:
        if self.refusals:
            raise PodStatsError(self.refusals.pop())
        return self.pods[namespace]


@pytest.fixture
def host(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Host:
    return Host(tmp_path, monkeypatch)


def run(host: Host, groups: Sequence[Group], during: Callable[[], None] | None = None, **given: Any) -> dict[str, Any]:
    """Watch for a moment; ``during`` is done in the midst of it."""
    options = {name: spec.get("default") for name, spec in watch.ARGUMENTS.items()}
    options.update(duration_seconds=0.5, deadline_seconds=5.0, **given)
    if during is not None:
        threading.Timer(0.2, during).start()
    return pod_stats.watch_groups(host.list_pods, groups, watch.Watch(options), 0.1)


@pytest.mark.parametrize("version", [1, 2])
def test_a_group_is_the_sum_of_its_containers(version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    host = Host(tmp_path, monkeypatch, version)
    host.run("cifar", seconds=100.0, memory=5000, cache=2000)
    host.run("gateway", seconds=1.0, memory=300)
    host.run("nats", seconds=2.0, memory=400)
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]
    host.pods["openfaas"] = [pod("gateway-1", "gateway"), pod("nats-1", "nats")]

    def work() -> None:
        host.run("cifar", seconds=100.9, memory=5000, cache=2000, throttled=3)
        host.run("gateway", seconds=1.2, memory=300)
        host.run("nats", seconds=2.1, memory=400)

    facts = run(host, [FUNCTION, OPENFAAS], work)
    function, openfaas = facts["groups"]
    assert function["name"] == "function" and openfaas["name"] == "openfaas"
    assert function["cpu_seconds"] == pytest.approx(0.9)
    assert function["cpu_cores"] == pytest.approx(0.9 / facts["window_seconds"], rel=0.3)
    assert function["memory_bytes"] == 3000, "without the inactive file cache"
    assert function["cgroup"] == {
        "version": version,
        "throttled_seconds": pytest.approx(0.3),
        "throttled_periods": 3,
        "elapsed_periods": None,
        "memory_peak_bytes": 5000,
        "cpu_quota_cores": 2.0,
    }
    assert function["memory_limit_bytes"] == 4294967296
    assert function["counters"]["resolution_seconds"] == (1e-9 if version == 1 else 1e-6)
    assert openfaas["cpu_seconds"] == pytest.approx(0.3)
    assert openfaas["memory_bytes"] == 700
    assert [one["cpu_seconds"] for one in openfaas["containers"]] == [pytest.approx(0.2), pytest.approx(0.1)]
    assert (openfaas["memory_limit_bytes"], openfaas["cgroup"]["cpu_quota_cores"]) == (None, None)
    assert (function["restarted"], function["changes"]) == (False, [])


def test_counters_are_read_ten_times_a_second_and_memory_once_an_interval(host: Host) -> None:
    host.run("cifar")
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]
    (group,) = run(host, [FUNCTION])["groups"]
    assert 4 <= len(group["counters"]["samples"]) <= 8
    assert 3 <= len(group["memory"]["samples"]) <= 8
    moments = [moment for moment, _ in group["counters"]["samples"]]
    assert moments == sorted(moments)


def test_what_used_nothing_is_less_than_its_unit_and_never_zero(host: Host) -> None:
    host.run("gateway", seconds=3.0)
    host.run("nats", seconds=3.0)
    host.pods["openfaas"] = [pod("a", "gateway"), pod("b", "nats")]
    (group,) = run(host, [OPENFAAS])["groups"]
    assert (group["cpu_seconds"], group["cpu_cores"], group["cpu_seconds_less_than"]) == (None, None, 2e-9)
    assert {one["cpu_seconds_less_than"] for one in group["containers"]} == {1e-9}


def test_a_container_that_ends_leaves_no_sum(host: Host) -> None:
    host.run("gateway", seconds=5.0)
    host.run("nats", seconds=5.0)
    host.pods["openfaas"] = [pod("a", "gateway"), pod("b", "nats")]

    def end() -> None:
        host.end("nats")
        host.pods["openfaas"] = [pod("a", "gateway")]

    (group,) = run(host, [OPENFAAS], end)["groups"]
    assert group["restarted"] is True
    assert group["changes"] == ["pod b ended"]
    assert (group["cpu_seconds"], group["cpu_cores"]) == (None, None)
    last = group["counters"]["samples"][-1]
    assert last[1] == pytest.approx(10.0), "a sum of those that are left would be too small"


def test_what_comes_and_goes_in_between_is_seen(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_stats, "LOOK_SECONDS", 0.05)
    host.run("cifar")
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]

    def scale() -> None:
        host.pods["openfaas-fn"] = [pod("cifar-1", "cifar"), pod("cifar-2", "other")]
        time.sleep(0.15)
        host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]

    facts = run(host, [FUNCTION], scale)
    assert facts["groups"][0]["changes"] == ["pod cifar-2 appeared"]
    assert facts["groups"][0]["restarted"] is True
    assert facts["looks"]["answered"] > 3


def test_a_cluster_too_busy_to_answer_in_between_is_counted(host: Host, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pod_stats, "LOOK_SECONDS", 0.05)
    host.run("cifar")
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]
    facts = run(host, [FUNCTION], lambda: host.refusals.extend(["busy", "busy"]))
    assert facts["looks"]["failed"] == 2
    assert facts["groups"][0]["restarted"] is False


def test_a_cluster_that_does_not_answer_at_the_end_is_a_failure(host: Host) -> None:
    host.run("cifar")
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar")]
    with pytest.raises(PodStatsError, match="gone"):
        run(host, [FUNCTION], lambda: host.refusals.append("gone"))


def test_a_group_without_a_running_container_is_a_failure_with_the_command(host: Host) -> None:
    waiting = pod("cifar-1", "cifar")
    waiting["status"]["containerStatuses"][0]["state"] = {"waiting": {"reason": "ImagePullBackOff"}}
    host.pods["openfaas-fn"] = [waiting]
    command = "kubectl get pods --namespace openfaas-fn --selector 'faas_function=cifar-cnn'"
    with pytest.raises(PodStatsError, match=f"no container of group function .*{command}"):
        run(host, [FUNCTION])


def test_a_container_on_another_host_is_a_failure_that_names_its_node(host: Host) -> None:
    host.pods["openfaas-fn"] = [pod("cifar-1", "cifar", node="worker-7")]
    with pytest.raises(PodStatsError, match="does not run on this host but on node worker-7") as refused:
        run(host, [FUNCTION])
    assert identity("cifar")[:12] in str(refused.value)


def test_running_containers_are_those_with_a_state_and_an_id() -> None:
    ended = pod("b", "job")
    ended["status"]["containerStatuses"][0]["state"] = {"terminated": {"exitCode": 0}}
    found = pod_stats.running_containers(
        [pod("a", "web", started=["proxy"]), ended, {"metadata": {}, "status": {}}, {}]
    )
    assert [(one.pod, one.name, one.id, one.node) for one in found] == [
        ("a", "proxy", identity("proxy"), "node"),
        ("a", "web", identity("web"), "node"),
    ]


def one(pod_name: str, container: str, number: str) -> Running:
    return Running(pod_name, f"uid-{pod_name}", container, number, "node")


@pytest.mark.parametrize(
    ("after", "said"),
    [
        ([one("a", "web", "1"), one("b", "web", "2")], []),
        ([one("a", "web", "3"), one("b", "web", "2")], ["container web of pod a was restarted"]),
        ([one("a", "web", "1")], ["pod b ended"]),
        ([one("a", "web", "1"), one("b", "web", "2"), one("c", "web", "3")], ["pod c appeared"]),
        (
            [one("a", "web", "1"), one("a", "sidecar", "4"), one("b", "web", "2")],
            ["container sidecar of pod a appeared"],
        ),
        ([one("a", "web", "1"), one("c", "web", "5")], ["pod c appeared", "pod b ended"]),
        ([], ["pod a ended", "pod b ended"]),
    ],
)
def test_changes_are_said_in_words(after: list[Running], said: list[str]) -> None:
    assert pod_stats.changes([one("a", "web", "1"), one("b", "web", "2")], after) == said


def test_a_container_that_ends_in_a_living_pod_is_said() -> None:
    before = [one("a", "web", "1"), one("a", "sidecar", "2")]
    assert pod_stats.changes(before, [one("a", "web", "1")]) == ["container sidecar of pod a ended"]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ([], "at least one group"),
        ([{"name": "", "namespace": "a", "label_selector": "b"}], "a name and a namespace"),
        ([{"name": "a", "namespace": " ", "label_selector": "b"}], "a name and a namespace"),
        ([{"name": "a", "namespace": "b"}, {"name": "a", "namespace": "c"}], "two of one name: a, a"),
    ],
)
def test_impossible_groups_are_refused(given: list[dict[str, str]], said: str) -> None:
    with pytest.raises(PodStatsError, match=said):
        pod_stats.groups_from(given)


def test_without_labels_all_pods_of_a_namespace_are_meant() -> None:
    assert pod_stats.groups_from([{"name": "openfaas", "namespace": "openfaas", "label_selector": None}]) == [OPENFAAS]
