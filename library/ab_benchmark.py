#!/usr/bin/python
# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0

from __future__ import annotations

DOCUMENTATION = r"""
module: ab_benchmark
short_description: Drive a URL with ApacheBench and return figures that can be believed
description:
  - Sends one request alone, then a load by C(ab), then one request more, and returns what ab's outputs really support.
  - Latencies are taken from ab's C(-e) file, which up to 100 requests holds every one of them with microseconds.
  - A load in which any request failed is not valid unless O(max_error_rate) allows it, and a load that is not valid
    fails the task unless O(fail_on_invalid) is false. The facts are in the result either way.
  - The module changes nothing on the host beside O(artifact_dir) and O(stop_file).
options:
  url:
    description:
      - Where the load goes. It needs a scheme C(http) or C(https) and a path, at least C(/).
      - Prefer a literal address. For C(localhost) ab tries IPv6 first, then IPv4.
    type: str
    required: true
  requests:
    description:
      - How many requests are sent, at least as many as O(concurrency).
      - With O(at_least_seconds) the fewest that are sent.
    type: int
    default: 10
  concurrency:
    description: How many requests are under way at once. The first request always runs alone (ab's own habit).
    type: int
    default: 2
  timeout_seconds:
    description:
      - ab's C(-s). After so many whole seconds of silence on all connections ab gives up and loses every result.
      - Also the time within which a single request before or after the load must be answered.
    type: int
    default: 300
  deadline_seconds:
    description:
      - When ab is interrupted, by this host's monotonic clock. What was finished by then is kept; the load is not
        valid.
      - By default the longest time that a load of requests within O(timeout_seconds) each can take.
    type: float
  keepalive:
    description: Whether connections are used again (HTTP/1.0 keep-alive). By default every request opens its own.
    type: bool
    default: false
  variable_length:
    description:
      - Whether good answers may differ in length (ab's C(-l)). ab then counts no length errors, and answers that are
        empty or cut off are found by the sum of the bodies.
      - Set it to false where the body is known to be constant. A differing length is then a wrong answer.
    type: bool
    default: true
  expect:
    description:
      - What the JSON answer before and after the load must hold. Other keys may be there.
      - Strings, integers and booleans must be equal, floats within 1e-9. A missing key is a wrong answer.
    type: dict
  max_error_rate:
    description: The fraction of the completed requests that may have failed in a valid load.
    type: float
    default: 0.0
  at_least_seconds:
    description:
      - Size the load so that it lasts at least so long. A round of O(concurrency) simultaneous requests, sent after the
        first one, says how many that takes.
      - The number is never below O(requests) and never above O(at_most_requests), where the load may be shorter.
    type: float
  at_most_requests:
    description: The most requests to which O(at_least_seconds) may lead.
    type: int
    default: 100
  artifact_dir:
    description: A folder for C(ab.txt) (ab's stdout) and C(ab.csv) (its C(-e) file). Files of these names are replaced.
    type: path
  connects:
    description:
      - How many TCP connections to open and close, one after the other, before anything is sent. Each takes one round
        trip of the network. Nothing is done with 0.
    type: int
    default: 0
  ab_path:
    description: The program, a name on the search path or a path.
    type: str
    default: ab
extends_documentation_fragment:
  - load
attributes:
  check_mode:
    description: Checks the options, sends nothing and returns the command line that it would run.
    support: full
requirements:
  - ApacheBench 2.4.7 or later (Debian and Ubuntu C(apache2-utils), Fedora and RHEL C(httpd-tools))
author: Evenkeel contributors (@evenkeel)
"""

EXAMPLES = r"""
- name: Load the server as the study did
  ab_benchmark:
    url: http://127.0.0.1:8081/
    requests: 10
    concurrency: 2
    timeout_seconds: 300
    variable_length: false
    expect:
      total: 10000
      accuracy: 0.7421

- name: Load with images for at least five seconds
  ab_benchmark:
    url: http://127.0.0.1:8081/predict
    method: POST
    body_path: /var/lib/evenkeel/probe.png
    content_type: image/png
    at_least_seconds: 5
    artifact_dir: /var/lib/evenkeel/trials/b01-server-load
"""

