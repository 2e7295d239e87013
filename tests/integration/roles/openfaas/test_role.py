# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The role against stand-ins of helm and of a cluster: what it makes, what it leaves alone, and what it says."""

from __future__ import annotations

import base64
import hashlib
import json
import platform
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from tests.standins import helm as standin

ARCHITECTURE = {"x86_64": "amd64", "aarch64": "arm64"}.get(platform.machine(), platform.machine())
ROLE = {"ansible.builtin.include_role": {"name": "openfaas"}}
PREFLIGHT = {"ansible.builtin.include_role": {"name": "openfaas", "tasks_from": "preflight"}}
OTHER = "set `openfaas_chart` to the address or path of the same file"
RESET = [
    {"manifest": {"path": "{{ settings_manifest }}"}, "register": "made"},
    {
        "ansible.builtin.include_role": {"name": "openfaas", "tasks_from": "absent"},
        "vars": {"reset_manifest": "{{ made.entries | reverse }}"},
    },
]


@pytest.fixture
def state(tmp_path: Path) -> Path:
    """Without a space: the module kubernetes.core.helm splits its command at spaces."""
    return tmp_path / "state"


@pytest.fixture
def cluster() -> Iterator[standin.StandinCluster]:
    with standin.StandinCluster() as running:
        yield running


class Answering(ThreadingHTTPServer):
    """A stand-in of a gateway, of a registry and of a proxy: every request is answered alike, and kept in ``asked``."""

    daemon_threads = True

    def __init__(self, status: int) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.status = status
        self.asked: list[tuple[str, str]] = []
        self.url = f"http://127.0.0.1:{self.server_port}"

    def __enter__(self) -> Answering:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    server: Answering

    def do_GET(self) -> None:
        self.server.asked.append((self.path, self.headers.get("Authorization", "")))
        self.send_response(self.server.status)
        if self.server.status == 401:
            self.send_header("WWW-Authenticate", 'Basic realm="stand-in"')
        body = json.dumps({"arch": "x86_64", "provider": {"provider": "faas-netes (stand-in)"}}).encode()
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


@pytest.fixture
def gateway() -> Iterator[Answering]:
    with Answering(200) as running:
        yield running


def sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture
def variables(tmp_path: Path, state: Path, cluster: standin.StandinCluster, gateway: Answering) -> dict[str, Any]:
    """All that the role reads: stand-ins in the place of what it downloads, and of what it speaks to."""
    program, archive = standin.install(tmp_path / "helm"), standin.chart(tmp_path / "openfaas.tgz")
    return {
        "openfaas_accept_ce_licence": True,
        "openfaas_check_internet": False,
        "openfaas_chart": str(archive),
        "openfaas_charts": {"15.0.6": {"url": "https://a.example/c.tgz", "sha256": sha256(archive)}},
        "openfaas_helm_downloads": {
            "3.20.0": {ARCHITECTURE: {"url": "https://a.example/helm", "sha256": sha256(program)}}
        },
        "openfaas_helm_mirror": f"file://{tmp_path}/helm",
        "openfaas_install": True,
        "function_registry": "local",
        "kubeconfig": str(cluster.kubeconfig(tmp_path / "kubeconfig")),
        "kube_context": "stand-in",
        "gateway_url": gateway.url,
        "gateway_password_file": str(state / "gateway-password"),
    }


