#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: service_startup
short_description: Starts a service and measures how long it takes until it is ready and right
description:
  - Stops the old instance, proves that it is gone, starts the service and asks it over HTTP until it is ready.
  - All stamps are seconds of CLOCK_MONOTONIC since just before the start command, taken on this host by this module; no
    time of Ansible's own is in them.
  - A refused connection is tried again every 20 ms. Once the service replies, it is asked to hold C(/ready?wait=)
    until it is ready, so that the stamp does not depend on how often it is asked.
  - The module ends at O(deadline_seconds) whatever happens to Ansible.
options:
  start_argv:
    description:
      - The command that starts the service in the background and returns. It is not run through a shell.
      - Its exit is not waited for before the service is asked.
    type: list
    elements: str
    required: true
  stop_argv:
    description:
      - The command that stops the old instance; run first and not part of any figure.
      - Without it the service must be stopped already.
    type: list
    elements: str
  url:
    description: The service's address, without the paths of its contract.
    type: str
    required: true
  pid_file:
    description: File with the id of the service's root process; its descendants are counted too.
    type: path
  unit:
    description: The systemd unit of the service.
    type: str
  container:
    description: The Docker container of the service, on this host's engine.
    type: str
  instance:
    description:
      - The service runs in a container of this host, and its process is the one that it names itself in C(/startup).
      - For pods of a cluster on this host.
    type: bool
    default: false
  remote:
    description:
      - The service runs on another host. Its processes and its clock cannot be read, so that phases and granted CPUs
        are null and an instance is told from another by its id alone.
    type: bool
    default: false
  behind_gateway:
    description:
      - Something stands between client and service that answers by itself while no instance does (OpenFaaS's gateway
        and watchdog). Its answers do not count as the service's.
    type: bool
    default: false
  replaces:
    description:
      - The start command replaces a running instance by a new one, as the deletion of a pod does. Nothing is stopped
        first, and the old instance's answers do not count.
    type: bool
    default: false
  predict_body_path:
    description:
      - An image on this host to send to C(POST /predict).
      - Without it RV(ansible_facts.service_startup.first_answer_seconds) is null.
    type: path
  expect_label:
    description: The label that the answer to O(predict_body_path) must name. Without it any label will do.
    type: str
  expect:
    description: What the answer to C(GET /) must hold; strings, integers and booleans exactly, floats within 1e-9.
    type: dict
    default: {}
  evaluate:
    description: Whether to send one C(GET /) after the service is ready, and measure that evaluation.
    type: bool
    default: true
  until:
    description:
      - How far to follow the start.
      - With V(imports) it is left as soon as the service has imported what it needs; every later figure is null.
      - Such a start is no measurement; it fills the page cache for the ones that follow.
    type: str
    choices: [ready, imports]
    default: ready
  deadline_seconds:
    description: How long everything after the start may take.
    type: float
    default: 1800
  stop_deadline_seconds:
    description: How long the old instance may take to be gone.
    type: float
    default: 30
  log_path:
    description: The service's log; the tail of what this start wrote is part of a failure.
    type: path
  log_argv:
    description: A command that prints the service's log, where it is no file; its tail is part of a failure.
    type: list
    elements: str
  seen_instance_ids:
    description: Instances that ran before, beside the one that the module stops. None of them can be the new one.
    type: list
    elements: str
    default: []
attributes:
  check_mode:
    description: Returns the plan; sends nothing and starts nothing.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Start the server and measure it
  service_startup:
    stop_argv: [supervisorctl, stop, server]
    start_argv: [supervisorctl, start, server]
    url: http://127.0.0.1:8081
    pid_file: /var/lib/evenkeel/run/server.pid
    predict_body_path: /var/lib/evenkeel/predict.png
    expect_label: ship
    expect: {total: 10000}
    deadline_seconds: 1500
    log_path: /var/lib/evenkeel/log/server.log

- name: Say which start-up it was
  ansible.builtin.debug:
    msg: "{{ ansible_facts.service_startup.mode }}: {{ ansible_facts.service_startup.ready_seconds }} s"
"""

RETURN = r"""
plan:
  description: What would be run.
  returned: in check mode
  type: dict
  sample: {start_argv: [supervisorctl, start, server], stop_argv: [], url: "http://127.0.0.1:8081"}
