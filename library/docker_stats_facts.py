#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: watch containers through the Docker engine."""

from __future__ import annotations

DOCUMENTATION = r"""
module: docker_stats_facts
short_description: Watch containers and return the figures of docker stats as facts
description:
  - Reads the Docker engine's stream of statistics for each container over its unix socket, and beside it the
    container's own control group counters ten times a second, cgroup version 1 or 2.
  - Needs neither the C(docker) command nor a Python package on the target host.
  - A container that is unknown, does not run, or stops while it is watched is a failure, never a figure of 0.
  - Started with O(ignore:async) and C(poll=0) beside a load, what it found is returned by a later task that gives the
    registered job as O(recording).
  - Changes nothing on the host.
options:
  containers:
    description: Names or ids of running containers. Needed to watch.
    type: list
    elements: str
  interval_seconds:
    description: Time between two samples, from 1 to 60. The engine gives one frame a second; others are left out.
    type: float
    default: 1.0
  docker_host:
    description: The engine's socket, C(unix:///path). The default is E(DOCKER_HOST), else C(/var/run/docker.sock).
    type: str
extends_documentation_fragment:
  - watch
requirements:
  - a running Docker engine on the target
attributes:
  check_mode:
    description: Can run in check_mode and return the plan without asking the engine.
    support: full
  facts:
    description: Returns the fact C(docker_stats).
    support: full
author:
  - Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Watch two containers for five seconds
  docker_stats_facts:
    containers: [server, function]
    duration_seconds: 5

- name: Watch a container beside a load
  docker_stats_facts:
    containers: [server]
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop
    deadline_seconds: 600
  async: "{{ ansible_check_mode | ternary(0, 630) }}"
  poll: 0
  register: watcher

- name: Put load on the container
  ab_benchmark:
    url: http://127.0.0.1:8081/
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop

- name: Take what was watched
  docker_stats_facts:
    recording: "{{ watcher }}"
"""

RETURN = r"""
ansible_facts:
  description: The fact C(docker_stats).
  returned: >-
    except in check mode and by the task that only starts an asynchronous watch; where a container stopped, the module
    fails without it
  type: dict
  contains:
    docker_stats:
      description: What the engine and the counters said.
      type: dict
      returned: always
      contains:
        engine_version:
          description: The engine's version.
          type: str
          returned: always
        api_version:
          description: The version of the engine's interface that was spoken.
          type: str
          returned: always
        host_boot_id:
          description: The kernel's boot id; stamps of one boot are of one clock.
          type: str
          returned: always
        window:
          description:
            - Begin (first good frames) and end of the watch on the monotonic clock, and what ended it.
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
          description: CPU seconds this watcher itself used; the engine's own are not in it.
          type: dict
          returned: always
          sample:
            cpu_seconds: 0.08
        containers:
          description:
            - One record a container. C(cpu_percent_of_core), C(memory_bytes) and C(memory_percent) are means over the
              samples of the figures that C(docker stats) shows; 100 percent is one busy core.
            - C(cpu_seconds) and C(cpu_cores) are from the cgroup counter over the window; where it advanced by less
              than its unit they are null and C(cpu_seconds_less_than) is the bound.
            - C(memory_limit_bytes) is the host's memory where the container has no limit.
            - C(network_*) and C(block_*) are bytes between the first and the last sample.
            - C(cgroup) has throttling within the window, the memory peak since the container's start and the CPU quota;
              its values are null where the control group cannot be seen from the target.
            - C(counters) holds pairs of monotonic seconds and CPU seconds, C(memory) pairs of monotonic seconds and
              bytes.
          type: list
          elements: dict
          returned: always
          sample:
            - name: server
              id: b862f4cad050
              cpu_percent_of_core: 30.1
              cpu_cores: 0.3
              cpu_seconds: 1.5
              cpu_seconds_less_than: null
              memory_bytes: 749568
              memory_kind: working_set
              memory_limit_bytes: 268435456
              memory_percent: 0.28
              network_received_bytes: 0
              network_sent_bytes: 0
              block_read_bytes: 0
              block_written_bytes: 0
              pids: 1
              samples: []
              cgroup:
                version: 1
                throttled_seconds: 3.4
                throttled_periods: 50
                elapsed_periods: 60
                memory_peak_bytes: 995328
                cpu_quota_cores: 0.3
              counters:
                source: cgroup
                resolution_seconds: 1.0e-09
                samples: []
              memory:
                kind: working_set
                samples: []
              restarted: false
artifacts:
  description: Files written to O(artifact_dir), with their SHA-256 and size.
  returned: when facts were written to a file
  type: list
  elements: dict
  sample:
    - path: /tmp/trial/docker_stats.frames.json
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      bytes: 48211
plan:
  description: What would be watched.
  returned: in check mode
  type: dict
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import docker_engine, docker_stats, watch


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        **watch.ARGUMENTS,
        "containers": {"type": "list", "elements": "str"},
        "docker_host": {"type": "str"},
        "recording": {"type": "dict"},
    }


def main():
    """Watch the containers and return the facts."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    if options["recording"] is not None:
        watch.collect(module, "docker_stats")
    try:
        watch.check_options(options, least_interval=1, most_interval=60)
        names = checked_names(options["containers"])
        if module.check_mode:
            module.exit_json(changed=False, plan={**options, "deadline_seconds": watch.own_deadline_seconds(options)})
        facts = docker_stats.watch_containers(
            docker_engine.engine_from(options["docker_host"]), names, watch.Watch(options), options["interval_seconds"]
        )
        result = watch.with_artifact("docker_stats", facts, options["artifact_dir"])
    except (watch.WatchError, docker_engine.EngineError, OSError) as error:
        module.fail_json(
            msg=str(error),
            operation="watch containers through the Docker engine",
            next_step="correct what the message names and run the task again",
        )
    watch.warn_of_deadline(module.warn, facts["window"])
    module.exit_json(changed=False, **result)


def checked_names(names):
    """The containers to watch. Raises WatchError where none is named, one is empty or named twice."""
    if not names or not all(name.strip() for name in names):
        raise watch.WatchError(f"containers must name at least one container and no empty name, not {names}")
    if len(set(names)) != len(names):
        raise watch.WatchError(f"containers names one of them twice: {names}")
    return names


if __name__ == "__main__":
    main()
