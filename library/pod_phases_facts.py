#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: the cluster's side of a cold start."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_phases_facts
short_description: Deletes a pod and tells by the cluster's watches what took its place, and when
description:
  - Makes a cold start on a cluster and proves it. The pods of O(label_selector) are deleted, and what takes their place
    is followed until O(stop_file) appears, through watches of pods, Events and the endpoints of O(service).
  - The client is imported and connected, everything is listed, the watches are open and the right to delete has been
    tried (a dry run) before O(ready_file) is made. Then O(start_file) is awaited, so that none of that is in a figure.
  - Every delivery of a watch is stamped with CLOCK_MONOTONIC at its receipt, so that a stamp is the latest moment at
    which something can have happened. The resolution beside it is by how much it may be late.
  - Where a container runs on this host (KinD), its first process in C(/proc) gives its start to a clock tick, and that
    process's end is awaited from the kernel. Kubernetes' own stamps, most of them in whole seconds, are used only there
    and where no finer source exists.
  - Runs where the cluster's API server is reached, usually on the controller. Start it with C(poll=0) beside what
    waits for the service, and collect it with O(recording).
options:
  kubeconfig:
    description:
      - The kubeconfig file. The default is E(KUBECONFIG), else C(~/.kube/config).
      - The file is never changed.
    type: path
  context:
    description: The context in O(kubeconfig). The default is its current context.
    type: str
  namespace:
    description: The namespace of the pods. Needed without O(recording).
    type: str
  label_selector:
    description:
      - Which pods are deleted and followed, as C(faas_function=NAME). Needed without O(recording).
      - Of a pod with several containers the first is followed.
    type: str
  service:
    description:
      - The Service whose endpoints must be empty before the new pod serves. Without it they are not watched.
    type: str
  delete:
    description: Whether to delete the pods. V(false) only follows what something else does to them.
    type: bool
    default: true
  grace_seconds:
    description:
      - How long a container may take to end after the signal to do so, at least 1.
      - With 0 Kubernetes would forget a pod whose container still runs.
    type: int
    default: 1
  start_file:
    description:
      - The start begins when this file appears; looked for every 2 ms. It must not exist at the beginning.
      - Needed without O(recording).
    type: path
  ready_file:
    description: A file made when the watches are open, for whoever makes O(start_file). It must not exist.
    type: path
  stop_file:
    description:
      - The watch ends when this file appears, and as soon as the old pods are gone and a new one is ready, for which it
        waits 10 seconds more at most. It must not exist at the beginning.
      - Needed without O(recording).
    type: path
  deadline_seconds:
    description:
      - The watch ends after this time whatever happens; an hour by default.
      - With O(recording), how long to wait for the recording task to end; 60 seconds by default.
    type: float
  recording:
    description:
      - The registered result of an earlier C(pod_phases_facts) task that ran asynchronously on this host.
      - With it no cluster is asked; the facts of that task are returned, waiting for its end where needed.
    type: dict
requirements:
  - kubernetes (Python package), except with O(recording)
attributes:
  check_mode:
    description: Returns the plan; asks no cluster and deletes nothing.
    support: full
  diff_mode:
    description: Returns details on what has changed.
    support: none
  facts:
    description: Returns the fact C(pod_phases).
    support: full
author:
  - Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Watch the function's pod, and delete it when the start begins
  pod_phases_facts:
    kubeconfig: /var/lib/evenkeel/kind/kubeconfig
    namespace: openfaas-fn
    label_selector: faas_function=cifar-cnn
    service: cifar-cnn
    ready_file: /tmp/trial/pods.ready
    start_file: /tmp/trial/start
    stop_file: /tmp/trial/pods.stop
    deadline_seconds: 1800
  async: "{{ ansible_check_mode | ternary(0, 1830) }}"
  poll: 0
  register: pods

- name: Wait until it watches
  ansible.builtin.wait_for:
    path: /tmp/trial/pods.ready
    timeout: 60

- name: Start the function and measure it
  service_startup:
    start_argv: [touch, /tmp/trial/start]
    url: http://127.0.0.1:31112/function/cifar-cnn
    instance: true
    behind_gateway: true
    replaces: true