ansible_facts:
  description: The measured start-up.
  returned: when the service became ready
  type: dict
  contains:
    service_startup:
      description: One start-up.
      type: dict
      contains:
        valid:
          description: Whether the figures can be used.
          type: bool
        invalid_reasons:
          description:
            - Why not. Each begins with V(clock_differs), V(instance_changed), V(not_new), V(process_unknown),
              V(restarted), V(wrong_answer) or V(wrong_evaluation) and a colon.
          type: list
          elements: str
        mode:
          description: Whether this start trained (V(train)) or loaded (V(load)) its model.
          type: str
        instance_id:
          description: What the new instance calls itself.
          type: str
        host_boot_id:
          description: The boot of this host, whose monotonic clock the stamps are from.
          type: str
        start_monotonic_seconds:
          description: CLOCK_MONOTONIC just before the start command; the zero of all other stamps.
          type: float
        first_reply_seconds:
          description: Until the first complete HTTP answer, whatever its status.
          type: float
        ready_seconds:
          description: Until C(/ready) said that the model is ready. The headline figure; null with O(until=imports).
          type: float
        first_answer_seconds:
          description: Until the right answer to C(POST /predict); null when none was asked for or it was wrong.
          type: float
        first_evaluation_seconds:
          description: Until the right answer to the first C(GET /); null when none was asked for or it was wrong.
          type: float
        resolution_seconds:
          description:
            - By how much RV(ansible_facts.service_startup.ready_seconds) is later than the service's own stamp.
            - Where the two clocks cannot be compared, by how much it may be late at most.
          type: float
        probe_attempts:
          description: Requests sent until the service was as far as O(until) says.
          type: int
        phases:
          description: The service's own phases, in seconds since the start; null when stamped under another boot.
          type: list
          elements: dict
          sample: [{name: imports, begin_seconds: 0.31, end_seconds: 3.4}]
        answer:
          description: The answer to the first C(GET /); null when none was asked for.
          type: dict
        startup:
          description: The answer to C(GET /startup), unchanged.
          type: dict
        evaluation:
          description:
            - One evaluation alone, with C(wall_seconds), C(cpu_seconds) of the service's processes, and C(cpu_cores),
              their quotient, and C(model_seconds), the part that the service itself says the model took (its header
              C(Server-Timing); null where it says nothing). Null when none was asked for; the CPU figures are null when
              the processes are unknown.
          type: dict
        granted:
          description:
            - What the root process may use, with C(affinity_cpus), C(cpu_quota_cores) and C(memory_limit_bytes);
              the last two are null when unlimited.
          type: dict
        root_pid:
          description: The service's root process on this host; null when none was named in time, or with O(remote).
          type: int
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import http, startup

# How the service's process is named, each way an option of its own.
PROCESS_OPTIONS = ("pid_file", "unit", "container", "instance", "remote")


def read_options(module):
    """The plan from the module's options; ends the module where one of them cannot be used."""
    options = dict(module.params)
    for name in ("start_argv", "stop_argv", "log_argv"):
        if options[name] is not None and not options[name]:
            module.fail_json(msg=f"{name} is empty; give the command and its arguments, or leave it out")
    for name in ("deadline_seconds", "stop_deadline_seconds"):
        if not options[name] > 0:
            module.fail_json(msg=f"{name} must be above 0, got {options[name]:g}")
    # Not required_one_of: that takes an option whose value is null for one that was given.
    named = [name for name in PROCESS_OPTIONS if options[name]]
    if len(named) != 1:
        given = " and ".join(named) or "none"
        module.fail_json(
            msg=f"the service's process must be named once; give one of {', '.join(PROCESS_OPTIONS)} (got {given})"
        )
    try:
        http.check_url(options["url"])
    except http.RequestFailed as failure:
        module.fail_json(msg=f"url: {failure.message}")
    body_path = options.pop("predict_body_path")
    if body_path is None and options["expect_label"] is not None:
        module.fail_json(msg="expect_label needs predict_body_path: without an image no label is asked for")
    body = None
    if body_path is not None and not module.check_mode:
        try:
            with open(body_path, "rb") as file:
                body = file.read()
        except OSError as error:
            module.fail_json(
                msg=f"predict_body_path: cannot read {body_path}: {error.strerror}; give an image that is on this host"
            )
    return startup.Plan(predict_body=body, **options)


def main():
    module = AnsibleModule(
        argument_spec={
            "start_argv": {"type": "list", "elements": "str", "required": True},
            "stop_argv": {"type": "list", "elements": "str"},
            "url": {"type": "str", "required": True},
            "pid_file": {"type": "path"},
            "unit": {"type": "str"},
            "container": {"type": "str"},
            "instance": {"type": "bool", "default": False},
            "remote": {"type": "bool", "default": False},
            "behind_gateway": {"type": "bool", "default": False},
            "replaces": {"type": "bool", "default": False},
            "predict_body_path": {"type": "path"},
            "expect_label": {"type": "str"},
            "expect": {"type": "dict", "default": {}},
            "evaluate": {"type": "bool", "default": True},
            "until": {"type": "str", "choices": ["ready", "imports"], "default": "ready"},
            "deadline_seconds": {"type": "float", "default": 1800},
            "stop_deadline_seconds": {"type": "float", "default": 30},
            "log_path": {"type": "path"},
            "log_argv": {"type": "list", "elements": "str"},
            "seen_instance_ids": {"type": "list", "elements": "str", "default": []},
        },
        supports_check_mode=True,
    )
    plan = read_options(module)
    if module.check_mode:
        module.exit_json(
            changed=False,
            plan={"start_argv": plan.start_argv, "stop_argv": plan.stop_argv or [], "url": plan.url},
        )
    try:
        facts = startup.measure(plan)
    except startup.StartupFailed as failure:
        module.fail_json(msg=str(failure), **failure.details)
    module.exit_json(changed=True, ansible_facts={"service_startup": facts})


if __name__ == "__main__":
    main()