RETURN = r"""
argv:
  description: ab's command line; in check mode the one it would run, with placeholders for files of the run.
  returned: in check mode
  type: list
  elements: str
report:
  description: ab's stdout, from which the facts can be computed again. Empty where ab was not run.
  returned: when a measurement was made
  type: str
csv:
  description: ab's C(-e) file. Empty where ab wrote none.
  returned: when a measurement was made
  type: str
ansible_facts:
  description: The measurement, also where it is not valid.
  returned: when a measurement was made
  type: dict
  contains:
    ab_benchmark:
      description: What was measured. What could not be known is null.
      type: dict
      contains:
        valid:
          description: Whether the figures may be believed.
          type: bool
        invalid_reasons:
          description: Why not, each one a code of a closed list (C(REASON_CODES) in C(evenkeel/ab.py)) and a sentence.
          type: list
          elements: str
        argv:
          description: ab's command line.
          type: list
          elements: str
        ab_version:
          description: What ab calls itself.
          type: str
        exit_code:
          description: ab's exit code. It is an error number modulo 256, and 0 for ten refused connections.
          type: int
        requests:
          description:
            - Each kind of request, C(planned), C(complete), C(succeeded), C(succeeded_min), C(succeeded_max), C(lost),
              C(failed), C(failed_connect), C(failed_receive), C(failed_length), C(failed_exceptions), C(non_2xx),
              C(write_errors).
            - C(succeeded) is null where ab's counts overlap so that only its bounds are known.
          type: dict
        concurrency:
          description: How many requests were under way at once.
          type: int
        timeout_seconds:
          description: ab's -s.
          type: int
        deadline_seconds:
          description: When ab would have been interrupted.
          type: float
        window:
          description: C(start_monotonic_seconds), C(end_monotonic_seconds) of ab's process, and C(host_boot_id).
          type: dict
        wall_seconds:
          description: Length of the window.
          type: float
        ab_seconds:
          description: ab's own time for the load, without its start and end. Its resolution is 1 ms.
          type: float
        throughput_rps:
          description: Succeeded requests a second of RV(ansible_facts.ab_benchmark.ab_seconds).
          type: float
        first_request_seconds:
          description: The time of the single request before the load. Null where its answer was not good.
          type: float
        latency_seconds:
          description:
            - C(n), C(mean), C(min), C(p50), C(p90), C(p95), C(p99), C(max) of the requests in the load.
            - A percentile is null below 5, 29, 59 and 299 requests. All are null where any request failed, because a
              failure is not a latency and ab does not say which one it was.
          type: dict
        samples_seconds:
          description: Up to 100 requests every one, ascending, failed ones included. Null beyond.
          type: list
          elements: float
        quantiles_seconds:
          description: Beyond 100 requests the 101 rows of ab's file, for 0 to 100 percent. Null below.
          type: list
          elements: float
        censored:
          description: C(n) requests that never came to an end, and C(at_least_seconds) that each of them had.
          type: dict
        keepalive_requests:
          description: How many requests used an open connection.
          type: int
        bytes_total:
          description: Bytes received.
          type: int
        bytes_body:
          description: Bytes of bodies received.
          type: int
        document_length:
          description: Length of the first answer's body. Null with O(variable_length).
          type: int
        body_lengths:
          description:
            - What the two probes tell of the body's length, C(constant) where both bodies are equal, and the C(least).
            - Needed to compute the other figures again from the artifacts.
          type: dict
        connect_seconds:
          description:
            - Over O(connects) connections from this host, C(n) that were made, C(min) and C(p50) of their times (null
              below 5), and the C(reason) why one could not be made. Null without O(connects).
          type: dict
        clock:
          description:
            - By how much the clock of the service's host is ahead of this host's, C(before) and C(after) the load, each
              with C(n) answers, C(offset_seconds) and C(error_seconds) of the best round trip, its
              C(monotonic_seconds) on this host's clock, the C(host_boot_id) of the service's host, and the C(reason)
              why an answer is missing.
            - One of them is null where nobody answered. Null without O(clock_url).
          type: dict
        probes:
          description: C(before) and C(after), each with C(seconds), C(status), C(bytes) and C(answer).
          type: dict
        sizing:
          description: How O(at_least_seconds) led to the number of requests. Null without it.
          type: dict
        client:
          description: ab's own C(cpu_seconds), and C(cpu_cores) over its wall time.
          type: dict
        artifacts:
          description: C(path) and C(sha256) of each file in O(artifact_dir).
          type: list
          elements: dict
"""

import os
from typing import Any

from ansible.module_utils.basic import AnsibleModule
from ansible.module_utils.evenkeel import ab, ab_load, load_options

MOST_CONNECTS = 1000