def test_it_is_installed_once_and_removed_again(
    play: Callable[..., Any],
    state: Path,
    cluster: standin.StandinCluster,
    gateway: Answering,
    variables: dict[str, Any],
) -> None:
    rehearsed = play(ROLE, check=True, **variables)
    assert rehearsed.ok and cluster.changes == [] and not state.exists(), rehearsed.text

    first = play(ROLE, **variables)
    assert first.ok, first.text
    assert cluster.named("Namespace") == ["openfaas", "openfaas-fn"]
    namespace = cluster.objects["api/v1/namespaces/openfaas-fn"]
    assert namespace["metadata"]["labels"] == {"role": "openfaas-fn", "app.kubernetes.io/managed-by": "evenkeel"}
    secret = cluster.objects["api/v1/namespaces/openfaas/secrets/basic-auth"]["data"]
    password = base64.b64decode(secret["basic-auth-password"]).decode()
    file = state / "gateway-password"
    assert base64.b64decode(secret["basic-auth-user"]) == b"admin"
    assert len(password) == 32 and file.read_text() == password and file.stat().st_mode & 0o777 == 0o600
    token = base64.b64encode(f"admin:{password}".encode()).decode()
    assert gateway.asked == [("/system/info", f"Basic {token}")]
    upgrade = next(call for call in standin.calls(state.parent / "helm") if call["argv"][0] == "upgrade")
    assert (upgrade["namespace"], upgrade["context"]) == ("openfaas", "stand-in")
    assert upgrade["values"]["gateway"]["upstreamTimeout"] == "21m"
    manifest = json.loads((state / "manifest.json").read_text())["entries"]
    made = {(entry["kind"], entry["name"]) for entry in manifest if entry["role"] == "openfaas"}
    assert made >= {
        ("namespace", "openfaas"),
        ("namespace", "openfaas-fn"),
        ("secret", "openfaas/basic-auth"),
        ("release", "openfaas/openfaas"),
        ("path", str(file)),
    }

    again = play(ROLE, **variables)
    assert (again.ok, again.changed) == (True, 0), again.text
    for text in (first.text, again.text):
        assert password not in text and base64.b64encode(password.encode()).decode() not in text

    # What somebody else deployed keeps its namespace.
    path = "apis/apps/v1/namespaces/openfaas-fn/deployments/other"
    metadata = {"name": "other", "namespace": "openfaas-fn"}
    cluster.objects[path] = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata}
    removed = play(*RESET, **variables)
    assert (
        removed.ok
        and "The namespace openfaas-fn stays: it holds what this toolkit did not make (other)." in removed.text
    )
    assert (cluster.named("Namespace"), cluster.named("Secret")) == (["openfaas-fn"], [])
    assert ["uninstall", "--wait", "openfaas"] in [call["argv"] for call in standin.calls(state.parent / "helm")]


def test_an_openfaas_of_somebody_else_is_left_alone(
    play: Callable[..., Any], tmp_path: Path, cluster: standin.StandinCluster, variables: dict[str, Any]
) -> None:
    release = {"name": "openfaas", "namespace": "openfaas", "status": "deployed", "chart": "openfaas-14.0.0"}
    release |= {"revision": "1", "app_version": "", "values": {"async": True}}
    (tmp_path / "helm" / "helm.releases.json").write_text(json.dumps({"openfaas/openfaas": release}))
    done = play(ROLE, **variables)
    assert not done.ok and "openfaas-14.0.0 in the namespace openfaas) that this toolkit did not install" in done.text
    assert cluster.changes == []
    assert {call["argv"][0] for call in standin.calls(tmp_path / "helm")} == {"list", "get"}


def test_one_that_does_not_run_is_told_with_its_evidence(
    play: Callable[..., Any], tmp_path: Path, variables: dict[str, Any]
) -> None:
    standin.install(tmp_path / "helm", deployments="never")
    done = play(ROLE, **variables, openfaas_deadline_seconds=3)
    assert not done.ok
    for said in (
        "OpenFaaS does not run after 3 s (openfaas_deadline_seconds).",
        "deployment gateway: Available is False, Deployment does not have minimum availability.",
        "container faas-netes: CrashLoopBackOff, back-off 40s restarting failed container, ended with 1 (Error)",
        standin.OFFLINE,
        "Give the cluster's pods Internet access.",
    ):
        assert said in done.text, done.text


def test_on_openshift_a_route_leads_to_the_gateway(
    play: Callable[..., Any], tmp_path: Path, variables: dict[str, Any]
) -> None:
    with standin.StandinCluster(openshift=True) as cluster:
        variables["kubeconfig"] = str(cluster.kubeconfig(tmp_path / "openshift"))
        done = play(ROLE, **variables)
        route = cluster.objects["apis/route.openshift.io/v1/namespaces/openfaas/routes/gateway"]
    assert not done.ok and "its Route leads to https://gateway-openfaas.apps.example, while gateway_url is" in done.text
    assert route["metadata"]["annotations"] == {"haproxy.router.openshift.io/timeout": "22m"}
    assert route["spec"]["to"] == {"kind": "Service", "name": "gateway"}
    upgrade = next(call for call in standin.calls(tmp_path / "helm") if call["argv"][0] == "upgrade")
    assert upgrade["values"]["securityContext"] is False and upgrade["values"]["exposeServices"] is False


