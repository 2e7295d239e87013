# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The watchers through Ansible, on real htop and a real Docker engine, against loads of known duty cycle.

The truth is the kernel's own account of each load over the same time: on a busy machine a load cannot always have the
share it asks for.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import tarfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from evenkeel import cgroup, counters, docker_engine, procfs, watch

pytestmark = pytest.mark.alone

ROOT = Path(__file__).parents[2]
IMAGE = "evenkeel-test-duty:latest"
ENGINE_START_SECONDS = 30
MEMORY_BYTES = 100 * 2**20

BURNER = """
import sys, time
duty = float(sys.argv[1])
memory = bytearray(int(sys.argv[2]))
for begin in range(0, len(memory), 4096):
    memory[begin] = 1
print("ready", flush=True)
while True:
    begin = time.monotonic()
    used = time.process_time()
    while time.process_time() - used < duty * 0.1:
        pass
    time.sleep(max(0, 0.1 - (time.monotonic() - begin)) if duty < 1 else 0)
"""


def ansible(tmp_path: Path, playbook: list[dict[str, Any]], *arguments: str) -> subprocess.CompletedProcess[str]:
    """Run tasks on this machine through ansible-playbook, with the project's modules and plugins."""
    play = {"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": playbook}
    file = tmp_path / "playbook.yml"
    file.write_text(json.dumps([play]))
    # Settings of its own, so that neither the project's callbacks nor a user's configuration take part.
    configuration = tmp_path / "ansible.cfg"
    configuration.write_text("[defaults]\n")
    environ = {
        **os.environ,
        "ANSIBLE_CONFIG": str(configuration),
        "ANSIBLE_LIBRARY": str(ROOT / "library"),
        "ANSIBLE_MODULE_UTILS": str(ROOT / "plugins" / "module_utils"),
        "ANSIBLE_ACTION_PLUGINS": str(ROOT / "plugins" / "action"),
        "ANSIBLE_PYTHON_INTERPRETER": sys.executable,
        "ANSIBLE_ASYNC_DIR": str(tmp_path / "async"),
        "ANSIBLE_LOCALHOST_WARNING": "False",
        "ANSIBLE_INVENTORY_UNPARSED_WARNING": "False",
    }
    program = str(Path(sys.executable).parent / "ansible-playbook")
    return subprocess.run(
        [program, "-i", "localhost,", *arguments, str(file)],
        env=environ,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )


def facts_of(tmp_path: Path, tasks: list[dict[str, Any]], name: str) -> dict[str, Any]:
    """The fact ``name`` after these tasks."""
    kept = tmp_path / "facts.json"
    keep = {"ansible.builtin.copy": {"content": "{{ ansible_facts[" + repr(name) + "] | to_json }}", "dest": str(kept)}}
    completed = ansible(tmp_path, [*tasks, keep])
    assert completed.returncode == 0, completed.stdout + completed.stderr
    facts: dict[str, Any] = json.loads(kept.read_text())
    return facts


@pytest.fixture
def burner() -> Iterator[Callable[[float], int]]:
    """Start a process that uses so much of a core, and MEMORY_BYTES of memory."""
    started: list[subprocess.Popen[bytes]] = []

    def start(duty: float) -> int:
        argv = [sys.executable, "-S", "-c", BURNER, str(duty), str(MEMORY_BYTES)]
        process = subprocess.Popen(argv, stdout=subprocess.PIPE)
        started.append(process)
        assert process.stdout is not None and process.stdout.readline() == b"ready\n"
        return process.pid

    yield start
    for process in started:
        process.kill()
        process.wait()
        assert process.stdout is not None
        process.stdout.close()


def assert_htop_agrees(facts: dict[str, Any], pid: int) -> None:
    """htop's figures against the counters over the frames' own time, and the memory against /proc."""
    assert facts["proc_check"]["passed"] is True, facts["proc_check"]
    (process,) = [one for one in facts["processes"] if one["pid"] == pid]
    begin, end = facts["frames"][0]["begin_monotonic_seconds"], facts["frames"][-1]["monotonic_seconds"]
    truth = counters.mean_cores(facts["counters"]["samples"], begin, end)
    assert truth.value is not None
    assert process["cpu_percent_of_core"] == pytest.approx(100 * truth.value, abs=2)
    resident = procfs.memory([pid])["resident_bytes"]
    assert process["resident_bytes"] == pytest.approx(resident, rel=0.01)
    assert MEMORY_BYTES < process["pss_bytes"] <= 1.01 * process["resident_bytes"]


