# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Stand-ins for kind and for the docker command: programs that answer as these do, with a cluster that is not real.

The stand-in of kind does what kind does with docker, by the docker command on its search path: a network, a container
with kind's labels and ports for each node, and their removal (kubernetes-sigs/kind v0.30.0,
``pkg/cluster/internal/providers/docker`` and ``pkg/cmd/kind``). What it starts is no Kubernetes: what kubectl says in a
node is the node image's. Beside a real engine that image is made by ``node_image_folder``; the stand-in of docker plays
its part where no engine is.

Every call is written down, one JSON list a line, in ``kind.argv.jsonl`` and ``docker.argv.jsonl`` beside the programs.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

Containers = dict[str, dict[str, Any]]

VERSION = "kind v0.30.0 (stand-in) go0.0.0 linux/amd64"
CLUSTER_LABEL = "io.x-k8s.kind.cluster"
ROLE_LABEL = "io.x-k8s.kind.role"
API_SERVER_PORT = 6443
NOT_READY = "container runtime network not ready: NetworkReady=false reason:NetworkPluginNotReady"


def install(directory: Path, *, docker: bool = True, **settings: Any) -> Path:
    """Write an executable stand-in called ``kind`` into ``directory``, and one called ``docker``; return kind's path.

    ``settings`` of kind: ``create`` is ``ok``; ``fail`` (``message`` is its error, and nodes stay where ``--retain``
    is given); ``image`` (the node image cannot be pulled, so that there are no nodes); or ``hang`` (the nodes are there
    and it never ends). ``delete``: ``ok``, ``fail`` or ``keep`` (it says that it removed the nodes, and did not).
    ``api_port``: where the cluster's interface is said to be; ``api_scheme``: ``https``, or how else it is spoken to.

    ``settings`` of docker: ``ready``: ``yes``, ``never``, or ``ends`` (the node's container ends); ``ready_after``: how
    often kubectl says before that a node is not ready. ``oom``: ``lowered`` or ``kept``; ``cgroup``: 1 or 2;
    ``kubernetes`` and ``containerd``: the versions that the node image has; ``probe``: ``ok``, ``caps`` or ``absent``;
    ``pid``: the process that nodes are said to be; ``allocatable``: what Kubernetes says that it hands out;
    ``network``: ``free``, or ``used`` so that it cannot be removed; ``refuse``: an error that every call ends with.
    """
    directory.mkdir(parents=True, exist_ok=True)
    (directory / "settings.json").write_text(json.dumps(settings))
    for name in ("kind", "docker") if docker else ("kind",):
        program = directory / name
        program.write_text(
            # Of the standard library alone, which starts in half the time.
            f"#!{sys.executable} -SE\n"
            f"import runpy, sys\nrunpy.run_path({__file__!r})[{name!r}]({str(directory)!r}, sys.argv[1:])\n"
        )
        program.chmod(0o755)
    return directory / "kind"


def install_unprivileged_docker(directory: Path) -> None:
    """Write a ``docker`` into ``directory``: the real one without ``--privileged``, which not every root may ask for.

    The stand-in of a node needs no privileges.
    """
    real = shutil.which("docker")
    (directory / "docker").write_text(
        "#!/bin/bash\n# The real docker without --privileged, for stand-ins of a node.\n"
        f'exec {real} "${{@/#--privileged/--label=evenkeel-test.privileged}}"\n'
    )
    (directory / "docker").chmod(0o755)


def change(directory: Path, **settings: Any) -> None:
    """Have the installed programs behave otherwise from now on."""
    path = directory / "settings.json"
    path.write_text(json.dumps({**json.loads(path.read_text()), **settings}))


def calls(directory: Path, name: str) -> list[list[str]]:
    """What the program called ``name`` was called with, in order."""
    path = directory / f"{name}.argv.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def _begin(directory: str, name: str, argv: list[str]) -> tuple[Path, dict[str, Any]]:
    folder = Path(directory)
    with (folder / f"{name}.argv.jsonl").open("a") as stream:
        stream.write(json.dumps(argv) + "\n")
    return folder, json.loads((folder / "settings.json").read_text())


def _option(argv: list[str], name: str, default: str = "") -> str:
    return argv[argv.index(name) + 1] if name in argv else default


def _options(argv: list[str], name: str) -> list[str]:
    """All values of an option, given as ``name value`` or as ``name=value``."""
    following = [argv[at + 1] for at, word in enumerate(argv) if word == name]
    return following + [word.removeprefix(f"{name}=") for word in argv if word.startswith(f"{name}=")]


# --- kind -------------------------------------------------------------------------------------------------------------