def test_bad_input_is_named(
    play: Callable[..., Any],
    attempt: Callable[..., dict[str, Any]],
    cluster: standin.StandinCluster,
    variables: dict[str, Any],
) -> None:
    cases: list[tuple[dict[str, Any], str]] = [
        ({"kube_context": "absent"}, "kube_context=absent"),
        ({"kubeconfig": "/nowhere/kubeconfig"}, "kubeconfig=/nowhere/kubeconfig"),
        ({"openfaas_charts": {"15.0.6": {"url": "-", "sha256": "ab" * 32}}}, f"openfaas 15.0.6 is {'ab' * 32}"),
        ({"openfaas_chart": "/nowhere/c.tgz", "openfaas_charts": {"15.0.6": {"url": "-", "sha256": "cd" * 32}}}, OTHER),
    ]
    done = play(*(attempt(ROLE, **variables | changed) for changed, _named in cases))
    said = done.text.split("FAILED: ")[1:]
    assert len(said) == len(cases), done.text
    for text, (_changed, named) in zip(said, cases, strict=True):
        assert named in text
    assert cluster.changes == []


def test_a_password_that_the_cluster_does_not_have_is_named(
    play: Callable[..., Any], state: Path, cluster: standin.StandinCluster, variables: dict[str, Any]
) -> None:
    state.mkdir()
    (state / "gateway-password").write_text("mine-and-no-other\n")
    data = {"basic-auth-user": "YWRtaW4=", "basic-auth-password": base64.b64encode(b"theirs-alone").decode()}
    metadata = {"name": "basic-auth", "namespace": "openfaas"}
    secret = {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": data}
    cluster.objects["api/v1/namespaces/openfaas/secrets/basic-auth"] = secret
    done = play(ROLE, **variables)
    assert not done.ok and "holds another password than the secret basic-auth" in done.text
    assert "mine-and-no-other" not in done.text and "theirs-alone" not in done.text


def test_a_cluster_that_is_gone_is_forgotten_only_when_asked(
    play: Callable[..., Any], state: Path, cluster: standin.StandinCluster, variables: dict[str, Any]
) -> None:
    state.mkdir()
    entry = {"role": "openfaas", "kind": "namespace", "name": "openfaas", "existed_before": False}
    (state / "manifest.json").write_text(json.dumps({"schema_version": 1, "entries": [entry]}))
    variables["kubeconfig"] = "/nowhere/kubeconfig"
    done = play(*RESET, **variables)
    assert not done.ok and "What was made there (openfaas) was not removed." in done.text
    assert play(*RESET, **variables, openfaas_forget=True).ok


def test_preflight_says_what_will_not_work(
    play: Callable[..., Any],
    attempt: Callable[..., dict[str, Any]],
    monkeypatch: pytest.MonkeyPatch,
    variables: dict[str, Any],
) -> None:
    for name in ("https_proxy", "HTTPS_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    cases: list[tuple[dict[str, Any], str]] = [
        ({"openfaas_accept_ce_licence": False}, "Read https://github.com/openfaas/faas/blob/master/EULA.md, then"),
        ({"openfaas_chart_version": "1.0"}, "openfaas_chart_version=1.0 cannot be chosen: there is no checksum of it"),
        ({"function_registry": "localhost:5001/x"}, "where localhost:5001 is the pod itself"),
        ({"openfaas_check_internet": True}, "https://checkip.amazonaws.com cannot be reached from here"),
        ({"evenkeel_state_dir": "/tmp/a b"}, "has a character at which helm's command would be split"),
    ]
    done = play(*(attempt(PREFLIGHT, **variables | changed) for changed, _named in cases))
    said = done.text.split("FAILED: ")[1:]
    assert len(said) == len(cases), done.text
    for text, (_changed, named) in zip(said, cases, strict=True):
        assert named in text


def test_a_registry_that_asks_for_a_password_is_refused(
    play: Callable[..., Any], monkeypatch: pytest.MonkeyPatch, variables: dict[str, Any]
) -> None:
    for name in ("no_proxy", "NO_PROXY"):
        monkeypatch.delenv(name, raising=False)
    with Answering(401) as proxy:
        for name in ("http_proxy", "HTTP_PROXY"):
            monkeypatch.setenv(name, proxy.url)
        done = play(PREFLIGHT, **variables | {"function_registry": "10.255.255.1:5000/x"})
    assert not done.ok and '10.255.255.1:5000 asks for a password (Basic realm="stand-in")' in done.text, done.text
    assert proxy.asked == [("http://10.255.255.1:5000/v2/", "")]


def test_what_the_community_edition_cannot_do_is_said_up_front(
    play: Callable[..., Any], variables: dict[str, Any]
) -> None:
    done = play(PREFLIGHT, **variables | {"openfaas_install": False, "openfaas_accept_ce_licence": False})
    assert done.ok
    for limit in (
        "Internet access",
        "no scale to zero",
        "pulls a function's image at every start",
        "no volumes",
        "at most 15",
    ):
        assert limit in done.text
