# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""inventory/kind.yml's way through the playbooks, with stand-ins of what cannot be had here.

Stand-ins are kind with its node, the cluster with its gateway, helm, faas-cli, Conda and the watchdog. The engine, the
registry, the function's image and its containers with their limits are real. Both arms are deployed, measured, and
removed, and the report says with what.
"""

from __future__ import annotations

import hashlib
import json
import os
import platform
import re
import subprocess
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from tests.integration import standin_images
from tests.integration.debian_base import docker
from tests.integration.toolkit import SHORT, Toolkit, free_port, last_line, run_json
from tests.standins import faas_cli, helm, kind
from tests.standins.openfaas_cluster import StandinOpenFaaS

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="only root can have a stand-in listen inside a container"),
    pytest.mark.skipif(platform.machine() != "x86_64", reason="the pinned faas-cli has a checksum for amd64 alone"),
]

CLUSTER = f"evenkeel-test-{os.getpid()}"
NODE = f"{CLUSTER}-control-plane"
GRANTED_BYTES = 4 << 30
SYSCTL_FILE = Path("/etc/sysctl.d/90-evenkeel-kind.conf")
RUN = SHORT | {"trained_starts": 1, "idle_windows": 1, "idle_seconds": 5, "load_requests": 20}


@dataclass
class Deployed:
    """The toolkit, the cluster's stand-in, and the folder of the programs that are stand-ins."""

    toolkit: Toolkit
    cluster: StandinOpenFaaS
    programs: Path

    @property
    def gateway_url(self) -> str:
        return f"http://127.0.0.1:{self.toolkit.ports['serverless']}"

    def ask(self, arm: str, path: str = "/") -> dict[str, Any]:
        url = self.gateway_url + "/function/cifar-cnn" if arm == "serverless" else self.server_url
        with urllib.request.urlopen(url + path, timeout=60) as answer:
            body: dict[str, Any] = json.load(answer)
            return body

    def until_ready(self, arm: str, seconds: float = 180) -> None:
        """Wait for an arm that trains."""
        give_up = time.monotonic() + seconds
        while True:
            try:
                assert self.ask(arm, "/ready?wait=20")["ready"]
                return
            except urllib.error.HTTPError:
                if time.monotonic() > give_up:
                    raise
                time.sleep(0.2)

    @property
    def server_url(self) -> str:
        return f"http://127.0.0.1:{self.toolkit.ports['server']}"