def kind(directory: str, argv: list[str]) -> None:
    """What the installed program ``kind`` does."""
    folder, settings = _begin(directory, "kind", argv)
    with (folder / "kind.environment.json").open("w") as stream:
        json.dump(dict(os.environ), stream)
    name = _option(argv, "--name", "kind")
    match argv[:2]:
        case ["version", *_]:
            print(VERSION)
        case ["get", "clusters"]:
            clusters = set(_ps(CLUSTER_LABEL, f'{{{{.Label "{CLUSTER_LABEL}"}}}}'))
            _print_or_say(sorted(clusters), "No kind clusters found.")
        case ["get", "nodes"]:
            _print_or_say(_nodes(name), f'No kind nodes found for cluster "{name}".')
        case ["get", "kubeconfig"]:
            if not _nodes(name):
                _fail(f"could not locate any control plane nodes for cluster named '{name}'")
            print(_kubeconfig(name, settings))
        case ["create", "cluster"]:
            _create(argv, name, settings)
        case ["delete", "cluster"]:
            _delete(argv, name, settings)
        case _:
            _fail(f'unknown command "{" ".join(argv)}" for "kind"')


def _fail(message: str) -> None:
    sys.exit(f"ERROR: {message}")


def _print_or_say(lines: list[str], otherwise: str) -> None:
    print("\n".join(lines)) if lines else print(otherwise, file=sys.stderr)


def _docker(*argv: str) -> str:
    done = subprocess.run(["docker", *argv], capture_output=True, text=True, check=False)
    if done.returncode:
        _fail(f'command "docker {" ".join(argv)}" failed with error: exit status {done.returncode}\n{done.stderr}')
    return done.stdout


def _ps(label: str, output: str) -> list[str]:
    return _docker("ps", "-a", "--filter", f"label={label}", "--format", output).split()


def _nodes(name: str) -> list[str]:
    return sorted(_ps(f"{CLUSTER_LABEL}={name}", "{{.Names}}"))


def _api_port(name: str) -> str:
    described = json.loads(_docker("inspect", f"{name}-control-plane"))[0]
    return described["HostConfig"]["PortBindings"][f"{API_SERVER_PORT}/tcp"][0]["HostPort"]


def _kubeconfig(name: str, settings: dict[str, Any]) -> str:
    return f"""\
apiVersion: v1
clusters:
- cluster:
    server: {settings.get("api_scheme", "https")}://127.0.0.1:{_api_port(name)}
  name: kind-{name}
contexts:
- context:
    cluster: kind-{name}
    user: kind-{name}
  name: kind-{name}
current-context: kind-{name}
kind: Config
preferences: {{}}
users:
- name: kind-{name}
  user:
    client-key-data: c3RhbmQtaW4=
"""


def _create(argv: list[str], name: str, settings: dict[str, Any]) -> None:
    # Of YAML it reads that part which is JSON, as the module writes it.
    config = json.loads(Path(_option(argv, "--config")).read_text())
    image = _option(argv, "--image") or "kindest/node:stand-in"
    how = settings.get("create", "ok")
    if _nodes(name):
        _fail(f'failed to create cluster: node(s) already exist for a cluster with the name "{name}"')
    print(f'Creating cluster "{name}" ...', file=sys.stderr)
    if how == "image":
        _fail(f'failed to create cluster: failed to pull image "{image}": manifest unknown')
    if not _docker("network", "ls", "--filter=name=^kind$", "--format={{.ID}}").strip():
        _docker("network", "create", "-d=bridge", "kind")
    for node in config.get("nodes") or [{"role": "control-plane"}]:
        ports = [f"127.0.0.1:{settings.get('api_port', 46443)}:{API_SERVER_PORT}/TCP"] + [
            f"{mapping['listenAddress']}:{mapping['hostPort']}:{mapping['containerPort']}/TCP"
            for mapping in node.get("extraPortMappings") or []
        ]
        container = f"{name}-{node['role']}"
        labels = [f"{CLUSTER_LABEL}={name}", f"{ROLE_LABEL}={node['role']}"]
        _docker(
            *("run", "--hostname", container, "--name", container, "--detach", "--net", "kind"),
            *(word for label in labels for word in ("--label", label)),
            *(f"--publish={port}" for port in ports),
            image,
        )
    if how == "hang":
        time.sleep(600)
    if how == "fail":
        if "--retain" not in argv:
            _docker("rm", "-f", "-v", *_nodes(name))
        _fail(f"failed to create cluster: {settings.get('message', 'failed to init node with kubeadm')}")
    path = Path(_option(argv, "--kubeconfig"))
    path.write_text(_kubeconfig(name, settings))
    path.chmod(0o600)
    print(f'Set kubectl context to "kind-{name}"', file=sys.stderr)


