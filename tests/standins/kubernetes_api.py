# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for the Kubernetes API server: lists, watches and deletions of a few kinds, and a scripted cluster.

It speaks what the dynamic client of the Python package kubernetes asks (discovery, lists, watches with resource
versions, DELETE with DeleteOptions) over plain HTTP or TLS, and knows nothing of scheduling: when a pod is deleted, a
script of steps says what happens after how many seconds. Shapes of the answers: Kubernetes' "API concepts" page
(kubernetes/website at 00996297, content/en/docs/reference/using-api/api-concepts.md) and the kinds' models in the
package kubernetes 37.0.1.
"""

from __future__ import annotations

import base64
import copy
import itertools
import json
import ssl
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, urlsplit

NAMESPACE = "openfaas-fn"
FUNCTION = "cifar-cnn"
IMAGE = "registry.example:5000/cifar-cnn:0123456789ab"
NODE = "stand-in-node"
# Ids as a runtime gives them.
OLD_CONTAINER = "a1" * 32
NEW_CONTAINER = "b2" * 32

CORE = {"pods": "Pod", "events": "Event", "endpoints": "Endpoints"}
SLICES = {"endpointslices": "EndpointSlice"}

Object = dict[str, Any]


def stamp(*, micro: bool = False) -> str:
    """The time of day as Kubernetes writes it: whole seconds, or microseconds where it says MicroTime."""
    now = time.time()
    seconds = time.strftime("%Y-%m-%dT%H:%M:%S", time.gmtime(now))
    return f"{seconds}.{round(now % 1 * 1e6) % 1_000_000:06d}Z" if micro else f"{seconds}Z"


def pod(number: int, *, container: str | None = None, ready: bool = False, node: str | None = None) -> Object:
    """The function's pod number so-and-so; with a container id its container runs."""
    state: Object = {"waiting": {"reason": "ContainerCreating"}}
    if container is not None:
        state = {"running": {"startedAt": stamp()}}
    status = {
        "name": FUNCTION,
        "ready": ready,
        "restartCount": 0,
        "state": state,
        "lastState": {},
        "image": IMAGE,
        "imageID": "registry.example:5000/cifar-cnn@sha256:5feceb66" if container else "",
        "containerID": f"containerd://{container}" if container else "",
    }
    conditions = [{"type": "PodScheduled", "status": "True", "lastTransitionTime": stamp()}] if node else []
    if node:
        conditions.append({"type": "Ready", "status": str(ready), "lastTransitionTime": stamp()})
    return {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {
            "name": f"{FUNCTION}-{number}",
            "namespace": NAMESPACE,
            "uid": f"00000000-0000-4000-8000-{number:012d}",
            "labels": {"faas_function": FUNCTION},
            "creationTimestamp": stamp(),
            "managedFields": [{"manager": "stand-in"}],
        },
        "spec": {"containers": [{"name": FUNCTION, "image": IMAGE}], **({"nodeName": node} if node else {})},
        "status": {
            "phase": "Running" if container else "Pending",
            "conditions": conditions,
            "containerStatuses": [status] if node else [],
        },
    }


def endpoint_slice(targets: Sequence[int], *, terminating: Sequence[int] = ()) -> Object:
    """The function's EndpointSlice, which leads to the pods of those numbers."""
    return {
        "apiVersion": "discovery.k8s.io/v1",
        "kind": "EndpointSlice",
        "metadata": {
            "name": f"{FUNCTION}-slice",
            "namespace": NAMESPACE,
            "uid": "slice",
            "labels": {"kubernetes.io/service-name": FUNCTION},
        },
        "addressType": "IPv4",
        "endpoints": [
            {
                "addresses": [f"10.244.0.{number}"],
                "conditions": {"ready": number in targets, "terminating": number in terminating},
                "targetRef": {"kind": "Pod", "uid": pod(number)["metadata"]["uid"]},
            }
            for number in [*targets, *terminating]
        ],
    }


