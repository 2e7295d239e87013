# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for helm and for the cluster that it installs into: a program and an API server, which keep what they get.

The stand-in of helm answers the calls of the module kubernetes.core.helm (6.2.0; helm v3.20.0 writes such answers) and
makes one Deployment and one Pod a component in the cluster of its KUBECONFIG: it reads no template of a chart. The
stand-in of the API server keeps objects of a few kinds, and knows nothing else of Kubernetes: nothing runs in it.

Every call of helm is written down, one JSON object a line (``argv``, ``kubeconfig``, ``namespace``, ``context``,
``values``), in ``helm.calls.jsonl`` beside the program.
"""

from __future__ import annotations

import base64
import io
import json
import os
import sys
import tarfile
import threading
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

import yaml

Object = dict[str, Any]

VERSION = 'version.BuildInfo{Version:"v3.20.0", GitCommit:"stand-in", GitTreeState:"clean", GoVersion:"go0.0.0"}'
OFFLINE = "Error checking connectivity, OpenFaaS CE cannot be run in an offline environment: dial tcp: i/o timeout"


def install(directory: Path, **settings: Any) -> Path:
    """Write an executable stand-in called ``helm`` into ``directory`` and return its path.

    ``upgrade``: ``ok``, or the error that it ends with. ``deployments``: ``ready``, or ``never`` (the provider's
    container ends again and again, as it does without Internet access).
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "helm.settings.json").write_text(json.dumps(settings))
    program = directory / "helm"
    program.write_text(
        f"#!{sys.executable}\n"
        f"import runpy, sys\nrunpy.run_path({__file__!r})['main']({str(directory)!r}, sys.argv[1:])\n"
    )
    program.chmod(0o755)
    return program


def chart(path: Path) -> Path:
    """An archive that holds no more than the chart's name and version."""
    content = b"apiVersion: v2\nname: openfaas\nversion: 15.0.6\n"
    with tarfile.open(path, "w:gz") as packed:
        member = tarfile.TarInfo("openfaas/Chart.yaml")
        member.size = len(content)
        packed.addfile(member, io.BytesIO(content))
    return path


def calls(directory: Path) -> list[Object]:
    """What helm was called with, in order."""
    path = directory / "helm.calls.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(directory: str, argv: list[str]) -> None:
    """What the installed program does."""
    folder = Path(directory)
    settings = json.loads((folder / "helm.settings.json").read_text())
    kept = folder / "helm.releases.json"
    releases: dict[str, Object] = json.loads(kept.read_text()) if kept.exists() else {}
    namespace = os.environ.get("HELM_NAMESPACE", "default")
    values = [Path(word.removeprefix("-f=")).read_text() for word in argv if word.startswith("-f=")]
    with (folder / "helm.calls.jsonl").open("a") as stream:
        call = {
            "argv": argv,
            "kubeconfig": os.environ.get("KUBECONFIG", ""),
            "namespace": namespace,
            "context": os.environ.get("HELM_KUBECONTEXT", ""),
            "values": yaml.safe_load(values[0]) if values else None,
        }
        stream.write(json.dumps(call) + "\n")
    key = f"{namespace}/{argv[-2] if argv[0] == 'upgrade' else argv[-1]}"
    match argv:
        case ["version", *_]:
            print(VERSION)
        case ["plugin", "list"]:
            print("NAME\tVERSION\tDESCRIPTION")
        case ["list", *_]:
            print(yaml.safe_dump([{k: v for k, v in one.items() if k != "values"} for one in releases.values()]))
        case ["get", "values", *_]:
            print(yaml.safe_dump(releases[key]["values"]))
        case ["get", *_]:
            print("")
        case ["show", "chart", archive]:
            print(yaml.safe_dump(_chart(archive)))
        case ["upgrade", *_]:
            if settings.get("upgrade", "ok") != "ok":
                sys.exit(settings["upgrade"])
            chart = _chart(argv[-1])
            releases[key] = {
                "name": argv[-2],
                "namespace": namespace,
                "revision": str(int(releases.get(key, {"revision": 0})["revision"]) + 1),
                "updated": "2026-01-01 00:00:00 +0000 UTC",
                "status": "deployed",
                "chart": f"{chart['name']}-{chart['version']}",
                "app_version": "",
                "values": call["values"],
            }
            kept.write_text(json.dumps(releases))
            _make(namespace, argv[-2], ready=settings.get("deployments", "ready") == "ready")
            print("Release has been upgraded (stand-in).")
        case ["uninstall", *_]:
            del releases[key]
            kept.write_text(json.dumps(releases))
            _ask("DELETE", f"/apis/apps/v1/namespaces/{namespace}/deployments/gateway")
            _ask("DELETE", f"/api/v1/namespaces/{namespace}/pods/gateway-stand-in")
        case _:
            sys.exit(f"the stand-in of helm knows no {argv}")


