#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: open_loop_benchmark
short_description: Send requests at a given rate, whether or not earlier ones were answered
description:
  - Sends one request alone, then requests that arrive on a schedule of the monotonic clock, then one request more.
  - No request waits for another one. Each latency runs from the moment at which its request was due, so that a server
    that stalls is met by all the requests that arrive meanwhile, as it is in service. C(ab_benchmark) cannot show that.
  - A request without an answer within O(timeout_seconds) is kept as a censored value of at least that time. A failure
    is counted by its kind and is not a latency.
  - The generator measures its own lag. A load that it did not send on time is not valid, and a load that is not valid
    fails the task unless O(fail_on_invalid) is false. The facts are in the result either way.
  - The module changes nothing on the host beside O(artifact_dir) and O(stop_file).
options:
  url:
    description:
      - Where the load goes. It needs a scheme C(http) or C(https) and a path, at least C(/).
      - The host's name is resolved once.
      - Required without O(recording).
    type: str
  rate_rps:
    description: How many requests arrive a second. With O(sweep) the first rate. Required with O(url).
    type: float
  seconds:
    description: How long requests arrive. With O(sweep) how long they do at each rate.
    type: float
    default: 10.0
  arrivals:
    description:
      - C(poisson) - at random, as independent clients do; the number of requests then varies as well.
      - C(uniform) - all at the same distance.
    type: str
    choices: [poisson, uniform]
    default: poisson
  seed:
    description: Draws the moments of C(poisson). The same seed gives the same schedule.
    type: int
    default: 0
  timeout_seconds:
    description: How long each request is waited for from when it was sent, its connection included.
    type: float
    default: 10.0
  deadline_seconds:
    description:
      - When a load is ended, in seconds from its begin, by this host's monotonic clock. What was finished by then is
        kept; the load is not valid.
      - By default O(seconds) and O(timeout_seconds) and 5 seconds.
    type: float
  keepalive:
    description: Whether connections are used again where one is free. By default every request opens its own.
    type: bool
    default: false
  expect:
    description:
      - What every JSON answer must hold. Other keys may be there.
      - Strings, integers and booleans must be equal, floats within 1e-9. A missing key is a wrong answer.
    type: dict
  max_under_way:
    description:
      - A cap on the requests under way. What it keeps back is not sent, is counted as dropped, and makes the load not
        valid, because a load with a cap is no open loop. By default there is none.
    type: int
  max_error_rate:
    description: The fraction of the arrivals, up to 1, that may have no good answer in a valid load.
    type: float
    default: 0.0
  cpus:
    description: The CPUs that the load generator runs on, so that it need not share those of the service.
    type: list
    elements: int
    default: []
  sweep:
    description:
      - Search the knee, the highest rate that the service holds, from O(rate_rps) up.
      - A rate is held where no more than O(sweep.max_error_rate) of the arrivals got no good answer, answers came at
        99 % or more of the rate of arrivals, and the 99th percentile is at most O(sweep.slowdown) times the median at
        the first rate.
    type: dict
    suboptions:
      factor:
        description: By what the rate is raised until one is not held.
        type: float
        default: 1.5
      most_steps:
        description: How many rates are tried at most before one is not held.
        type: int
        default: 10
      refinements:
        description: How many times the gap between held and not held is then halved.
        type: int
        default: 3
      slowdown:
        description: How many times the median at the first rate the 99th percentile may be.
        type: float
        default: 5.0
      max_error_rate:
        description: The fraction of the arrivals that may have no good answer at a rate that is held.
        type: float
        default: 0.01
  begin_utc_seconds:
    description:
      - When to begin, in seconds since 1970 by this host's wall clock, so that several hosts begin together. A moment
        that is over when the load is prepared is begun at once; one more than 300 seconds ahead fails.
    type: float
  artifact_dir:
    description:
      - A folder for C(open_loop.csv), a line for each arrival in the order of the schedule. With O(sweep) it is
        C(open_loop.NN.csv), one for each step. Files of these names are replaced.
    type: path
  recording:
    description:
      - The registered result of an earlier C(open_loop_benchmark) task that ran asynchronously, or of C(async_status)
        for it.
      - With it nothing is sent; the facts of that job are returned, waiting O(deadline_seconds) (by default 60) for its
        end, and its file is removed from the target.
    type: dict