def endpoints(targets: Sequence[int]) -> Object:
    """The same as the older Endpoints object."""
    addresses = [{"ip": f"10.244.0.{one}", "targetRef": {"uid": pod(one)["metadata"]["uid"]}} for one in targets]
    return {
        "apiVersion": "v1",
        "kind": "Endpoints",
        "metadata": {"name": FUNCTION, "namespace": NAMESPACE, "uid": "endpoints", "labels": {}},
        "subsets": [{"addresses": addresses}] if addresses else [],
    }


def event(number: int, reason: str, message: str, *, micro: bool = False) -> Object:
    """An Event about the pod of that number; the kubelet's have whole seconds, the scheduler's microseconds."""
    return {
        "apiVersion": "v1",
        "kind": "Event",
        "metadata": {"name": f"{FUNCTION}-{number}.{reason.lower()}", "namespace": NAMESPACE, "uid": reason},
        "involvedObject": {
            "kind": "Pod",
            "namespace": NAMESPACE,
            "name": f"{FUNCTION}-{number}",
            "uid": pod(number)["metadata"]["uid"],
        },
        "reason": reason,
        "message": message,
        "type": "Normal",
        "firstTimestamp": None if micro else stamp(),
        "lastTimestamp": None if micro else stamp(),
        "eventTime": stamp(micro=True) if micro else None,
        "count": 1,
    }


Step = tuple[float, Callable[["StandinCluster"], None]]
"""After so many seconds from the deletion: what is done to the cluster."""


def cold_start(
    *,
    pulled: str = f'Successfully pulled image "{IMAGE}" in 20ms (20ms including waiting). Image size: 1000 bytes.',
    old_gone: float | None = 0.12,
    started: float = 0.16,
    ready: float | None = 0.2,
    new_container: str = NEW_CONTAINER,
    slices: bool = True,
) -> list[Step]:
    """What a cluster does when pod 1 is deleted: pod 2 takes its place.

    ``old_gone`` None leaves pod 1 there, ``ready`` None pod 2 not ready; both in seconds after the deletion.
    """

    def serve(*targets: int) -> Callable[[StandinCluster], None]:
        return lambda cluster: cluster.put(endpoint_slice(targets) if slices else endpoints(targets))

    def put(made: Callable[[], Object]) -> Callable[[StandinCluster], None]:
        return lambda cluster: cluster.put(made())

    cached = "already present" in pulled
    steps: list[Step] = [
        (0.01, put(lambda: pod(2))),
        (0.015, serve()),
        (0.02, put(lambda: event(2, "Scheduled", f"Successfully assigned {NAMESPACE}/{FUNCTION}-2", micro=True))),
        (0.02, put(lambda: pod(2, node=NODE))),
        (0.1, put(lambda: event(2, "Pulled", pulled))),
        (0.11, put(lambda: event(2, "Created", f"Created container: {FUNCTION}"))),
        (started, put(lambda: event(2, "Started", f"Started container {FUNCTION}"))),
        (started + 0.01, put(lambda: pod(2, node=NODE, container=new_container))),
    ]
    if not cached:
        steps.append((0.08, put(lambda: event(2, "Pulling", f'Pulling image "{IMAGE}"'))))
    if old_gone is not None:
        steps.append((old_gone, lambda cluster: cluster.remove("pods", f"{FUNCTION}-1")))
    if ready is not None:
        steps.append((ready, put(lambda: pod(2, node=NODE, container=new_container, ready=True))))
        steps.append((ready + 0.005, serve(2)))
    return steps


def unschedulable() -> list[Step]:
    """Pod 2 finds no node."""
    message = "0/1 nodes are available: 1 Insufficient memory."

    def pending(cluster: StandinCluster) -> None:
        waiting = pod(2)
        waiting["status"]["conditions"] = [
            {"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": message}
        ]
        cluster.put(waiting)
        cluster.put(event(2, "FailedScheduling", message, micro=True))

    return [(0.01, pending), (0.05, lambda cluster: cluster.remove("pods", f"{FUNCTION}-1"))]


