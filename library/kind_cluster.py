#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: a KinD cluster of the toolkit's own."""

from __future__ import annotations

DOCUMENTATION = r"""
module: kind_cluster
short_description: Make, keep and remove a KinD cluster
description:
  - Reads before it writes. A cluster that is there as asked is waited for, and nothing is changed.
  - A cluster of the same name that was not made here is refused, and never removed. The ids of its containers tell.
  - The cluster gets a kubeconfig of its own; the user's is neither read nor written.
  - What this host needs is found out by a container of the node image before a cluster is made. Where nobody may lower
    an C(oom_score_adj), containerd gets C(restrict_oom_score_adj); on a host with cgroup version 1, Kubernetes 1.35 and
    later gets C(failCgroupV1=false).
  - Proxies at a loopback address are not passed on to the nodes, where that address is the node's own.
  - Where a cluster does not come up, the failure carries the nodes' conditions, events, pods and last logs as
    C(evidence). What there was of a new cluster is then removed again.
options:
  state:
    description: Whether the cluster is to be there. V(absent) removes it only where it was made here.
    type: str
    choices: [present, absent]
    default: present
  name:
    description: The cluster's name.
    type: str
    required: true
  config:
    description: The C(Cluster) document of kind (C(kind.x-k8s.io/v1alpha4)). Needed for V(present).
    type: dict
  node_image:
    description: The image of the nodes. Needed for V(present).
    type: str
  kubeconfig:
    description: The file that the cluster's kubeconfig is kept in, readable by its owner alone.
    type: path
    required: true
  owner_file:
    description: The file that says which cluster was made here, and of what.
    type: path
    required: true
  kind_path:
    description: The program kind. One that is not there makes no cluster; to remove one, docker is enough.
    type: path
    required: true
  limits:
    description:
      - What the one node may use, its control plane included. It is set with C(docker update) and read back from the
        node's control group.
      - kubelet reserves the rest of the host, so that no more than this is handed out to pods.
    type: dict
    suboptions:
      cpus:
        description: CPUs.
        type: float
        required: true
      memory_bytes:
        description: Memory. There is no swap beside it.
        type: int
        required: true
  registries:
    description:
      - Where the nodes ask for images, by registry (C(HOST) or C(HOST:PORT)). For mirrors, and for plain HTTP.
      - Each becomes C(/etc/containerd/certs.d/REGISTRY/hosts.toml) on every node.
    type: dict
    default: {}
  recreate:
    description: Whether a cluster made here of something else is removed with all that is in it, and made anew.
    type: bool
    default: false
  deadline_seconds:
    description: How long the cluster may take until every node is ready.
    type: float
    default: 900
requirements:
  - a Docker engine of this machine, version 20.10 or later, and its command
attributes:
  check_mode:
    description: Says whether something would be changed. No image is pulled, so what the host needs is not looked for.
    support: full
  diff_mode:
    description: Shows what the cluster is made of when it is made or removed.
    support: full
author:
  - Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Have a cluster
  kind_cluster:
    name: evenkeel
    node_image: kindest/node:v1.34.0
    config:
      kind: Cluster
      apiVersion: kind.x-k8s.io/v1alpha4
      nodes: [{role: control-plane}]
    kubeconfig: /var/lib/evenkeel/kubeconfig
    owner_file: /var/lib/evenkeel/kind/cluster.json
    kind_path: /var/lib/evenkeel/bin/kind

- name: Have none
  kind_cluster:
    state: absent
    name: evenkeel
    kubeconfig: /var/lib/evenkeel/kubeconfig
    owner_file: /var/lib/evenkeel/kind/cluster.json
    kind_path: /var/lib/evenkeel/bin/kind
"""

RETURN = r"""
created:
  description: Whether the cluster was made, or would be in check mode.
  returned: when it is to be there
  type: bool
started:
  description: Whether nodes of a cluster that was there were stopped and are started.
  returned: when it is to be there
  type: bool
nodes:
  description: The cluster's containers.
  returned: when it is to be there
  type: list
  elements: dict
  sample: [{name: evenkeel-control-plane, container_id: 6f0c3a}]
server:
  description: The address of the cluster's interface; null where it is not known yet in check mode.
  returned: when it is to be there
  type: str
  sample: https://127.0.0.1:41287
limits:
  description:
    - What the limited node's control group says (C(cpu_quota_cores), C(memory_limit_bytes)), and what Kubernetes hands
      out of it (C(allocatable), null where Kubernetes does not say). Null without O(limits).
  returned: when it is to be there
  type: dict
  sample:
    cpu_quota_cores: 2.0
    memory_limit_bytes: 4294967296
    allocatable: {cpu_cores: 2.0, memory_bytes: 4294967296}
host_patches:
  description: What was added to O(config) for this host when the cluster was made.
  returned: when it is to be there
  type: list
  elements: str
  sample: [restrict_oom_score_adj]
left_alone:
  description: Containers of a cluster of this name that was not made here.
  returned: when it is to be absent
  type: list
  elements: str
evidence:
  description: What the nodes said, by node and source.
  returned: when the cluster did not come up
  type: dict
"""