def pinned(path: Path) -> dict[str, Any]:
    """The entry of a program's pinned downloads that names a file here."""
    return {"amd64": {"url": f"https://a.example/{path.name}", "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}}


# Other tests may run beside this one: their machines, and the steps of the builds of those, which have the engine's own
# names and not the label of what this toolkit builds.
OF_OTHER_TESTS = re.compile(
    r"(container|image) evenkeel-test-(machine|managed|plain|ssh)-|container [a-z]+_[a-z]+[0-9]?$|image <none>:<none>$"
)
STAGE = "com.evenkeel.stage"


def made() -> set[str]:
    """What is on this machine that a deployment may leave."""
    lists = {
        "container": ("ps", "--all", "--format", f'{{{{.Names}}}} {{{{.Label "{STAGE}"}}}}'),
        "network": ("network", "ls", "--format", "{{.Name}}"),
        "volume": ("volume", "ls", "--quiet"),
        "image": ("image", "ls", "--format", "{{.Repository}}:{{.Tag}}"),
        "stage": ("image", "ls", "--quiet", "--filter", "dangling=true", "--filter", f"label={STAGE}"),
    }
    files = {f"file {SYSCTL_FILE}"} if SYSCTL_FILE.exists() else set()
    found = {f"{what} {name.rstrip()}" for what, argv in lists.items() for name in docker(*argv).splitlines()}
    return files | {one for one in found if not OF_OTHER_TESTS.search(one)}


@pytest.fixture(scope="module")
def before() -> set[str]:
    standin_images.build_standins()
    standin_images.build_cluster_standins()
    with standin_images.nobody_building():
        return made()


@pytest.fixture(scope="module")
def deployed(before: set[str], tmp_path_factory: pytest.TempPathFactory) -> Iterator[Deployed]:
    folder = tmp_path_factory.mktemp("kind")
    programs = folder / "programs"
    registry_port = free_port()
    kind.install(programs, docker=False, api_port=free_port(), api_scheme="http")
    archive = helm.chart(folder / "openfaas.tgz")
    variables: dict[str, Any] = {
        "profile": "demo",
        "platform_docker_name": f"{CLUSTER}-{{{{ arm }}}}",
        "platform_kind_cluster": CLUSTER,
        # One that no other deployment has built, so that it is built here.
        "function_image": f"{CLUSTER}/cifar-cnn",
        "kind_mirror": f"file://{programs}",
        "kind_downloads": {"0.30.0": pinned(programs / "kind")},
        "kind_node_image": standin_images.NODE,
        "kind_registry_image": standin_images.REGISTRY,
        "kind_registry_port": registry_port,
        "kind_free_gib": 15,
        "faas_cli_mirror": f"file://{programs}",
        "faas_cli_downloads": {"0.17.8": pinned(faas_cli.install(programs))},
        "openfaas_accept_ce_licence": True,
        "openfaas_check_internet": False,
        "openfaas_chart": str(archive),
        "openfaas_charts": {
            "15.0.6": {"url": "https://a.example/c.tgz", "sha256": hashlib.sha256(archive.read_bytes()).hexdigest()}
        },
        "openfaas_helm_mirror": f"file://{programs}",
        "openfaas_helm_downloads": {"3.20.0": pinned(helm.install(programs))},
    }
    variables |= standin_images.variables()
    toolkit = Toolkit(folder, variables, platform={"server": "docker", "serverless": "kind"})

    def pulled(image: str) -> str:
        here = f"localhost:{registry_port}/{image.partition('/')[2]}"
        docker("pull", "--quiet", here, timeout=600)
        return here

    kind.install_unprivileged_docker(programs)
    with pytest.MonkeyPatch.context() as patch, StandinOpenFaaS(NODE, pulled) as cluster:
        patch.setenv("PATH", f"{programs}{os.pathsep}{os.environ['PATH']}")
        with standin_images.nobody_building():
            rehearsed = toolkit.play("site", "--check")
            assert rehearsed.returncode == 0, rehearsed.stdout
            assert not toolkit.state.exists() and made() == before
        with standin_images.building():
            done = toolkit.play("site")
            assert done.returncode == 0, done.stdout
            standin_images.keep_packages()
        yield Deployed(toolkit, cluster, programs)
    for name in [one.split()[1] for one in made() - before if one.startswith("container ")]:
        subprocess.run(["docker", "rm", "--force", "--volumes", name], check=False, capture_output=True)


def test_both_arms_answer_the_same(deployed: Deployed) -> None:
    answers = {arm: deployed.ask(arm) for arm in ("server", "serverless")}
    for answer in answers.values():
        assert answer.pop("instance_id")
    assert answers["server"] == answers["serverless"]
    assert answers["server"]["accuracy"] > 0.8


def test_the_stand_ins_were_called_as_the_programs_are(deployed: Deployed) -> None:
    created = [argv for argv in kind.calls(deployed.programs, "kind") if argv[0] == "create"]
    assert [argv[:4] for argv in created] == [["create", "cluster", "--name", CLUSTER]]
    assert faas_cli.calls(deployed.programs)[-1] == ["build", "--yaml", "stack.yaml", "--shrinkwrap"]
    (upgrade,) = [call for call in helm.calls(deployed.programs) if call["argv"][0] == "upgrade"]
    assert upgrade["values"]["functionNamespace"] == "openfaas-fn"
    (request,) = deployed.cluster.gateway.sent("POST")
    assert request["secrets"] == ["cifar-cnn-service"]
    assert request["limits"] == {"cpu": "2000m", "memory": str(GRANTED_BYTES)}
    assert re.fullmatch(r"[0-9.]+:5000/cifar-cnn:[0-9a-f]{16}", request["image"])


def test_deploying_again_changes_nothing(deployed: Deployed) -> None:
    instances = {arm: deployed.ask(arm, "/ready")["instance_id"] for arm in ("server", "serverless")}
    again = deployed.toolkit.play("site")
    assert again.returncode == 0, again.stdout
    assert again.stdout[again.stdout.index("PLAY RECAP") :].count("changed=0") == 2, again.stdout
    assert {arm: deployed.ask(arm, "/ready")["instance_id"] for arm in instances} == instances


def test_a_run_measures_pod_platform_and_node(deployed: Deployed) -> None:
    done = deployed.toolkit.play("benchmark", **RUN)
    folder = deployed.toolkit.newest_run()
    run = run_json(folder)
    # As in test_docker_arms.py: other work on this machine is no fault of the arms.
    others = [reason for reason in run["invalid_reasons"] if "effective cores" not in reason["message"]]
    assert (run["status"], others) == ("complete", []), done.stdout
    assert done.returncode == (0 if run["valid"] else 2)
    checks = {check["name"]: check for check in run["parity"]["checks"]}
    assert checks["CPU quota, cores"]["server"] == checks["CPU quota, cores"]["serverless"] == 2.0
    assert checks["memory limit, bytes"]["server"] == checks["memory limit, bytes"]["serverless"] == GRANTED_BYTES
    record = json.loads((folder / "raw" / "b01-serverless-load.json").read_text())
    groups = {group["name"]: group for group in record["facts"]["pod_stats"]["groups"]}
    assert groups["function"]["cpu_cores"] > 0 and groups["openfaas"]["memory_bytes"] > 0
    assert record["facts"]["docker_stats"]["containers"][0]["name"] == NODE
    report = (folder / "report.md").read_text()
    for standin in (*standin_images.NAMES, "OpenFaaS gateway 0.27.14 (stand-in)", "Kubernetes v1.34.0-stand-in"):
        assert standin in report


def test_every_start_of_a_run_was_proven_cold(deployed: Deployed) -> None:
    starts = sorted((deployed.toolkit.newest_run() / "raw").glob("*serverless-start*.json"))
    assert starts
    for path in starts:
        phases = json.loads(path.read_text())["facts"]["pod_phases"]
        assert (phases["valid"], phases["invalid_reasons"]) == (True, []), path.name


def test_one_arm_alone(deployed: Deployed) -> None:
    deployed.until_ready("server")
    refused = deployed.toolkit.play("benchmark", "--limit", "the-serverless", **SHORT)
    assert refused.returncode == 2
    said = " ".join(refused.stdout.split())
    assert "the-server runs on the same machine as the-serverless, which is to be measured" in said, refused.stdout
    stopped = deployed.toolkit.play("stop", "--limit", "the-server")
    assert stopped.returncode == 0, stopped.stdout
    done = deployed.toolkit.play("benchmark", "--limit", "the-serverless", **SHORT)
    assert done.returncode == 0, done.stdout
    run = run_json(deployed.toolkit.newest_run())
    assert (run["status"], run["valid"]) == ("one_arm", True)
    assert "VALID" in last_line(done)
    # What ran before runs again.
    deployed.until_ready("serverless")


def test_both_arms_can_be_stopped(deployed: Deployed) -> None:
    done = deployed.toolkit.play("stop")
    assert done.returncode == 0, done.stdout
    assert docker("container", "inspect", "--format", "{{.State.Running}}", f"{CLUSTER}-server") == "false"
    assert deployed.cluster.gateway.functions == {}


def test_a_registry_that_is_down_is_named(deployed: Deployed) -> None:
    there = f"localhost:{free_port()}"
    done = deployed.toolkit.play(
        "site",
        "--tags",
        "deploy",
        "--limit",
        "the-serverless",
        platform_registry_push=there,
        platform_registry_pull=there,
    )
    said = " ".join(done.stdout.split())
    assert done.returncode == 2
    assert (
        f"{there}/cifar-cnn:" in said and "could not be pushed" in said and "`function_registry` names another" in said
    )


def test_a_cluster_that_exists_already(deployed: Deployed, tmp_path: Path) -> None:
    """inventory/cluster.yml's way: nothing is made in the cluster but the function with its secret."""
    pull = deployed.cluster.gateway.sent("POST")[0]["image"].partition("/")[0]
    here = deployed.toolkit.state
    variables = deployed.toolkit.variables | {
        "openfaas_install": False,
        "kubeconfig": str(here / "kubeconfig"),
        "kube_context": f"kind-{CLUSTER}",
        "gateway_url": deployed.gateway_url,
        "gateway_password_file": str(here / "gateway-password"),
        "function_registry": pull,
        "platform_registry_push": f"localhost:{deployed.toolkit.variables['kind_registry_port']}",
    }
    toolkit = Toolkit(tmp_path, variables, platform="kubernetes")
    alone = ("--limit", "the-serverless")
    before = set(deployed.cluster.objects)
    done = toolkit.play("site", *alone)
    assert done.returncode == 0, done.stdout
    made_there = {path for path in set(deployed.cluster.objects) - before if "/events/" not in path}
    assert {path.rpartition("/")[0].rpartition("/")[2] for path in made_there} <= {"pods", "secrets", "endpointslices"}
    again = toolkit.play("site", *alone)
    assert "changed=0" in again.stdout[again.stdout.index("PLAY RECAP") :], again.stdout

    # A run that trains nothing takes the model out of the function's pod.
    measured = toolkit.play("benchmark", *alone, **SHORT)
    assert measured.returncode == 0, measured.stdout
    run = run_json(toolkit.newest_run())
    assert (run["status"], run["valid"]) == ("one_arm", True)
    metrics = {metric["name"]: metric for metric in run["metrics"]}
    assert metrics["ready_seconds"]["serverless"]["median"] > 0
    # Its pods may run on another host, so that nothing here counts what they use.
    assert metrics["busy_memory_bytes"]["serverless"] is None
    assert "grant_unknown" in {caution["code"] for caution in run["warnings"]}

    done = toolkit.play("reset", *alone)
    assert done.returncode == 0, done.stdout
    assert deployed.cluster.gateway.functions == {} and not toolkit.state.exists()
    assert not any("cifar-cnn-service" in path for path in deployed.cluster.objects)
    assert "openfaas/gateway" in deployed.cluster.named("Deployment")


def test_a_reset_leaves_the_machine_as_it_was(deployed: Deployed, before: set[str]) -> None:
    with standin_images.nobody_building():
        done = deployed.toolkit.play("reset", reset_images=True)
        assert done.returncode == 0, done.stdout
        after = made()
    assert not deployed.toolkit.state.exists()
    kept = {f"image {name}" for name in standin_images.packages()}
    kept |= {f"container {name}" for name in deployed.cluster.containers()}
    assert sorted((after ^ before) - kept) == []