def image_pull_back_off() -> list[Step]:
    """Pod 2's image cannot be pulled."""

    def waiting(cluster: StandinCluster) -> None:
        failed = pod(2, node=NODE)
        message = f'Back-off pulling image "{IMAGE}"'
        failed["status"]["containerStatuses"][0]["state"] = {
            "waiting": {"reason": "ImagePullBackOff", "message": message}
        }
        cluster.put(event(2, "Pulling", f'Pulling image "{IMAGE}"'))
        cluster.put(event(2, "Failed", f'Failed to pull image "{IMAGE}": not found'))
        cluster.put(event(2, "BackOff", message))
        cluster.put(failed)

    return [(0.01, waiting), (0.05, lambda cluster: cluster.remove("pods", f"{FUNCTION}-1"))]


def crash_loop(*, recovers: bool) -> list[Step]:
    """Pod 2's container ends with 137 and is started anew; with ``recovers`` it is ready then."""

    def crashed(cluster: StandinCluster) -> None:
        failed = pod(2, node=NODE, container="c3" * 32, ready=recovers)
        status = failed["status"]["containerStatuses"][0]
        status["restartCount"] = 1
        status["lastState"] = {
            "terminated": {"exitCode": 137, "reason": "OOMKilled", "containerID": f"containerd://{NEW_CONTAINER}"}
        }
        if not recovers:
            status["state"] = {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 10s restarting failed"}}
        cluster.put(event(2, "BackOff", "Back-off restarting failed container"))
        cluster.put(failed)

    return [*cold_start(ready=None), (0.2, crashed)]


@dataclass
class Fault:
    """What goes wrong with a watch of one kind once it has delivered ``after`` events since the deletion.

    ``gone`` sends 410 within the watch, so that only a list helps; ``cut`` closes the connection. For ``for_seconds``
    afterwards the kind is refused with 503.
    """

    how: str
    after: int = 0
    for_seconds: float = 0.0
    done: bool = False
    refused_until: float = 0.0


class StandinCluster(ThreadingHTTPServer):
    """The stand-in on a port of its own; ``with`` it, and ``kubeconfig`` writes the file that leads to it.

    ``script`` is what happens from the first deletion on. ``unauthorized`` refuses every request, ``forbidden`` those
    of the named kinds (``delete`` is one), ``slow_seconds`` delays every answer; ``slices`` False leaves out
    EndpointSlices. ``requests`` are those made, ``deletions`` the bodies of those that were no dry run.
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        script: Sequence[Step] = (),
        *,
        faults: dict[str, Fault] | None = None,
        unauthorized: bool = False,
        forbidden: Sequence[str] = (),
        slow_seconds: float = 0.0,
        slices: bool = True,
        certificate: tuple[Path, Path] | None = None,
    ) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self._certificate = certificate
        if certificate is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*certificate)
            self.socket = context.wrap_socket(self.socket, server_side=True)
        self.script = list(script)
        self.faults = faults or {}
        self.unauthorized = unauthorized
        self.forbidden = set(forbidden)
        self.slow_seconds = slow_seconds
        self.slices = slices
        self.requests: list[str] = []
        self.deletions: list[Object] = []
        self.stopping = threading.Event()
        self.changed = threading.Condition()
        self.history: list[tuple[int, str, str, Object]] = []
        self.oldest = 0
        self.objects: dict[str, dict[str, Object]] = {kind: {} for kind in (*CORE, *SLICES)}
        self._versions = itertools.count(100)
        self.version = next(self._versions)
        self.put(pod(1, node=NODE, container=OLD_CONTAINER, ready=True))
        self.put(endpoint_slice([1]))
        self.put(endpoints([1]))

    @property
    def url(self) -> str:
        """The server's address."""
        return f"http{'' if self._certificate is None else 's'}://127.0.0.1:{self.server_port}"

    def kubeconfig(self, path: Path) -> Path:
        """Write a kubeconfig that leads here; its one context is called ``stand-in``."""
        cluster: Object = {"server": self.url}
        if self._certificate is not None:
            cluster["certificate-authority-data"] = base64.b64encode(self._certificate[0].read_bytes()).decode()
        # JSON is YAML too.
        path.write_text(
            json.dumps(
                {
                    "apiVersion": "v1",
                    "kind": "Config",
                    "current-context": "stand-in",
                    "contexts": [{"name": "stand-in", "context": {"cluster": "stand-in", "user": "stand-in"}}],
                    "clusters": [{"name": "stand-in", "cluster": cluster}],
                    "users": [{"name": "stand-in", "user": {"token": "stand-in"}}],
                }
            )
        )
        return path

    def put(self, item: Object) -> None:
        """Make an object, or change the one of that name."""
        kind = next(name for name, made in {**CORE, **SLICES}.items() if made == item["kind"])
        with self.changed:
            name = item["metadata"]["name"]
            known = self.objects[kind].get(name)
            item = copy.deepcopy(item)
            if known and "deletionTimestamp" in known["metadata"]:
                item["metadata"]["deletionTimestamp"] = known["metadata"]["deletionTimestamp"]
            self._deliver(kind, "MODIFIED" if known else "ADDED", item)
            self.objects[kind][name] = item

    def remove(self, kind: str, name: str) -> None:
        """Delete an object for good."""
        with self.changed:
            item = self.objects[kind].pop(name, None)
            if item is not None:
                self._deliver(kind, "DELETED", copy.deepcopy(item))

    def _deliver(self, kind: str, change: str, item: Object) -> None:
        self.version = next(self._versions)
        item["metadata"]["resourceVersion"] = str(self.version)
        self.history.append((self.version, kind, change, item))
        self.changed.notify_all()

    def delete_pod(self, name: str, options: Object) -> Object:
        """Mark a pod for deletion and set off the script, as an API server and its cluster do."""
        with self.changed:
            known = copy.deepcopy(self.objects["pods"][name])
            if options.get("dryRun"):
                return known
            self.deletions.append(options)
            known["metadata"]["deletionTimestamp"] = stamp()
            known["metadata"]["deletionGracePeriodSeconds"] = options["gracePeriodSeconds"]
            self._deliver("pods", "MODIFIED", known)
            self.objects["pods"][name] = known
        if len(self.deletions) == 1:
            threading.Thread(target=self._play, daemon=True).start()
        return known

    def _play(self) -> None:
        begun = time.monotonic()
        for after, step in sorted(self.script, key=lambda one: one[0]):
            if self.stopping.wait(max(0.0, begun + after - time.monotonic())):
                return
            step(self)

    def __enter__(self) -> StandinCluster:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.stopping.set()
        with self.changed:
            self.changed.notify_all()
        self.shutdown()
        self.server_close()

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that goes away is no error here."""


class _Handler(BaseHTTPRequestHandler):
    server: StandinCluster
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True

    def do_GET(self) -> None:
        target = urlsplit(self.path)
        query = {name: values[-1] for name, values in parse_qs(target.query).items()}
        parts = target.path.strip("/").split("/")
        if not self._admitted(parts[-1]):
            return
        if parts[-1] in self.server.objects and "namespaces" in parts:
            if query.get("watch", "").lower() in ("true", "1"):
                self._watch(parts[-1], query)
            else:
                self._list(parts[-1], query)
        else:
            self._discover(parts)

    def do_DELETE(self) -> None:
        name = urlsplit(self.path).path.rpartition("/")[2]
        options = json.loads(self.rfile.read(int(self.headers.get("Content-Length") or 0)) or "{}")
        if not self._admitted("delete"):
            return
        known = self.server.objects["pods"].get(name)
        if known is None:
            self._status(404, "NotFound", f'pods "{name}" not found')
        elif options.get("preconditions", {}).get("uid") not in (None, known["metadata"]["uid"]):
            self._status(409, "Conflict", f"the UID in the precondition ({options['preconditions']['uid']}) differs")
        else:
            self._answer(200, self.server.delete_pod(name, options))

    def _admitted(self, what: str) -> bool:
        self.server.requests.append(f"{self.command} {self.path}")
        if self.server.slow_seconds:
            self.server.stopping.wait(self.server.slow_seconds)
        fault = self.server.faults.get(what)
        if self.server.unauthorized:
            self._status(401, "Unauthorized", "Unauthorized")
        elif what in self.server.forbidden:
            self._status(403, "Forbidden", f'{what} is forbidden: User "stand-in" may not')
        elif fault is not None and time.monotonic() < fault.refused_until:
            self._status(503, "ServiceUnavailable", "the stand-in is down")
        else:
            return True
        return False

    def _discover(self, parts: list[str]) -> None:
        group = {"groupVersion": "discovery.k8s.io/v1", "version": "v1"}
        if parts == ["version"]:
            self._answer(200, {"major": "1", "minor": "34", "gitVersion": "v1.34.0-stand-in"})
        elif parts == ["apis"]:
            groups = [{"name": "discovery.k8s.io", "versions": [group], "preferredVersion": group}]
            self._answer(200, {"kind": "APIGroupList", "groups": groups if self.server.slices else []})
        elif parts == ["api", "v1"]:
            self._answer(200, _resources("v1", CORE))
        elif parts == ["apis", "discovery.k8s.io", "v1"] and self.server.slices:
            self._answer(200, _resources("discovery.k8s.io/v1", SLICES))
        else:
            self._status(404, "NotFound", "the server could not find the requested resource")

    def _list(self, kind: str, query: dict[str, str]) -> None:
        with self.server.changed:
            items = [item for item in self.server.objects[kind].values() if selected(item, query)]
            made = {**CORE, **SLICES}[kind]
            body = {"kind": f"{made}List", "metadata": {"resourceVersion": str(self.server.version)}, "items": items}
            body = copy.deepcopy(body)
        self._answer(200, body)

    def _watch(self, kind: str, query: dict[str, str]) -> None:
        fault = self.server.faults.get(kind)
        sent = int(query.get("resourceVersion") or 0)
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Transfer-Encoding", "chunked")
        self.end_headers()
        self.close_connection = True
        if sent < self.server.oldest:
            self._chunk({"type": "ERROR", "object": _status_of(410, "Expired", "too old resource version")})
            self.wfile.write(b"0\r\n\r\n")
            return
        delivered = 0
        while not self.server.stopping.is_set():
            with self.server.changed:
                news = [one for one in self.server.history if one[0] > sent]
                if not news:
                    self.server.changed.wait(0.5)
            for version, about, change, item in news:
                sent = version
                if about != kind or not selected(item, query):
                    continue
                if fault is not None and not fault.done and self.server.deletions and delivered == fault.after:
                    self._fail(fault)
                    return
                delivered += bool(self.server.deletions)
                self._chunk({"type": change, "object": item})

    def _fail(self, fault: Fault) -> None:
        fault.done = True
        fault.refused_until = time.monotonic() + fault.for_seconds
        if fault.how == "gone":
            self.server.oldest = self.server.version
            self._chunk({"type": "ERROR", "object": _status_of(410, "Expired", "too old resource version: 1 (2)")})
            self.wfile.write(b"0\r\n\r\n")
        # A cut sends no last chunk.

    def _chunk(self, delivery: Object) -> None:
        data = json.dumps(delivery).encode() + b"\n"
        self.wfile.write(f"{len(data):x}\r\n".encode() + data + b"\r\n")

    def _status(self, code: int, reason: str, message: str) -> None:
        self._answer(code, _status_of(code, reason, message))

    def _answer(self, status: int, body: Object) -> None:
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


def _status_of(code: int, reason: str, message: str) -> Object:
    said = {"message": message, "reason": reason, "code": code}
    return {"kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", **said}


def _resources(group_version: str, kinds: dict[str, str]) -> Object:
    verbs = ["delete", "get", "list", "watch"]
    return {
        "kind": "APIResourceList",
        "groupVersion": group_version,
        "resources": [
            {"name": name, "singularName": "", "namespaced": True, "kind": kind, "verbs": verbs}
            for name, kind in kinds.items()
        ],
    }


def selected(item: Object, query: dict[str, str]) -> bool:
    """Whether an object is what labelSelector and fieldSelector ask for; only equality is known here."""
    labels = item["metadata"].get("labels") or {}
    for term in filter(None, query.get("labelSelector", "").split(",")):
        name, _, value = term.partition("=")
        if labels.get(name) != value:
            return False
    for term in filter(None, query.get("fieldSelector", "").split(",")):
        path, _, value = term.partition("=")
        found: Any = item
        for key in path.split("."):
            found = (found or {}).get(key)
        if found != value:
            return False
    return True