@pytest.mark.parametrize("duty", [0.3, 1.0])
def test_htop_shows_a_process_of_known_duty_cycle(duty: float, tmp_path: Path, burner: Callable[[float], int]) -> None:
    pid = burner(duty)
    before = time.monotonic(), procfs.cpu_counter([pid])
    facts = facts_of(tmp_path, [{"htop_facts": {"pids": [pid], "duration_seconds": 4}}], "htop")
    assert_htop_agrees(facts, pid)
    samples = facts["counters"]["samples"]
    used_in_watch = samples[-1][1] - samples[0][1]
    used_in_all = before[1].read()[1]
    assert 0 < used_in_watch <= used_in_all
    share = used_in_watch / (samples[-1][0] - samples[0][0])
    assert share <= duty + 0.02
    assert facts["counters"]["source"] in ("schedstat", "ticks")


def test_htop_records_beside_a_load_and_is_drawn_afterwards(tmp_path: Path, burner: Callable[[float], int]) -> None:
    pid = burner(0.3)
    (tmp_path / "service.pid").write_text(str(pid))
    ready, stop = str(tmp_path / "ready"), str(tmp_path / "stop")
    tasks: list[dict[str, Any]] = [
        {
            "htop_facts": {
                "pid_file": str(tmp_path / "service.pid"),
                "ready_file": ready,
                "stop_file": stop,
                "deadline_seconds": 60,
            },
            "async": 90,
            "poll": 0,
            "register": "job",
        },
        {"ansible.builtin.wait_for": {"path": ready, "timeout": 30}},
        {"ansible.builtin.wait_for": {"timeout": 4}},
        {"ansible.builtin.file": {"path": stop, "state": "touch", "mode": "0600"}},
        {"htop_facts": {"recording": "{{ job }}"}, "register": "watched"},
        {"ansible.builtin.assert": {"that": ["job is not changed", "watched is not changed"]}},
    ]
    facts = facts_of(tmp_path, tasks, "htop")
    assert_htop_agrees(facts, pid)
    assert facts["window"]["ended_by"] == "stop_file"
    assert len(facts["frames"]) >= counters.MINIMUM_FRAMES
    assert list((tmp_path / "async").glob("*")) == [], "the job's file is cleaned up"


def test_htop_check_mode_starts_nothing(tmp_path: Path) -> None:
    tasks: list[dict[str, Any]] = [
        {
            "htop_facts": {"pid_file": "/nonexistent/service.pid", "stop_file": str(tmp_path / "stop")},
            "async": "{{ ansible_check_mode | ternary(0, 90) }}",
            "poll": 0,
            "register": "job",
        },
        {"htop_facts": {"recording": "{{ job }}"}},
    ]
    completed = ansible(tmp_path, tasks, "--check")
    assert completed.returncode == 0, completed.stdout + completed.stderr
    assert "changed=0" in completed.stdout


def test_a_failed_recording_fails_the_task_that_reads_it(tmp_path: Path) -> None:
    tasks: list[dict[str, Any]] = [
        {
            "htop_facts": {"pids": [4194305], "duration_seconds": 2},
            "async": 30,
            "poll": 0,
            "register": "job",
        },
        {"htop_facts": {"recording": "{{ job }}"}},
    ]
    completed = ansible(tmp_path, tasks)
    assert completed.returncode == 2
    assert "process 4194305, named in pids, does not run" in completed.stdout


def docker(*arguments: str) -> str:
    completed = subprocess.run(["docker", *arguments], capture_output=True, text=True, timeout=60, check=False)
    assert completed.returncode == 0, completed.stderr
    return completed.stdout.strip()


def engine_answers() -> bool:
    try:
        docker_engine.engine_from(None)
    except docker_engine.EngineError:
        return False
    return True