extends_documentation_fragment:
  - load
attributes:
  check_mode:
    description: Checks the options, sends nothing and returns how many requests it would send.
    support: full
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Ask for predictions at 40 requests a second for half a minute
  open_loop_benchmark:
    url: http://127.0.0.1:8081/predict
    rate_rps: 40
    seconds: 30
    seed: 7
    method: POST
    body_path: /var/lib/evenkeel/data/sample.png
    content_type: image/png
    artifact_dir: /var/lib/evenkeel/trials/o02-server-rate30

- name: Begin at the same time on several hosts
  open_loop_benchmark:
    url: http://192.0.2.7:8080/predict
    rate_rps: 20
    seed: "{{ groups['load'].index(item) }}"
    begin_utc_seconds: "{{ begin }}"
    clock_url: http://192.0.2.7:8080/clock
  async: 120
  poll: 0
  delegate_to: "{{ item }}"
  loop: "{{ groups['load'] }}"
  register: loads

- name: Take what they measured
  open_loop_benchmark:
    recording: "{{ item }}"
  delegate_to: "{{ item.item }}"
  loop: "{{ loads.results }}"

- name: Find the knee
  open_loop_benchmark:
    url: http://127.0.0.1:8081/predict
    rate_rps: 20
    seconds: 10
    method: POST
    body_path: /var/lib/evenkeel/data/sample.png
    content_type: image/png
    sweep: {factor: 1.5, refinements: 3}
"""

RETURN = r"""
plan:
  description: C(requests), C(seconds) and C(deadline_seconds) of the load that would be sent.
  returned: in check mode
  type: dict
ansible_facts:
  description: The measurement, also where it is not valid.
  returned: when a measurement was made
  type: dict
  contains:
    open_loop_benchmark:
      description:
        - What was measured. What could not be known is null. With O(sweep) the figures are those of its first rate.
      type: dict
      contains:
        valid:
          description: Whether the figures may be believed.
          type: bool
        invalid_reasons:
          description:
            - Why not, each one a code of a closed list (C(REASON_CODES) in C(evenkeel/open_loop.py)) and a sentence.
          type: list
          elements: str
        requests:
          description:
            - Each arrival once, C(planned), C(sent), C(succeeded), C(failed), C(censored), C(dropped), C(unsent).
          type: dict
        errors:
          description: How many arrivals had each outcome that is not a good answer; none of a kind is left out.
          type: dict
        error_rate:
          description: The fraction of the arrivals without a good answer.
          type: float
        rate_rps:
          description: The rate asked for.
          type: float
        offered_rps:
          description: The rate that the schedule held; Poisson arrivals vary.
          type: float
        achieved_rps:
          description: The rate at which requests were sent.
          type: float
        latency_seconds:
          description:
            - C(n), C(mean), C(min), C(p50), C(p90), C(p95), C(p99), C(max) from when a request was due until its last
              byte, of those that succeeded and those that are censored.
            - A percentile is null below 5, 29, 59 and 299 requests.
          type: dict
        at_least:
          description: Which of the latencies are lower bounds, because a censored request is in them.
          type: list
          elements: str
        service_seconds:
          description: The same figures from when a request was sent.
          type: dict
        lag_seconds:
          description: The same figures of how late requests were sent, the generator's own.
          type: dict
        censored:
          description: C(n) requests without an answer as long as they were waited for, and C(at_least_seconds) of each.
          type: dict
        most_under_way:
          description: How many requests were under way at once.
          type: int
        samples_seconds:
          description:
            - The latencies in the order of the schedule, null for an arrival that was never sent. The whole list is
              null beyond 1,000 arrivals; the artifact holds them.
          type: list
          elements: float
        window:
          description: C(start_monotonic_seconds), C(end_monotonic_seconds) of the load, and C(host_boot_id).
          type: dict
        clock:
          description:
            - By how much the clock of the service's host is ahead of this host's, C(before) and C(after) the load, each
              with C(n) answers, C(offset_seconds) and C(error_seconds) of the best round trip, its
              C(monotonic_seconds) on this host's clock, the C(host_boot_id) of the service's host, and the C(reason)
              why an answer is missing.
            - One of them is null where nobody answered. Null without O(clock_url).
          type: dict
        begin:
          description:
            - C(planned_utc_seconds), which is O(begin_utc_seconds), and C(utc_seconds), when the load did begin by this
              host's wall clock. Null without O(begin_utc_seconds).
          type: dict
        client:
          description: The generator's own C(cpu_seconds), and C(cpu_cores) over the load's time.
          type: dict
        cpus:
          description: The CPUs on which the generator could run.
          type: list
          elements: int
        policy:
          description:
            - How the kernel scheduled the generator, C(fifo) before all processes that are not, or C(other).
            - It asks for C(fifo), which the superuser alone gets.
          type: str
        nice:
          description: The generator's priority where the policy is C(other), from -20 (first) to 19. It asks for -20.
          type: int
        first_request_seconds:
          description: The time of the single request before the load. Null where its answer was not good.
          type: float
        probes:
          description: C(before) and C(after), each with C(seconds), C(status), C(bytes) and C(answer).
          type: dict
        bytes_body:
          description: Bytes of bodies received.
          type: int
        sweep:
          description:
            - C(state) (C(found), C(not_reached), C(below_first) or C(not_valid)), C(knee_rps) and C(upper_rps) between
              which the knee lies, its C(definition), and C(steps), each with the figures of its load and whether it was
              C(held), else which conditions are C(broken). Null without O(sweep).
          type: dict
        artifacts:
          description: C(path) and C(sha256) of each file in O(artifact_dir).
          type: list
          elements: dict
