#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: ec2_credits_facts
short_description: The CPU credits of a burstable EC2 instance over a window of time
description:
  - Reads the CPU credit metrics of one instance from CloudWatch, C(CPUCreditBalance), C(CPUSurplusCreditBalance),
    C(CPUCreditUsage) and C(CPUSurplusCreditsCharged), each with one data point every five minutes.
  - Runs on the controller, delegated to C(localhost). It reads only; the permission it needs is
    C(cloudwatch:GetMetricData).
  - Credentials are boto3's own (environment, C(~/.aws), a role). C(AWS_ENDPOINT_URL) names another endpoint.
options:
  instance_id:
    description: The instance.
    type: str
    required: true
  region:
    description: The instance's region.
    type: str
    required: true
  start_utc:
    description: Begin of the window, C(YYYY-MM-DDThh:mm:ssZ). By default 15 minutes before its end.
    type: str
  end_utc:
    description: End of the window, as O(start_utc). By default now.
    type: str
  wait_seconds:
    description:
      - How long to wait at most for the data points to reach the end of the window. CloudWatch lags by 5 to 10 minutes.
      - Nothing is waited for where there is no balance of the hour before either, as for an instance that is not
        burstable.
    type: int
    default: 0
attributes:
  check_mode:
    description: Checks the options and returns what would be asked for; nobody is asked.
    support: full
requirements:
  - boto3 on the host that runs the module
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Read what a run used of an instance's credits
  ec2_credits_facts:
    instance_id: i-0123456789abcdef0
    region: eu-central-1
    start_utc: "2026-11-24T22:00:00Z"
    wait_seconds: 600
  delegate_to: localhost
"""

RETURN = r"""
ansible_facts:
  description: The facts, under one key.
  returned: except in check mode
  type: dict
  contains:
    ec2_credits:
      description: What CloudWatch said.
      type: dict
      returned: always
      contains:
        instance_id:
          description: The instance.
          type: str
          returned: always
        region:
          description: Its region.
          type: str
          returned: always
        period_seconds:
          description: What a data point is of, counted from its time on.
          type: int
          returned: always
          sample: 300
        start_epoch_seconds:
          description: Begin of the window, in Unix time.
          type: float
          returned: always
        end_epoch_seconds:
          description: End of the window, in Unix time.
          type: float
          returned: always
        waited_seconds:
          description: How long was waited for the data points.
          type: float
          returned: always
        points:
          description: >-
            Pairs of Unix time and credits for each metric, ascending, from an hour before the window on. The balance is
            the period's minimum, the surplus balance its maximum, usage and charge its sum.
          type: dict
          returned: always
        summary:
          description:
            - C(balance_begin), C(balance_min) and C(balance_end), C(surplus_max), C(usage) and C(charged), in credits,
              over the periods that overlap the window; null where there is no data point.
            - C(ran_out) says whether the balance reached 0 or surplus credits were spent, C(complete) whether the data
              points reach the window's end, C(reason) why nothing is known.
          type: dict
          returned: always
plan:
  description: What would be asked for.
  returned: in check mode
  type: dict
"""

import datetime
import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible.module_utils.evenkeel import ec2_credits
from ansible.module_utils.evenkeel.clock import Deadline, monotonic

DEFAULT_WINDOW_SECONDS = 900
MOST_WAIT_SECONDS = 3600
POLL_SECONDS = 30
CONNECT_TIMEOUT_SECONDS = 10
READ_TIMEOUT_SECONDS = 30


class CreditsError(Exception):
    """The credits could not be read; the message says what, where and why, ``next_step`` what to do."""

    def __init__(self, message, next_step):
        super().__init__(message)
        self.next_step = next_step


def argument_spec():
    """The options, equal to DOCUMENTATION."""
    return {
        "instance_id": {"type": "str", "required": True},
        "region": {"type": "str", "required": True},
        "start_utc": {"type": "str"},
        "end_utc": {"type": "str"},
        "wait_seconds": {"type": "int", "default": 0},
    }


def epoch(name, text):
    """Unix time of an option's ``YYYY-MM-DDThh:mm:ssZ``. Raises CreditsError naming the option."""
    try:
        moment = datetime.datetime.strptime(text, "%Y-%m-%dT%H:%M:%SZ")
    except ValueError as error:
        raise CreditsError(
            f"{name} is {text!r}, not a time in UTC such as 2026-11-24T22:00:00Z", "correct the option named"
        ) from error
    return moment.replace(tzinfo=datetime.timezone.utc).timestamp()


