# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A KinD cluster on this machine: read, made, waited for, explained where it fails, and removed.

What is relied on of kind and its nodes is in kubernetes-sigs/kind, read at v0.30.0:
``pkg/cluster/internal/providers/docker/{constants,provider}.go`` for the labels of a node's container, and for what a
cluster is (the containers with its label) and how it is removed (``docker rm -f -v``);
``pkg/cmd/kind/create/cluster`` for the flags, and that a failure removes the nodes unless ``--retain`` is given;
``pkg/internal/runtime`` for the variable that chooses Docker;
``pkg/cluster/internal/providers/common/proxy.go`` for the proxies that nodes are given, an empty one being none;
``images/base/files/etc/containerd/config.toml`` for containerd's settings in a node.
"""

from __future__ import annotations

import copy
import errno
import json
import os
import re
import socket
import tempfile
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

from . import cgroup, procfs
from .clock import Deadline
from .process import Completed, run_with_deadline

CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
CONTROL_PLANE = "control-plane"
# A container that only hands connections on to several control planes; it is no node of Kubernetes.
LOAD_BALANCER = "external-load-balancer"
PROXY_VARIABLES = ("HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy")
# Where a node's own kubectl finds the cluster.
NODE_KUBECTL = ("kubectl", "--kubeconfig=/etc/kubernetes/admin.conf")
# From this version on kubelet refuses cgroup version 1 unless told otherwise (kubernetes/kubernetes#134298).
FIRST_TO_REFUSE_CGROUP_V1 = (1, 35)
NAME_PATTERN = re.compile(r"[a-z0-9][a-z0-9.-]{0,49}")
REGISTRY_PATTERN = re.compile(r"[A-Za-z0-9._-]+(:[0-9]{1,5})?")
REGISTRY_URL_PATTERN = re.compile(r"https?://[A-Za-z0-9._~:/%-]+")

OWNER_SCHEMA = 1
# How far the cluster came that is written down.
CREATING, MADE = "creating", "made"
COMMAND_SECONDS = 30
EVIDENCE_SECONDS = 10
EVIDENCE_LINES = 20
REMOVAL_SECONDS = 120
POLL_SECONDS = 1.0
TAIL_CHARACTERS = 2000
PAGE_BYTES = 65536

# What a container of the node image is asked before a cluster is made of it, since it has the rights that a node has.
PROBE = """\
echo kubernetes=$(cat /kind/version)
echo containerd=$(sed -n 's/^version *= *//p' /etc/containerd/config.toml)
if (echo -998 >/proc/self/oom_score_adj) 2>/dev/null; then echo oom=lowered; else echo oom=kept; fi
if test -f /sys/fs/cgroup/cgroup.controllers; then echo cgroup=2; else echo cgroup=1; fi
"""

# Words of the programs in a node, what they mean, and what mends it. The first that fits is told.
NODE_CAUSES = (
    (
        r"too many open files|inotify_init",
        "the kernel's limits on inotify are too low for a node",
        "raise them: `sysctl -w fs.inotify.max_user_instances=512 fs.inotify.max_user_watches=524288`",
    ),
    (
        r"no space left on device",
        "the disk of the Docker engine is full",
        "make room (`docker system df` says what takes it, `docker image prune` removes unused images)",
    ),
    (
        r"can't get final child's PID from pipe",
        "the containers in the node may not be started with the rights they ask for",
        "run this on a machine whose root has all capabilities (`capsh --print`)",
    ),
    (
        r"cgroup v1 support is unsupported|configured to not run on a host using cgroup v1",
        "this host has cgroup version 1, which the node's kubelet refuses",
        "choose a node image of Kubernetes 1.34 or older, or start the host with cgroup version 2",
    ),
)
# The same for docker and kind, whose words a node's programs may use of something else.
CAUSES = (
    (
        r"port is already allocated|address already in use",
        "a port that the node is to publish is taken",
        "stop what listens there (`ss -ltnp` names it), or choose another port",
    ),
    (
        r"permission denied while trying to connect|dial unix .*permission denied",
        "this user may not open the Docker engine's socket",
        "add the user to the group docker and log in again, or run the playbook as root",
    ),
    (
        r"Cannot connect to the Docker daemon|docker\.sock: connect",
        "no Docker engine answers",
        "start it (`systemctl start docker`, or `dockerd` where there is no systemd)",
    ),
    (
        r"unable to apply caps",
        "the Docker engine cannot start privileged containers here, and KinD's nodes are such",
        "run this on a machine whose root has all capabilities (`capsh --print`), or give the engine a runtime that "
        "does not ask for the missing one",
    ),
    (
        r"manifest unknown|pull access denied|failed to pull image|Unable to find image|failed to resolve reference"
        r"|error pulling image|no such host|i/o timeout|TLS handshake timeout|toomanyrequests",
        "the node image cannot be had",
        "pull it by hand (`docker pull IMAGE`) to see why, or name a mirror's with `-e kind_node_image=IMAGE`",
    ),
    *NODE_CAUSES,
    (
        r"could not find a log line that matches",
        "systemd did not come up in the node",
        "read the node's log in the evidence: low inotify limits, too little memory and unusual cgroup mounts are the "
        "usual reasons",
    ),
)


class KindFailed(Exception):
    """The cluster is not as asked. ``details`` are the keys that an Ansible failure carries beside its message."""

    def __init__(self, message: str, **details: Any) -> None:
        super().__init__(message)
        self.details = details


@dataclass(frozen=True)
class Plan:
    """What is asked for; the options of the module kind_cluster, under the same names."""

    name: str
    kubeconfig: str
    owner_file: str
    docker_path: str
    kind_path: str | None
    config: Mapping[str, Any]
    node_image: str
    limits: Mapping[str, Any] | None
    registries: Mapping[str, str]
    recreate: bool
    deadline_seconds: float
    check_mode: bool = False


@dataclass(frozen=True)
class Node:
    """One container of the cluster, as the engine describes it."""

    name: str
    container_id: str
    role: str
    status: str
    pid: int

    @property
    def running(self) -> bool:
        """Whether its processes run."""
        return self.status == "running"


@dataclass(frozen=True)
class NodeState:
    """One node as Kubernetes sees it: its conditions by type, each with status, reason and message."""

    name: str
    conditions: Mapping[str, Mapping[str, str]]
    allocatable: Mapping[str, str]

    @property
    def ready(self) -> bool:
        """Whether it takes pods."""
        return self.conditions.get("Ready", {}).get("status") == "True"


@dataclass(frozen=True)
class Host:
    """What a container of the node image found out about itself and the host."""

    kubernetes: tuple[int, int]
    containerd_config: int
    oom_can_be_lowered: bool
    cgroup: int


# --- reading what programs print --------------------------------------------------------------------------------------


def cause_of(text: str, causes: Sequence[tuple[str, str, str]] = CAUSES) -> tuple[str, str] | None:
    """What went wrong and what mends it, where the words of ``text`` are known ones."""
    for pattern, cause, next_step in causes:
        if re.search(pattern, text, re.IGNORECASE):
            return cause, next_step
    return None


def last_lines(text: str, count: int) -> str:
    """The last ``count`` lines that are not empty, without the colours of a terminal."""
    lines = [line.rstrip() for line in re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text).splitlines()]
    return "\n".join([line for line in lines if line][-count:])


def reason_of(text: str) -> str:
    """The last line of what a program said that is not docker's hint at its own help."""
    return last_lines(re.sub(r"(?m)^(Run|See) 'docker .*$", "", text), 1)


