# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Both arms' images, built by their roles on a real Docker engine and run under the server's limits.

Where no image can be pulled, the base images are the stand-ins of tests/standins/images; their labels say so.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import re
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from cifar_cnn.datasets.prepared import prepare
from evenkeel import http

from tests.integration import standin_images
from tests.integration.debian_base import docker
from tests.integration.standin_images import CONDA, WATCHDOG
from tests.integration.toolkit import ROOT, Toolkit, free_port

DIGITS = "digits-" + hashlib.sha256(b"{}").hexdigest()[:8]
# Beside other work a start takes several times what it takes alone.
READY_SECONDS = 400
ARMS = {"server": "flask_app", "serverless": "function"}
# OpenShift gives a project's pods a user of its choice, in group 0.
ANY_USER = "1234560000:0"
IMAGES_PLAYBOOK = [
    {
        "hosts": "server:serverless",
        "gather_facts": False,
        "serial": 1,
        "vars": {"arm": "{{ 'server' if 'server' in group_names else 'serverless' }}", "images_role": ARMS},
        "roles": ["machine", "settings"],
        "tasks": [
            {"include_role": {"name": "dataset", "tasks_from": "read"}},
            {"include_role": {"name": "{{ images_role[arm] }}", "tasks_from": "image"}},
            {
                "copy": {
                    "content": "{{ service_image | to_json }}",
                    "dest": "{{ evenkeel_state_dir }}/{{ arm }}.json",
                    "mode": "0644",
                }
            },
        ],
    }
]


@dataclass
class Built:
    """The toolkit that built the images, and what its roles said of them."""

    toolkit: Toolkit
    images: dict[str, dict[str, Any]]

    def play(self, *options: str, **variables: Any) -> subprocess.CompletedProcess[str]:
        return self.toolkit.play(str(self.toolkit.folder / "images"), *options, **variables)


def changes(done: subprocess.CompletedProcess[str]) -> list[int]:
    """How many changes each host's line of the recap counts."""
    return [int(count) for count in re.findall(r"changed=(\d+)", done.stdout)]


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Built]:
    standin_images.build_standins()
    folder = tmp_path_factory.mktemp("images")
    (folder / "images.yml").write_text(json.dumps(IMAGES_PLAYBOOK))
    toolkit = Toolkit(folder, {"profile": "demo"} | standin_images.variables(), platform="docker")
    prepare("digits", {}, toolkit.state / "data" / DIGITS)
    with standin_images.building():
        done = toolkit.play(str(folder / "images"))
        assert done.returncode == 0, done.stdout
        standin_images.keep_packages()
    made = {arm: json.loads((toolkit.state / f"{arm}.json").read_text()) for arm in ARMS}
    yield Built(toolkit, made)
    for image in made.values():
        subprocess.run(["docker", "image", "rm", "--force", image["name"]], check=False, capture_output=True)


@dataclass
class Container:
    """A container of an arm's image."""

    name: str
    url: str

    def ask(self, path: str, seconds: float = 60) -> http.Response:
        return http.request("GET", self.url + path, None, timeout_seconds=seconds)

    def document(self, path: str) -> dict[str, Any]:
        answer = self.ask(path)
        assert answer.status == 200, f"{path}: {answer.status} {answer.body!r}"
        found: dict[str, Any] = json.loads(answer.body)
        return found

    def until_ready(self) -> str:
        """The instance that is ready; while it starts, the watchdog answers 500 and the service 503."""
        give_up = time.monotonic() + READY_SECONDS
        last = "no answer"
        while time.monotonic() < give_up:
            with contextlib.suppress(http.RequestFailed):
                answer = self.ask("/ready?wait=20")
                if answer.status == 200:
                    return str(json.loads(answer.body)["instance_id"])
                last = f"{answer.status} {answer.body!r}"
            time.sleep(0.05)
        raise AssertionError(f"{self.name} is not ready; last: {last}\n{docker('logs', '--tail', '40', self.name)}")

    def inspect(self, field: str) -> Any:
        return json.loads(docker("container", "inspect", "--format", f"{{{{json {field}}}}}", self.name))