def window_of(options):
    """(start, end) of the window, in Unix time. Raises CreditsError where they are no times, or not in this order."""
    end = time.time() if options["end_utc"] is None else epoch("end_utc", options["end_utc"])
    start = end - DEFAULT_WINDOW_SECONDS if options["start_utc"] is None else epoch("start_utc", options["start_utc"])
    if not start < end:
        raise CreditsError("the window is empty: start_utc must lie before end_utc", "correct the option named")
    if not 0 <= options["wait_seconds"] <= MOST_WAIT_SECONDS:
        raise CreditsError(
            f"wait_seconds is {options['wait_seconds']}: give a number from 0 to {MOST_WAIT_SECONDS}",
            "correct the option named",
        )
    return start, end


def cloudwatch(region):
    """A client of CloudWatch. Raises ImportError where boto3 is missing."""
    # Here, not above: check mode needs none of it, and a missing package is a message of its own.
    import boto3  # noqa: PLC0415
    from botocore.config import Config  # noqa: PLC0415

    config = Config(
        connect_timeout=CONNECT_TIMEOUT_SECONDS,
        read_timeout=READ_TIMEOUT_SECONDS,
        retries={"mode": "standard", "max_attempts": 3},
    )
    return boto3.client("cloudwatch", region_name=region, config=config)


def points_of(client, instance_id, window):
    """Each metric's pairs of Unix time and credits, ascending, for the periods around the window."""
    start, end = ec2_credits.asked_window(*window)
    found = {ec2_credits.query_id(metric): [] for metric in ec2_credits.METRICS}
    pages = client.get_paginator("get_metric_data").paginate(
        MetricDataQueries=ec2_credits.queries(instance_id),
        StartTime=datetime.datetime.fromtimestamp(start, datetime.timezone.utc),
        EndTime=datetime.datetime.fromtimestamp(end, datetime.timezone.utc),
        ScanBy="TimestampAscending",
    )
    for page in pages:
        for result in page["MetricDataResults"]:
            found[result["Id"]] += [
                [moment.timestamp(), value] for moment, value in zip(result["Timestamps"], result["Values"])
            ]
    return {metric: sorted(found[ec2_credits.query_id(metric)]) for metric in ec2_credits.METRICS}


def await_points(client, instance_id, window, wait_seconds):
    """The points, asked for again until they reach the window's end or the time is over."""
    deadline = Deadline(wait_seconds) if wait_seconds else None
    while True:
        points = points_of(client, instance_id, window)
        unknown = not points[ec2_credits.BALANCE]
        if deadline is None or unknown or ec2_credits.covers_end(points, window[1]) or deadline.expired():
            return points
        time.sleep(min(POLL_SECONDS, deadline.remaining()))


def read(options):
    """The facts. Raises CreditsError, and ImportError where boto3 is missing."""
    window = window_of(options)
    client = cloudwatch(options["region"])
    from botocore import exceptions  # noqa: PLC0415

    where = f"the CPU credits of {options['instance_id']} in {options['region']}"
    begun = monotonic()
    try:
        points = await_points(client, options["instance_id"], window, options["wait_seconds"])
    except (exceptions.NoCredentialsError, exceptions.PartialCredentialsError) as error:
        raise CreditsError(
            f"CloudWatch was not asked for {where}: {error}",
            "give boto3 credentials on the controller: AWS_PROFILE, or AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
        ) from error
    except exceptions.ClientError as error:
        raise CreditsError(
            f"CloudWatch refused {where}: {error}",
            "allow the credentials cloudwatch:GetMetricData, and check the instance's region",
        ) from error
    except exceptions.BotoCoreError as error:
        raise CreditsError(
            f"CloudWatch did not answer for {where}: {error}",
            "check the region, the network and AWS_ENDPOINT_URL, where it is set",
        ) from error
    return {
        "instance_id": options["instance_id"],
        "region": options["region"],
        "period_seconds": ec2_credits.PERIOD_SECONDS,
        "start_epoch_seconds": window[0],
        "end_epoch_seconds": window[1],
        "waited_seconds": round(monotonic() - begun, 3),
        "points": points,
        "summary": ec2_credits.judge(points, *window),
    }


def main():
    """Read the credits and return the facts."""
    module = AnsibleModule(argument_spec=argument_spec(), supports_check_mode=True)
    operation = "read the CPU credits of an EC2 instance"
    try:
        if module.check_mode:
            window_of(module.params)
            module.exit_json(changed=False, plan={**module.params, "metrics": dict(ec2_credits.METRICS)})
        facts = read(module.params)
    except ImportError:
        module.fail_json(
            msg=missing_required_lib("boto3"),
            operation=operation,
            next_step="run the task on the controller, whose environment (make venv) has boto3",
            exception=traceback.format_exc(),
        )
    except CreditsError as error:
        module.fail_json(msg=f"{error}; {error.next_step}", operation=operation, next_step=error.next_step)
    module.exit_json(changed=False, ansible_facts={"ec2_credits": facts})


if __name__ == "__main__":
    main()