import os
from shutil import which

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import kind

# Kubernetes may hand out a little less than a node is granted: huge pages are taken off.
ALLOCATABLE_SLACK = 0.02


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        "state": {"type": "str", "choices": ["present", "absent"], "default": "present"},
        "name": {"type": "str", "required": True},
        "config": {"type": "dict"},
        "node_image": {"type": "str"},
        "kubeconfig": {"type": "path", "required": True},
        "owner_file": {"type": "path", "required": True},
        "kind_path": {"type": "path", "required": True},
        "limits": {
            "type": "dict",
            "options": {
                "cpus": {"type": "float", "required": True},
                "memory_bytes": {"type": "int", "required": True},
            },
        },
        "registries": {"type": "dict", "default": {}},
        "recreate": {"type": "bool", "default": False},
        "deadline_seconds": {"type": "float", "default": 900},
    }


def main():
    """Have the cluster, or have none."""
    module = AnsibleModule(
        argument_spec=argument_spec(),
        supports_check_mode=True,
    )
    options = dict(module.params)
    state = options.pop("state")
    # Not required_if: that takes an option whose value is null for one that was given.
    missing = [name for name in ("config", "node_image") if state == "present" and not options[name]]
    if missing:
        module.fail_json(msg=f"state=present needs {' and '.join(missing)}.")
    docker_path = which("docker")
    if docker_path is None:
        without_docker(module, state)
    try:
        plan = kind.Plan(
            **{**options, "config": options["config"] or {}, "kind_path": program(options["kind_path"])},
            docker_path=docker_path,
            check_mode=module.check_mode,
        )
        kind.check_plan(plan)
        before = kind.load_owner(plan.owner_file)
        cluster = kind.Cluster(plan)
        result = cluster.present() if state == "present" else cluster.absent()
    except kind.KindFailed as failure:
        module.fail_json(msg=with_end(str(failure)), **failure.details)
    except OSError as error:
        module.fail_json(
            msg=f"A file of the cluster {options['name']} could not be kept: {error}",
            operation="keep the cluster's files",
            next_step=f"look at the disk and the permissions of {os.path.dirname(options['owner_file'])}",
        )
    for warning in warnings_of(options["name"], result, options["limits"]):
        module.warn(warning)
    module.exit_json(**result, diff=diff_of(state, result, before, kind.wanted(plan)))


def without_docker(module, state):
    """End a module that finds no docker command: without one there is no cluster either."""
    if state == "absent":
        module.exit_json(changed=False, left_alone=[])
    if module.check_mode:
        nothing = {"started": False, "nodes": [], "server": None, "limits": None, "host_patches": []}
        module.exit_json(changed=True, created=True, **nothing)
    module.fail_json(
        msg="There is no docker command on this machine, and KinD's nodes are Docker containers.",
        operation="look for docker",
        next_step="run `ansible-playbook site.yml`, which installs Docker, or install it and run this again",
    )


def program(path):
    """The path where it is a program, else None."""
    return path if os.access(path, os.X_OK) and os.path.isfile(path) else None


def with_end(message):
    """A message that ends like a sentence."""
    return message if message.endswith(".") else f"{message}."


def warnings_of(name, result, limits):
    """What a person should know of a result that is no failure."""
    warnings = []
    if result.get("left_alone"):
        nodes = ", ".join(result["left_alone"])
        warnings.append(f"The KinD cluster {name} ({nodes}) was not made here and is left alone.")
    handed_out = (result.get("limits") or {}).get("allocatable")
    if handed_out and limits:
        off = {
            key: (handed_out[key], limits[asked])
            for key, asked in (("cpu_cores", "cpus"), ("memory_bytes", "memory_bytes"))
            if abs(handed_out[key] / limits[asked] - 1) > ALLOCATABLE_SLACK
        }
        warnings += [
            f"Kubernetes hands out {key} {is_} of {name}'s node, which is granted {asked}: pods may be placed wrongly."
            for key, (is_, asked) in off.items()
        ]
    return warnings


def diff_of(state, result, before, after):
    """What the cluster was and is made of, where that changed."""
    made_of = {key: before[key] for key in ("config", "limits")} if before else {}
    if not (result.get("created") or (state == "absent" and result["changed"])):
        return {"before": {}, "after": {}}
    return {"before": made_of, "after": after if state == "present" else {}}


if __name__ == "__main__":
    main()