@pytest.fixture
def run(built: Built) -> Iterator[Callable[..., Container]]:
    """Starts a container of an arm as its platform does: limits, a published port, the settings read-only."""
    started: list[str] = []

    def start(arm: str, *options: str, memory: str = "4g") -> Container:
        folder = built.toolkit.folder / f"service-{len(started)}"
        folder.mkdir(exist_ok=True)
        dataset = json.loads((built.toolkit.state / "data" / DIGITS / "dataset.json").read_text())
        settings = {
            "schema_version": 1,
            "dataset": "digits",
            "dataset_sha256": dataset["sha256"],
            "engine": "reference",
            "recipe": "study",
            "epochs": 1,
            "batch_size": 16,
            "dropout": 0.2,
            "seed": 1,
            "start_with": "train",
            "request_threads": 8,
            "compute_threads": None,
            "queue_limit": 6,
        }
        (folder / "service.json").write_text(json.dumps(settings))
        port = free_port()
        limits = ["--cpus", "2", "--memory", memory, "--memory-swap", memory]
        mount = ["--volume", f"{folder}:/var/openfaas/secrets:ro"]
        published = ["--publish", f"127.0.0.1:{port}:8080"]
        name = f"evenkeel-test-{arm}-{port}"
        docker("run", "--detach", "--name", name, *limits, *mount, *published, *options, built.images[arm]["name"])
        started.append(name)
        return Container(name, f"http://127.0.0.1:{port}")

    yield start
    for name in started:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False, capture_output=True)


def test_an_image_is_built_once(built: Built) -> None:
    again = built.play()
    assert again.returncode == 0, again.stdout
    assert changes(again) == [0, 0], again.stdout


@pytest.mark.parametrize("arm", ARMS)
def test_an_image_says_what_it_was_built_from(built: Built, arm: str) -> None:
    image = built.images[arm]
    inspected = json.loads(docker("image", "inspect", image["name"]))[0]
    assert image["id"] == inspected["Id"] and image["name"].endswith(f":{image['tag']}")
    assert image["built_with"] == "docker build"
    assert image["standins"] == list(standin_images.NAMES)[: {"server": 1, "serverless": 2}[arm]]
    labels = inspected["Config"]["Labels"]
    assert labels["com.evenkeel.role"] == ARMS[arm]
    assert labels["com.evenkeel.bases"] == {"server": CONDA, "serverless": f"{CONDA}; {WATCHDOG}"}[arm]
    lock = (ROOT / "requirements" / "service.txt").read_bytes()
    assert labels["com.evenkeel.lock-sha256"] == hashlib.sha256(lock).hexdigest()
    assert re.fullmatch("[0-9a-f]{64}", labels["com.evenkeel.wheel-sha256"])
    assert re.fullmatch("digits [0-9a-f]{64}", labels["com.evenkeel.dataset"])
    assert inspected["Config"]["User"] == "10001"
    assert not inspected["Config"]["Entrypoint"]


def test_both_images_have_the_same_first_layers(built: Built) -> None:
    layers = [json.loads(docker("image", "inspect", built.images[arm]["name"]))[0]["RootFS"]["Layers"] for arm in ARMS]
    common = next(n for n, (one, other) in enumerate(zip(*layers, strict=False)) if one != other)
    base = len(json.loads(docker("image", "inspect", CONDA))[0]["RootFS"]["Layers"])
    # The user, the packages, the data, the locks with the wheel, and the wheel's installation.
    assert common >= base + 5


@pytest.mark.parametrize("arm", ARMS)
def test_the_network_s_settings_are_in_no_image_and_no_folder(built: Built, arm: str) -> None:
    name = built.images[arm]["name"]
    said = docker("history", "--no-trunc", name) + docker("image", "inspect", name)
    assert standin_images.SECRET not in said and "PIP_CERT" not in said
    inside = docker("run", "--rm", "--user", "0", name, "sh", "-c", "env; ls /run")
    assert standin_images.SECRET not in inside and "network" not in inside
    assert list(built.toolkit.state.rglob("network")) == [] and list(built.toolkit.state.rglob("ca.pem")) == []


def test_the_function_under_the_server_s_limits(run: Callable[..., Container], tmp_path: Path) -> None:
    container = run("serverless")
    instance = container.until_ready()
    started = container.document("/startup")
    assert started["effective"]["request_threads"] == 8
    assert started["effective"]["compute_threads"] == 2
    assert started["effective"]["python"].startswith("3.11.")
    assert [phase["name"] for phase in started["phases"]][-2:] == ["self_test", "ready"]
    evaluated = container.document("/")
    assert evaluated["total"] > 300 and evaluated["accuracy"] > 0.5
    assert evaluated["instance_id"] == instance
    # What was granted is what the kernel says, and not more.
    assert container.inspect(".HostConfig.NanoCpus") == 2_000_000_000
    assert container.inspect(".HostConfig.Memory") == 4 * 2**30
    facts = docker_stats(tmp_path, container.name)
    assert facts["cgroup"]["cpu_quota_cores"] == 2
    assert facts["memory_limit_bytes"] == 4 * 2**30
    assert 200 * 2**20 < facts["memory_bytes"] < 4 * 2**30
    assert facts["restarted"] is False
    # The settings' folder is read-only: the trained model is in the container's own.
    assert docker("exec", container.name, "ls", "/home/app/model").split() == ["model.pt", "model.pt.sha256"]
    assert docker("exec", container.name, "id", "-u") == "10001"

    began = time.monotonic()
    docker("stop", "--time", "20", container.name)
    assert time.monotonic() - began < 10
    docker("start", container.name)
    assert container.until_ready() != instance
    assert container.document("/")["model_sha256"] == evaluated["model_sha256"]