def parse_nodes(document: str) -> list[Node]:
    """The containers in what ``docker inspect`` printed, in the order of their names.

    Raises KindFailed where it is no such document.
    """
    try:
        nodes = [
            Node(
                name=one["Name"].lstrip("/"),
                container_id=one["Id"],
                role=(one["Config"]["Labels"] or {}).get(ROLE_LABEL, ""),
                status=one["State"]["Status"],
                pid=one["State"]["Pid"],
            )
            for one in json.loads(document)
        ]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise KindFailed(
            f"docker inspect described the cluster's containers in a way that is not known here: {error!r}",
            operation="read the cluster's containers",
            stdout=document[:TAIL_CHARACTERS],
            next_step="run `docker version`: an engine of version 20.10 or later is needed",
        ) from error
    return sorted(nodes, key=lambda node: node.name)


def parse_states(document: str) -> list[NodeState]:
    """The nodes in what ``kubectl get nodes --output=json`` printed. Raises ValueError where it is no such list."""
    try:
        return [
            NodeState(
                name=item["metadata"]["name"],
                conditions={
                    one["type"]: {key: str(one.get(key, "")) for key in ("status", "reason", "message")}
                    for one in item["status"].get("conditions", [])
                },
                allocatable=item["status"].get("allocatable", {}),
            )
            for item in json.loads(document)["items"]
        ]
    except (KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"no list of nodes: {error!r}") from error


def describe_conditions(states: Iterable[NodeState]) -> str:
    """One line a condition that is not as it should be, and one for a node where all are."""
    lines = []
    for state in states:
        wrong = [
            f"{state.name}: {kind}={one['status']} ({one['reason']}) {one['message']}".rstrip()
            for kind, one in sorted(state.conditions.items())
            if one["status"] != ("True" if kind == "Ready" else "False")
        ]
        lines += wrong or [f"{state.name}: {'Ready' if state.ready else 'it has no conditions yet'}"]
    return "\n".join(lines)


def parse_probe(text: str) -> Host:
    """What PROBE printed. Raises ValueError where that is not what a node image prints."""
    values = dict(line.split("=", 1) for line in text.split() if "=" in line)
    version = re.match(r"v(\d+)\.(\d+)", values.get("kubernetes", ""))
    if version is None or not {"oom", "cgroup"} <= values.keys():
        raise ValueError(f"it printed {text!r}")
    containerd = values.get("containerd", "")
    return Host(
        kubernetes=(int(version.group(1)), int(version.group(2))),
        containerd_config=int(containerd) if containerd.isdigit() else 2,
        oom_can_be_lowered=values["oom"] == "lowered",
        cgroup=int(values["cgroup"]),
    )