ARGUMENT_SPEC = {
    **load_options.ARGUMENTS,
    "url": {"type": "str", "required": True},
    "requests": {"type": "int", "default": 10},
    "concurrency": {"type": "int", "default": 2},
    "timeout_seconds": {"type": "int", "default": 300},
    "deadline_seconds": {"type": "float"},
    "keepalive": {"type": "bool", "default": False},
    "variable_length": {"type": "bool", "default": True},
    "expect": {"type": "dict"},
    "max_error_rate": {"type": "float", "default": 0.0},
    "at_least_seconds": {"type": "float"},
    "at_most_requests": {"type": "int", "default": 100},
    "artifact_dir": {"type": "path"},
    "connects": {"type": "int", "default": 0},
    "ab_path": {"type": "str", "default": "ab"},
}


def planned_load(params: dict[str, Any]) -> ab.Load:
    """The load that the options ask for. Raises InvalidLoad naming the option, its value and what to do."""
    load = ab.Load(
        url=params["url"],
        requests=params["requests"],
        concurrency=params["concurrency"],
        timeout_seconds=params["timeout_seconds"],
        method=params["method"],
        content_type=params["content_type"],
        headers={str(name): str(value) for name, value in params["headers"].items()},
        keepalive=params["keepalive"],
        variable_length=params["variable_length"],
        max_error_rate=params["max_error_rate"],
    )
    ab.check_load(load)
    for name in ("deadline_seconds", "ready_deadline_seconds", "at_least_seconds"):
        if params[name] is not None and not 0 < params[name] < float("inf"):
            raise ab.InvalidLoad(f"{name} is {params[name]}: a positive number of seconds is needed")
    if not 0 <= params["connects"] <= MOST_CONNECTS:
        raise ab.InvalidLoad(f"connects is {params['connects']}: from 0 to {MOST_CONNECTS} connections are opened")
    load_options.check_clock_url(params["clock_url"])
    if params["at_least_seconds"] is not None and params["at_most_requests"] < params["requests"]:
        raise ab.InvalidLoad(
            f"at_most_requests is {params['at_most_requests']} and requests, the fewest, {params['requests']}"
        )
    return load


def benchmark(module: AnsibleModule) -> dict[str, Any]:
    """The module's result; it has a `msg` where it is a failure. Raises InvalidLoad and LoadFailed."""
    params = module.params
    load = planned_load(params)
    if module.check_mode:
        folder = params["artifact_dir"] or "."
        body_path = None if load.method == "GET" else params["body_path"] or os.path.join(folder, "body")
        return {"argv": ab.build_argv(load, params["ab_path"], os.path.join(folder, "ab.csv"), body_path)}
    body = load_options.read_body(params)
    program = module.get_bin_path(params["ab_path"])
    if program is None:
        raise ab_load.LoadFailed(
            f"{params['ab_path']} (ApacheBench) is not on this host", "look for ab", ab_load.INSTALL_AB
        )
    ab_load.check_program(program)
    sizing = None
    if params["at_least_seconds"] is not None:
        sizing = ab_load.Sizing(params["at_least_seconds"], params["at_most_requests"])
    surroundings = ab_load.Surroundings(
        ab_path=program,
        work_dir=module.tmpdir,
        artifact_dir=params["artifact_dir"],
        ready_files=params["ready_file"],
        ready_deadline_seconds=params["ready_deadline_seconds"],
        deadline_seconds=params["deadline_seconds"],
        connects=params["connects"],
        clock_url=params["clock_url"],
    )
    facts, outputs = ab_load.run_load(ab_load.Probing(load, body, params["expect"]), surroundings, sizing)
    result = {"ansible_facts": {"ab_benchmark": facts}, "report": outputs["stdout"], "csv": outputs["csv"]}
    if load.variable_length and facts["valid"] and facts["body_lengths"]["constant"] is None:
        module.warn(
            f"the answers of {load.url} vary in length, and with -l ab says nothing of a single one: a short one may"
            " have been empty or cut off where less than half an answer is lacking in all"
        )
    if facts["valid"] or not params["fail_on_invalid"]:
        return result
    return {
        **result,
        "argv": facts["argv"],
        "rc": facts["exit_code"],
        "stdout_tail": outputs["stdout"][-ab_load.TAIL_CHARACTERS :],
        "stderr_tail": outputs["stderr"][-ab_load.TAIL_CHARACTERS :],
        "msg": f"the load on {load.url} is not valid: {' | '.join(facts['invalid_reasons'])}",
        "operation": "measure a load with ab",
        "next_step": "see the service's log, repair it and measure again; fail_on_invalid: false keeps the figures",
    }


def main() -> None:
    module = AnsibleModule(
        argument_spec=ARGUMENT_SPEC, mutually_exclusive=[("body", "body_path")], supports_check_mode=True
    )
    try:
        result = benchmark(module)
    except ab.InvalidLoad as error:
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
