#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: watch groups of pods whose containers run on this host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: pod_stats_facts
short_description: Watch groups of pods and return what they use as facts
description:
  - Asks a cluster which containers the pods of each group have, finds their control groups on this host (version 1 or
    2), and reads CPU time and throttling from these ten times a second, and memory once an interval.
  - For a cluster whose nodes are containers of this host (KinD), or on a node itself. A container that does not run on
    this host is a failure that says so, never a figure of 0.
  - What the node itself uses is the fact of M(docker_stats_facts) for the node's container. A pod's sandbox container
    is not counted.
  - A pod that appears, ends or is restarted while it is watched marks its group as C(restarted).
  - Started with O(ignore:async) and C(poll=0) beside a load, what it found is returned by a later task that gives the
    registered job as O(recording).
  - Changes nothing on the host or in the cluster.
options:
  kubeconfig:
    description: The file that says how to reach the cluster. The default is E(KUBECONFIG), else C(~/.kube/config).
    type: path
  context:
    description: The context of that file; by default its current one.
    type: str
  groups:
    description: The pods whose figures are added up. The group C(function) is the service of an arm. Needed to watch.
    type: list
    elements: dict
    suboptions:
      name:
        description: A name for the group.
        type: str
        required: true
      namespace:
        description: The namespace of its pods.
        type: str
        required: true
      label_selector:
        description: The labels of its pods, such as C(faas_function=cifar-cnn); by default all pods of the namespace.
        type: str
        default: ""
  interval_seconds:
    description: Time between two readings of the memory, from 0.1 to 60.
    type: float
    default: 1.0
extends_documentation_fragment:
  - watch
requirements:
  - the Python package kubernetes on the target
attributes:
  check_mode:
    description: Can run in check_mode and return the plan without asking the cluster.
    support: full
  facts:
    description: Returns the fact C(pod_stats).
    support: full
author:
  - Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Watch a function's pod and OpenFaaS's own for five seconds
  pod_stats_facts:
    kubeconfig: /tmp/evenkeel/kubeconfig
    groups:
      - {name: function, namespace: openfaas-fn, label_selector: faas_function=cifar-cnn}
      - {name: openfaas, namespace: openfaas}
    duration_seconds: 5

- name: Watch a function's pod beside a load
  pod_stats_facts:
    groups:
      - {name: function, namespace: openfaas-fn, label_selector: faas_function=cifar-cnn}
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop
    deadline_seconds: 600
  async: "{{ ansible_check_mode | ternary(0, 630) }}"
  poll: 0
  register: watcher

- name: Put load on the function
  ab_benchmark:
    url: http://127.0.0.1:31112/function/cifar-cnn
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop

- name: Take what was watched
  pod_stats_facts:
    recording: "{{ watcher }}"
"""

RETURN = r"""
ansible_facts:
  description: The fact C(pod_stats).
  returned: except in check mode and by the task that only starts an asynchronous watch
  type: dict
  contains:
    pod_stats:
      description: What the cluster and the counters said.
      type: dict
      returned: always
      contains:
        host_boot_id:
          description: The kernel's boot id; stamps of one boot are of one clock.
          type: str
          returned: always
        window:
          description:
            - Begin (first readings) and end of the watch on the monotonic clock, and what ended it.
            - C(host_steal_seconds) of C(host_cpu_seconds), the CPU time of all CPUs of the host in that window, went to
              other virtual machines; null where the kernel does not count it.
            - C(host_swapped_bytes) went to and from swap, and C(wall_clock_step_seconds) is by how much somebody set
              the wall clock meanwhile.
          type: dict
          returned: always
        window_seconds:
          description: Length of the window.
          type: float
          returned: always
        client:
          description: CPU seconds this watcher itself used; the cluster's own work to answer it is not in it.
          type: dict
          returned: always
          sample:
            cpu_seconds: 0.08
        looks:
          description: How often the cluster was asked whether the pods are the same, and did not answer.
          type: dict
          returned: always
          sample:
            answered: 3
            failed: 0
        groups:
          description:
            - One record a group, its containers' figures added up.
            - C(cpu_seconds) and C(cpu_cores) are from the control groups' counters over the window; where they advanced
              by less than their unit they are null and C(cpu_seconds_less_than) is the bound. They are null as well
              where a container ended.
            - C(memory_bytes) is the mean of the working set, usage without the inactive file cache, as kubelet counts
              it.
            - C(memory_limit_bytes) and, in C(cgroup), C(memory_peak_bytes) and C(cpu_quota_cores) are those of a single
              container, and null for a group of several, whose own are in C(containers). The limit is the tightest of
              the container's and its pods' groups; no limit at all is null.
            - C(counters) holds pairs of monotonic seconds and CPU seconds, C(memory) pairs of monotonic seconds and
              bytes.
            - C(restarted) says whether the group's containers are not the same over the whole window, C(changes) how.
          type: list
          elements: dict
          returned: always
          sample:
            - name: function
              namespace: openfaas-fn
              label_selector: faas_function=cifar-cnn
              containers:
                - pod: cifar-cnn-5d4f9c7b6-x2x7k
                  uid: 7c4b27a2-5a8f-4df5-8f2b-62bd3c0b1f37
                  name: cifar-cnn
                  id: b862f4cad0505bd1c9ac6b3a0b6d3ad7a4a4b3d1a7fd0e6d1f5c8a8e2b9e8c11
                  node: evenkeel-control-plane
                  cpu_cores: 1.9
                  cpu_seconds: 9.5
                  cpu_seconds_less_than: null
                  memory_bytes: 402653184
                  memory_limit_bytes: 4294967296
                  cgroup:
                    version: 1
                    throttled_seconds: 0.2
                    throttled_periods: 4
                    elapsed_periods: 50
                    memory_peak_bytes: 423624704
                    cpu_quota_cores: 2.0
              cpu_cores: 1.9
              cpu_seconds: 9.5
              cpu_seconds_less_than: null
              memory_bytes: 402653184
              memory_kind: working_set
              memory_limit_bytes: 4294967296
              cgroup:
                version: 1
                throttled_seconds: 0.2
                throttled_periods: 4
                elapsed_periods: 50
                memory_peak_bytes: 423624704
                cpu_quota_cores: 2.0
              counters:
                source: cgroup
                resolution_seconds: 1.0e-09
                samples: []
              memory:
                kind: working_set
                samples: []
              restarted: false
              changes: []
