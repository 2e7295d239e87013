#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

DOCUMENTATION = r"""
module: machine_facts
short_description: What a host is and has, before anything is done to it
description:
  - Reads what preflight checks and what every run records of a host, in one task.
  - Nothing is run and nothing is changed.
options:
  paths:
    description: Folders whose free space is wanted; a folder that does not exist yet stands for its nearest parent.
    type: list
    elements: path
    default: []
  commands:
    description: Programs to look for on the search path.
    type: list
    elements: str
    default: []
  busy_seconds:
    description: Over how many seconds to see how busy the CPUs are; not at all with 0.
    type: float
    default: 0
  ports:
    description: TCP ports whose listener is wanted.
    type: list
    elements: int
    default: []
attributes:
  check_mode:
    description: Reads the same in check mode.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: See what the host has
  machine_facts:
    commands: [ab, htop]
    ports: [8081]
"""

RETURN = r"""
ansible_facts:
  description: The facts, under one key.
  returned: always
  type: dict
  contains:
    machine:
      description: >-
        The machine; sizes in bytes. C(state_home) is where the toolkit keeps what it makes, C(commands) maps a name to
        its path or null, C(ports) a port to its listener (C(pid), C(command)) or null, C(free_bytes) a path to the
        space left there, and C(busy_cores) is null without O(busy_seconds).
      returned: always
      type: dict
      sample: {cpu_count: 2, memory_bytes: 4294967296, state_home: /var/lib/evenkeel}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import machine, procfs


def listener(port):
    """The process that listens on a TCP port: its pid and command line, None where nothing listens."""
    pid = procfs.listening_pid(port)
    return None if pid is None else {"pid": pid, "command": procfs.command_line(pid)}


def main():
    module = AnsibleModule(
        argument_spec={
            "paths": {"type": "list", "elements": "path", "default": []},
            "commands": {"type": "list", "elements": "str", "default": []},
            "busy_seconds": {"type": "float", "default": 0},
            "ports": {"type": "list", "elements": "int", "default": []},
        },
        supports_check_mode=True,
    )
    facts = machine.describe(module.params["paths"], module.params["commands"])
    facts["ports"] = {str(port): listener(port) for port in module.params["ports"]}
    seconds = module.params["busy_seconds"]
    facts["busy_cores"] = machine.sample_busy_cores(seconds) if seconds > 0 else None
    module.exit_json(changed=False, ansible_facts={"machine": facts})


if __name__ == "__main__":
    main()
