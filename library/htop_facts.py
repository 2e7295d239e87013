#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: watch processes with htop."""

from __future__ import annotations

DOCUMENTATION = r"""
module: htop_facts
short_description: Watch processes with htop and return its figures as facts
description:
  - Runs the real C(htop) on the target host in a pseudo-terminal, and beside it reads the CPU counters of the watched
    processes and all their descendants from C(/proc) ten times a second.
  - The module records on the target, where it needs Python's standard library only. The action plugin of the same name
    draws the recorded screens with C(pyte) on the controller and turns them into facts.
  - Started with O(ignore:async) and C(poll=0) beside a load, the recording is turned into facts by a later task that
    gives the registered job as O(recording).
  - The first frame htop draws is a sample of 75 ms and is dropped.
  - Changes nothing on the host.
options:
  pids:
    description: Ids of the processes to watch; their descendants are watched too.
    type: list
    elements: int
    default: []
  pid_file:
    description: A file that holds the id of one process to watch, its descendants included.
    type: path
  unit:
    description:
      - A systemd unit whose main process is watched, its descendants included.
      - Where it is all that is watched, its control group is counted too.
    type: str
  interval_seconds:
    description: Time between two frames, in whole tenths of a second from 0.5 to 10.
    type: float
    default: 1.0
  htop_path:
    description: The htop program, a name searched in PATH or a full path.
    type: str
    default: htop
extends_documentation_fragment:
  - watch
requirements:
  - htop 3.0 or later on the target
  - pyte on the controller
attributes:
  check_mode:
    description: Can run in check_mode and return the plan without starting htop.
    support: full
  facts:
    description: Returns the fact C(htop).
    support: full
author:
  - Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Watch a service for five seconds
  htop_facts:
    pid_file: /run/gunicorn.pid
    duration_seconds: 5

- name: Watch a service beside a load
  htop_facts:
    pid_file: /run/gunicorn.pid
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop
    deadline_seconds: 600
  async: "{{ ansible_check_mode | ternary(0, 630) }}"
  poll: 0
  register: watcher

- name: Put load on the service
  ab_benchmark:
    url: http://127.0.0.1:8081/
    ready_file: /tmp/trial/ready
    stop_file: /tmp/trial/stop

- name: Turn the recording into facts
  htop_facts:
    recording: "{{ watcher }}"
"""