def _chart(archive: str) -> Object:
    with tarfile.open(archive) as packed:
        member = packed.extractfile("openfaas/Chart.yaml")
        assert member is not None
        return dict(yaml.safe_load(member.read()))


def _ask(method: str, path: str, body: Object | None = None) -> None:
    """A request to the cluster of KUBECONFIG."""
    server = yaml.safe_load(Path(os.environ["KUBECONFIG"]).read_text())["clusters"][0]["cluster"]["server"]
    data = json.dumps(body).encode()
    asked = urllib.request.Request(
        server + path, data=data, method=method, headers={"Content-Type": "application/json"}
    )
    with urllib.request.urlopen(asked, timeout=10):
        pass


def _make(namespace: str, release: str, *, ready: bool) -> None:
    labels = {"app": "openfaas", "release": release}
    stuck = {"type": "Available", "status": "False", "message": "Deployment does not have minimum availability."}
    _ask(
        "POST",
        f"/apis/apps/v1/namespaces/{namespace}/deployments",
        {
            "metadata": {"name": "gateway", "labels": labels, "generation": 1},
            "spec": {"replicas": 1},
            "status": {"observedGeneration": 1, "replicas": 1, "readyReplicas": 1, "availableReplicas": 1}
            if ready
            else {"observedGeneration": 1, "replicas": 1, "unavailableReplicas": 1, "conditions": [stuck]},
        },
    )
    running = {"name": "gateway", "ready": True, "restartCount": 0, "state": {"running": {}}, "lastState": {}}
    ending = {
        "name": "faas-netes",
        "ready": ready,
        "restartCount": 4,
        "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s restarting failed container"}},
        "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
    }
    _ask(
        "POST",
        f"/api/v1/namespaces/{namespace}/pods",
        {
            "metadata": {"name": "gateway-stand-in", "labels": labels},
            "status": {"containerStatuses": [running, running if ready else ending]},
        },
    )


class StandinCluster(ThreadingHTTPServer):
    """The API server on a port of its own; ``with`` it, and ``kubeconfig`` writes the file that leads to it.

    ``openshift`` adds Routes; ``reachable`` False refuses everything with 503.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(self, *, openshift: bool = False, handler: type[BaseHTTPRequestHandler] | None = None) -> None:
        super().__init__(("127.0.0.1", 0), handler or Handler)
        self.kinds = {
            "api/v1": {"namespaces": "Namespace", "secrets": "Secret", "pods": "Pod", "events": "Event"},
            "apis/apps/v1": {"deployments": "Deployment"},
        }
        if openshift:
            self.kinds["apis/route.openshift.io/v1"] = {"routes": "Route"}
        self.objects: dict[str, Object] = {}
        self.changes: list[str] = []
        self.reachable = True

    def __enter__(self) -> StandinCluster:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.shutdown()
        self.server_close()

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here; its one context is called ``stand-in``."""
        document = {
            "apiVersion": "v1",
            "kind": "Config",
            "current-context": "stand-in",
            "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "stand-in"}}],
            "clusters": [{"name": "stand-in", "cluster": {"server": f"http://127.0.0.1:{self.server_port}"}}],
            "users": [{"name": "stand-in", "user": {"token": "stand-in"}}],
        }
        path.write_text(yaml.safe_dump(document))
        return path

    def named(self, kind: str) -> list[str]:
        """The names of the objects of a kind, with their namespaces."""
        metadata = [one["metadata"] for one in self.objects.values() if one["kind"] == kind]
        return sorted("/".join(filter(None, (one.get("namespace"), one["name"]))) for one in metadata)


