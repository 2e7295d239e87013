# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.docker_stats: the docker command's formulas, and watches of a stand-in engine's containers."""

from __future__ import annotations

import copy
import itertools
import threading
from pathlib import Path
from typing import Any

import pytest
from evenkeel import cgroup, docker_stats, watch
from evenkeel.docker_engine import ContainerNotFound, Engine, EngineError

from tests.standins.docker_engine import Container, StandinEngine, frames_from

FIXTURES = Path(__file__).parents[3] / "fixtures" / "docker"
V1, V2 = frames_from(FIXTURES / "stats-v1.jsonl"), frames_from(FIXTURES / "stats-v2.jsonl")
INTERVAL = docker_stats.EARLY_SECONDS + 0.01


def watch_options(**given: Any) -> dict[str, Any]:
    return {**{name: spec.get("default") for name, spec in watch.ARGUMENTS.items()}, **given}


def run(engine: StandinEngine, *names: str, **given: Any) -> dict[str, Any]:
    client = Engine(engine.docker_host[len("unix://") :], timeout_seconds=2)
    one = watch.Watch(watch_options(**{"duration_seconds": 0.3, "deadline_seconds": 5.0, **given}))
    return docker_stats.watch_containers(client, names, one, INTERVAL)


@pytest.mark.parametrize("frames", [V1, V2])
def test_cpu_is_what_the_docker_command_shows(frames: list[dict[str, Any]]) -> None:
    for previous, frame in itertools.pairwise(frames):
        used = frame["cpu_stats"]["cpu_usage"]["total_usage"] - frame["precpu_stats"]["cpu_usage"]["total_usage"]
        system = frame["cpu_stats"]["system_cpu_usage"] - frame["precpu_stats"]["system_cpu_usage"]
        shown = used / system * 2 * 100
        assert docker_stats.cpu_percent_of_core(frame, previous) == pytest.approx(shown)
        assert shown == pytest.approx(30, abs=3)


def test_without_online_cpus_their_counters_are_counted() -> None:
    frames = copy.deepcopy(V1)
    for frame in frames:
        del frame["cpu_stats"]["online_cpus"]
    assert docker_stats.cpu_percent_of_core(frames[1], frames[0]) == docker_stats.cpu_percent_of_core(V1[1], V1[0])


def test_two_frames_of_one_moment_have_no_cpu_figure() -> None:
    assert docker_stats.cpu_percent_of_core(V1[1], V1[1]) is None
    assert docker_stats.cpu_percent_of_core(V1[0], V1[1]) is None


@pytest.mark.parametrize(
    ("memory", "shown"),
    [
        ({"usage": 995328, "stats": {"total_inactive_file": 245760, "inactive_file": 1}}, 749568),
        ({"usage": 995328, "stats": {"inactive_file": 245760}}, 749568),
        ({"usage": 1000, "stats": {"inactive_file": 1000}}, 1000),
        ({"usage": 1000, "stats": {"inactive_file": 5000}}, 1000),
        ({"usage": 1000, "stats": {}}, 1000),
        ({"usage": 1000}, 1000),
    ],
)
def test_memory_is_usage_without_the_inactive_file_cache(memory: dict[str, Any], shown: int) -> None:
    assert docker_stats.memory_bytes(memory) == shown


def test_a_record_has_every_figure() -> None:
    record = docker_stats.sample(V2[1], V2[0], 5.0, 6.0, "boot")
    usage = V2[1]["memory_stats"]["usage"]
    assert record == {
        "begin_monotonic_seconds": 5.0,
        "monotonic_seconds": 6.0,
        "host_boot_id": "boot",
        "cpu_percent_of_core": docker_stats.cpu_percent_of_core(V2[1], V2[0]),
        "memory_bytes": usage - 245760,
        "memory_usage_bytes": usage,
        "memory_limit_bytes": 268435456,
        "memory_percent": pytest.approx(100 * (usage - 245760) / 268435456),
        "network_received_bytes": 516,
        "network_sent_bytes": 42,
        "block_read_bytes": 4096,
        "block_written_bytes": 8192,
        "pids": 1,
    }


@pytest.mark.parametrize("frames", [V1, V2])
def test_a_watch_of_two_containers(frames: list[dict[str, Any]], tmp_path: Path) -> None:
    ready = tmp_path / "ready"
    with StandinEngine(tmp_path / "d.sock", Container("one", frames), Container("two", frames)) as engine:
        facts = run(engine, "one", "two", ready_file=str(ready))
    assert ready.exists()
    assert facts["api_version"] == "1.41"
    assert facts["window"]["ended_by"] == "duration"
    assert facts["window_seconds"] >= 0.3
    assert [one["name"] for one in facts["containers"]] == ["one", "two"]
    for container in facts["containers"]:
        assert container["cpu_percent_of_core"] == pytest.approx(30, abs=2)
        assert container["memory_kind"] == "working_set"
        assert container["restarted"] is False
        samples = container["samples"]
        assert len(samples) >= 2
        assert all(one["monotonic_seconds"] > one["begin_monotonic_seconds"] for one in samples)
        assert len(container["memory"]["samples"]) == len(samples)


