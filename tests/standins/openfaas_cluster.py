# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a Kubernetes cluster with OpenFaaS in it, whose pods are containers of a real Docker engine.

The API server is that of tests/standins/helm.py with watches and exec added, the gateway that of
tests/standins/openfaas_gateway.py. Between them this file does what the controllers, the scheduler and the kubelet
would do with a function's Deployment: each pod is one container of the function's own image with the limits that were
asked for and the secrets' content mounted, it is ready when its watchdog answers, and one that is deleted is replaced.
Calls of the gateway are handed on to the container's port on 127.0.0.1. API server and gateway listen in the network
of the container that the stand-in of kind made as a node, so that its published ports lead to them; that needs root.

Containers that this file starts bear the label ``LABEL``; ``with`` it, and they are gone afterwards.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import ctypes
import hashlib
import itertools
import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

from tests.standins import helm, kubernetes_api
from tests.standins.kubernetes_api import FUNCTION, NAMESPACE, NODE
from tests.standins.openfaas_gateway import Deployed, Pod, StandinGateway

Object = dict[str, Any]

LABEL = "evenkeel-test.standin=openfaas-cluster"
PODS = f"api/v1/namespaces/{NAMESPACE}/pods"
SECRETS = f"api/v1/namespaces/{NAMESPACE}/secrets"
SLICES = f"apis/discovery.k8s.io/v1/namespaces/{NAMESPACE}/endpointslices"
EVENTS = f"api/v1/namespaces/{NAMESPACE}/events"
# What RFC 6455 has a server append to the key of a handshake.
WEBSOCKET_GUID = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
# The gateway calls a watchdog this often until it answers, as a readiness probe does.
PROBE_SECONDS = 0.1
API_SERVER_PORT, GATEWAY_PORT = 6443, 31112
# From Linux' sched.h; Python has os.setns from 3.12 on.
CLONE_NEWNET = 0x40000000


def docker(*arguments: str, timeout: float = 120) -> str:
    """What the command prints; it must succeed."""
    done = subprocess.run(["docker", *arguments], capture_output=True, text=True, check=False, timeout=timeout)
    assert done.returncode == 0, f"docker {arguments}: {done.stderr}"
    return done.stdout.strip()


def listening_in(process: int, port: int) -> socket.socket:
    """A socket that listens on a port of the network that a process is in."""
    library = ctypes.CDLL(None, use_errno=True)
    sockets: list[socket.socket] = []

    def listen() -> None:
        # A thread of its own, which ends in the other network; a socket stays in the one it was made in.
        with Path(f"/proc/{process}/ns/net").open("rb") as network:
            if library.setns(network.fileno(), CLONE_NEWNET):
                raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()))
        sockets.append(socket.create_server(("0.0.0.0", port), backlog=64))

    thread = threading.Thread(target=listen)
    thread.start()
    thread.join()
    return sockets[0]


@dataclass
class Running:
    """One pod of the function and its container."""

    number: int
    container: str
    url: str
    begun: float
    ready: bool = False
    ending: bool = False


