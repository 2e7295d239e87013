# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/pod_phases_facts.py, run as Ansible runs it, against a stand-in of the Kubernetes API server."""

from __future__ import annotations

import datetime
import ipaddress
import json
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml

from tests.standins.kubernetes_api import (
    FUNCTION,
    NAMESPACE,
    NEW_CONTAINER,
    NODE,
    OLD_CONTAINER,
    Fault,
    StandinCluster,
    cold_start,
    crash_loop,
    endpoint_slice,
    event,
    image_pull_back_off,
    pod,
    unschedulable,
)

RunModule = Callable[..., dict[str, Any]]
Start = Callable[..., dict[str, Any]]


@pytest.fixture
def module(load_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    found = load_module("pod_phases_facts")
    monkeypatch.setattr(found, "RETRY_SECONDS", 0.02)
    return found


@pytest.fixture
def options(tmp_path: Path) -> dict[str, Any]:
    """The options of a watch but for the kubeconfig."""
    return {
        "namespace": NAMESPACE,
        "label_selector": f"faas_function={FUNCTION}",
        "service": FUNCTION,
        "start_file": str(tmp_path / "start"),
        "ready_file": str(tmp_path / "ready"),
        "stop_file": str(tmp_path / "stop"),
        "deadline_seconds": 20,
    }


@pytest.fixture
def start(
    module: ModuleType,
    run_module: RunModule,
    options: dict[str, Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> Iterator[Start]:
    """A function that runs the module beside what makes its start file, and its stop file some time after.

    ``settle`` is for how long a start that is not over by then may go on; one that never is takes all of it.
    """
    over = threading.Event()
    threads = []

    def signal(stop_after: float, started: Callable[[], None]) -> None:
        while not (tmp_path / "ready").exists():
            if over.wait(0.005):
                return
        over.wait(0.05)
        (tmp_path / "start").touch()
        started()
        over.wait(stop_after)
        (tmp_path / "stop").touch()

    def run(
        cluster: StandinCluster,
        *,
        stop_after: float = 0.25,
        settle: float = 5.0,
        started: Callable[[], None] = lambda: None,
        **given: Any,
    ) -> dict[str, Any]:
        monkeypatch.setattr(module, "SETTLE_SECONDS", settle)
        thread = threading.Thread(target=signal, args=(stop_after, started), daemon=True)
        threads.append(thread)
        thread.start()
        return run_module(module, {**options, "kubeconfig": str(cluster.kubeconfig(tmp_path / "kubeconfig")), **given})

    yield run
    over.set()
    for thread in threads:
        thread.join()


def facts_of(result: dict[str, Any]) -> dict[str, Any]:
    assert not result["failed"], result
    found: dict[str, Any] = result["ansible_facts"]["pod_phases"]
    return found


def ends(found: dict[str, Any]) -> dict[str, float]:
    return {phase["name"]: phase["end_seconds"] for phase in found["phases"]}


def soon(seconds: float) -> Any:
    """A stamp not earlier than what the stand-in did, and at most a second later, on a busy host."""
    return pytest.approx(seconds + 0.5, abs=0.5)


def test_a_cold_start_is_measured_and_proven(module: ModuleType, start: Start) -> None:
    with StandinCluster(cold_start()) as cluster:
        result = start(cluster)
    found = facts_of(result)
    assert result["changed"] is True
    assert (found["valid"], found["invalid_reasons"]) == (True, [])
    returned = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["pod_phases"]["contains"]
    assert found.keys() == returned.keys()
    for name in ("old", "phases", "watch_gaps", "timeline"):
        for one in found[name]:
            assert one.keys() == returned[name]["sample"][0].keys()
    assert found["pod"].keys() == returned["pod"]["sample"].keys()
    assert found["pod"]["uid"] == pod(2)["metadata"]["uid"]
    assert [one["uid"] for one in found["old"]] == [pod(1)["metadata"]["uid"]]
    assert (found["image_pulled"], found["endpoints_kind"], found["ended_by"]) == (True, "EndpointSlice", "stop_file")
    # What the stand-in did at 0.12, 0.02, 0.1, 0.16 and 0.2 s, seen in time.
    assert ends(found) == {
        "deleted": soon(0.12),
        "scheduled": soon(0.02),
        "image": soon(0.1),
        "container_started": soon(0.16),
        "container_ready": soon(0.2),
    }
    assert found["endpoints_empty_seconds"] == soon(0.015)
    assert 0 <= found["start_resolution_seconds"] < 1


def test_the_pod_is_deleted_once_with_its_grace_and_no_other_of_its_name(start: Start) -> None:
    with StandinCluster(cold_start()) as cluster:
        start(cluster, grace_seconds=3)
        (deletion,) = cluster.deletions
        asked = [request for request in cluster.requests if request.startswith("DELETE")]
    assert deletion["gracePeriodSeconds"] == 3
    assert deletion["preconditions"] == {"uid": pod(1)["metadata"]["uid"]}
    # One of the two is the dry run, before the start.
    assert len(asked) == 2


def test_no_time_of_a_slow_cluster_before_the_start_is_in_the_figure(start: Start) -> None:
    with StandinCluster(cold_start(), slow_seconds=0.1) as cluster:
        begun = time.clock_gettime(time.CLOCK_MONOTONIC)
        found = facts_of(start(cluster, stop_after=0.6))
    assert found["start_monotonic_seconds"] - begun > 0.5
    (deleted,) = [phase for phase in found["phases"] if phase["name"] == "deleted"]
    # Its own request alone would take 0.1 s, and making the connections more.
    assert 0 <= deleted["begin_seconds"] < 0.1
    assert found["valid"] is True


def test_a_cached_image(start: Start) -> None:
    message = 'Container image "x" already present on machine and can be accessed by the pod'
    with StandinCluster(cold_start(pulled=message)) as cluster:
        found = facts_of(start(cluster))
    assert (found["image_pulled"], found["image_pull"], found["valid"]) == (False, None, True)


def test_the_containers_processes_are_followed_where_they_are_here(
    module: ModuleType, start: Start, monkeypatch: pytest.MonkeyPatch
) -> None:
    with subprocess.Popen(["sleep", "60"]) as old, subprocess.Popen(["sleep", "60"]) as new:
        pids = {OLD_CONTAINER: old.pid, NEW_CONTAINER: new.pid}
        made: dict[str, float] = {}

        def find(container_id: str) -> Any:
            made[container_id] = time.clock_gettime(time.CLOCK_MONOTONIC) - 0.05
            return module.pod_phases.Init(pids[container_id], made[container_id])

        monkeypatch.setattr(module.pod_phases, "find_init", find)
        with StandinCluster([*cold_start(old_gone=0.2), (0.1, lambda _: old.kill())]) as cluster:
            found = facts_of(start(cluster))
        new.kill()
    (before,) = found["old"]
    assert before["container_ended_source"] == "process"
    assert before["container_ended_seconds"] == soon(0.1)
    assert 0 <= before["container_ended_resolution_seconds"] < 1
    (started,) = [phase for phase in found["phases"] if phase["name"] == "container_started"]
    assert started["source"] == "process"
    tick = module.pod_phases.TICK_SECONDS
    assert started["end_seconds"] == pytest.approx(made[NEW_CONTAINER] + tick - found["start_monotonic_seconds"])
    # This host's clock is the cluster's, so that the scheduler's microseconds count.
    (scheduled,) = [phase for phase in found["phases"] if phase["name"] == "scheduled"]
    assert scheduled["source"] == "event_time"


def test_several_old_pods_are_all_deleted(start: Start) -> None:
    with StandinCluster([*cold_start(), (0.1, lambda cluster: cluster.remove("pods", f"{FUNCTION}-9"))]) as cluster:
        cluster.put(pod(9, node=NODE, container="d4" * 32, ready=True))
        found = facts_of(start(cluster))
        assert len(cluster.deletions) == 2
    assert len(found["old"]) == 2
    assert found["valid"] is True


def test_an_old_container_that_overlaps_is_rejected(start: Start) -> None:
    script = cold_start(old_gone=0.9, started=0.16, ready=0.2)
    with StandinCluster(script) as cluster:
        found = facts_of(start(cluster, stop_after=0.95))
    assert found["overlap_seconds"] > 0.5
    assert [reason.partition(":")[0] for reason in found["invalid_reasons"]] == ["overlap"]


def test_an_old_pod_that_lingers_is_waited_for_and_then_said(start: Start) -> None:
    with StandinCluster(cold_start(old_gone=None)) as cluster:
        begun = time.monotonic()
        found = facts_of(start(cluster, stop_after=0.5, settle=0.3))
        assert time.monotonic() - begun > 0.8
    assert [reason.partition(":")[0] for reason in found["invalid_reasons"]] == ["not_deleted"]
    assert found["old"][0]["gone_seconds"] is None


def test_a_pod_that_gets_ready_after_the_stop_file_is_waited_for(start: Start) -> None:
    with StandinCluster(cold_start(ready=0.3)) as cluster:
        found = facts_of(start(cluster, stop_after=0.1))
    assert ends(found)["container_ready"] == soon(0.3)


@pytest.mark.parametrize(
    ("script", "words", "reason"),
    [
        (unschedulable(), ["Unschedulable: 0/1 nodes are available", "FailedScheduling"], "pod_failed"),
        (image_pull_back_off(), ["ImagePullBackOff", "Failed to pull image", "not found"], "pod_failed"),
        (crash_loop(recovers=False), ["CrashLoopBackOff", "Back-off restarting failed container"], "pod_failed"),
        ([(0.05, lambda cluster: cluster.remove("pods", f"{FUNCTION}-1"))], ["no new pod came"], "not_cold"),
    ],
)
def test_a_start_that_fails_prints_the_pods_conditions_and_events(
    script: Any, words: list[str], reason: str, start: Start
) -> None:
    with StandinCluster(script) as cluster:
        result = start(cluster, stop_after=0.5, settle=0.1)
    assert result["failed"]
    for word in words:
        assert word in result["msg"]
    assert [one.partition(":")[0] for one in result["invalid_reasons"]] == [reason]
    assert result["next_step"].startswith(f"kubectl -n {NAMESPACE} ")
    assert result["timeline"]
    assert "ansible_facts" not in result


def test_a_container_that_crashed_once_is_no_proven_start(start: Start) -> None:
    with StandinCluster(crash_loop(recovers=True)) as cluster:
        found = facts_of(start(cluster))
    (reason,) = found["invalid_reasons"]
    assert reason == "pod_failed: the container was started anew 1 times (it ended with 137, OOMKilled)"
    assert found["pod"]["restarts"] == 1


@pytest.mark.parametrize("how", ["cut", "gone"])
@pytest.mark.parametrize("kind", ["pods", "events", "endpointslices"])
def test_a_watch_that_breaks_is_made_good(how: str, kind: str, start: Start) -> None:
    with StandinCluster(cold_start(), faults={kind: Fault(how, after=1)}) as cluster:
        found = facts_of(start(cluster))
    (gap,) = found["watch_gaps"]
    assert gap["watch"] == kind.replace("endpointslices", "endpoints")
    assert 0 < gap["begin_seconds"] <= gap["end_seconds"]
    assert ("410" in gap["reason"]) == (how == "gone")
    assert found["valid"] is True
    assert "container_ready" in ends(found)


def test_a_gap_widens_the_resolution(start: Start) -> None:
    """The watch of pods is away while the new pod comes and starts; Events tell of the start in time."""
    with StandinCluster(cold_start(ready=0.25), faults={"pods": Fault("cut", after=1, for_seconds=0.15)}) as cluster:
        found = facts_of(start(cluster, stop_after=0.6))
    (gap,) = found["watch_gaps"]
    assert gap["end_seconds"] - gap["begin_seconds"] > 0.14
    (scheduled,) = [phase for phase in found["phases"] if phase["name"] == "scheduled"]
    assert scheduled["end_seconds"] - scheduled["resolution_seconds"] <= gap["begin_seconds"] + 1e-6


def test_a_watch_that_stays_broken_spoils_the_proof_and_not_the_run(start: Start) -> None:
    with StandinCluster(cold_start(), faults={"pods": Fault("cut", after=2, for_seconds=60)}) as cluster:
        found = facts_of(start(cluster, settle=0.1))
    assert found["valid"] is False
    assert "watch_broken" in [reason.partition(":")[0] for reason in found["invalid_reasons"]]
    assert "503" in found["watch_gaps"][0]["reason"]


def test_nothing_is_deleted_before_the_start_file(
    module: ModuleType, run_module: RunModule, options: dict[str, Any], tmp_path: Path
) -> None:
    def stop() -> None:
        while not (tmp_path / "ready").exists():
            time.sleep(0.005)
        (tmp_path / "stop").touch()

    thread = threading.Thread(target=stop, daemon=True)
    thread.start()
    with StandinCluster(cold_start()) as cluster:
        result = run_module(module, {**options, "kubeconfig": str(cluster.kubeconfig(tmp_path / "kubeconfig"))})
        assert cluster.deletions == []
    thread.join()
    assert result["failed"]
    assert "ended (stop_file) before the start file" in result["msg"]


def test_what_something_else_deletes_is_followed(start: Start) -> None:
    with StandinCluster(cold_start()) as cluster:

        def delete() -> None:
            cluster.delete_pod(f"{FUNCTION}-1", {"gracePeriodSeconds": 1})

        result = start(cluster, delete=False, started=delete)
        assert len(cluster.deletions) == 1
    found = facts_of(result)
    assert (result["changed"], found["valid"]) == (False, True)


def test_older_endpoints_do_where_there_are_no_slices(start: Start) -> None:
    with StandinCluster(cold_start(slices=False), slices=False) as cluster:
        found = facts_of(start(cluster))
    assert (found["endpoints_kind"], found["valid"]) == ("Endpoints", True)
    assert found["endpoints_empty_seconds"] > 0


def test_older_endpoints_do_where_slices_may_not_be_read(start: Start) -> None:
    with StandinCluster(cold_start(slices=False), forbidden=["endpointslices"]) as cluster:
        found = facts_of(start(cluster))
    assert (found["endpoints_kind"], found["valid"]) == ("Endpoints", True)


def test_without_a_service_the_overlap_is_the_proof(start: Start) -> None:
    with StandinCluster(cold_start()) as cluster:
        found = facts_of(start(cluster, service=None))
    assert (found["endpoints_kind"], found["endpoints_empty_seconds"], found["valid"]) == (None, None, True)


def test_a_service_that_leads_elsewhere_is_not_cold(start: Start) -> None:
    script = [*cold_start(), (0.03, lambda cluster: cluster.put(endpoint_slice([7])))]
    with StandinCluster(script) as cluster:
        found = facts_of(start(cluster))
    assert [reason.partition(":")[0] for reason in found["invalid_reasons"]] == ["not_cold"]


def test_events_that_may_not_be_read_leave_the_image_unknown(start: Start) -> None:
    with StandinCluster(cold_start(), forbidden=["events"]) as cluster:
        result = start(cluster)
    found = facts_of(result)
    assert (found["image_pulled"], found["valid"]) == (None, True)
    assert "image" not in ends(found)
    assert any("Events may not be read" in str(warning) for warning in result["warnings"])


def test_events_of_other_pods_are_no_matter(start: Start) -> None:
    script = [*cold_start(), (0.03, lambda cluster: cluster.put(event(9, "Started", "another")))]
    with StandinCluster(script) as cluster:
        found = facts_of(start(cluster))
    assert ends(found)["container_started"] > 0.1


def test_the_deadline_ends_a_watch_that_nothing_stops(start: Start) -> None:
    with StandinCluster(cold_start()) as cluster:
        result = start(cluster, stop_after=60, deadline_seconds=1.5)
    assert facts_of(result)["ended_by"] == "deadline"
    assert any("deadline_seconds" in str(warning) for warning in result["warnings"])


def test_tls_with_the_clusters_own_authority(start: Start, tmp_path: Path) -> None:
    with StandinCluster(cold_start(), certificate=own_certificate(tmp_path)) as cluster:
        assert cluster.url.startswith("https://")
        assert facts_of(start(cluster))["valid"] is True


def own_certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that is its own authority, and its key."""
    x509 = pytest.importorskip("cryptography.x509")
    from cryptography.hazmat.primitives import hashes, serialization  # noqa: PLC0415
    from cryptography.hazmat.primitives.asymmetric import ec  # noqa: PLC0415

    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "stand-in")])
    today = datetime.datetime.now(datetime.UTC)
    day = datetime.timedelta(days=1)
    dates = today - day, today + day
    builder = x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number(), *dates)
    address = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    usage = x509.KeyUsage(True, False, False, False, False, True, True, False, False)
    certificate = (
        builder.add_extension(address, critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .add_extension(usage, critical=True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    paths = folder / "certificate.pem", folder / "key.pem"
    paths[0].write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
    paths[1].write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return paths


@pytest.mark.parametrize(
    ("cluster_is", "given", "words"),
    [
        ({"unauthorized": True}, {}, ["401", "its credentials are not accepted"]),
        ({"forbidden": ["pods"]}, {}, ["a list of pods", "403", "a Role in the namespace"]),
        ({"forbidden": ["delete"]}, {}, [f"delete pod {FUNCTION}-1", "403"]),
        ({"forbidden": ["endpoints", "endpointslices"]}, {}, ["a list of endpoints", "403"]),
        ({}, {"context": "nope"}, ["the context nope", "kubectl config get-contexts"]),
        ({}, {"kubeconfig": "/nowhere/kubeconfig"}, ["/nowhere/kubeconfig does not exist"]),
        ({}, {"kubeconfig": __file__}, [f"the kubeconfig {__file__} cannot be used"]),
        ({}, {"label_selector": "faas_function=other"}, ["no pod in openfaas-fn matches", "deploy the function first"]),
        ({}, {"service": "other"}, ["no service other with endpoints is in openfaas-fn"]),
        ({}, {"namespace": None}, ["give namespace"]),
        ({}, {"start_file": None, "stop_file": " "}, ["give start_file and stop_file"]),
        ({}, {"grace_seconds": 0}, ["grace_seconds must be at least 1"]),
        ({}, {"deadline_seconds": 0}, ["deadline_seconds must be a positive number"]),
        ({}, {"ready_file": "/nowhere/ready"}, ["the directory of ready_file /nowhere/ready does not exist"]),
    ],
)
def test_bad_input_gets_one_clear_message_and_deletes_nothing(
    cluster_is: dict[str, Any], given: dict[str, Any], words: list[str], start: Start
) -> None:
    with StandinCluster(cold_start(), **cluster_is) as cluster:
        result = start(cluster, **given)
        assert cluster.deletions == []
    assert result["failed"]
    for word in words:
        assert word in result["msg"]


def test_a_cluster_that_is_down(
    module: ModuleType, run_module: RunModule, options: dict[str, Any], tmp_path: Path
) -> None:
    with StandinCluster() as cluster:
        kubeconfig = cluster.kubeconfig(tmp_path / "kubeconfig")
    result = run_module(module, {**options, "kubeconfig": str(kubeconfig)})
    assert result["failed"]
    assert f"no Kubernetes API server answered at {cluster.url}" in result["msg"]


def test_a_start_file_of_an_earlier_start(
    module: ModuleType, run_module: RunModule, options: dict[str, Any], tmp_path: Path
) -> None:
    (tmp_path / "start").touch()
    result = run_module(module, options)
    assert result["failed"]
    assert "start_file" in result["msg"] and "exists already" in result["msg"]


def test_a_missing_client_is_named(
    module: ModuleType, run_module: RunModule, options: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    result = run_module(module, options)
    assert result["failed"]
    assert "kubernetes" in result["msg"] and "required Python library" in result["msg"]


def test_check_mode_asks_no_cluster(module: ModuleType, run_module: RunModule, options: dict[str, Any]) -> None:
    result = run_module(module, {**options, "kubeconfig": "/nowhere/kubeconfig"}, check_mode=True)
    assert (result["failed"], result["changed"]) == (False, True)
    assert result["plan"]["label_selector"] == f"faas_function={FUNCTION}"
    assert result["plan"]["delete"] is True
    assert "ansible_facts" not in result
    follow = run_module(module, {**options, "delete": False}, check_mode=True)
    assert follow["changed"] is False


def job_of(tmp_path: Path, result: dict[str, Any]) -> dict[str, Any]:
    """An asynchronous task's registered result, with the file that Ansible's async_wrapper leaves of its module."""
    path = tmp_path / "j123456789012.4711"
    path.write_text(json.dumps({key: value for key, value in result.items() if key != "failed" or value}))
    return {"ansible_job_id": path.name, "results_file": str(path), "started": True, "finished": False, "changed": True}


def test_a_recording_is_collected(module: ModuleType, run_module: RunModule, start: Start, tmp_path: Path) -> None:
    with StandinCluster(cold_start()) as cluster:
        watched = start(cluster)
    collected = run_module(module, {"recording": job_of(tmp_path, watched)})
    assert collected["ansible_facts"] == watched["ansible_facts"]
    assert (collected["failed"], collected["changed"]) == (False, False)


def test_a_recording_that_failed_fails_with_its_own_message(
    module: ModuleType, run_module: RunModule, start: Start, tmp_path: Path
) -> None:
    with StandinCluster(unschedulable()) as cluster:
        watched = start(cluster, stop_after=0.5, settle=0.1)
    collected = run_module(module, {"recording": job_of(tmp_path, watched)})
    assert collected["failed"]
    for name in ("msg", "conditions", "events", "invalid_reasons"):
        assert collected[name] == watched[name]


def test_a_recording_that_is_none(module: ModuleType, run_module: RunModule) -> None:
    result = run_module(module, {"recording": {"changed": True}})
    assert result["failed"]
    assert "recording" in result["msg"]


def test_check_mode_of_a_collection(module: ModuleType, run_module: RunModule) -> None:
    result = run_module(module, {"recording": {"plan": {"delete": True}}}, check_mode=True)
    assert (result["failed"], result["changed"], result["plan"]) == (False, False, {"delete": True})