- name: End the watch
  ansible.builtin.file:
    path: /tmp/trial/pods.stop
    state: touch
    mode: "0644"

- name: Take what the watch saw
  pod_phases_facts:
    recording: "{{ pods }}"
"""

RETURN = r"""
plan:
  description: What would be done.
  returned: in check mode
  type: dict
  sample: {namespace: openfaas-fn, label_selector: faas_function=cifar-cnn, delete: true, grace_seconds: 1}
ansible_facts:
  description: The fact C(pod_phases).
  returned: when a new pod became ready, or may have done so while a watch was broken
  type: dict
  contains:
    pod_phases:
      description: The cluster's side of one start. All stamps ending in C(_seconds) count from its beginning.
      type: dict
      returned: always
      contains:
        valid:
          description: Whether this was a cold start, proven.
          type: bool
          returned: always
        invalid_reasons:
          description:
            - What is not proven. Each begins with V(not_cold), V(overlap), V(not_deleted), V(several_pods),
              V(pod_failed) or V(watch_broken) and a colon.
          type: list
          elements: str
          returned: always
        start_monotonic_seconds:
          description: CLOCK_MONOTONIC when O(start_file) was seen; the zero of all other stamps.
          type: float
          returned: always
        start_resolution_seconds:
          description: By how much later than the file that may be.
          type: float
          returned: always
        host_boot_id:
          description: The boot of this host, whose monotonic clock the stamps are from.
          type: str
          returned: always
        ended_by:
          description: What ended the watch, V(stop_file), V(deadline) or V(folder_gone), the folder of the stop file.
          type: str
          returned: always
        old:
          description:
            - The pods that were there before. C(gone_seconds) is when Kubernetes knew the pod no more,
              C(container_ended_seconds) when its container had ended, by the C(process) itself or by the C(watch).
          type: list
          elements: dict
          returned: always
          sample:
            - uid: 6f1d1c5e-3c39-4ab7-9c55-f0a63a2f9a10
              name: cifar-cnn-7d9f6c5b8-x2x7k
              container_id: 3f4b9c1de07a
              gone_seconds: 1.412
              container_ended_seconds: 1.061
              container_ended_source: process
              container_ended_resolution_seconds: 0.02
        pod:
          description:
            - The pod that took their place; null where none came. C(started_at) is Kubernetes' own stamp.
          type: dict
          returned: always
          sample:
            uid: 0a3c7d0a-92f4-4f2e-8a55-6d3f6f6b2a11
            name: cifar-cnn-7d9f6c5b8-9q4vd
            node: evenkeel-control-plane
            image: 172.18.0.100:5000/cifar-cnn:0123456789ab
            image_id: 172.18.0.100:5000/cifar-cnn@sha256:5feceb66
            container_id: 9d0c2a7b11f3
            started_at: "2026-01-01T00:00:01Z"
            restarts: 0
        phases:
          description:
            - Its steps. C(deleted) is from the request to delete until the last old pod was gone, C(scheduled) from the
              new pod's making until it was bound to a node, C(image) the pull (without length where the image was
              there), C(container_started) until the container's first process was made, C(container_ready) until the
              pod's status said that it passes its readiness probe. A step that was not seen is left out.
            - C(source) says where the end is from, V(process) (C(/proc)), V(watch) (a receipt), V(event_time) (an
              Event's microseconds) or V(kubernetes) (whole seconds).
            - C(resolution_seconds) says by how much the end may be late.
          type: list
          elements: dict
          returned: always
          sample:
            - name: container_started
              begin_seconds: 0.91
              end_seconds: 1.23
              source: process
              resolution_seconds: 0.01
        overlap_seconds:
          description:
            - For how long at most an old container ran beside the new one; above 0.5 the start is invalid.
            - Null where an end or the start was not seen.
          type: float
          returned: always
        image_pulled:
          description:
            - Whether the kubelet pulled the image (V(true)) or found it on the node (V(false)); null where no Event
              says so. Where the pod's policy is to pull always, as with OpenFaaS CE, it pulls even when every layer is
              there, and the pull is then one question to the registry.
          type: bool
          returned: always
        image_pull:
          description:
            - The kubelet's own figures of the pull, on the node's monotonic clock, C(seconds), C(seconds_with_waiting)
              for other pulls, and the image's size in C(bytes). Null without a pull; older kubelets give fewer.
          type: dict
          returned: always
          sample: {seconds: 0.053, seconds_with_waiting: 0.053, bytes: 129338587}
        endpoints_empty_seconds:
          description: When O(service) led to no pod but the new one; null where it was not seen so or not watched.
          type: float
          returned: always
        endpoints_kind:
          description: What told the endpoints, V(EndpointSlice) or V(Endpoints); null where they were not watched.
          type: str
          returned: always
        watch_gaps:
          description:
            - When a watch was broken and what broke it. What came in afterwards has a resolution as wide as the gap.
            - A gap of pods or endpoints without an end makes the start invalid.
          type: list
          elements: dict
          returned: always
          sample:
            - watch: pods
              begin_seconds: 0.2
              end_seconds: 0.31
              reason: the server closed the connection
        timeline:
          description: Every delivery since the start, each in a line, without Events about other pods; at most 150.
          type: list
          elements: dict
          returned: always
          sample:
            - seconds: 0.034
              watch: pods
              type: ADDED
              name: cifar-cnn-7d9f6c5b8-9q4vd
              what: Pending, on no node
        client:
          description: CPU seconds this module itself used since the start.
          type: dict
          returned: always
          sample:
            cpu_seconds: 0.06
invalid_reasons:
  description: As in the fact.
  returned: when no new pod became ready
  type: list
  elements: str
conditions:
  description: The conditions of the pod that did not become ready, as Kubernetes gives them.
  returned: when no new pod became ready
  type: list
  elements: dict
events:
  description: The newest Events about that pod.
  returned: when no new pod became ready
  type: list
  elements: str
timeline:
  description: As in the fact.
  returned: when no new pod became ready
  type: list
  elements: dict
"""

import contextlib
import ipaddress
import json
import os
import select
import socket
import threading
import time
import traceback
from urllib.parse import urlsplit

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.evenkeel import clock, pod_phases, watch

START_POLL_SECONDS = 0.002
LOOK_SECONDS = 0.02
"""How often the stop file is looked for, and within what time a process's end is seen."""
SETTLE_SECONDS = 10.0
"""How long after the stop file the old pod may still go and the new one get ready."""
RETRY_SECONDS = 0.2
CONNECT_SECONDS = 5.0
ANSWER_SECONDS = 10.0
SILENCE_SECONDS = 60.0
"""A watch that delivers nothing for so long is opened again, from where it was: its connection may be dead."""
NEEDED = ("namespace", "label_selector", "start_file", "stop_file")

# The label by which an EndpointSlice names its Service: kubernetes/kubernetes at b799f516,
# staging/src/k8s.io/api/discovery/v1/well_known_labels.go.
SERVICE_LABEL = "kubernetes.io/service-name"


class ClusterError(Exception):
    """The cluster did not do what was asked; the message says what was asked, what it answered and what to do."""

    def __init__(self, message, status=None):
        super().__init__(message)
        self.status = status


class ClientMissing(Exception):
    """The Python package kubernetes is not there."""


class Expired(Exception):
    """The cluster no longer knows what came after the last delivery: only a list can tell (410 Gone)."""


# --- the cluster ------------------------------------------------------------------------------------------------------


class Cluster:
    """A cluster through Kubernetes' dynamic client. Raises ClusterError for whatever does not work."""

    def __init__(self, kubeconfig, context, cache_file):
        # Here, not above: it takes a second, and collecting a recording needs none of it.
        try:
            from kubernetes import client, config, dynamic  # noqa: PLC0415
            from kubernetes.dynamic import exceptions  # noqa: PLC0415
            from urllib3.exceptions import HTTPError  # noqa: PLC0415
            from yaml import YAMLError  # noqa: PLC0415
        except ImportError as error:
            raise ClientMissing(traceback.format_exc()) from error
        self._api_errors = (client.ApiException,)
        self._not_found = exceptions.ResourceNotFoundError
        self.errors = (client.ApiException, HTTPError, OSError, ValueError)
        self.host = "?"
        named = kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
        if kubeconfig is not None and not os.path.isfile(kubeconfig):
            raise ClusterError(f"the kubeconfig {kubeconfig} does not exist; create the cluster, or correct kubeconfig")
        configuration = client.Configuration()
        try:
            config.load_kube_config(
                config_file=kubeconfig, context=context, client_configuration=configuration, persist_config=False
            )
        except config.ConfigException as error:
            wanted = "its current context" if context is None else f"the context {context}"
            raise ClusterError(
                f"cannot use {wanted} of {named}: {error}; kubectl config get-contexts --kubeconfig {named} lists them"
            ) from error
        except (YAMLError, OSError, ValueError, TypeError) as error:
            raise ClusterError(f"the kubeconfig {named} cannot be used: {error}; correct kubeconfig") from error
        self.host = configuration.host
        with self._asking("which interfaces it has"):
            # A cache file of its own: the default one is shared by everybody who speaks to the same address.
            self._dynamic = dynamic.DynamicClient(client.ApiClient(configuration), cache_file=cache_file)

    @property
    def is_local(self):
        """Whether the API server's address is of this host alone, so that its clock is this host's."""
        name = urlsplit(self.host).hostname or ""
        with contextlib.suppress(ValueError):
            return ipaddress.ip_address(name).is_loopback
        return name == "localhost"

    def resource(self, api_version, kind):
        """A kind of object, or None where the cluster has none of it."""
        try:
            with self._asking(f"for its interface {api_version} {kind}"):
                # With the prefix: without it the interfaces of every group would be asked for.
                prefix = "apis" if "/" in api_version else "api"
                return self._dynamic.resources.get(prefix=prefix, api_version=api_version, kind=kind)
        except self._not_found:
            return None

    def list(self, resource, selectors):
        """One list of objects: ``{"metadata": ..., "items": [...]}``."""
        with self._asking(f"for a list of {resource.name} in {selectors['namespace']}"):
            answer = resource.get(serialize=False, _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS), **selectors)
            found = json.loads(answer.data)
            for item in found["items"]:
                trim(item)
            return found

    def open(self, resource, selectors, resource_version):
        """A watch of objects from that version on: the open answer. Raises Expired where it is too old."""
        try:
            with self._asking(f"for a watch of {resource.name} in {selectors['namespace']}"):
                return resource.get(
                    serialize=False,
                    watch=True,
                    resource_version=resource_version,
                    allow_watch_bookmarks=True,
                    _request_timeout=(CONNECT_SECONDS, SILENCE_SECONDS),
                    **selectors,
                )
        except ClusterError as error:
            if error.status == 410:
                raise Expired(str(error)) from error
            raise

    def delete(self, resource, pod, grace_seconds, dry_run):
        """Ask for a pod's deletion, for this very pod and no other of its name."""
        # v1 DeleteOptions: gracePeriodSeconds, preconditions.uid, dryRun (models of the package kubernetes 37.0.1).
        options = {
            "kind": "DeleteOptions",
            "apiVersion": "v1",
            "gracePeriodSeconds": grace_seconds,
            "preconditions": {"uid": pod["metadata"]["uid"]},
            **({"dryRun": ["All"]} if dry_run else {}),
        }
        name, namespace = pod["metadata"]["name"], pod["metadata"]["namespace"]
        with self._asking(f"to delete pod {name} in {namespace}{' (a dry run)' if dry_run else ''}"):
            resource.delete(
                name=name,
                namespace=namespace,
                body=options,
                serialize=False,
                _request_timeout=(CONNECT_SECONDS, ANSWER_SECONDS),
            )

    @contextlib.contextmanager
    def _asking(self, what):
        try:
            yield
        except self._not_found:
            raise
        except self._api_errors as error:
            raise ClusterError(self._refused(what, error), error.status) from error
        except self.errors as error:
            raise ClusterError(
                f"no Kubernetes API server answered at {self.host}, asked {what}: {error}; "
                "is the cluster up, and does the kubeconfig name its address?"
            ) from error

    def _refused(self, what, error):
        said = error.body.decode(errors="replace") if isinstance(error.body, bytes) else str(error.body or error.reason)
        with contextlib.suppress(ValueError, KeyError, TypeError):
            said = json.loads(said)["message"]
        hint = {
            401: "; its credentials are not accepted: get a new kubeconfig, or name another context",
            403: "; give the kubeconfig's user that right (a Role in the namespace), or use another",
        }.get(error.status, "")
        return f"the cluster at {self.host}, asked {what}, answered {error.status or 'nothing'}: {said[:500]}{hint}"


