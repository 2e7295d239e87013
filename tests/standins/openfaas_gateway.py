# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for an OpenFaaS Community Edition gateway: the REST API with its habits, its limits, and faults as told.

It answers as openfaas/faas 0.27.14 (gateway/main.go, gateway/handlers) with openfaas/faas-netes 0.18.17 behind it
(pkg/handlers/{deploy,update,delete,replica_reader,info,validate}.go, pkg/k8s/function_status.go), as far as one client
can tell. There is no cluster: a function's pod is a record of when it began, and answers as the service of design 4.1
would, or its calls are handed on to ``upstream``.

``python openfaas_gateway.py '{"port": 31112, "password": "..."}'`` serves until it is killed; the keys are those of
StandinGateway.
"""

from __future__ import annotations

import base64
import contextlib
import copy
import http.client
import itertools
import json
import re
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal
from urllib.parse import parse_qs, unquote, urlsplit

VERSION = {"gateway": "0.27.14 (stand-in)", "provider": "0.18.17 (stand-in)"}
REFUSAL = "the Community Edition license agreement only allows public images"
OLD_REFUSAL = "the Community Edition license agreement only supports public images"


@dataclass
class Fault:
    """What happens to requests of one method and path instead of what they ask for, ``times`` times or for ever.

    ``answer`` gives ``status`` and ``body``; ``close`` ends the connection without an answer; ``stall`` is silent until
    the stand-in ends; ``late`` waits ``seconds`` and then does what was asked; ``lost`` does it and closes.
    """

    method: str
    path: str
    kind: Literal["answer", "close", "stall", "late", "lost"] = "answer"
    status: int = 502
    body: str = ""
    headers: dict[str, str] = field(default_factory=dict)
    times: int = -1
    seconds: float = 0.0


@dataclass
class Pod:
    """One pod of a function; ``begun`` is on the monotonic clock. With an ``url`` its calls are handed on there."""

    instance_id: str
    begun: float
    url: str | None = None


@dataclass
class Deployed:
    """What the provider knows of one function: the last request, its pod and the one that is being replaced."""

    request: dict[str, Any]
    pod: Pod
    created: str
    old: Pod | None = None
    uid: str | None = None
    deleted: float | None = None


def canonical(quantity: str) -> str:
    """A quantity as Kubernetes writes it back: no fraction of a suffix, the largest suffix of its kind."""
    matched = re.fullmatch(r"([0-9]+)(m|Ki|Mi|Gi|Ti|)", quantity)
    if matched is None:
        return quantity
    number, suffix = int(matched[1]), matched[2]
    if suffix == "m":
        return f"{number}m" if number % 1000 else str(number // 1000)
    suffixes = ("Ki", "Mi", "Gi", "Ti")
    while suffix in suffixes[:-1] and number and number % 1024 == 0:
        number, suffix = number // 1024, suffixes[suffixes.index(suffix) + 1]
    return f"{number}{suffix}"


class _Handler(BaseHTTPRequestHandler):
    server: StandinGateway
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        gateway = self.server
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        url = urlsplit(self.path)
        with gateway.lock:
            gateway.requests.append((self.command, self.path, body, dict(self.headers.items())))
            fault = gateway.next_fault(self.command, url.path)
        if fault is not None:
            if fault.kind == "stall":
                gateway.ending.wait()
            if fault.kind in ("close", "stall"):
                self.close_connection = True
                return
            if fault.kind == "answer":
                self._answer(fault.status, fault.body, fault.headers)
                return
            gateway.ending.wait(fault.seconds)
        status, text, headers = self._handle(url.path, {k: v[-1] for k, v in parse_qs(url.query).items()}, body)
        if fault is not None and fault.kind == "lost":
            self.close_connection = True
            return
        self._answer(status, text, headers)

    do_POST = do_PUT = do_DELETE = do_GET

    def _handle(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, str, dict[str, str]]:
        gateway = self.server
        if path == "/healthz":
            return 200, "", {}
        if path.startswith("/function/"):
            return self._call(path, body)
        if not path.startswith("/system/"):
            return 404, "404 page not found\n", {}
        if self.headers.get("Authorization") != gateway.authorization:
            return 401, "invalid credentials", {"WWW-Authenticate": 'Basic realm="Restricted"'}
        with gateway.lock:
            gateway.forget_the_dead()
            return self._system(path, query, body)

    def _system(self, path: str, query: dict[str, str], body: bytes) -> tuple[int, str, dict[str, str]]:
        gateway = self.server
        if path == "/system/info":
            return 200, json.dumps(gateway.info()), {"Content-Type": "application/json"}
        if path == "/system/logs":
            lines = [{"name": query.get("name"), "instance": "pod", "text": f"{line}\n"} for line in gateway.log]
            return 200, "".join(json.dumps(line) + "\n" for line in lines), {}
        return gateway.wrong_namespace(query.get("namespace")) or self._functions(path, body)

    def _functions(self, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        gateway = self.server
        if path.startswith("/system/function/"):
            deployed = gateway.functions.get(unquote(path.rsplit("/", 1)[1]))
            return (200, json.dumps(gateway.status(deployed)), {}) if deployed else (404, "", {})
        if path != "/system/functions":
            return 404, "404 page not found\n", {}
        if self.command == "GET":
            return 200, json.dumps([gateway.status(one) for one in gateway.functions.values()]), {}
        return {"POST": gateway.deploy, "PUT": gateway.update, "DELETE": gateway.delete}[self.command](body)

    def _call(self, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        gateway = self.server
        name, _, rest = path.removeprefix("/function/").partition("/")
        name, _, namespace = name.partition(".")
        proxy = {"x-openfaas-internal": "proxy"}
        if gateway.invocations_disabled:
            text = "the OpenFaaS CE EULA only permits: 15 functions, visit https://openfaas.com/pricing"
            return 405, f"Function invocations disabled due to error: {text}.\n", {}
        with gateway.lock:
            gateway.forget_the_dead()
            deployed = gateway.functions.get(name)
            if deployed is None or namespace not in ("", gateway.namespace):
                return 404, f"error finding function {name}.{gateway.namespace}: server returned non-200 status", {}
        held_until = time.monotonic() + gateway.hold_seconds
        while True:
            with gateway.lock:
                pod = gateway.serving(deployed)
            if pod is not None or time.monotonic() >= held_until or gateway.ending.wait(0.02):
                break
        if pod is None:
            return 503, f"No endpoints available for: {name}.\n", proxy
        url = pod.url or gateway.upstream
        if url:
            return self._hand_on(url, f"/{rest}", body)
        return gateway.service(pod, f"/{rest}")

    def _hand_on(self, to: str, path: str, body: bytes) -> tuple[int, str, dict[str, str]]:
        url, query = urlsplit(to), urlsplit(self.path).query
        connection = http.client.HTTPConnection(url.hostname or "", url.port, timeout=self.server.upstream_timeout)
        try:
            connection.request(self.command, path + (f"?{query}" if query else ""), body)
            reply = connection.getresponse()
            own = ("content-length", "date", "server", "connection")
            headers = {name: value for name, value in reply.getheaders() if name.lower() not in own}
            return reply.status, reply.read().decode("utf-8"), headers
        except TimeoutError:
            return 502, "", {}
        except OSError:
            return 500, "", {"X-OpenFaaS-Internal": "of-watchdog"}
        finally:
            connection.close()

    def _answer(self, status: int, text: str, headers: dict[str, str]) -> None:
        data = text.encode()
        with contextlib.suppress(OSError):  # the client may have given up waiting
            self.send_response(status)
            for name, value in {**headers, "Content-Length": str(len(data))}.items():
                self.send_header(name, value)
            self.end_headers()
            self.wfile.write(data)

    def log_message(self, *arguments: object) -> None:
        """Tests have no use for an access log."""


class StandinGateway(ThreadingHTTPServer):
    """The stand-in on 127.0.0.1; ``with`` it, and ``url`` is its address. Every attribute may be set while it runs.

    ``pod_seconds`` pass from a pod's beginning until its watchdog answers, which is when an update takes the old pod
    away; ``train_seconds`` more until the service says that it is ready; ``terminate_seconds`` from a removal until the
    function is no longer listed, within which its pod still answers if it is ``lingering``. A call is held for
    ``hold_seconds`` while no pod answers (gateway/scaling: 1000 looks, 100 ms apart). ``start_fails`` is the
    reason of a failed start. ``reports_env``: as providers do that are not CE. ``reported_image`` is a lie about what
    is deployed. ``requests`` holds every request as (method, target, body, headers).
    """

    daemon_threads = True
    block_on_close = False

    def __init__(
        self,
        *,
        port: int = 0,
        username: str = "admin",
        password: str = "stand-in-password",
        namespace: str = "openfaas-fn",
        secrets: Sequence[str] = (),
        refused_images: Sequence[str] = (),
        refusal: str = REFUSAL,
        function_limit: int = 15,
        pod_seconds: float = 0.0,
        train_seconds: float = 0.0,
        terminate_seconds: float = 0.0,
        upstream: str | None = None,
        upstream_timeout: float = 60.0,
    ) -> None:
        super().__init__(("127.0.0.1", port), _Handler)
        self.url = f"http://127.0.0.1:{self.server_address[1]}"
        self.authorization = "Basic " + base64.b64encode(f"{username}:{password}".encode()).decode()
        self.namespace = namespace
        self.secrets = set(secrets)
        self.refused_images = set(refused_images)
        self.refusal = refusal
        self.function_limit = function_limit
        self.pod_seconds = pod_seconds
        self.train_seconds = train_seconds
        self.terminate_seconds = terminate_seconds
        self.upstream = upstream
        self.upstream_timeout = upstream_timeout
        self.hold_seconds = 100.0
        self.lingering = False
        self.start_fails: str | None = None
        self.names_instance = True
        self.reports_env = False
        self.reported_image: str | None = None
        self.provider_away = False
        self.invocations_disabled = False
        self.log = ["stand-in service: starting"]
        self.faults: list[Fault] = []
        self.functions: dict[str, Deployed] = {}
        self.requests: list[tuple[str, str, bytes, dict[str, str]]] = []
        self.lock = threading.RLock()
        self.ending = threading.Event()
        self._numbers = itertools.count(1)

    def __enter__(self) -> StandinGateway:
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: object) -> None:
        self.ending.set()
        self.shutdown()
        self.server_close()

    def sent(self, method: str) -> list[dict[str, Any]]:
        """The bodies of the requests of one method to the gateway's own interface."""
        return [
            json.loads(body)
            for used, target, body, _ in self.requests
            if used == method and target.startswith("/system/")
        ]

    def next_fault(self, method: str, path: str) -> Fault | None:
        """The first fault for such a request that is not used up; it counts down."""
        for fault in self.faults:
            if fault.times and fault.method == method and path.startswith(fault.path):
                fault.times -= 1
                return fault
        return None

    def info(self) -> dict[str, Any]:
        """The body of GET /system/info; without its provider the gateway says null."""
        provider = {
            "provider": "faas-netes-ce",
            "orchestration": "kubernetes",
            "version": {"sha": "0" * 40, "release": VERSION["provider"]},
        }
        gateway = {"sha": "0" * 40, "release": VERSION["gateway"]}
        return {"provider": None if self.provider_away else provider, "version": gateway, "arch": "x86_64"}

    def wrong_namespace(self, namespace: str | None) -> tuple[int, str, dict[str, str]] | None:
        """The provider's refusal of a namespace that is not its own."""
        if namespace in (None, "", self.namespace):
            return None
        return 400, f"namespace must be: {self.namespace}\n", {}

    def status(self, deployed: Deployed) -> dict[str, Any]:
        """A FunctionStatus as the Community Edition fills it: no environment, no read-only root file system."""
        request = deployed.request
        labels = {"faas_function": request["service"], **({"uid": deployed.uid} if deployed.uid else {})}
        status = {
            "name": request["service"],
            "image": self.reported_image or request["image"],
            "namespace": self.namespace,
            "secrets": sorted(request.get("secrets") or []),
            "labels": {**labels, **(request.get("labels") or {})},
            "annotations": {"prometheus.io.scrape": "false", **(request.get("annotations") or {})},
            "replicas": 1,
            "availableReplicas": 1 if self.serving(deployed) else 0,
            "createdAt": deployed.created,
        }
        for kind in ("limits", "requests"):
            given = {name: text for name, text in (request.get(kind) or {}).items() if text}
            if given:
                status[kind] = {name: canonical(given.get(name, "0")) for name in ("memory", "cpu")}
        if self.reports_env:
            status["envVars"] = request.get("envVars") or {}
        return {name: value for name, value in status.items() if value not in ([], {}, 0)}

    def serving(self, deployed: Deployed) -> Pod | None:
        """The pod that gets the calls now: the old one until the new one's watchdog answers."""
        if deployed.deleted is not None and not self.lingering:
            return None
        if time.monotonic() >= deployed.pod.begun + self.pod_seconds:
            return deployed.pod
        return deployed.old

    def forget_the_dead(self) -> None:
        """Drop the functions whose removal is over."""
        now = time.monotonic()
        for name, deployed in list(self.functions.items()):
            if deployed.deleted is not None and now >= deployed.deleted + self.terminate_seconds:
                del self.functions[name]

    def _pod(self) -> Pod:
        return Pod(f"instance-{next(self._numbers)}", time.monotonic())

    def _invalid(self, request: dict[str, Any]) -> tuple[int, str, dict[str, str]] | None:
        if not re.fullmatch(r"[a-z0-9]([-a-z0-9]*[a-z0-9])?", request.get("service", "")):
            name = request.get("service")
            return 400, f"validation failed: service: ({name}) is invalid, must be a valid DNS entry\n", {}
        if not request.get("image"):
            return 400, "validation failed: image: is required\n", {}
        if (request.get("labels") or {}).get("com.openfaas.scale.zero") == "true":
            return 400, "validation failed: com.openfaas.scale.zero not available for Community Edition\n", {}
        return self.wrong_namespace(request.get("namespace"))

    def deploy(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        """POST /system/functions."""
        request = json.loads(body)
        name, image = request.get("service", ""), request.get("image", "")
        refusal = self._invalid(request)
        if refusal:
            return refusal
        for secret in request.get("secrets") or []:
            if secret not in self.secrets:
                return 400, f'unable to fetch secrets: secrets "{secret}" not found\n', {}
        if image in self.refused_images:
            return 400, f"{self.refusal}\n", {}
        if len(self.functions) + 1 > self.function_limit:
            text = f"unable to create function, maximum: {self.function_limit}, visit https://openfaas.com/pricing"
            return 400, f"{text} to upgrade to OpenFaaS Standard\n", {}
        if name in self.functions:
            return 500, f'unable create Deployment: deployments.apps "{name}" already exists\n', {}
        created = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
        self.functions[name] = Deployed(copy.deepcopy(request), self._pod(), created)
        return 202, "", {}

    def update(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        """PUT /system/functions: what fails after the validation is logged by the provider, and answered with 200."""
        request = json.loads(body)
        refusal = self._invalid(request)
        if refusal:
            return refusal
        deployed = self.functions.get(request["service"])
        if deployed is None:
            name = f"{request['service']}.{self.namespace}"
            return 404, f"unable update Deployment: {name}, error: deployments.apps not found\n", {}
        missing = set(request.get("secrets") or []) - self.secrets
        if request["image"] in self.refused_images or missing:
            return 200, "", {}
        deployed.old, deployed.pod = self.serving(deployed), self._pod()
        deployed.request, deployed.uid = copy.deepcopy(request), str(time.monotonic_ns() % 10**9)
        return 202, "", {}

    def delete(self, body: bytes) -> tuple[int, str, dict[str, str]]:
        """DELETE /system/functions."""
        deployed = self.functions.get(json.loads(body)["functionName"])
        if deployed is None:
            return 404, "deployments.apps not found", {}
        if deployed.deleted is None:
            deployed.deleted = time.monotonic()
        return 202, "", {}

    def service(self, pod: Pod, path: str) -> tuple[int, str, dict[str, str]]:
        """What the watchdog and the service in a pod answer."""
        if path == "/_/health":
            return 200, "OK", {}
        named = {"instance_id": pod.instance_id} if self.names_instance else {}
        headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
        status, document = self._said(pod, path, named)
        return status, json.dumps(document), headers

    def _said(self, pod: Pod, path: str, named: dict[str, str]) -> tuple[int, dict[str, Any]]:
        if path == "/healthz":
            return 200, {"serving": True, **named}
        if path != "/ready":
            return 404, {"error": f"no such path: {path}"}
        if time.monotonic() < pod.begun + self.pod_seconds + self.train_seconds:
            return 503, {"phase": "train", "progress": 0.5, "elapsed_seconds": 1.0}
        if self.start_fails:
            return 500, {"error": f"the start failed: {self.start_fails}", "phase": "failed"}
        return 200, {"ready": True, **named}


if __name__ == "__main__":
    with StandinGateway(**json.loads(sys.argv[1])) as running:
        print(f"stand-in OpenFaaS gateway at {running.url}", flush=True)
        threading.Event().wait()