RETURN = r"""
ansible_facts:
  description: The fact C(htop).
  returned: when the screens were drawn, so not by the task that only starts an asynchronous recording
  type: dict
  contains:
    htop:
      description: What htop and the counters said.
      type: dict
      returned: always
      contains:
        version:
          description: Version of htop.
          type: str
          returned: always
        delay_seconds:
          description: Time between two frames.
          type: float
          returned: always
        host_boot_id:
          description: The kernel's boot id; stamps of one boot are of one clock.
          type: str
          returned: always
        window:
          description:
            - Begin (first frame) and end of the watch on the monotonic clock, and what ended it.
            - C(host_steal_seconds) of C(host_cpu_seconds), the CPU time of all CPUs of the host in that window, went to
              other virtual machines; null where the kernel does not count it.
            - C(host_swapped_bytes) went to and from swap, and C(wall_clock_step_seconds) is by how much somebody set
              the wall clock meanwhile.
          type: dict
          returned: always
        frames:
          description:
            - One record a frame, the first dropped; its interval is from RV(ignore:begin_monotonic_seconds) to
              RV(ignore:monotonic_seconds). Null where they were written to O(artifact_dir).
          type: list
          elements: dict
          returned: always
        summary:
          description:
            - Figures of the host, each the mean over the frames, but C(load1) the last frame's.
            - C(cpu_percent_of_host) is of all CPUs together (0 to 100); C(memory_percent) is used by total memory.
          type: dict
          returned: always
          sample:
            cpu_percent_of_host: 54.3
            memory_used_bytes: 723517440
            memory_available_bytes: 24266565222
            memory_percent: 2.9
            load1: 1.15
        processes:
          description:
            - One entry a process, means over the frames. C(cpu_percent_of_core) is 100 for one busy core.
            - C(pss_bytes) is from C(/proc); it is the one memory figure that may be summed over processes.
          type: list
          elements: dict
          returned: always
          sample:
            - pid: 22761
              command: python3 -m gunicorn
              cpu_percent_of_core: 28.7
              resident_bytes: 66330624
              pss_bytes: 61251584
        proc_check:
          description:
            - htop's figures beside those of C(/proc) over the same time. C(passed) is false where CPU differs by more
              than 2 points or memory by more than 1 percent.
          type: dict
          returned: always
        counters:
          description:
            - CPU seconds of the processes and their descendants since the watch began, C(samples) being pairs of
              monotonic seconds and CPU seconds. C(source) is C(schedstat) or C(ticks).
          type: dict
          returned: always
        memory:
          description: Proportional set size (C(kind) is C(pss)), pairs of monotonic seconds and bytes, one a frame.
          type: dict
          returned: always
        restarted:
          description: Whether a watched root process ended, so that the figures are of more than one process life.
          type: bool
          returned: always
        ended_pids:
          description: Processes watched from the beginning that ended before the watch did.
          type: list
          elements: int
          returned: always
        cgroup:
          description:
            - How a CPU quota held the service back while it was watched, C(throttled_periods) of C(elapsed_periods) and
              C(throttled_seconds), in the one of its control groups that was held back longest; null where the
              kernel does not count it. C(cpu_quota_cores) is the tightest quota over the first root process, null
              where there is none.
          type: dict
          returned: always
          sample:
            throttled_periods: 0
            throttled_seconds: 0.0
            elapsed_periods: 0
            cpu_quota_cores: null
        group:
          description:
            - What the unit's control group counted, where O(unit) alone names the processes and the group can be seen
              from here; else null. C(counters) and C(memory) are those of M(docker_stats_facts) for a container,
              so that a unit can be set beside one.
          type: dict
          returned: always
          sample: null
        client:
          description: CPU seconds this watcher itself used, htop included.
          type: dict
          returned: always
          sample:
            cpu_seconds: 0.11
artifacts:
  description: Files written to O(artifact_dir), with their SHA-256 and size.
  returned: when facts were written to a file
  type: list
  elements: dict
  sample:
    - path: /tmp/trial/htop.frames.json
      sha256: 2c26b46b68ffc68ff99b453c1d30413413422d706483bfa0f98a5e886266e7ae
      bytes: 48211
recording:
  description: The recorded screens and counters, input for the action plugin.
  returned: when the module records
  type: dict
argv:
  description: htop's arguments.
  returned: when the module records or in check mode
  type: list
  elements: str
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import async_job, htop_recording, procfs, watch

# How long a recording may take to end, where the task does not say.
COLLECT_SECONDS = 60


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        **watch.ARGUMENTS,
        "pids": {"type": "list", "elements": "int", "default": []},
        "pid_file": {"type": "path"},
        "unit": {"type": "str"},
        "htop_path": {"type": "str", "default": "htop"},
        "recording": {"type": "dict"},
    }


def group_of(options):
    """The name of the control group of the watched processes alone, which a unit named by itself has; else None."""
    unit = options["unit"]
    if unit is None or options["pids"] or options["pid_file"] is not None:
        return None
    return unit if "." in unit else unit + ".service"


def main():
    """Record htop's screen and the counters, and return the recording."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    options = module.params
    if options["recording"] is not None:
        collect(module)
    interval = options["interval_seconds"]

    def resolve():
        return procfs.resolve_pids(options["pids"], options["pid_file"], options["unit"])

    planned = {"argv": []}
    try:
        watch.check_options(options, least_interval=0.5, most_interval=10)
        if abs(round(interval * 10) - interval * 10) > 1e-6:
            raise watch.WatchError(
                f"interval_seconds must be whole tenths of a second, not {interval:g}: htop knows no other"
            )
        if module.check_mode:
            module.exit_json(changed=False, argv=[options["htop_path"]], plan=plan_of(options))
        planned = htop_recording.plan(options["htop_path"], procfs.process_tree(resolve()), interval)
        for warning in planned["warnings"]:
            module.warn(warning)
        service = htop_recording.Service(resolve, group_of(options))
        recording = htop_recording.record(planned["argv"], service, watch.Watch(options), interval, module.tmpdir)
    except (watch.WatchError, procfs.ProcessNotFound, ValueError, OSError) as error:
        module.fail_json(
            msg=str(error),
            operation="watch processes with htop",
            argv=planned["argv"],
            next_step="correct what the message names and run the task again",
        )
    recording["version"] = planned["version"]
    watch.warn_of_deadline(module.warn, recording["window"])
    module.exit_json(changed=False, argv=planned["argv"], recording=recording)


def collect(module):
    """Return what an earlier, asynchronous task recorded; the action plugin turns it into facts. Ends the module."""
    try:
        result = async_job.finished(module.params["recording"], module.params["deadline_seconds"] or COLLECT_SECONDS)
    except async_job.AsyncJobError as error:
        module.fail_json(
            msg=str(error),
            operation="collect an htop recording",
            next_step="correct what the message names and run the task again",
        )
    if result.pop("failed", False):
        module.fail_json(**result)
    module.exit_json(**result)


def plan_of(options):
    """What would be done, for check mode, where neither htop nor the service need exist yet."""
    named = ("pids", "pid_file", "unit", "duration_seconds", "stop_file", "interval_seconds")
    return {
        **{name: options[name] for name in named},
        "deadline_seconds": watch.own_deadline_seconds(options),
    }


if __name__ == "__main__":
    main()