def trim(item):
    """Leave out what grows long and says nothing here."""
    (item.get("metadata") or {}).pop("managedFields", None)


# --- the watches ------------------------------------------------------------------------------------------------------


class Records:
    """What the watches deliver, in order of receipt."""

    def __init__(self):
        self._lock = threading.Lock()
        self._records = []

    def add(self, *record):
        with self._lock:
            self._records.append(pod_phases.Record(*record))

    def all(self):
        with self._lock:
            # Two watches may have stamped in one order and come here in the other.
            return sorted(self._records, key=lambda record: record.at)

    def __len__(self):
        return len(self._records)


class Watcher(threading.Thread):
    """Follows one kind of objects: lists it, watches it from there, and goes on after whatever breaks the watch."""

    def __init__(self, name, cluster, resource, selectors, records):
        super().__init__(name=f"watch {name}", daemon=True)
        self.resource = resource
        self._watch = name
        self._cluster = cluster
        self._selectors = selectors
        self._records = records
        self._over = threading.Event()
        self._version = None
        self._answer = None
        self._broken = None

    def begin(self):
        """List, and open the watch; its deliveries are read from ``start`` on."""
        self._list()
        self._answer = self._cluster.open(self.resource, self._selectors, self._version)

    def end(self):
        """Stop following."""
        self._over.set()
        connection = getattr(getattr(self._answer, "connection", None), "sock", None)
        if connection is not None:
            # Wakes the thread that reads; to close the answer would wait for it.
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def run(self):
        """Read until the end."""
        relisted = False
        while not self._over.is_set():
            try:
                if self._answer is None:
                    self._answer = self._cluster.open(self.resource, self._selectors, self._version)
                if self._broken is not None:
                    self._add(pod_phases.RESUMED, {"relisted": relisted})
                    self._broken, relisted = None, False
                self._read()
                self._break("the server ended the watch")
            except Expired as error:
                self._break(str(error))
                relisted = self._list_again()
            except (ClusterError, *self._cluster.errors) as error:
                self._break(str(error))
                self._over.wait(RETRY_SECONDS)

    def _read(self):
        kept = b""
        for segment in self._answer.stream(amt=None, decode_content=False):
            at = clock.monotonic()
            *lines, kept = (kept + segment).split(b"\n")
            for line in lines:
                if line.strip():
                    self._receive(at, json.loads(line))

    def _receive(self, at, delivery):
        kind, item = delivery["type"], delivery["object"]
        if kind == "ERROR":
            # A Status in place of an object: kubernetes/kubernetes at 1fb61a28, apimachinery's meta/v1/watch.go.
            said = f"{item.get('code')} {item.get('reason')}: {item.get('message')}"
            raise Expired(said) if item.get("code") == 410 else ClusterError(said)
        trim(item)
        self._version = item["metadata"]["resourceVersion"]
        if kind != "BOOKMARK":
            self._records.add(at, self._watch, kind, item)

    def _list(self):
        found = self._cluster.list(self.resource, self._selectors)
        self._version = found["metadata"]["resourceVersion"]
        self._add(pod_phases.LISTED, {"items": found["items"]})

    def _list_again(self):
        try:
            self._list()
        except (ClusterError, *self._cluster.errors) as error:
            self._break(str(error))
            self._over.wait(RETRY_SECONDS)
            return False
        return True

    def _break(self, reason):
        """Say that the watch is broken; once until it is made good, with the newest reason."""
        self._answer = None
        if self._over.is_set():
            return
        if self._broken is None:
            self._broken = {"reason": reason}
            self._add(pod_phases.BROKEN, self._broken)
        self._broken["reason"] = reason

    def _add(self, kind, item):
        self._records.add(clock.monotonic(), self._watch, kind, item)