artifacts:
  description: Files written to O(artifact_dir), with their SHA-256 and size.
  returned: when facts were written to a file
  type: list
  elements: dict
  sample:
    - path: /tmp/trial/pod_stats.frames.json
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      bytes: 48211
plan:
  description: What would be watched.
  returned: in check mode
  type: dict
"""

import json
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.evenkeel import pod_stats, watch

# A busy API server takes its time; this is the longest silence that is borne.
ANSWER_SECONDS = 10


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        **watch.ARGUMENTS,
        "kubeconfig": {"type": "path"},
        "context": {"type": "str"},
        "groups": {
            "type": "list",
            "elements": "dict",
            "options": {
                "name": {"type": "str", "required": True},
                "namespace": {"type": "str", "required": True},
                "label_selector": {"type": "str", "default": ""},
            },
        },
        "recording": {"type": "dict"},
    }


def main():
    """Watch the pods and return the facts."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    if options["recording"] is not None:
        watch.collect(module, "pod_stats")
    try:
        watch.check_options(options, least_interval=0.1, most_interval=60)
        groups = pod_stats.groups_from(options["groups"] or [])
        if module.check_mode:
            module.exit_json(changed=False, plan={**options, "deadline_seconds": watch.own_deadline_seconds(options)})
        lister = pods_of(options["kubeconfig"], options["context"])
        facts = pod_stats.watch_groups(lister, groups, watch.Watch(options), options["interval_seconds"])
        result = watch.with_artifact("pod_stats", facts, options["artifact_dir"])
    except ImportError:
        module.fail_json(msg=missing_required_lib("kubernetes"), exception=traceback.format_exc())
    except (watch.WatchError, pod_stats.PodStatsError, OSError) as error:
        module.fail_json(
            msg=str(error),
            operation="watch pods of a cluster",
            next_step="correct what the message names and run the task again",
        )
    watch.warn_of_deadline(module.warn, facts["window"])
    module.exit_json(changed=False, **result)


def pods_of(kubeconfig, context):
    """A function that lists pods by namespace and labels.

    Raises PodStatsError where the file names no cluster, ImportError where the package kubernetes is missing.
    """
    # Here, not above: it takes a second, and collecting a recording needs none of it.
    import kubernetes  # noqa: PLC0415
    import yaml  # noqa: PLC0415
    from urllib3.exceptions import HTTPError  # noqa: PLC0415

    try:
        client = kubernetes.config.new_client_from_config(
            config_file=kubeconfig, context=context or None, persist_config=False
        )
    except (kubernetes.config.ConfigException, yaml.YAMLError, OSError, ValueError, TypeError) as error:
        raise pod_stats.PodStatsError(
            f"the kubeconfig {kubeconfig or 'in its default place'} does not say how to reach a cluster in "
            f"{f'the context {context}' if context else 'its current context'}: {error}; "
            "kubectl config get-contexts lists what there is"
        ) from error
    api = kubernetes.client.CoreV1Api(client)

    def pods(namespace, label_selector):
        asked = f"the pods {label_selector} in namespace {namespace} (server {client.configuration.host})"
        try:
            # The document as it is: the package's own objects cost many times the CPU of the answer.
            answer = api.list_namespaced_pod(
                namespace, label_selector=label_selector, _preload_content=False, _request_timeout=ANSWER_SECONDS
            )
            return json.loads(answer.data)["items"]
        except kubernetes.client.ApiException as error:
            raise pod_stats.PodStatsError(
                f"the cluster refused to list {asked}: {error.status} {error.reason}: {str(error.body)[:500]}"
            ) from error
        except HTTPError as error:
            raise pod_stats.PodStatsError(f"the cluster does not answer for {asked}: {error}") from error
        except (ValueError, KeyError, TypeError) as error:
            raise pod_stats.PodStatsError(f"the cluster's answer is no list of {asked}: {error!r}") from error

    return pods


if __name__ == "__main__":
    main()