@pytest.fixture(scope="module")
def engine(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """A Docker engine: the one that runs, else one that is started here and ended again."""
    if shutil.which("docker") is None or shutil.which("dockerd") is None:
        pytest.skip("no Docker engine is installed (docker and dockerd are not both on PATH)")
    if engine_answers():
        yield
        return
    if os.geteuid() != 0:
        pytest.skip("no Docker engine answers, and only root can start one")
    log = tmp_path_factory.mktemp("dockerd") / "log"
    with log.open("wb") as stream:
        process = subprocess.Popen(["dockerd"], stdout=stream, stderr=subprocess.STDOUT, start_new_session=True)
    try:
        give_up = time.monotonic() + ENGINE_START_SECONDS
        while not engine_answers():
            if process.poll() is not None or time.monotonic() > give_up:
                pytest.skip(f"dockerd does not start here: {log.read_text(errors='replace')[-500:]}")
            time.sleep(0.2)
        yield
    finally:
        process.terminate()
        process.wait(timeout=30)


@pytest.fixture(scope="module")
def image(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """An image of nothing but this machine's shell and the libraries it needs: none can be downloaded everywhere."""
    shell = os.path.realpath(shutil.which("sh") or "/bin/sh")
    listed = subprocess.run(["ldd", shell], capture_output=True, text=True, timeout=10, check=True).stdout
    libraries = [word for word in listed.split() if word.startswith("/")]
    archive = tmp_path_factory.mktemp("image") / "root.tar"
    with tarfile.open(archive, "w", dereference=True) as tar:
        tar.add(shell, "bin/sh")
        for library in libraries:
            tar.add(os.path.realpath(library), library.lstrip("/"))
    docker("import", str(archive), IMAGE)
    yield IMAGE
    docker("image", "rm", "--force", IMAGE)


@pytest.fixture
def container(image: str) -> Iterator[Callable[..., str]]:
    """Start a container of a busy loop, and remove it after the test."""
    started: list[str] = []

    def start(name: str, *limits: str, command: str = "while :; do :; done") -> str:
        name = f"evenkeel-test-{name}-{os.getpid()}"
        docker("run", "--detach", "--name", name, "--network", "none", *limits, image, "/bin/sh", "-c", command)
        started.append(name)
        return name

    yield start
    for name in started:
        docker("rm", "--force", name)


def cgroup_truth(name: str) -> Callable[[], float]:
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", name))
    paths = cgroup.paths_of(pid)
    path = paths.get("cpuacct") or paths[cgroup.UNIFIED]

    def seconds() -> float:
        found = cgroup.cpu_usage_seconds(path)
        assert found is not None
        return found

    return seconds


def test_docker_stats_show_containers_of_known_duty_cycle(tmp_path: Path, container: Callable[..., str]) -> None:
    part = container("part", "--cpus", "0.3", "--memory", "64m")
    whole = container("whole")
    truth = {name: cgroup_truth(name) for name in (part, whole)}
    before = time.monotonic(), {name: read() for name, read in truth.items()}
    task = {"docker_stats_facts": {"containers": [part, whole], "duration_seconds": 6}}
    facts = facts_of(tmp_path, [task], "docker_stats")
    after = time.monotonic(), {name: read() for name, read in truth.items()}
    found = {one["name"]: one for one in facts["containers"]}
    for name, one in found.items():
        # The counters are the kernel's own, read by two readers over nested times.
        samples = one["counters"]["samples"]
        assert before[0] <= samples[0][0] < samples[-1][0] <= after[0]
        assert before[1][name] <= samples[0][1] < samples[-1][1] <= after[1][name]
        # The engine's figures against the counters over the same time.
        begin, end = one["samples"][0]["begin_monotonic_seconds"], one["samples"][-1]["monotonic_seconds"]
        cores = counters.mean_cores(samples, begin, end)
        assert cores.value is not None
        assert one["cpu_percent_of_core"] == pytest.approx(100 * cores.value, abs=2)
        assert 0 < one["cpu_cores"] <= 1.02
        assert one["pids"] == 1
        assert one["restarted"] is False
    assert found[part]["cpu_percent_of_core"] <= 32
    assert found[part]["cgroup"]["cpu_quota_cores"] == pytest.approx(0.3)
    assert found[part]["memory_limit_bytes"] == 64 * 2**20
    assert found[whole]["cgroup"]["cpu_quota_cores"] is None
    assert found[whole]["cpu_cores"] > found[part]["cpu_cores"]


def test_docker_stats_memory_is_what_the_docker_command_shows(tmp_path: Path, container: Callable[..., str]) -> None:
    grow = "x=0123456789abcdef; i=0; while [ $i -lt 20 ]; do x=$x$x; i=$((i+1)); done; read line </dev/stdin; :"
    name = container("memory", "--memory", "256m", "--interactive", command=grow)
    pid = int(docker("inspect", "--format", "{{.State.Pid}}", name))
    give_up = time.monotonic() + 20
    while (procfs.memory([pid])["resident_bytes"] or 0) < 16 * 2**20 and time.monotonic() < give_up:
        time.sleep(0.1)
    time.sleep(1)
    task = {"docker_stats_facts": {"containers": [name], "duration_seconds": 2}}
    (found,) = facts_of(tmp_path, [task], "docker_stats")["containers"]
    shown = docker("stats", "--no-stream", "--format", "{{.MemUsage}}", name).split()[0]
    assert shown.endswith("MiB")
    assert found["memory_bytes"] == pytest.approx(float(shown[:-3]) * 2**20, rel=0.01)
    assert found["memory_bytes"] == pytest.approx(procfs.memory([pid])["pss_bytes"], rel=0.5)
    assert found["memory_percent"] == pytest.approx(100 * found["memory_bytes"] / (256 * 2**20), rel=0.01)


def test_docker_stats_beside_a_load_with_long_lists_in_a_file(tmp_path: Path, container: Callable[..., str]) -> None:
    name = container("long", "--cpus", "0.3")
    ready, stop = str(tmp_path / "ready"), str(tmp_path / "stop")
    tasks: list[dict[str, Any]] = [
        {
            "docker_stats_facts": {
                "containers": [name],
                "ready_file": ready,
                "stop_file": stop,
                "deadline_seconds": 60,
                "artifact_dir": str(tmp_path),
            },
            "async": 90,
            "poll": 0,
            "register": "job",
        },
        {"ansible.builtin.wait_for": {"path": ready, "timeout": 30}},
        {"ansible.builtin.wait_for": {"timeout": 3}},
        {"ansible.builtin.file": {"path": stop, "state": "touch", "mode": "0600"}},
        {
            "ansible.builtin.async_status": {"jid": "{{ job.ansible_job_id }}"},
            "register": "watched",
            "until": "watched is finished",
            "retries": 50,
            "delay": 0.2,
        },
    ]
    facts = facts_of(tmp_path, tasks, "docker_stats")
    assert facts["window"]["ended_by"] == "stop_file"
    if facts["containers"][0]["samples"] is None:
        lists = json.loads((tmp_path / "docker_stats.frames.json").read_text())
        facts = watch.merge_long_lists(facts, lists)
    assert len(facts["containers"][0]["samples"]) >= counters.MINIMUM_FRAMES


@pytest.mark.parametrize("state", ["unknown", "created"])
def test_docker_stats_of_what_does_not_run_fail(state: str, tmp_path: Path, image: str) -> None:
    name = f"evenkeel-test-{state}-{os.getpid()}"
    if state == "created":
        docker("create", "--name", name, image, "/bin/sh")
    try:
        completed = ansible(tmp_path, [{"docker_stats_facts": {"containers": [name], "duration_seconds": 2}}])
    finally:
        if state == "created":
            docker("rm", name)
    assert completed.returncode == 2
    assert ("No such container" if state == "unknown" else "does not run: it is created") in completed.stdout


def test_docker_stats_of_a_container_that_is_killed_fail(tmp_path: Path, container: Callable[..., str]) -> None:
    name = container("killed")
    ready = tmp_path / "ready"
    kill_when_ready = f"until [ -e {ready} ]; do sleep 0.1; done; docker kill {name}"
    killer = subprocess.Popen(["timeout", "60", "sh", "-c", kill_when_ready], stdout=subprocess.DEVNULL)
    options = {"containers": [name], "duration_seconds": 30, "ready_file": str(ready)}
    completed = ansible(tmp_path, [{"docker_stats_facts": options}])
    assert killer.wait(timeout=30) == 0
    assert completed.returncode == 2
    assert "stopped while it was watched" in completed.stdout