def watchers_of(cluster, options, records, warn):
    """``(watchers by name, kind of endpoints)``: what is followed for these options, listed and open."""
    selectors = {"namespace": options["namespace"]}
    pods = cluster.resource("v1", "Pod")
    found = {
        pod_phases.PODS: Watcher(
            pod_phases.PODS, cluster, pods, {**selectors, "label_selector": options["label_selector"]}, records
        ),
        pod_phases.EVENTS: Watcher(
            pod_phases.EVENTS,
            cluster,
            cluster.resource("v1", "Event"),
            {**selectors, "field_selector": "involvedObject.kind=Pod"},
            records,
        ),
    }
    kind = None
    if options["service"] is not None:
        watcher, kind = endpoints_watcher(cluster, options, records)
        found[pod_phases.ENDPOINTS] = watcher
    for name, watcher in list(found.items()):
        try:
            watcher.begin()
        except ClusterError as error:
            if name != pod_phases.EVENTS or error.status != 403:
                raise
            warn(f"whether the image was pulled stays unknown, since Events may not be read: {error}")
            del found[name]
    return found, kind


def endpoints_watcher(cluster, options, records):
    """``(watcher, kind)`` of the Service's endpoints: its EndpointSlices, or the older Endpoints where there are none.

    Endpoints are deprecated from Kubernetes 1.33 on, but a user may be allowed to read them and not the others.
    """
    slices = cluster.resource("discovery.k8s.io/v1", "EndpointSlice")
    by_label = {"namespace": options["namespace"], "label_selector": f"{SERVICE_LABEL}={options['service']}"}
    if slices is not None:
        try:
            cluster.list(slices, by_label)
            return Watcher(pod_phases.ENDPOINTS, cluster, slices, by_label, records), "EndpointSlice"
        except ClusterError as error:
            if error.status != 403:
                raise
    by_name = {"namespace": options["namespace"], "field_selector": f"metadata.name={options['service']}"}
    endpoints = cluster.resource("v1", "Endpoints")
    return Watcher(pod_phases.ENDPOINTS, cluster, endpoints, by_name, records), "Endpoints"