def _delete(argv: list[str], name: str, settings: dict[str, Any]) -> None:
    how, nodes = settings.get("delete", "ok"), _nodes(name)
    print(f'Deleting cluster "{name}" ...', file=sys.stderr)
    if how == "fail":
        _fail(f'failed to delete cluster "{name}": failed to delete nodes')
    Path(_option(argv, "--kubeconfig")).unlink(missing_ok=True)
    if nodes and how == "ok":
        _docker("rm", "-f", "-v", *nodes)


# --- docker -----------------------------------------------------------------------------------------------------------


def docker(directory: str, argv: list[str]) -> None:
    """What the installed program ``docker`` does; the containers it knows are in ``containers.json`` beside it."""
    folder, settings = _begin(directory, "docker", argv)
    if settings.get("refuse"):
        sys.exit(str(settings["refuse"]))
    path = folder / "containers.json"
    known: Containers = json.loads(path.read_text()) if path.exists() else {}
    if argv[0] not in COMMANDS:
        sys.exit(f"docker: '{argv[0]}' is not a docker command that this stand-in knows.")
    COMMANDS[argv[0]](argv, known, settings)
    path.write_text(json.dumps(known))


def _list_containers(argv: list[str], known: Containers, _: dict[str, Any]) -> None:
    asked = [word.removeprefix("label=").partition("=") for word in _options(argv, "--filter")]
    for name, one in known.items():
        labels = one["Config"]["Labels"]
        if all(key in labels and value in ("", labels[key]) for key, _equals, value in asked):
            line = re.sub(r"{{.Label .*}}", labels.get(asked[0][0], ""), _option(argv, "--format", "{{.ID}}"))
            print(line.replace("{{.ID}}", one["Id"]).replace("{{.Names}}", name))


def _inspect(argv: list[str], known: Containers, _: dict[str, Any]) -> None:
    found = [one for name, one in known.items() if {name, one["Id"]} & set(argv)]
    print(json.dumps(found))
    if not found:
        sys.exit(f"Error: No such object: {argv[-1]}")


def _remove(argv: list[str], known: Containers, _: dict[str, Any]) -> None:
    for name in [name for name, one in known.items() if {name, one["Id"]} & set(argv)]:
        del known[name]


def _start(argv: list[str], known: Containers, _: dict[str, Any]) -> None:
    for name in argv[1:]:
        known[name]["State"]["Status"] = "running"


def _update(argv: list[str], known: Containers, _: dict[str, Any]) -> None:
    cpus, memory = float(_option(argv, "--cpus")), int(_option(argv, "--memory"))
    known[argv[-1]]["HostConfig"] |= {"NanoCpus": int(cpus * 1e9), "Memory": memory}


def _log(_: list[str], _known: Containers, _settings: dict[str, Any]) -> None:
    print("systemd 252 running in system mode\nWelcome to the stand-in of a node!")


def _network(argv: list[str], _: Containers, settings: dict[str, Any]) -> None:
    if argv[1] == "ls":
        print("0123456789ab")
    elif argv[1] == "rm" and settings.get("network", "free") == "used":
        sys.exit(f"Error response from daemon: error while removing network: network {argv[-1]} has active endpoints")


def _image(argv: list[str], _: Containers, _settings: dict[str, Any]) -> None:
    print(f"Untagged: {argv[-1]}")


def _run_container(argv: list[str], known: Containers, settings: dict[str, Any]) -> None:
    if "--rm" in argv:
        how = settings.get("probe", "ok")
        if how == "caps":
            sys.exit("docker: Error response from daemon: unable to apply caps: operation not permitted")
        if how == "absent":
            sys.exit("Unable to find image locally\ndocker: Error response from daemon: manifest unknown.")
        print(f"kubernetes={settings.get('kubernetes', 'v1.34.0')}\ncontainerd={settings.get('containerd', 2)}")
        print(f"oom={settings.get('oom', 'lowered')}\ncgroup={settings.get('cgroup', 2)}")
        return
    name = _option(argv, "--name")
    labels = dict(label.split("=", 1) for label in _options(argv, "--label"))
    ports = {}
    for port in _options(argv, "--publish"):
        address, host_port, inside = port.split(":")
        ports[inside.lower()] = [{"HostIp": address, "HostPort": host_port}]
    number = len(known) + time.monotonic_ns() % 10**9
    known[name] = {
        "Id": f"{number:064x}",
        "Name": f"/{name}",
        "Config": {"Labels": labels, "Image": argv[-1]},
        "State": {"Status": "running", "Pid": settings.get("pid", os.getppid())},
        "HostConfig": {"PortBindings": ports, "NanoCpus": 0, "Memory": 0},
        "files": {},
        "asked": 0,
    }
    print(known[name]["Id"])