"""

import math
from dataclasses import replace
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import ab, ab_load, load_options, open_loop, open_loop_knee, open_loop_run, watch

ARGUMENT_SPEC = {
    **load_options.ARGUMENTS,
    "url": {"type": "str"},
    "rate_rps": {"type": "float"},
    "seconds": {"type": "float", "default": 10.0},
    "arrivals": {"type": "str", "choices": ["poisson", "uniform"], "default": "poisson"},
    "seed": {"type": "int", "default": 0},
    "timeout_seconds": {"type": "float", "default": 10.0},
    "deadline_seconds": {"type": "float"},
    "keepalive": {"type": "bool", "default": False},
    "expect": {"type": "dict"},
    "max_under_way": {"type": "int"},
    "max_error_rate": {"type": "float", "default": 0.0},
    "cpus": {"type": "list", "elements": "int", "default": []},
    "sweep": {
        "type": "dict",
        "options": {
            "factor": {"type": "float", "default": 1.5},
            "most_steps": {"type": "int", "default": 10},
            "refinements": {"type": "int", "default": 3},
            "slowdown": {"type": "float", "default": 5.0},
            "max_error_rate": {"type": "float", "default": 0.01},
        },
    },
    "begin_utc_seconds": {"type": "float"},
    "artifact_dir": {"type": "path"},
    "recording": {"type": "dict"},
}


def planned_load(params: dict[str, Any]) -> tuple[open_loop_run.Plan, open_loop_knee.Sweep | None]:
    """The load that the options ask for. Raises ValueError naming the option, its value and what to do."""
    for name in ("timeout_seconds", "deadline_seconds", "ready_deadline_seconds", "begin_utc_seconds"):
        if params[name] is not None and not 0 < params[name] < float("inf"):
            raise ab.InvalidLoad(f"{name} is {params[name]}: a positive number of seconds is needed")
    if not 0 <= params["max_error_rate"] <= 1:
        raise ab.InvalidLoad(f"max_error_rate is {params['max_error_rate']}: a fraction from 0 to 1 is needed")
    if params["max_under_way"] is not None and params["max_under_way"] < 1:
        raise ab.InvalidLoad(f"max_under_way is {params['max_under_way']}: at least 1 is needed, or leave it out")
    if any(cpu < 0 for cpu in params["cpus"]):
        raise ab.InvalidLoad(f"cpus is {params['cpus']}: numbers of CPUs from 0 on are needed")
    single = ab.Load(
        url=params["url"],
        requests=1,
        concurrency=1,
        timeout_seconds=math.ceil(params["timeout_seconds"]),
        method=params["method"],
        content_type=params["content_type"],
        headers={str(name): str(value) for name, value in params["headers"].items()},
        keepalive=params["keepalive"],
    )
    ab.check_load(single)
    load_options.check_clock_url(params["clock_url"])
    sweep = None
    if params["sweep"] is not None:
        sweep = open_loop_knee.Sweep(rate_rps=params["rate_rps"], seconds=params["seconds"], **params["sweep"])
        sweep.check()
    # Raises for a rate or a time that cannot be kept, before anything is sent.
    open_loop.schedule(params["rate_rps"], params["seconds"], params["arrivals"], params["seed"])
    plan = open_loop_run.Plan(
        ab_load.Probing(single, None, params["expect"]),
        rate_rps=params["rate_rps"],
        seconds=params["seconds"],
        arrivals=params["arrivals"],
        seed=params["seed"],
        timeout_seconds=params["timeout_seconds"],
        deadline_seconds=params["deadline_seconds"],
        max_under_way=params["max_under_way"],
        max_error_rate=params["max_error_rate"],
        cpus=params["cpus"],
    )
    return plan, sweep


def benchmark(module: AnsibleModule) -> dict[str, Any]:
    """The module's result; it has a `msg` where it is a failure. Raises ValueError and LoadFailed."""
    params = module.params
    plan, sweep = planned_load(params)
    if module.check_mode:
        due = open_loop.schedule(plan.rate_rps, plan.seconds, plan.arrivals, plan.seed)
        said = {"requests": len(due), "seconds": plan.seconds, "deadline_seconds": plan.own_deadline_seconds}
        return {"plan": {**said, "most_steps": sweep.most_steps + sweep.refinements if sweep else 1}}
    plan = replace(plan, probing=replace(plan.probing, body=load_options.read_body(params)))
    surroundings = open_loop_run.Surroundings(
        artifact_dir=params["artifact_dir"],
        ready_files=params["ready_file"],
        ready_deadline_seconds=params["ready_deadline_seconds"],
        clock_url=params["clock_url"],
        begin_utc_seconds=params["begin_utc_seconds"],
    )
    facts = open_loop_run.run(plan, surroundings, sweep)
    result = {"ansible_facts": {"open_loop_benchmark": facts}}
    if facts["valid"] or not params["fail_on_invalid"]:
        return result
    return {
        **result,
        "msg": f"the load on {plan.probing.load.url} is not valid: {' | '.join(facts['invalid_reasons'])}",
        "operation": "measure an open-loop load",
        "next_step": "mend what is named and measure again; fail_on_invalid: false keeps the figures",
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC,
        mutually_exclusive=[("body", "body_path"), ("url", "recording")],
        required_one_of=[("url", "recording")],
        required_by={"url": ["rate_rps"]},
        supports_check_mode=True,
    )
    if module.params["recording"] is not None:
        watch.collect(module, "open_loop_benchmark")
    try:
        result = benchmark(module)
    except (ab.InvalidLoad, open_loop.InvalidSchedule, open_loop_knee.InvalidSweep) as error:
        result = {"msg": str(error), "operation": "check the options", "next_step": "correct the option named"}
    except ab_load.LoadFailed as failure:
        result = {"msg": str(failure), **failure.result}
    finally:
        load_options.stop_watchers(module)
    if "msg" in result:
        module.fail_json(changed=False, **result)
    module.exit_json(changed=False, **result)


if __name__ == "__main__":
    main()