# --- the containers' processes ----------------------------------------------------------------------------------------


class Processes:
    """First processes of containers on this host: when each was made, and when it ended, told by the kernel."""

    def __init__(self):
        self.inits = {}
        self._poll = select.poll()
        self._ids = {}
        self._running = clock.monotonic()

    def look_for(self, container_id, follow):
        """Find a container's first process, if it is here; with ``follow`` its end is stamped by ``wait``."""
        init = pod_phases.find_init(container_id)
        if init is None:
            return
        self.inits[container_id] = init
        if follow:
            try:
                descriptor = os.pidfd_open(init.pid)
            except OSError:  # not before Linux 5.3, or it has just ended: the watch tells
                return
            self._ids[descriptor] = container_id
            self._poll.register(descriptor, select.POLLIN)

    def wait(self, seconds):
        """Wait so long, or until one of those followed ends."""
        ended = self._poll.poll(seconds * 1000)
        now = clock.monotonic()
        for descriptor, _ in ended:
            name = self._ids.pop(descriptor)
            self.inits[name] = self.inits[name]._replace(ended=now, end_resolution_seconds=now - self._running)
            self._poll.unregister(descriptor)
            os.close(descriptor)
        self._running = now

    def close(self):
        """Let go of those that have not ended."""
        for descriptor in self._ids:
            os.close(descriptor)