def _exec(argv: list[str], known: Containers, settings: dict[str, Any]) -> None:
    _verb, name, *command = argv
    node = known.get(name)
    if node is None:
        sys.exit(f"Error: No such container: {name}")
    if node["State"]["Status"] != "running":
        sys.exit(f"Error response from daemon: Container {node['Id']} is not running")
    match command:
        case ["kubectl", _, "get", "nodes", "--output=json"]:
            node["asked"] += 1
            if settings.get("ready") == "ends":
                node["State"]["Status"] = "exited"
            ready = settings.get("ready", "yes") == "yes" and node["asked"] > settings.get("ready_after", 0)
            print(json.dumps(nodes_document(list(known), ready, settings.get("allocatable"))))
        case ["kubectl", _, "get", "events", *_]:
            print("kube-system  1s  Warning  FailedScheduling  pod/coredns  0/1 nodes are available")
        case ["kubectl", _, "get", "pods", *_]:
            print("kube-system  coredns  0/1  Pending")
        case ["journalctl", _, unit, *_]:
            print(f"{unit}: a line of the stand-in's journal")
        case ["crictl", *_]:
            print("CONTAINER  IMAGE  STATE")
        case ["cat", path]:
            if path not in node["files"]:
                sys.exit(f"cat: {path}: No such file or directory")
            sys.stdout.write(node["files"][path])
        case ["sh", "-c", _, "sh", folder, content]:
            node["files"][f"{folder}/hosts.toml"] = content
        case _:
            sys.exit(f"exec: {command[0]}: executable file not found in this stand-in")


COMMANDS = {
    "exec": _exec,
    "image": _image,
    "inspect": _inspect,
    "logs": _log,
    "network": _network,
    "ps": _list_containers,
    "rm": _remove,
    "run": _run_container,
    "start": _start,
    "update": _update,
}


def nodes_document(names: list[str], ready: bool, allocatable: dict[str, str] | None = None) -> dict[str, Any]:
    """What ``kubectl get nodes --output=json`` prints of nodes that are all ready, or all not (core/v1 NodeList)."""
    good, bad = ("True", "KubeletReady", "kubelet is posting ready status"), ("False", "KubeletNotReady", NOT_READY)
    conditions = [
        {"type": "MemoryPressure", "status": "False", "reason": "KubeletHasSufficientMemory", "message": ""},
        dict(zip(("type", "status", "reason", "message"), ("Ready", *(good if ready else bad)), strict=True)),
    ]
    status = {"conditions": conditions, "allocatable": allocatable or {"cpu": "2", "memory": "4194304Ki"}}
    return {"kind": "List", "items": [{"metadata": {"name": name}, "status": status} for name in names]}


# --- the image of a node, for a real engine ---------------------------------------------------------------------------


def node_image_folder(directory: Path, base: str = "debian:bookworm-slim") -> Path:
    """Write what ``docker build`` needs for a stand-in of a node image, and return the folder.

    It sleeps in place of systemd, and its kubectl says that the node is ready; nothing else of a node is there.
    """
    directory.mkdir(parents=True, exist_ok=True)
    nodes = json.dumps(nodes_document(["node"], True))
    programs = {
        "kubectl": f"#!/bin/sh\n# A stand-in for kubectl in a node.\ncat <<'END'\n{nodes}\nEND\n",
        "journalctl": "#!/bin/sh\n# A stand-in for journalctl in a node.\necho a line of the stand-in\n",
        "crictl": "#!/bin/sh\n# A stand-in for crictl in a node.\necho CONTAINER IMAGE STATE\n",
        "curl": "#!/bin/sh\n# A stand-in for curl in a node, which reaches everything.\n",
    }
    for name, text in programs.items():
        (directory / name).write_text(text)
        (directory / name).chmod(0o755)
    (directory / "Dockerfile").write_text(
        f"# A stand-in for a node image of KinD.\nFROM {base}\nCOPY {' '.join(programs)} /usr/bin/\n"
        "RUN mkdir -p /kind /etc/containerd && echo v1.34.0 >/kind/version"
        " && echo 'version = 2' >/etc/containerd/config.toml\n"
        'ENTRYPOINT ["/bin/sleep", "infinity"]\n'
    )
    return directory