class Handler(BaseHTTPRequestHandler):
    server: StandinCluster
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        path, query = target.path.strip("/"), {name: all_[-1] for name, all_ in parse_qs(target.query).items()}
        kinds = self.server.kinds
        if path == "version":
            self._answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0-stand-in"})
        elif path == "api":
            self._answer(200, {"kind": "APIVersions", "versions": ["v1"]})
        elif path == "apis":
            self._answer(200, {"kind": "APIGroupList", "groups": [_group(one) for one in kinds if one != "api/v1"]})
        elif path in kinds:
            self._answer(
                200, {"kind": "APIResourceList", "groupVersion": _version(path), "resources": _resources(kinds[path])}
            )
        elif path.endswith("/log"):
            self._text(200, OFFLINE if query.get("container") == "faas-netes" else "")
        elif path in self.server.objects:
            self._answer(200, self.server.objects[path])
        else:
            self._list(path, query)

    def _list(self, path: str, query: dict[str, str]) -> None:
        folder, _slash, plural = path.rpartition("/")
        root = next((one for one in self.server.kinds if path.startswith(f"{one}/")), "")
        kind = self.server.kinds.get(root, {}).get(plural)
        if kind is None:
            self._answer(
                404, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound", "message": path}
            )
            return
        items = [
            one
            for name, one in list(self.server.objects.items())
            if one["kind"] == kind and (folder == root or name.startswith(f"{path}/"))
        ]
        self._answer(200, {"kind": f"{kind}List", "apiVersion": _version(root), **self.listed(items, query)})

    def listed(self, items: list[Object], query: dict[str, str]) -> Object:
        """The rest of a list, of what a cluster holds of the kind."""
        wanted = [part.split("=", 1) for part in query.get("labelSelector", "").split(",") if part]
        chosen = [one for one in items if all(one["metadata"].get("labels", {}).get(k) == v for k, v in wanted)]
        return {"metadata": {}, "items": chosen}

    def do_POST(self) -> None:
        path, dry_run = self._target()
        root = next(one for one in self.server.kinds if path.startswith(f"{one}/"))
        made = self._body()
        parts = path.split("/")
        made |= {"apiVersion": _version(root), "kind": self.server.kinds[root][parts[-1]]}
        if "namespaces" in parts[:-1]:
            made["metadata"]["namespace"] = parts[parts.index("namespaces") + 1]
        if made["kind"] == "Secret":
            made.setdefault("data", {}).update(_encoded(made.pop("stringData", {})))
        if made["kind"] == "Route":
            made["spec"].setdefault("host", "gateway-openfaas.apps.example")
        self._keep(f"{path}/{made['metadata']['name']}", made, dry_run, "made")
        self._answer(201, made)

    def do_PATCH(self) -> None:
        path, dry_run = self._target()
        patched = _merged(self.server.objects[path], self._body())
        self._keep(path, patched, dry_run, "changed")
        self._answer(200, patched)

    def do_DELETE(self) -> None:
        path, dry_run = self._target()
        self._body()
        if path not in self.server.objects:
            self._answer(404, {"kind": "Status", "status": "Failure", "code": 404, "reason": "NotFound"})
            return
        if not dry_run:
            self.server.changes.append(f"removed {path}")
            for name in [one for one in self.server.objects if one == path or one.startswith(f"{path}/")]:
                self.forget(name)
        self._answer(200, {"kind": "Status", "apiVersion": "v1", "status": "Success"})

    def _keep(self, path: str, item: Object, dry_run: bool, how: str) -> None:
        if not dry_run and self.server.objects.get(path) != item:
            self.server.changes.append(f"{how} {path}")
            self.keep(path, item)

    def keep(self, path: str, item: Object) -> None:
        """Keep an object under its path."""
        self.server.objects[path] = item

    def forget(self, path: str) -> None:
        """Remove the object of a path."""
        del self.server.objects[path]

    def _target(self) -> tuple[str, bool]:
        target = urlsplit(self.path)
        return target.path.strip("/"), "dryRun" in parse_qs(target.query)

    def _body(self) -> Object:
        return dict(json.loads(self.rfile.read(int(self.headers.get("Content-Length", 0))) or b"{}") or {})

    def _answer(self, status: int, body: Object) -> None:
        self._text(status, json.dumps(body), "application/json")

    def _text(self, status: int, body: str, kind: str = "text/plain") -> None:
        if not self.server.reachable:
            status, body = 503, "the stand-in is down"
        data = body.encode()
        self.send_response(status)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


def _version(root: str) -> str:
    return root.split("/", 1)[1]


def _group(root: str) -> Object:
    name, version = _version(root).split("/")
    served = {"groupVersion": f"{name}/{version}", "version": version}
    return {"name": name, "versions": [served], "preferredVersion": served}


def _resources(kinds: dict[str, str]) -> list[Object]:
    verbs = ["create", "delete", "get", "list", "patch", "update", "watch"]
    return [
        {
            "name": plural,
            "singularName": kind.lower(),
            "kind": kind,
            "namespaced": kind != "Namespace",
            "verbs": verbs,
        }
        for plural, kind in kinds.items()
    ] + (
        [{"name": "pods/log", "singularName": "", "kind": "Pod", "namespaced": True, "verbs": ["get"]}]
        if "pods" in kinds
        else []
    )


def _encoded(values: dict[str, str]) -> dict[str, str]:
    return {name: base64.b64encode(value.encode()).decode() for name, value in values.items()}


def _merged(old: Object, new: Object) -> Object:
    merged = dict(old)
    for name, value in new.items():
        merged[name] = _merged(old.get(name) or {}, value) if isinstance(value, dict) else value
    return merged