# --- one start --------------------------------------------------------------------------------------------------------


class Observer:
    """One start of a pod, watched."""

    def __init__(self, options, cluster, warn):
        self._options = options
        self._cluster = cluster
        self._records = Records()
        self._watchers, self._endpoints_kind = watchers_of(cluster, options, self._records, warn)
        self._processes = Processes()
        self.deletion = None

    def records(self):
        """What was delivered so far."""
        return self._records.all()

    def prepare(self):
        """Everything that must not lie in the figure: the right to delete, the old processes, the readers."""
        old = pod_phases.old_pods(self.records(), clock.monotonic())
        if self._options["delete"]:
            self._check_deployed(old)
            for pod in old.values():
                self._delete(pod, dry_run=True)
        for pod in old.values():
            found = pod_phases.container_id(pod)
            if found is not None:
                self._processes.look_for(found, follow=True)
        for watcher in self._watchers.values():
            watcher.start()

    def _check_deployed(self, old):
        namespace, service = self._options["namespace"], self._options["service"]
        if not old:
            raise ClusterError(
                f"no pod in {namespace} matches {self._options['label_selector']}, so that none can be deleted; "
                "deploy the function first, or correct namespace and label_selector"
            )
        listed = [record.object["items"] for record in self.records() if record.watch == pod_phases.ENDPOINTS]
        if service is not None and not any(listed):
            raise ClusterError(
                f"no service {service} with endpoints is in {namespace}, so that they cannot be seen to become empty; "
                "correct service, or leave it out"
            )

    def _delete(self, pod, dry_run):
        try:
            resource = self._watchers[pod_phases.PODS].resource
            self._cluster.delete(resource, pod, self._options["grace_seconds"], dry_run)
        except ClusterError as error:
            # Gone already, or its name is another pod's by now.
            if error.status not in (404, 409):
                raise

    def delete(self, at):
        """Delete the pods that exist at that moment."""
        old = pod_phases.old_pods(self.records(), at)
        self.deletion = clock.monotonic()
        for pod in old.values():
            self._delete(pod, dry_run=False)

    def follow(self, course, start):
        """Watch until the course is over and, for a little longer, until nothing more is to come."""
        looked_for = set()
        settle = None
        known = 0
        while True:
            self._processes.wait(LOOK_SECONDS)
            if len(self._records) != known:
                known = len(self._records)
                for found in pod_phases.new_container_ids(self.records(), start):
                    if found not in looked_for:
                        looked_for.add(found)
                        self._processes.look_for(found, follow=False)
            if not course.over():
                continue
            settle = settle or clock.Deadline(SETTLE_SECONDS)
            if course.expired() or settle.expired() or pod_phases.is_complete(self.records(), start):
                return

    def facts(self, start):
        """What is to be said of the start."""
        inits = dict(self._processes.inits)
        local = bool(inits) and self._cluster.is_local
        run = pod_phases.Run(
            start=start,
            host_boot_id=clock.host_boot_id(),
            deletion=self.deletion,
            service=self._options["service"],
            inits=inits,
            wall_offset=clock.wall_clock_offset() if local else None,
        )
        return {**pod_phases.facts(self.records(), run), "endpoints_kind": self._endpoints_kind}

    def end(self):
        """Stop watching."""
        for watcher in self._watchers.values():
            watcher.end()
        self._processes.close()