def test_a_container_whose_groups_cannot_be_seen_is_counted_by_the_engine(tmp_path: Path) -> None:
    """Its process id is of this test: another process namespace, so this process's own counters are not its."""
    with StandinEngine(tmp_path / "d.sock", Container("one", V1)) as engine:
        (container,) = run(engine, "one", duration_seconds=0.8)["containers"]
    assert container["cgroup"] == {
        "version": None,
        "throttled_seconds": None,
        "throttled_periods": None,
        "elapsed_periods": None,
        "memory_peak_bytes": None,
        "cpu_quota_cores": None,
    }
    usages = {frame["cpu_stats"]["cpu_usage"]["total_usage"] / 1e9 for frame in V1}
    assert container["counters"]["samples"][0][1] in usages
    assert container["counters"]["resolution_seconds"] == 1e-6
    assert container["cpu_seconds"] > 0


@pytest.mark.parametrize("version", [1, 2])
def test_a_container_whose_groups_are_seen_is_counted_there(
    version: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    container = Container("one", V1)
    group = tmp_path / container.id
    group.mkdir()
    (group / "memory.max_usage_in_bytes" if version == 1 else group / "memory.peak").write_text("777\n")

    def write(seconds: float, throttled: float) -> None:
        for name, text in (
            {
                "cpuacct.usage": f"{round(seconds * 1e9)}\n",
                "cpu.stat": f"nr_throttled {round(throttled * 10)}\nthrottled_time {round(throttled * 1e9)}\n",
            }
            if version == 1
            else {
                "cpu.stat": f"usage_usec {round(seconds * 1e6)}\nnr_throttled {round(throttled * 10)}\n"
                f"throttled_usec {round(throttled * 1e6)}\n"
            }
        ).items():
            new = group / f"{name}.new"
            new.write_text(text)
            new.rename(group / name)

    names = ("cpu", "cpuacct", "memory") if version == 1 else (cgroup.UNIFIED,)
    monkeypatch.setattr(cgroup, "paths_of", lambda pid: dict.fromkeys(names, str(group)))
    monkeypatch.setattr(cgroup, "cpu_quota_cores", lambda pid: 0.5)
    write(100.0, 1.0)
    ready = tmp_path / "ready"
    stop = tmp_path / "stop"

    def go_on() -> None:
        while not ready.exists():
            threading.Event().wait(0.01)
        threading.Event().wait(0.3)
        write(102.5, 3.0)
        threading.Event().wait(0.3)
        stop.touch()

    threading.Thread(target=go_on, daemon=True).start()
    with StandinEngine(tmp_path / "d.sock", container) as engine:
        (found,) = run(engine, "one", duration_seconds=None, stop_file=str(stop), ready_file=str(ready))["containers"]
    assert found["cpu_seconds"] == pytest.approx(2.5)
    assert found["cpu_cores"] == pytest.approx(2.5 / 0.7, rel=0.4)
    assert found["counters"]["resolution_seconds"] == (1e-9 if version == 1 else 1e-6)
    assert found["cgroup"] == {
        "version": version,
        "throttled_seconds": pytest.approx(2.0),
        "throttled_periods": 20,
        "elapsed_periods": None,
        "memory_peak_bytes": 777,
        "cpu_quota_cores": 0.5,
    }


def test_a_container_that_used_nothing_is_less_than_never_zero(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    container = Container("one", V1)
    group = tmp_path / container.id
    group.mkdir()
    (group / "cpuacct.usage").write_text("5000\n")
    monkeypatch.setattr(cgroup, "paths_of", lambda pid: {"cpuacct": str(group)})
    with StandinEngine(tmp_path / "d.sock", container) as engine:
        (found,) = run(engine, "one")["containers"]
    assert (found["cpu_seconds"], found["cpu_cores"], found["cpu_seconds_less_than"]) == (None, None, 1e-9)


def test_a_restart_is_said(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("one", V1, restarts=True)) as engine:
        assert run(engine, "one")["containers"][0]["restarted"] is True


def test_a_container_that_stops_is_a_failure(tmp_path: Path) -> None:
    with (
        StandinEngine(tmp_path / "d.sock", Container("one", V1, stops_after=3)) as engine,
        pytest.raises(EngineError, match=r"container one stopped while it was watched \(exit code 137\)"),
    ):
        run(engine, "one", duration_seconds=4.0)


def test_an_unknown_container_is_a_failure(tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("one", V1)) as engine, pytest.raises(ContainerNotFound):
        run(engine, "one", "two")


def test_statistics_without_memory_name_the_cause(tmp_path: Path) -> None:
    frames = copy.deepcopy(V1)
    for frame in frames:
        frame["memory_stats"] = {}
    with (
        StandinEngine(tmp_path / "d.sock", Container("one", frames)) as engine,
        pytest.raises(EngineError, match="cgroup_disable=memory"),
    ):
        run(engine, "one")


def test_a_repeated_frame_is_one_frame(tmp_path: Path) -> None:
    with (
        StandinEngine(tmp_path / "d.sock", Container("one", [V1[0]] * 1000)) as engine,
        pytest.raises(watch.WatchError, match="before the first good frame of one"),
    ):
        run(engine, "one", deadline_seconds=0.5)


@pytest.mark.parametrize("raw", [b"garbage\n", b""])
def test_statistics_that_end_are_a_failure(raw: bytes, tmp_path: Path) -> None:
    with StandinEngine(tmp_path / "d.sock", Container("one", raw=raw)) as engine, pytest.raises(EngineError):
        run(engine, "one")


@pytest.mark.parametrize(
    "frame", [{}, {"name": "/one"}, {"cpu_stats": {}}, {"cpu_stats": None}, {"cpu_stats": {"system_cpu_usage": 0}}]
)
def test_frames_of_what_does_not_run_are_told_apart(frame: dict[str, Any]) -> None:
    assert not docker_stats.is_running(frame)
    assert docker_stats.is_running(V1[0])
