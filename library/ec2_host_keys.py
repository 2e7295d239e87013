#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: an EC2 instance's SSH host keys, from its console into a known_hosts file."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_host_keys
short_description: Takes an EC2 instance's SSH host keys from its console into a known_hosts file
description:
  - The console output comes from AWS, with the caller's credentials, so that the first connection is to the machine
    that was made, whoever sits on the way to it.
  - cloud-init prints the keys at the first boot. Until they are there the console is asked again. An instance that
    O(known_hosts) has keys for is asked once, and only to see whether they are still the same.
  - The file knows the instance by its id; connect with ssh's option C(HostKeyAlias).
  - Runs on the controller, with boto3 and its credentials.
options:
  region:
    description: The region.
    type: str
    required: true
  instance_id:
    description: The instance.
    type: str
    required: true
  known_hosts:
    description: The file; lines for others stay as they are.
    type: path
    required: true
  deadline_seconds:
    description: How long to wait for the keys.
    type: float
    default: 300
  poll_seconds:
    description: The pause between two questions.
    type: float
    default: 5
requirements:
  - boto3 (Python package)
attributes:
  check_mode:
    description: Says whether a key would be added, for an instance whose console has them already. It does not wait.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Take the host keys of the new instance
  ec2_host_keys:
    region: us-east-1
    instance_id: i-0123456789abcdef0
    known_hosts: /home/ops/.local/state/evenkeel-ec2/server-ec2/known_hosts
  delegate_to: localhost
"""

RETURN = r"""
key_types:
  description: The types of the keys that the file has for the instance.
  returned: success
  type: list
  elements: str
waited_seconds:
  description: How long the keys were waited for.
  returned: success
  type: float
error:
  description: AWS's C(code) of a refusal.
  returned: when AWS refused
  type: dict
"""

import time
from pathlib import Path

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import clock, ec2_client, files, ssh_host_keys

# An instance that is not built on Nitro has its console's output only some minutes late, and no latest one.
NO_LATEST = {"UnsupportedOperation", "InvalidParameterCombination"}
TAIL_CHARACTERS = 400


class Console:
    """What an instance has printed until now."""

    def __init__(self, region, instance_id):
        self._client = ec2_client.connect(region)
        self._options = {"InstanceId": instance_id, "Latest": True}

    def read(self):
        """The text, empty where there is none yet."""
        try:
            answer = ec2_client.asked("get_console_output", lambda: self._client.get_console_output(**self._options))
        except ec2_client.Ec2Failed as failure:
            if "Latest" not in self._options or failure.details.get("error", {}).get("code") not in NO_LATEST:
                raise
            del self._options["Latest"]
            return self.read()
        # botocore has decoded it.
        return answer.get("Output") or ""


def awaited(console, deadline, poll_seconds):
    """The console's text as soon as it has keys, or as it is when the deadline is over."""
    while True:
        text = console.read()
        if ssh_host_keys.from_console(text) or deadline.expired():
            return text
        time.sleep(min(poll_seconds, max(deadline.remaining(), 0.01)))


def tail(text):
    """The end of a console's text, on one line."""
    return " ".join(text.split())[-TAIL_CHARACTERS:] or "nothing at all"


def main():
    module = AnsibleModule(
        argument_spec={
            "region": {"type": "str", "required": True},
            "instance_id": {"type": "str", "required": True},
            "known_hosts": {"type": "path", "required": True},
            "deadline_seconds": {"type": "float", "default": 300},
            "poll_seconds": {"type": "float", "default": 5},
        },
        supports_check_mode=True,
    )
    options = module.params
    identity, path = options["instance_id"], Path(options["known_hosts"])
    begun = clock.monotonic()
    try:
        deadline = clock.Deadline(options["deadline_seconds"])
        before = path.read_text(encoding="utf-8") if path.exists() else ""
        known = ssh_host_keys.known(before, identity)
        console = Console(options["region"], identity)
        once = bool(known) or module.check_mode
        text = console.read() if once else awaited(console, deadline, options["poll_seconds"])
        keys = ssh_host_keys.from_console(text)
        if not keys and not once:
            module.fail_json(
                msg=(
                    f"The console of {identity} showed no SSH host keys within {options['deadline_seconds']:g} s, so "
                    "that nobody can tell whether an answer on its address is its own. Its image may not print them "
                    f"(cloud-init does), or it did not boot; its console ends with: {tail(text)}"
                ),
                operation="wait for host keys",
            )
        after = ssh_host_keys.merged(before, identity, keys)
        if after != before and not module.check_mode:
            files.write_atomically(str(path), after.encode())
    except ec2_client.Ec2Failed as failure:
        module.fail_json(msg=str(failure), **failure.details)
    except ssh_host_keys.HostKeyChanged as change:
        module.fail_json(
            msg=(
                f"The host key of {identity} has changed: {change}. Somebody made new keys on that machine, or it is "
                f"another one. If you know why, delete the lines of {identity} in {path}"
            ),
            operation="compare host keys",
        )
    except (OSError, ValueError) as error:
        module.fail_json(msg=f"{path} could not be kept: {error}", operation="write known_hosts")
    module.exit_json(
        changed=after != before,
        key_types=sorted(ssh_host_keys.known(after, identity)),
        waited_seconds=round(clock.monotonic() - begun, 3),
    )


if __name__ == "__main__":
    main()