def await_start(course, start_file):
    """``(when the start file was seen, by how much later than it was made)``, in seconds of CLOCK_MONOTONIC.

    Raises WatchError where the watch is over before.
    """
    asked = absent = course.ready_monotonic_seconds
    while not os.path.exists(start_file):
        absent = asked
        if course.over():
            raise watch.WatchError(
                f"the watch was ended ({course.ended_by}) before the start file {start_file} appeared; "
                "nothing was deleted"
            )
        time.sleep(START_POLL_SECONDS)
        asked = clock.monotonic()
    seen = clock.monotonic()
    return seen, seen - absent


def measure(module, options):
    """Watch one start and end the module with what was seen."""
    observer = None
    try:
        # An empty text is what a variable holds that means the default.
        kubeconfig, context = options["kubeconfig"] or None, options["context"] or None
        cluster = Cluster(kubeconfig, context, os.path.join(module.tmpdir, "interfaces.json"))
        observer = Observer(options, cluster, module.warn)
        observer.prepare()
        course = watch.Watch(options)
        course.ready()
        start, resolution_seconds = await_start(course, options["start_file"])
        used = time.process_time()
        if options["delete"]:
            observer.delete(start)
        observer.follow(course, start)
        facts = observer.facts(start)
    finally:
        if observer is not None:
            observer.end()
    facts["start_resolution_seconds"] = resolution_seconds
    facts["ended_by"] = course.ended_by
    facts["client"] = {"cpu_seconds": time.process_time() - used}
    watch.warn_of_deadline(module.warn, facts)
    if is_without_start(facts):
        fail_without_start(module, options, facts, pod_phases.diagnosis(observer.records(), start))
    module.exit_json(changed=bool(options["delete"]), ansible_facts={"pod_phases": facts})