class StandinOpenFaaS(helm.StandinCluster):
    """The cluster of the node's container called ``node``, once that is there; ``gateway`` is its OpenFaaS gateway.

    ``pulls`` says by what name the engine has the image that a function names: a node would pull it.
    """

    def __init__(self, node: str, pulls: Callable[[str], str]) -> None:
        super().__init__(handler=_Handler)
        self.node = node
        self.kinds["api/v1"]["endpoints"] = "Endpoints"
        self.kinds["apis/discovery.k8s.io/v1"] = {"endpointslices": "EndpointSlice"}
        self.pulls = pulls
        self.pods: list[Running] = []
        self.history: list[tuple[int, str, str, Object]] = []
        self.version = 100
        self.changed = threading.Condition(threading.RLock())
        self.stopping, self.serving = threading.Event(), threading.Event()
        self.folder = Path(tempfile.mkdtemp(prefix="evenkeel-openfaas-"))
        self.gateway = _Gateway(self)
        self._numbers = itertools.count(1)

    def __enter__(self) -> StandinOpenFaaS:
        threading.Thread(target=self._move_in, daemon=True).start()
        return self

    def _move_in(self) -> None:
        """Serve inside the node, once it runs."""
        asked = ["docker", "container", "inspect", "--format", "{{.State.Pid}}", self.node]
        process = 0
        while not process:
            if self.stopping.wait(0.1):
                return
            process = int(subprocess.run(asked, capture_output=True, text=True, check=False).stdout.strip() or 0)
        for server, port in ((self, API_SERVER_PORT), (self.gateway, GATEWAY_PORT)):
            server.socket.close()
            server.socket = listening_in(process, port)
        super().__enter__()
        self.gateway.__enter__()
        self.serving.set()

    def __exit__(self, *arguments: object) -> None:
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
        if self.serving.is_set():
            self.gateway.__exit__(*arguments)
            super().__exit__(*arguments)
        if self.containers():
            docker("rm", "--force", "--volumes", *self.containers())
        shutil.rmtree(self.folder, ignore_errors=True)

    def containers(self) -> list[str]:
        """The names of the containers that are pods of the stand-in."""
        return docker("ps", "--all", "--format", "{{.Names}}", "--filter", f"label={LABEL}").split()

    def keep(self, path: str, item: Object) -> None:
        """Keep an object under its path and tell those that watch."""
        with self.changed:
            how = "MODIFIED" if path in self.objects else "ADDED"
            self._tell(path, how, item)
            self.objects[path] = item
        if path.startswith(f"{SECRETS}/"):
            self.gateway.secrets.add(item["metadata"]["name"])
        if path == "api/v1/namespaces/openfaas/secrets/basic-auth":
            user, password = (base64.b64decode(item["data"][f"basic-auth-{one}"]) for one in ("user", "password"))
            self.gateway.authorization = "Basic " + base64.b64encode(user + b":" + password).decode()

    def forget(self, path: str) -> None:
        """Remove an object, and tell those that watch."""
        with self.changed:
            item = self.objects.pop(path, None)
            if item is not None:
                self._tell(path, "DELETED", copy.deepcopy(item))

    def _tell(self, path: str, how: str, item: Object) -> None:
        self.version += 1
        item["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, path.rpartition("/")[0], how, copy.deepcopy(item)))
        self.changed.notify_all()

    # --- what the controllers, the scheduler and the kubelet do -----------------------------------------------------

    def leading_to(self) -> Running | None:
        """The pod that the Service leads to: the newest one that is ready and not ending."""
        return next((one for one in reversed(self.pods) if one.ready and not one.ending), None)

    def start_pod(self) -> None:
        """Make one more pod of the function and have its container started."""
        threading.Thread(target=self._start_pod, args=(next(self._numbers),), daemon=True).start()

    def _start_pod(self, number: int) -> None:
        with self.gateway.lock:
            request = copy.deepcopy(self.gateway.functions[FUNCTION].request)
        secrets = self.folder / f"secrets-{number}"
        secrets.mkdir()
        for name in request.get("secrets") or []:
            for key, value in self.objects[f"{SECRETS}/{name}"]["data"].items():
                (secrets / key).write_bytes(base64.b64decode(value))
        uid = f"{request['image']}"
        self._show(number, uid)
        self._happened(number, "Scheduled", f"Successfully assigned {NAMESPACE}/{FUNCTION}-{number}", micro=True)
        self._show(number, uid, node=NODE)
        image = self.pulls(uid)
        self._happened(number, "Pulled", f'Container image "{uid}" already present on machine')
        limits = request["limits"]
        cpus = str(int(limits["cpu"].removesuffix("m")) / 1000)
        memory = ["--memory", limits["memory"], "--memory-swap", limits["memory"]]
        environment = [word for name, value in request["envVars"].items() for word in ("--env", f"{name}={value}")]
        mounted = ["--volume", f"{secrets}:/var/openfaas/secrets:ro", "--publish", "127.0.0.1::8080"]
        options = ["--label", LABEL, "--cpus", cpus, *memory, *environment, *mounted]
        container = docker("run", "--detach", *options, image)
        self._happened(number, "Started", f"Started container {FUNCTION}")
        port = docker("port", container, "8080/tcp").splitlines()[0].rpartition(":")[2]
        running = Running(number, container, f"http://127.0.0.1:{port}", time.monotonic())
        with self.changed:
            self.pods.append(running)
        self._show(number, uid, node=NODE, container=container)
        while not self.stopping.is_set() and not running.ending:
            with contextlib.suppress(OSError), urllib.request.urlopen(f"{running.url}/_/health", timeout=2):
                break
            self.stopping.wait(PROBE_SECONDS)
        if running.ending or self.stopping.is_set():
            return
        running.ready = True
        self._show(number, uid, node=NODE, container=container, ready=True)
        self._lead()
        for older in [one for one in self.pods if one is not running and not one.ending]:
            self.end_pod(older, 20, replaced=True)

    def _show(self, number: int, image: str, **how: Any) -> None:
        item = kubernetes_api.pod(number, **how)
        item["spec"]["containers"][0]["image"] = image
        known = self.objects.get(f"{PODS}/{FUNCTION}-{number}", {}).get("metadata", {})
        if "deletionTimestamp" in known:
            item["metadata"]["deletionTimestamp"] = known["deletionTimestamp"]
        self.keep(f"{PODS}/{FUNCTION}-{number}", item)

    def _happened(self, number: int, reason: str, message: str, *, micro: bool = False) -> None:
        item = kubernetes_api.event(number, reason, message, micro=micro)
        self.keep(f"{EVENTS}/{item['metadata']['name']}", item)

    def _lead(self) -> None:
        """Have the Service's EndpointSlice lead to the pods that serve."""
        targets = [one.number for one in self.pods if one.ready and not one.ending]
        item = kubernetes_api.endpoint_slice(targets)
        self.keep(f"{SLICES}/{item['metadata']['name']}", item)

    def end_pod(self, running: Running, grace_seconds: int, *, replaced: bool) -> None:
        """Have a pod ended; unless it is ``replaced`` already a new one takes its place."""
        running.ending = True
        path = f"{PODS}/{FUNCTION}-{running.number}"
        item = copy.deepcopy(self.objects[path])
        item["metadata"] |= {"deletionTimestamp": kubernetes_api.stamp(), "deletionGracePeriodSeconds": grace_seconds}
        self.keep(path, item)
        self._lead()

        def end() -> None:
            docker("stop", "--time", str(grace_seconds), running.container)
            docker("rm", "--force", "--volumes", running.container)
            with self.changed:
                self.pods.remove(running)
            self.forget(path)

        threading.Thread(target=end, daemon=True).start()
        if not replaced:
            self.start_pod()


class _Gateway(StandinGateway):
    """The gateway, whose provider makes pods in the cluster."""

    def __init__(self, cluster: StandinOpenFaaS) -> None:
        super().__init__(upstream_timeout=1260)
        self.cluster = cluster

    def serving(self, deployed: Deployed) -> Pod | None:
        running = self.cluster.leading_to()
        if running is None or deployed.deleted is not None:
            return None
        return Pod(f"pod-{running.number}", running.begun, running.url)

    def deploy(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        answer = super().deploy(body)
        if answer[0] == 202:
            self.cluster.start_pod()
        return answer

    def update(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        answer = super().update(body)
        if answer[0] == 202:
            self.cluster.start_pod()
        return answer

    def delete(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        answer = super().delete(body)
        if answer[0] == 202:
            for running in [one for one in self.cluster.pods if not one.ending]:
                self.cluster.end_pod(running, 20, replaced=True)
        return answer


class _Handler(helm.Handler):
    server: StandinOpenFaaS
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        path = target.path.strip("/")
        if path.endswith("/exec"):
            self._exec(path, parse_qs(target.query))
        elif parse_qs(target.query).get("watch", [""])[0].lower() in ("true", "1"):
            self._watch(path, {name: all_[-1] for name, all_ in parse_qs(target.query).items()})
        else:
            super().do_GET()

    def listed(self, items: list[Object], query: dict[str, str]) -> Object:
        with self.server.changed:
            chosen = copy.deepcopy([one for one in items if kubernetes_api.selected(one, query)])
            return {"metadata": {"resourceVersion": str(self.server.version)}, "items": chosen}

    def keep(self, path: str, item: Object) -> None:
        if path.startswith("api/v1/namespaces/openfaas/pods/"):
            self._run_idle(item)
        self.server.keep(path, item)

    def _run_idle(self, item: Object) -> None:
        """OpenFaaS's own pods: a container that sleeps, so that there is a control group to be read."""
        image = docker("container", "inspect", "--format", "{{.Image}}", self.server.node)
        container = docker("run", "--detach", "--label", LABEL, image)
        item["metadata"]["uid"] = f"openfaas-{container[:12]}"
        item.setdefault("spec", {})["nodeName"] = NODE
        for status in item["status"]["containerStatuses"]:
            status["containerID"] = f"containerd://{container}"

    def forget(self, path: str) -> None:
        item = self.server.objects[path]
        statuses = item.get("status", {}).get("containerStatuses", [])
        if path.startswith("api/v1/namespaces/openfaas/pods/"):
            docker("rm", "--force", *{one["containerID"].rpartition("://")[2] for one in statuses})
        self.server.forget(path)

    def do_DELETE(self) -> None:
        path = urlsplit(self.path).path.strip("/")
        running = next((one for one in self.server.pods if path == f"{PODS}/{FUNCTION}-{one.number}"), None)
        if running is None:
            super().do_DELETE()
            return
        options = self._body()
        item = self.server.objects[path]
        if not options.get("dryRun") and not running.ending:
            self.server.end_pod(running, options.get("gracePeriodSeconds") or 30, replaced=False)
        self._answer(200, item)

    def _watch(self, path: str, query: dict[str, str]) -> None:
        sent = int(query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        while not self.server.stopping.is_set():
            with self.server.changed:
                news = [one for one in self.server.history if one[0] > sent]
                if not news:
                    self.server.changed.wait(0.5)
            for version, about, how, item in news:
                sent = version
                if about != path or not kubernetes_api.selected(item, query):
                    continue
                data = json.dumps({"type": how, "object": item}).encode() + b"\n"
                try:
                    self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")
                except OSError:
                    return

    def _exec(self, path: str, query: dict[str, list[str]]) -> None:
        """A command's output over a WebSocket, as the subprotocol v4.channel.k8s.io has it: channel, then data."""
        number = int(path.split("/")[-2].rpartition("-")[2])
        running = next(one for one in self.server.pods if one.number == number)
        command = ["docker", "exec", running.container, *query["command"]]
        done = subprocess.run(command, capture_output=True, check=False, timeout=60)
        key = self.headers["Sec-WebSocket-Key"] + WEBSOCKET_GUID
        accepted = base64.b64encode(hashlib.sha1(key.encode(), usedforsecurity=False).digest()).decode()
        self.send_response(101)
        self.send_header("Upgrade", "websocket")
        self.send_header("Connection", "Upgrade")
        self.send_header("Sec-WebSocket-Accept", accepted)
        self.send_header("Sec-WebSocket-Protocol", "v4.channel.k8s.io")
        self.end_headers()
        ended: Object = {"metadata": {}, "status": "Success"}
        if done.returncode:
            causes = [{"reason": "ExitCode", "message": str(done.returncode)}]
            ended = {"metadata": {}, "status": "Failure", "reason": "NonZeroExitCode", "details": {"causes": causes}}
        for channel, data in ((1, done.stdout), (2, done.stderr), (3, json.dumps(ended).encode())):
            if data:
                self.wfile.write(struct.pack("!BBQ", 0x82, 127, len(data) + 1) + bytes([channel]) + data)
        # A close frame with the code of a normal end.
        self.wfile.write(struct.pack("!BBH", 0x88, 2, 1000))
        self.close_connection = True