def docker_stats(tmp_path: Path, name: str) -> dict[str, Any]:
    """The record of docker_stats_facts, through Ansible, of a container over three seconds."""
    kept = tmp_path / "docker_stats.json"
    tasks = [
        {"docker_stats_facts": {"containers": [name], "duration_seconds": 3}},
        {"copy": {"content": "{{ ansible_facts['docker_stats'] | to_json }}", "dest": str(kept), "mode": "0644"}},
    ]
    play = tmp_path / "watch.yml"
    play.write_text(json.dumps([{"hosts": "localhost", "connection": "local", "gather_facts": False, "tasks": tasks}]))
    ansible = str(Path(sys.executable).with_name("ansible-playbook"))
    done = subprocess.run(
        [ansible, "-i", "localhost,", "-e", f"ansible_python_interpreter={sys.executable}", str(play)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    record: dict[str, Any] = json.loads(kept.read_text())["containers"][0]
    return record


def test_both_arms_answer_the_same_as_whatever_user(run: Callable[..., Container]) -> None:
    answers = {}
    for arm in ARMS:
        container = run(arm, "--user", ANY_USER)
        container.until_ready()
        answers[arm] = container.document("/")
        docker("stop", container.name)
    for one in ("accuracy", "total", "model_sha256", "dataset_sha256"):
        assert answers["server"][one] == answers["serverless"][one]


def test_a_function_that_needs_more_memory_than_it_has_is_seen_to_be_killed(run: Callable[..., Container]) -> None:
    container = run("serverless", memory="150m")
    docker("wait", container.name, timeout=READY_SECONDS)
    assert container.inspect(".State.OOMKilled") is True
    assert container.inspect(".State.ExitCode") != 0
    logged = subprocess.run(["docker", "logs", container.name], capture_output=True, text=True, check=True)
    assert "Forked function has terminated" in logged.stdout + logged.stderr


def failure(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 2, done.stdout
    return re.sub(r"\s+", " ", done.stdout)


def test_a_base_image_that_cannot_be_pulled(built: Built) -> None:
    mirror = f"127.0.0.1:{free_port()}"
    images = {"image_build_conda_image": f"{mirror}/condaforge/miniforge3:25.3.1-0"}
    said = failure(built.play("--limit", "the-server", **images))
    assert f"a base image could not be pulled. The build needs {mirror}/condaforge/miniforge3:25.3.1-0" in said
    assert "-e image_build_mirror=REGISTRY" in said and "connection refused" in said


def test_a_disk_that_is_too_small(built: Built) -> None:
    variables = {"image_build_conda_image": "evenkeel-test/other", "image_build_free_gib_again": 1e6}
    said = failure(built.play("--limit", "the-server", **variables))
    assert "cannot be built" in said and "free, and 976.56 TB are needed" in said and "docker system df" in said


def test_a_build_that_fails_ends_with_the_end_of_its_output(built: Built) -> None:
    """The watchdog's image has no shell, nothing of Conda."""
    said = failure(built.play("--limit", "the-server", image_build_conda_image=WATCHDOG))
    assert "could not be built" in said and "/bin/sh" in said
    assert "image_build_network, image_build_ca_bundle and image_build_environment" in said
    assert list(built.toolkit.state.rglob("network")) == []


def test_the_template_of_upstream_has_four_threads(built: Built) -> None:
    said = failure(built.play("--limit", "the-serverless", function_template="python3-http-debian"))
    assert "serves with 4 threads, and request_threads is 8" in said
    assert "-e request_threads=4 -e queue_limit=2" in said


def test_a_reset_removes_the_images_when_it_is_asked_to(built: Built) -> None:
    names = [image["name"] for image in built.images.values()]
    kept = built.toolkit.play("reset", "--check")
    assert kept.returncode == 0, kept.stdout
    assert all(name in re.sub(r"\s+", " ", kept.stdout) for name in names) and "-e reset_images=true" in kept.stdout
    stages = ("--quiet", "--filter", "dangling=true", "--filter", "label=com.evenkeel.stage=packages")
    with standin_images.nobody_building():
        done = built.toolkit.play("reset", reset_images=True)
        assert done.returncode == 0, done.stdout
        assert docker("image", "ls", *stages) == ""
    assert [name for name in names if docker("image", "ls", "--quiet", name)] == []
    assert not (built.toolkit.state / "function-build").exists() and not (built.toolkit.state / "server-build").exists()