def is_without_start(facts):
    """Whether there is nothing to report: no new pod got ready, and no watch was blind to it."""
    ready = any(phase["name"] == "container_ready" for phase in facts["phases"])
    blind = any(gap["watch"] == pod_phases.PODS and gap["end_seconds"] is None for gap in facts["watch_gaps"])
    return not ready and not blind


def fail_without_start(module, options, facts, found):
    """End the module with what the cluster says of the pod that did not get ready."""
    name = found["pod"]
    events = "; ".join(found["events"]) or "none"
    asked = f"kubectl -n {options['namespace']} "
    module.fail_json(
        msg=(
            f"No new pod of {options['label_selector']} was ready in {options['namespace']} when the watch ended "
            f"({facts['ended_by']}): {'' if name is None else f'pod {name} is '}{found['state']}. Last events: {events}"
        ),
        operation="follow a pod's start",
        invalid_reasons=facts["invalid_reasons"],
        conditions=found["conditions"],
        events=found["events"],
        timeline=facts["timeline"],
        next_step=asked + (f"get pods -l {options['label_selector']}" if name is None else f"describe pod {name}"),
    )


# --- the module -------------------------------------------------------------------------------------------------------


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        "kubeconfig": {"type": "path"},
        "context": {"type": "str"},
        "namespace": {"type": "str"},
        "label_selector": {"type": "str"},
        "service": {"type": "str"},
        "delete": {"type": "bool", "default": True},
        "grace_seconds": {"type": "int", "default": 1},
        "start_file": {"type": "path"},
        "ready_file": {"type": "path"},
        "stop_file": {"type": "path"},
        "deadline_seconds": {"type": "float"},
        "recording": {"type": "dict"},
    }


def check_options(options):
    """Refuse options that name no possible watch. Raises WatchError naming the option and the value."""
    missing = [name for name in NEEDED if not (options[name] or "").strip()]
    if missing:
        raise watch.WatchError(f"give {' and '.join(missing)}; without recording each of {', '.join(NEEDED)} is needed")
    if options["grace_seconds"] < 1:
        raise watch.WatchError(
            f"grace_seconds must be at least 1, not {options['grace_seconds']}: with 0 Kubernetes forgets a pod whose "
            "container still runs"
        )
    watch.check_options({**options, "duration_seconds": None, "interval_seconds": 1.0, "artifact_dir": None}, 1.0, 1.0)
    if os.path.exists(options["start_file"]):
        raise watch.WatchError(
            f"start_file {options['start_file']} exists already: remove what an earlier start left, or name another"
        )


def main():
    """Watch a start, or return what an earlier task saw of one."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = {**module.params, "duration_seconds": None}
    if options["recording"] is not None:
        watch.collect(module, "pod_phases")
    try:
        check_options(options)
        if module.check_mode:
            planned = {name: options[name] for name in argument_spec() if name != "recording"}
            planned["deadline_seconds"] = watch.own_deadline_seconds(options)
            module.exit_json(changed=options["delete"], plan=planned)
        measure(module, options)
    except ClientMissing as missing:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=str(missing))
    except (watch.WatchError, ClusterError, OSError) as error:
        module.fail_json(
            msg=str(error),
            operation="watch a pod's start",
            next_step="correct what the message names and run the task again",
        )


if __name__ == "__main__":
    main()
