#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Ansible module: what in a region of AWS bears certain tags."""

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_tagged_facts
short_description: Lists what bears certain tags in a region of AWS
description:
  - Asks EC2 for everything of the kinds that the role C(ec2_host) makes, or that come with them, with all of O(tags).
  - A terminated instance is listed for about an hour by AWS, and not here.
  - Network interfaces bear no tags of their own; those of the listed security groups are listed.
  - Runs on the controller, with boto3 and its credentials.
options:
  region:
    description: The region.
    type: str
    required: true
  tags:
    description: The tags, all of which a thing must have.
    type: dict
    required: true
  settle_seconds:
    description:
      - Where no instance is listed, look again for so long. AWS may list an instance only some seconds after it was
        asked for.
    type: float
    default: 0
requirements:
  - boto3 (Python package)
attributes:
  check_mode:
    description: Changes nothing.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Look for what is there
  ec2_tagged_facts:
    region: us-east-1
    tags: {evenkeel: ops, evenkeel-host: server-ec2}
  delegate_to: localhost
  register: seen
"""

RETURN = r"""
ec2_tagged:
  description: >-
    C(instances), each with C(id), C(state), C(type), C(image_id), C(public_address), C(private_address) and
    C(volume_ids); C(volumes), C(key_pairs), C(security_groups) and C(network_interfaces), each with C(id) and C(name)
    or C(state).
  returned: success
  type: dict
error:
  description: AWS's C(code) of a refusal.
  returned: when AWS refused
  type: dict
"""

import time

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import clock, ec2_client

LIVING = ["pending", "running", "shutting-down", "stopping", "stopped"]
LOOK_AGAIN_SECONDS = 2


def instances(client, filters):
    """The instances that are not terminated, the oldest one first."""
    reservations = ec2_client.pages(
        client, "describe_instances", "Reservations", {**filters, "instance-state-name": LIVING}
    )
    found = [instance for reservation in reservations for instance in reservation["Instances"]]
    return [
        {
            "id": one["InstanceId"],
            "state": one["State"]["Name"],
            "type": one["InstanceType"],
            "image_id": one["ImageId"],
            "public_address": one.get("PublicIpAddress"),
            "private_address": one.get("PrivateIpAddress"),
            "volume_ids": [disk["Ebs"]["VolumeId"] for disk in one.get("BlockDeviceMappings", []) if "Ebs" in disk],
        }
        for one in sorted(found, key=lambda one: (str(one.get("LaunchTime")), one["InstanceId"]))
    ]


def tagged(client, filters):
    """Everything of the kinds that the role makes."""
    groups = ec2_client.pages(client, "describe_security_groups", "SecurityGroups", filters)
    group_ids = [group["GroupId"] for group in groups]
    interfaces = (
        ec2_client.pages(client, "describe_network_interfaces", "NetworkInterfaces", {"group-id": group_ids})
        if group_ids
        else []
    )
    volumes = ec2_client.pages(client, "describe_volumes", "Volumes", filters)
    keys = ec2_client.pages(client, "describe_key_pairs", "KeyPairs", filters)
    return {
        "instances": instances(client, filters),
        "volumes": [{"id": volume["VolumeId"], "state": volume["State"]} for volume in volumes],
        "key_pairs": [{"id": key["KeyPairId"], "name": key["KeyName"]} for key in keys],
        "security_groups": [{"id": group["GroupId"], "name": group["GroupName"]} for group in groups],
        "network_interfaces": [{"id": one["NetworkInterfaceId"], "state": one["Status"]} for one in interfaces],
    }


def main():
    module = AnsibleModule(
        argument_spec={
            "region": {"type": "str", "required": True},
            "tags": {"type": "dict", "required": True},
            "settle_seconds": {"type": "float", "default": 0},
        },
        supports_check_mode=True,
    )
    filters = {f"tag:{name}": [str(value)] for name, value in module.params["tags"].items()}
    settle = module.params["settle_seconds"]
    deadline = clock.Deadline(settle) if settle > 0 else None
    try:
        client = ec2_client.connect(module.params["region"])
        found = tagged(client, filters)
        while not found["instances"] and deadline and not deadline.expired():
            time.sleep(min(LOOK_AGAIN_SECONDS, deadline.remaining()))
            found["instances"] = instances(client, filters)
    except ec2_client.Ec2Failed as failure:
        module.fail_json(msg=str(failure), **failure.details)
    module.exit_json(changed=False, ec2_tagged=found)


if __name__ == "__main__":
    main()