def cores_of(quantity: str) -> float:
    """A Kubernetes quantity of CPUs, ``2`` or ``1930m``, in cores."""
    return float(quantity[:-1]) / 1000 if quantity.endswith("m") else float(quantity)


def bytes_of(quantity: str) -> int:
    """A Kubernetes quantity of memory, ``4194304Ki``, ``4Gi`` or ``4294967296``, in bytes."""
    match = re.fullmatch(r"(\d+)(Ki|Mi|Gi|Ti)?", quantity)
    if match is None:
        raise ValueError(f"{quantity!r} is no quantity of memory that is known here")
    powers = {None: 0, "Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4}
    return int(match.group(1)) << 10 * powers[match.group(2)]


# --- what is asked of kind --------------------------------------------------------------------------------------------


def published(config: Mapping[str, Any]) -> list[tuple[str, int]]:
    """The addresses and ports of this host that the nodes of a Cluster document take."""
    return [
        (mapping.get("listenAddress") or "0.0.0.0", int(mapping["hostPort"]))
        for node in config.get("nodes") or []
        for mapping in node.get("extraPortMappings") or []
        if mapping.get("hostPort")
    ]


def taken(address: str, port: int) -> bool:
    """Whether somebody listens on a TCP port of this host already."""
    with socket.socket(socket.AF_INET6 if ":" in address else socket.AF_INET) as probe:
        # As docker's own listener does: connections that are just ending do not count.
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((address, port))
        except OSError as error:
            return error.errno == errno.EADDRINUSE
    return False


def is_loopback(proxy: str) -> bool:
    """Whether a proxy's address is one of this host's own, which in a node is the node."""
    host = urlsplit(proxy if "://" in proxy else f"http://{proxy}").hostname or ""
    return host in ("localhost", "::1") or host.startswith("127.")


def environment(environ: Mapping[str, str]) -> dict[str, str]:
    """What kind is given beside the environment: Docker, its network ``kind``, no proxy that a node cannot reach."""
    loopback = {name: "" for name in PROXY_VARIABLES if environ.get(name) and is_loopback(environ[name])}
    return {"KIND_EXPERIMENTAL_PROVIDER": "docker", "KIND_EXPERIMENTAL_DOCKER_NETWORK": "", **loopback}


def reserved(limits: Mapping[str, Any], cpu_count: int, memory_bytes: int) -> dict[str, str]:
    """What kubelet must reserve of the host, which it takes for its own, so that what it hands out is ``limits``.

    Raises KindFailed where the host has less than that.
    """
    if limits["cpus"] > cpu_count or limits["memory_bytes"] > memory_bytes:
        raise KindFailed(
            f"The node is to have {limits['cpus']:g} CPUs and {limits['memory_bytes']} bytes of memory, and this host "
            f"has {cpu_count} and {memory_bytes}",
            operation="limit the node",
            next_step="grant less with `-e granted_cpus=N -e granted_memory_bytes=N`, or use a larger machine",
        )
    cpu = round((cpu_count - limits["cpus"]) * 1000)
    memory = (memory_bytes - limits["memory_bytes"]) // 1024
    return {**({"cpu": f"{cpu}m"} if cpu else {}), **({"memory": f"{memory}Ki"} if memory else {})}


def adapted(config: Mapping[str, Any], host: Host, reserve: Mapping[str, str]) -> tuple[dict[str, Any], list[str]]:
    """The Cluster document with what this host needs, and the names of what was added."""
    document = copy.deepcopy(dict(config))
    added = []
    if not host.oom_can_be_lowered:
        # Without it containerd asks for an oom_score_adj that nobody here may set, and no pod starts.
        section = "io.containerd.cri.v1.runtime" if host.containerd_config >= 3 else "io.containerd.grpc.v1.cri"
        patch = f'[plugins."{section}"]\n  restrict_oom_score_adj = true\n'
        document["containerdConfigPatches"] = [*(document.get("containerdConfigPatches") or []), patch]
        added.append("restrict_oom_score_adj")
    kubelet: dict[str, Any] = {}
    if host.cgroup == 1 and host.kubernetes >= FIRST_TO_REFUSE_CGROUP_V1:
        kubelet["failCgroupV1"] = False
    if reserve:
        kubelet["systemReserved"] = dict(reserve)
    if kubelet:
        patch = json.dumps({"kind": "KubeletConfiguration", **kubelet}, sort_keys=True)
        document["kubeadmConfigPatches"] = [*(document.get("kubeadmConfigPatches") or []), patch]
        added += sorted(kubelet)
    return document, added


def hosts_file(url: str) -> str:
    """What containerd reads in ``certs.d/REGISTRY/hosts.toml``: where to ask for that registry's images.

    The format is containerd/containerd v2.1.3 docs/hosts.md.
    """
    return f'[host."{url}"]\n  capabilities = ["pull", "resolve"]\n'


def differences(before: Any, after: Any, path: str = "") -> list[str]:
    """The places at which two documents differ, as dotted paths."""
    if isinstance(before, Mapping) and isinstance(after, Mapping):
        keys = sorted({*before, *after})
        return [
            place
            for key in keys
            for place in differences(before.get(key), after.get(key), f"{path}.{key}" if path else str(key))
        ]
    if isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        return [
            place
            for number, (old, new) in enumerate(zip(before, after))
            for place in differences(old, new, f"{path}[{number}]")
        ]
    return [] if before == after else [path]


def check_plan(plan: Plan) -> None:
    """Refuse what cannot be meant. Raises KindFailed."""

    def refuse(message: str, next_step: str) -> None:
        raise KindFailed(message, operation="read the options", next_step=next_step)

    if not NAME_PATTERN.fullmatch(plan.name):
        refuse(
            f"name: {plan.name!r} is no name of a KinD cluster",
            "give at most 50 of lower-case letters, digits, dots and dashes",
        )
    if not plan.deadline_seconds > 0:
        refuse(f"deadline_seconds must be above 0, got {plan.deadline_seconds:g}", "give a number of seconds")
    if os.path.realpath(plan.kubeconfig) == os.path.realpath(os.path.expanduser("~/.kube/config")):
        refuse(
            f"kubeconfig: {plan.kubeconfig} is your own, which says what your kubectl speaks to, and the cluster gets "
            "a file of its own",
            "leave `kubeconfig` out, or name another file",
        )
    for registry, url in plan.registries.items():
        if not REGISTRY_PATTERN.fullmatch(str(registry)) or not REGISTRY_URL_PATTERN.fullmatch(str(url)):
            refuse(
                f"registries: {registry!r}: {url!r} is no registry and the address to ask for its images",
                "write it like `docker.io: https://mirror.example:5000`",
            )
    if plan.limits is not None:
        if len(plan.config.get("nodes") or [None]) != 1:
            refuse(
                "limits need a cluster of one node, and config has more", "leave out limits, or name one node in config"
            )
        if not (plan.limits["cpus"] > 0 and plan.limits["memory_bytes"] > 0):
            refuse("limits: cpus and memory_bytes must be above 0", "give both, or leave out limits")


# --- whose cluster it is ----------------------------------------------------------------------------------------------


def load_owner(path: str) -> dict[str, Any] | None:
    """What the toolkit wrote down about the cluster that it made; None where it made none.

    Raises KindFailed where the file cannot be read: a cluster is then nobody's, and is left alone.
    """
    try:
        with open(path, encoding="utf-8") as stream:
            owner = json.load(stream)
        if owner["schema_version"] != OWNER_SCHEMA:
            raise ValueError(f"schema version {owner['schema_version']!r}, expected {OWNER_SCHEMA}")
        return {key: owner[key] for key in ("name", "phase", "containers", "config", "limits", "host_patches")}
    except FileNotFoundError:
        return None
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise KindFailed(
            f"{path}, which says which cluster is this toolkit's, cannot be read: {error}",
            operation="read whose cluster it is",
            next_step="mend it, or move it away: a reset then no longer removes a cluster of this name",
        ) from error


def write_private(path: str, content: str) -> None:
    """Write a file that its owner alone may read, whole or not at all."""
    folder = os.path.dirname(path) or "."
    os.makedirs(folder, mode=0o755, exist_ok=True)
    descriptor, temporary = tempfile.mkstemp(dir=folder, prefix=".kind-")
    try:
        with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
            stream.write(content)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def forget(path: str) -> bool:
    """Remove a file; whether there was one."""
    try:
        os.unlink(path)
    except FileNotFoundError:
        return False
    return True


def read_text(path: str) -> str | None:
    """A file's text; None where there is none."""
    try:
        with open(path, encoding="utf-8") as stream:
            return stream.read()
    except FileNotFoundError:
        return None


def server_of(kubeconfig: str) -> str | None:
    """The cluster's address in a kubeconfig; None where there is no such file or address."""
    match = re.search(r"^\s*server:\s*(\S+)\s*$", read_text(kubeconfig) or "", re.MULTILINE)
    return match.group(1) if match else None


def is_only(text: str, context: str) -> bool:
    """Whether a kubeconfig names this context, its cluster and its user, and nothing else."""
    return set(re.findall(r"^[\s-]*name:\s*(\S+)\s*$", text, re.MULTILINE)) <= {context}


class Cluster:
    """One cluster by its name, and all that is done with it."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._environment = environment(os.environ)
        self._deadline = Deadline(plan.deadline_seconds)

    def present(self) -> dict[str, Any]:
        """Have the cluster as asked, and say what was done. Raises KindFailed."""
        plan = self._plan
        nodes, owner = self.nodes(), load_owner(plan.owner_file)
        self._check_kubeconfig()
        stays = bool(nodes) and self._is_to_stay(nodes, owner)
        result: dict[str, Any] = {"created": not stays, "started": False, "server": None, "limits": None}
        reserve = {} if stays else self._checked(nodes)
        if not stays and plan.check_mode:
            return {**result, "changed": True, "nodes": [], "host_patches": []}
        if stays and owner is not None:
            result["host_patches"] = owner["host_patches"]
            result["started"] = self._start(nodes)
            if result["started"] and plan.check_mode:
                return {**result, "changed": True, "nodes": described(nodes)}
            nodes = self.nodes() if result["started"] else nodes
            if not plan.check_mode:
                self._await(nodes)
        else:
            if nodes:
                self._remove(nodes)
            nodes, result["host_patches"] = self._create(reserve)
        changed = [self._limit(nodes), self._register(nodes), self._write_kubeconfig()]
        if plan.limits is not None:
            result["limits"] = {**self._granted(nodes[0]), "allocatable": self._allocatable(nodes)}
        return {
            **result,
            "changed": result["created"] or result["started"] or any(changed),
            "nodes": described(nodes),
            "server": server_of(plan.kubeconfig),
        }

    def absent(self) -> dict[str, Any]:
        """Remove the cluster where it is ours, and say what was done. Raises KindFailed."""
        plan = self._plan
        nodes, owner = self.nodes(), load_owner(plan.owner_file)
        if nodes and not is_ours(nodes, owner):
            return {"changed": False, "left_alone": [node.name for node in nodes]}
        files = [path for path in (plan.owner_file, plan.kubeconfig) if owner is not None and os.path.lexists(path)]
        if not plan.check_mode:
            if nodes:
                self._remove(nodes)
            for path in files:
                forget(path)
        return {"changed": bool(nodes or files), "left_alone": []}

    # --- reading ---

    def nodes(self) -> list[Node]:
        """The cluster's containers, running or not; none where there is no cluster of this name."""
        label = f"label={CLUSTER_LABEL}={self._plan.name}"
        listing = self._docker("ps", "--all", "--no-trunc", "--filter", label, "--format", "{{.ID}}")
        listed = self._run("list the cluster's containers", listing, COMMAND_SECONDS).stdout.split()
        if not listed:
            return []
        inspect = self._docker("inspect", "--type", "container", *listed)
        return parse_nodes(self._run("read the cluster's containers", inspect, COMMAND_SECONDS).stdout)

    def _states(self, nodes: Sequence[Node]) -> list[NodeState]:
        argv = self._in_node(control_plane(nodes), *NODE_KUBECTL, "get", "nodes", "--output=json")
        return parse_states(self._run("ask Kubernetes for its nodes", argv, COMMAND_SECONDS).stdout)

    def _granted(self, node: Node) -> dict[str, Any]:
        """What the node's control group allows it now. Raises KindFailed where its process is not on this machine."""
        try:
            return {
                "cpu_quota_cores": cgroup.cpu_quota_cores(node.pid),
                "memory_limit_bytes": cgroup.memory_limit_bytes(node.pid),
            }
        except procfs.ProcessNotFound as error:
            raise KindFailed(
                f"The limits of {node.name} cannot be read: {error}",
                operation="read the node's limits back",
                next_step="run this on the machine of the Docker engine (`docker context show`), with the node running",
            ) from error

    def _allocatable(self, nodes: Sequence[Node]) -> dict[str, Any] | None:
        """What Kubernetes hands out of a limited node, as it says itself; None where it does not say."""
        try:
            said = self._states(nodes)[0].allocatable
            return {"cpu_cores": cores_of(said["cpu"]), "memory_bytes": bytes_of(said["memory"])}
        except (KindFailed, ValueError, KeyError, IndexError):
            return None

    def _evidence(self, nodes: Sequence[Node]) -> dict[str, str]:
        """What a person needs to see why a cluster does not work, as far as it is told."""
        lines = str(EVIDENCE_LINES)
        found = {}
        for node in nodes:
            asked = {"log": self._docker("logs", "--tail", lines, node.name)}
            for unit in ("containerd", "kubelet"):
                journal = ("journalctl", "--unit", unit, "--no-pager", "--output=cat", "--lines", lines)
                asked[unit] = self._in_node(node, *journal)
            asked["containers"] = self._in_node(node, "crictl", "ps", "--all")
            if node.role == CONTROL_PLANE:
                kubectl = (*NODE_KUBECTL, "get")
                asked["pods"] = self._in_node(node, *kubectl, "pods", "--all-namespaces", "--output=wide")
                by_time = ("--all-namespaces", "--sort-by=.metadata.creationTimestamp")
                asked["events"] = self._in_node(node, *kubectl, "events", *by_time)
            found.update({f"{node.name} {what}": self._said(argv) for what, argv in asked.items()})
        if nodes:
            try:
                found["conditions"] = describe_conditions(self._states(nodes)) or "Kubernetes knows no node yet"
            except (KindFailed, ValueError) as error:
                found["conditions"] = f"not told: {error}"
        return found

    def _said(self, argv: Sequence[str]) -> str:
        done = self._try("gather evidence", argv, EVIDENCE_SECONDS)
        return last_lines(f"{done.stdout}\n{done.stderr}", EVIDENCE_LINES)

    # --- whether it may be touched ---

    def _check_kubeconfig(self) -> None:
        path = self._plan.kubeconfig
        text = read_text(path)
        if text is not None and not is_only(text, f"kind-{self._plan.name}"):
            raise KindFailed(
                f"kubeconfig: {path} leads to more than the cluster {self._plan.name}, and would be overwritten",
                operation="read the kubeconfig",
                next_step="name a file of the cluster's own with `-e kubeconfig=FILE`",
            )

    def _is_to_stay(self, nodes: Sequence[Node], owner: Mapping[str, Any] | None) -> bool:
        """Whether the cluster that is there is the one asked for. Raises KindFailed where it may not be touched."""
        plan = self._plan
        if owner is None or not is_ours(nodes, owner):
            raise KindFailed(
                f"There is a KinD cluster {plan.name} here that this toolkit did not make (containers "
                f"{', '.join(node.name for node in nodes)}); it is left alone",
                operation="read whose cluster it is",
                next_step="choose another name with `-e platform_kind_cluster=NAME`, or remove it with "
                f"`kind delete cluster --name {plan.name}`",
            )
        if owner["phase"] != MADE:
            return False  # its creation was cut short
        gone = sorted(set(owner["containers"]) - {node.name for node in nodes})
        asked = wanted(plan)
        other = differences({key: owner[key] for key in asked}, asked)
        if (not gone and not other) or plan.recreate:
            return not gone and not other
        why = f"{', '.join(gone)} is gone" if gone else f"it was made with other values of {', '.join(other)}"
        raise KindFailed(
            f"The cluster {plan.name} is not the one asked for: {why}. To make it anew loses all that runs in it",
            operation="compare the cluster with what is asked for",
            next_step="make it anew with `-e kind_recreate=true`, or ask for what it was made with",
        )

    def _checked(self, nodes: Sequence[Node]) -> dict[str, str]:
        """What kubelet is to reserve of this host. Raises KindFailed where no cluster can be made as asked."""
        plan = self._plan
        if not nodes:  # else it is these that publish the ports
            check_ports(plan)
        if plan.limits is None:
            return {}
        return reserved(plan.limits, os.cpu_count() or 1, procfs.host_memory()["total_bytes"])

    # --- changing ---

    def _create(self, reserve: Mapping[str, str]) -> tuple[list[Node], list[str]]:
        plan = self._plan
        document, host_patches = adapted(plan.config, self._probe(), reserve)
        owner = {"name": plan.name, "containers": {}, **wanted(plan), "host_patches": host_patches}
        self._write_owner({**owner, "phase": CREATING})
        forget(plan.kubeconfig)
        try:
            with tempfile.NamedTemporaryFile("w", suffix=".yaml", encoding="utf-8") as file:
                # JSON is YAML, which is what kind reads.
                json.dump(document, file, indent=2)
                file.flush()
                flags = ["--config", file.name, "--image", plan.node_image, "--kubeconfig", plan.kubeconfig, "--retain"]
                argv = self._kind("create", "cluster", "--name", plan.name, *flags)
                self._run("make the cluster", argv, self._remaining())
            nodes = self.nodes()
            self._await(nodes)
        except KindFailed as failure:
            raise self._cleared(failure) from failure
        self._write_owner({**owner, "phase": MADE, "containers": {node.name: node.container_id for node in nodes}})
        return nodes, host_patches

    def _cleared(self, failure: KindFailed) -> KindFailed:
        """The failure with what the nodes say, after they were removed: a half-made cluster serves nobody."""
        details = dict(failure.details)
        message = f"The cluster {self._plan.name} was not made: {failure}."
        try:
            nodes = self.nodes()
            details.setdefault("evidence", self._evidence(nodes))
            if nodes:
                self._remove(nodes)
            forget(self._plan.owner_file)
            forget(self._plan.kubeconfig)
            message += " What there was of it is removed again."
        except KindFailed as other:
            message += f" What there is of it could not be removed: {other}."
        evidence = details.get("evidence", {})
        if evidence.get("conditions"):
            message += f" Conditions of the nodes: {evidence['conditions']}."
        known = cause_of(details.get("stderr", "")) or cause_of("\n".join(evidence.values()), NODE_CAUSES)
        if known:
            details["next_step"] = known[1]
            message += "" if known[0] in message else f" It looks as if {known[0]}."
        return KindFailed(message, **details)

    def _probe(self) -> Host:
        """What this host allows a node. The image is pulled where it is not there yet."""
        image, operation = self._plan.node_image, "see what a node may do on this host"
        argv = self._docker(
            *("run", "--rm", "--privileged", "--cgroupns", "private", "--network", "none"),
            *("--entrypoint", "/bin/sh", image, "-c", PROBE),
        )
        done = self._run(operation, argv, self._remaining())
        try:
            return parse_probe(done.stdout)
        except ValueError as error:
            raise KindFailed(
                f"{image} is no node image of KinD: {error}",
                operation=operation,
                argv=argv,
                next_step="name one with `-e kind_node_image=IMAGE`, from the notes of kind's releases",
            ) from error

    def _start(self, nodes: Sequence[Node]) -> bool:
        stopped = [node.name for node in nodes if not node.running]
        if stopped and not self._plan.check_mode:
            self._run("start the nodes", self._docker("start", *stopped), self._remaining())
        return bool(stopped)

    def _await(self, nodes: Sequence[Node]) -> None:
        """Wait until every node takes pods. Raises KindFailed with the evidence when the deadline is over."""
        expected = sum(node.role != LOAD_BALANCER for node in nodes)
        while True:
            try:
                states = self._states(nodes)
                if len(states) >= expected and all(state.ready for state in states):
                    return
                said = describe_conditions(states) or "Kubernetes knows no node"
            except (KindFailed, ValueError) as error:
                said = str(error)
            ended = [node.name for node in self.nodes() if not node.running]
            if ended or self._deadline.expired():
                break
            time.sleep(min(POLL_SECONDS, self._remaining()))
        why = f"{', '.join(ended)} ended" if ended else f"no node was Ready within {self._plan.deadline_seconds:g} s"
        evidence = self._evidence(nodes)
        known = cause_of("\n".join(evidence.values()), NODE_CAUSES)
        raise KindFailed(
            f"In the cluster {self._plan.name} {why}: {said}",
            operation="wait for the nodes",
            evidence=evidence,
            next_step=known[1] if known else "read the evidence; more time is given with `-e kind_deadline_seconds=N`",
        )

    def _limit(self, nodes: Sequence[Node]) -> bool:
        limits = self._plan.limits
        if limits is None or fits(self._granted(nodes[0]), limits):
            return False
        if self._plan.check_mode:
            return True
        cpus, memory = f"{limits['cpus']:g}", str(limits["memory_bytes"])
        # Equal to the memory: no swap.
        argv = self._docker("update", "--cpus", cpus, "--memory", memory, "--memory-swap", memory, nodes[0].name)
        self._run("limit the node", argv, COMMAND_SECONDS)
        granted = self._granted(nodes[0])
        if not fits(granted, limits):
            raise KindFailed(
                f"The node was to have {cpus} CPUs and {memory} bytes of memory, and its control group says "
                f"{granted['cpu_quota_cores']} and {granted['memory_limit_bytes']}",
                operation="read the node's limits back",
                argv=argv,
                next_step="see whether this host's control groups have the controllers cpu and memory: `docker info`",
            )
        return True

    def _register(self, nodes: Sequence[Node]) -> bool:
        """Tell every node's containerd where to ask for images; it reads these files anew at each pull."""
        changed = False
        for node in (node for node in nodes if node.role != LOAD_BALANCER):
            for registry, url in sorted(self._plan.registries.items()):
                folder, content = f"/etc/containerd/certs.d/{registry}", hosts_file(url)
                reading = self._in_node(node, "cat", f"{folder}/hosts.toml")
                read = self._try("read the nodes' registries", reading, COMMAND_SECONDS)
                if read.rc == 0 and read.stdout == content:
                    continue
                changed = True
                if not self._plan.check_mode:
                    script = 'mkdir -p "$1" && printf %s "$2" >"$1/hosts.toml"'
                    argv = self._in_node(node, "sh", "-c", script, "sh", folder, content)
                    self._run("tell the nodes their registries", argv, COMMAND_SECONDS)
        return changed

    def _write_kubeconfig(self) -> bool:
        """Have the cluster's kubeconfig in its own file; whether that was not so."""
        plan = self._plan
        if plan.check_mode and plan.kind_path is None:
            return False
        argv = self._kind("get", "kubeconfig", "--name", plan.name)
        text = self._run("read the cluster's kubeconfig", argv, COMMAND_SECONDS, secret=True).stdout.strip() + "\n"
        if read_text(plan.kubeconfig) == text and os.stat(plan.kubeconfig).st_mode & 0o777 == 0o600:
            return False
        if not plan.check_mode:
            write_private(plan.kubeconfig, text)
        return True

    def _remove(self, nodes: Sequence[Node]) -> None:
        names = [node.name for node in nodes]
        by_hand = self._docker("rm", "--force", "--volumes", *names)
        if self._plan.kind_path is None:
            argv = by_hand
        else:
            argv = self._kind("delete", "cluster", "--name", self._plan.name, "--kubeconfig", self._plan.kubeconfig)
        self._run("remove the cluster", argv, REMOVAL_SECONDS)
        left = [node.name for node in self.nodes()]
        if left:
            raise KindFailed(
                f"The cluster {self._plan.name} was removed, and its containers {', '.join(left)} are still there",
                operation="remove the cluster",
                argv=argv,
                next_step=f"remove them by hand: `{' '.join(by_hand)}`",
            )

    def _write_owner(self, owner: Mapping[str, Any]) -> None:
        document = {"schema_version": OWNER_SCHEMA, **owner}
        write_private(self._plan.owner_file, json.dumps(document, indent=2, sort_keys=True) + "\n")

    # --- running programs ---

    def _run(self, operation: str, argv: Sequence[str], seconds: float, secret: bool = False) -> Completed:
        """Run a program to its end. Raises KindFailed where it cannot be run, takes too long or fails."""
        done = self._try(operation, argv, seconds)
        if done.rc == 0 and not done.interrupted:
            return done
        said = last_lines(done.stderr or ("" if secret else done.stdout), EVIDENCE_LINES)
        ended = f"did not end within {seconds:.0f} s" if done.interrupted else f"ended with {done.rc}"
        known = cause_of(said)
        command = " ".join([os.path.basename(argv[0]), *argv[1:4]])
        raise KindFailed(
            f"`{command} ...` {ended}: {reason_of(said) or 'it said nothing'}{f' ({known[0]})' if known else ''}",
            operation=operation,
            argv=list(argv),
            rc=done.rc,
            stdout="" if secret else done.stdout[-TAIL_CHARACTERS:],
            stderr=said,
            next_step=known[1] if known else f"run the command by hand: {' '.join(argv)}",
        )

    def _try(self, operation: str, argv: Sequence[str], seconds: float) -> Completed:
        try:
            return run_with_deadline(argv, seconds, interrupt_grace_seconds=2, environ_update=self._environment)
        except OSError as error:
            raise KindFailed(
                f"{argv[0]} cannot be run: {error.strerror}",
                operation=operation,
                argv=list(argv),
                rc=error.errno,
                next_step="run `ansible-playbook site.yml`, which installs it",
            ) from error

    def _docker(self, *arguments: str) -> list[str]:
        return [self._plan.docker_path, *arguments]

    def _kind(self, *arguments: str) -> list[str]:
        # Where it is not installed, the name alone fails in the words of the operation.
        return [self._plan.kind_path or "kind", *arguments]

    def _in_node(self, node: Node, *argv: str) -> list[str]:
        return self._docker("exec", node.name, *argv)

    def _remaining(self) -> float:
        return max(self._deadline.remaining(), 0.1)


def check_ports(plan: Plan) -> None:
    """Raises KindFailed where somebody listens on a port that the cluster is to publish."""
    for address, port in published(plan.config):
        if taken(address, port):
            pid = procfs.listening_pid(port)
            who = "" if pid is None else f" by pid {pid} ({procfs.command_line(pid)[:120]})"
            raise KindFailed(
                f"Port {port} on {address}, which the cluster {plan.name} is to publish, is taken{who}",
                operation="look for free ports",
                next_step="stop what listens there, or choose another port",
            )


def control_plane(nodes: Sequence[Node]) -> Node:
    """The node whose kubectl is asked. Raises KindFailed where there is none."""
    for node in nodes:
        if node.role == CONTROL_PLANE:
            return node
    raise KindFailed(
        f"none of the containers {', '.join(node.name for node in nodes) or '(there are none)'} is a control plane",
        operation="ask Kubernetes for its nodes",
        next_step="name a node with `role: control-plane` in config",
    )


def is_ours(nodes: Sequence[Node], owner: Mapping[str, Any] | None) -> bool:
    """Whether all of these containers are of the cluster that was written down.

    Their ids tell: a cluster that somebody else made later under the same name has others. Of one whose creation was
    cut short no id was written down, and none of it was there when it began.
    """
    if owner is None:
        return False
    if owner["phase"] == CREATING:
        return True
    return all(owner["containers"].get(node.name) == node.container_id for node in nodes)


def wanted(plan: Plan) -> dict[str, Any]:
    """What a cluster is made of; one that was made of something else is another one."""
    config = {**plan.config, "node_image": plan.node_image}
    return {"config": json.loads(json.dumps(config)), "limits": None if plan.limits is None else dict(plan.limits)}


def described(nodes: Sequence[Node]) -> list[dict[str, str]]:
    """The nodes as the module returns them."""
    return [{"name": node.name, "container_id": node.container_id} for node in nodes]


def fits(granted: Mapping[str, Any], limits: Mapping[str, Any]) -> bool:
    """Whether what a control group allows is what was asked; the kernel rounds memory down to whole pages."""
    cores, memory = granted["cpu_quota_cores"], granted["memory_limit_bytes"]
    return (
        cores is not None
        and memory is not None
        and abs(cores - limits["cpus"]) < 0.005
        and 0 <= limits["memory_bytes"] - memory < PAGE_BYTES
    )
