# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Where the loads of a run come from: what is refused before it, and what each load host is told."""

from __future__ import annotations

import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "benchmark"
LOADER = DataLoader()
ARMS = {"server": "the-server", "serverless": "the-function"}
OMIT = "__omitted__"


def read(path: str) -> Any:
    return LOADER.load_from_file(str(ROLE / path), trusted_as_template=True)


def tasks(path: str) -> dict[str, Mapping[str, Any]]:
    """The tasks of a file by their names, those of its blocks too."""
    found: dict[str, Mapping[str, Any]] = {}
    waiting = list(read(path))
    while waiting:
        task = waiting.pop(0)
        found[task["name"]] = task
        waiting += task.get("block", [])
    return found


def variables(load_hosts: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Those of a run of both arms, with the load hosts that each arm's inventory host names."""
    machine = {"host_boot_id": "boot", "state_home": "/state", "commands": {"ab": "/usr/bin/ab"}}
    hosts: dict[str, dict[str, Any]] = {
        name: {
            "inventory_hostname": name,
            "ansible_facts": {"machine": {**machine, **({"host_boot_id": name} if name.startswith("far") else {})}},
        }
        for name in (*ARMS.values(), "far-a", "far-b", "near", "localhost")
    }
    for arm, host in ARMS.items():
        service = {
            "arm": arm,
            "url": "http://127.0.0.1:8080",
            "platform": "process",
            "description": arm,
            "standins": [],
            "signal_dir": "/state/signals",
            "watchers": {"htop": {}},
        }
        hosts[host] |= {"service": service}
        if arm in load_hosts:
            hosts[host]["load_host"] = load_hosts[arm]
    known = read("vars/main.yml")
    return {
        **known,
        **hosts["the-server"],
        "ansible_play_hosts_all": list(ARMS.values()),
        # Ansible's own localhost is a host, and in no group.
        "groups": {"all": [name for name in hosts if name != "localhost"]},
        "hostvars": hosts,
        "open_loop": None,
        "profile": "paper",
        "service_port": 8080,
        "omit": OMIT,
        **more,
    }


def template(value: Any, known: dict[str, Any]) -> Any:
    return Templar(LOADER, known).template(value)


def refusal(load_hosts: Mapping[str, Any], **more: Any) -> str | None:
    """What the first check that fails says; None where all of them pass, on the server's side."""
    known = variables(load_hosts, **more)
    for task in tasks("tasks/load_hosts.yml").values():
        check = task.get("ansible.builtin.assert")
        if check is None:
            continue
        named = {**known, **task.get("vars", {})}
        for item in template(task.get("loop", [None]), named):
            one = {**named, "benchmark_load_host": item}
            conditions = check["that"] if isinstance(check["that"], list) else [check["that"]]
            for condition in conditions:
                if not template(marked(condition), one):
                    return str(template(check["fail_msg"], one))
    return None


def marked(condition: str) -> Any:
    """The condition as a template that Ansible trusts."""
    return trust_as_template("{{ " + condition + " }}")


RATES = {"request": "predict", "blocks": 2, "seconds": 20, "timeout_seconds": 10, "arrivals": "poisson", "sweep": None}


@pytest.mark.parametrize(
    ("load_hosts", "more", "said"),
    [
        ({}, {}, None),
        ({"server": "near", "serverless": "near"}, {}, None),
        ({"server": "localhost"}, {}, None),
        ({"server": ["near"]}, {}, None),
        ({"server": ["near", "the-function"], "serverless": ["near", "the-server"]}, {"open_loop": RATES}, None),
        ({"server": "nobody"}, {}, "load_host of the-server is nobody: it must name hosts of the inventory"),
        ({"server": ["near", "nobody"]}, {}, "The inventory has far-a, far-b, near, the-function, the-server"),
        ({"server": ["near", "near"]}, {}, "each once"),
        ({"server": ["near", "the-server"]}, {}, "Leave the-server out"),
        ({"server": ["near", "far-a"]}, {"open_loop": {**RATES, "sweep": {"seconds": 5}}}, "`open_loop.sweep` to null"),
        ({"server": ["near", "the-function"]}, {"open_loop": RATES}, "Name as many in `load_host`"),
        ({"server": "far-a"}, {}, "Set `load_url: http://ADDRESS:8080`"),
    ],
)
def test_what_cannot_be_sent_is_refused_before_anything_is_measured(
    load_hosts: Mapping[str, Any], more: dict[str, Any], said: str | None
) -> None:
    found = refusal(load_hosts, **more)
    assert (found is None) is (said is None), found
    if said is not None and found is not None:
        assert said in " ".join(found.split())
        assert "Nothing was measured." in found


def test_another_machine_reaches_the_service_by_an_address_of_its_own() -> None:
    known = variables({"server": "far-a"})
    known["hostvars"]["the-server"]["load_url"] = "http://10.0.0.7:8080"
    arms = template(known["benchmark_arms"], known)
    assert (arms["server"]["url"], arms["server"]["load_host"]) == ("http://10.0.0.7:8080", "far-a")
    assert template(known["benchmark_far_load_hosts"], known) == ["far-a"]


def test_a_load_host_without_ab_is_named() -> None:
    known = variables({"server": "far-a"})
    known["hostvars"]["far-a"]["ansible_facts"]["machine"]["commands"]["ab"] = None
    task = tasks("tasks/load_hosts.yml")["Check that they have the load generator"]
    assert template(task["loop"], known) == ["far-a"]
    one = {**known, "benchmark_load_host": "far-a"}
    check = task["ansible.builtin.assert"]
    assert template(marked(check["that"]), one) is False
    assert "ab cannot be found on far-a" in template(check["fail_msg"], one)


def test_the_plan_names_several_hosts_only_where_there_are() -> None:
    known = variables({"server": ["near", "the-function"], "serverless": "near"})
    arms = template(known["benchmark_arms"], known)
    assert arms["server"]["load_host"] == "near"
    assert arms["server"]["load_hosts"] == ["near", "the-function"]
    assert arms["serverless"]["load_host"] == "near" and "load_hosts" not in arms["serverless"]
    assert template(known["benchmark_far_load_hosts"], known) == ["near", "the-function"]


def load(task: Mapping[str, Any], module: str, known: dict[str, Any]) -> dict[str, Any]:
    """A module's options as a task gives them, those that it omits left out."""
    named = {**known, **task.get("vars", {})}
    options = {name: template(value, named) for name, value in task[module].items()}
    return {name: value for name, value in options.items() if value != OMIT}


def trial(**changes: Any) -> dict[str, Any]:
    return {"id": "b01-server-load", "block": 1, "host": "the-server", "load_host": "the-server", **changes}


LOAD = {
    "benchmark_signals": "/state/signals/b01",
    "benchmark_sized": 10,
    "benchmark_expected": {},
    "load_at_most_requests": 10,
    "load_at_least_seconds": 0,
    "load_concurrency": 2,
    "load_timeout_seconds": 60,
    "max_error_rate": 0,
}


def test_on_one_host_the_load_and_its_watchers_signal_each_other() -> None:
    known = variables({}, **LOAD, benchmark_trial=trial())
    known["benchmark_service"] = known["service"]
    options = load(tasks("tasks/load.yml")["Put the load on it"], "ab_benchmark", known)
    assert options["ready_file"] == "/state/signals/b01.htop.ready"
    assert options["stop_file"] == "/state/signals/b01.stop"
    assert "clock_url" not in options
    assert options["url"] == "http://127.0.0.1:8080/"


def test_from_another_host_the_play_carries_the_signals_and_the_clock_is_asked_for() -> None:
    known = variables({"server": "far-a"}, **LOAD, benchmark_trial=trial(load_host="far-a"))
    known["benchmark_service"] = known["service"]
    known["hostvars"]["the-server"]["load_url"] = "http://10.0.0.7:8080"
    task = tasks("tasks/load.yml")["Put the load on it"]
    options = load(task, "ab_benchmark", known)
    assert "ready_file" not in options and "stop_file" not in options
    assert options["clock_url"] == "http://10.0.0.7:8080/clock"
    assert options["url"] == "http://10.0.0.7:8080/"
    assert options["connects"] == 20
    waits = tasks("tasks/watch.yml")["Wait until they see"]["when"]
    assert template(marked(waits), known) is True
    sends = {**known, **task["vars"]}
    assert template(marked(task["when"]), sends) is True
    late = {"results": [{"failed": False, "msg": "htop did not begin to watch within 60 s."}]}
    assert template(marked(task["when"]), {**sends, "benchmark_seen": late}) is False
    assert template(known["benchmark_blind"], {**known, "benchmark_seen": late}) == [late["results"][0]["msg"]]


@pytest.mark.parametrize("hosts", [["the-server"], ["near", "the-function"]])
def test_each_open_loop_host_sends_its_share_at_moments_of_its_own(hosts: list[str]) -> None:
    several = {"load_hosts": hosts} if len(hosts) > 1 else {}
    known = variables(
        {},
        open_loop=RATES,
        benchmark_trial=trial(id="o02-server-rate80", block=2, mode="rate80", load_host=hosts[0], **several),
        benchmark_capacity_rps=100.0,
        benchmark_open_loop_seed=7,
        benchmark_begin_utc_seconds=1e9,
        benchmark_expected={"model_sha256": "ab"},
    )
    known["benchmark_service"] = known["service"]
    task = tasks("tasks/open_loop.yml")["Put the open loop on it"]
    told = [
        load(task, "open_loop_benchmark", {**known, "benchmark_load_host": host, "benchmark_load_number": number})
        for number, host in enumerate(template(task["loop"], known))
    ]
    assert [one["rate_rps"] for one in told] == [80.0 / len(hosts)] * len(hosts)
    assert len({one["seed"] for one in told}) == len(hosts)
    assert told[0]["seed"] == 7
    if len(hosts) == 1:
        assert "begin_utc_seconds" not in told[0] and "clock_url" not in told[0]
        assert told[0]["artifact_dir"] == "/state/signals/o02-server-rate80.the-server"
        assert template(task["async"], known) == 0
    else:
        assert {one["begin_utc_seconds"] for one in told} == {1e9}
        assert {one["body_path"] for one in told} == {"/state-load/predict.png"}
        assert template(task["async"], known) > 16 + 20 + 10


@pytest.mark.parametrize("hosts", [["the-server"], ["near", "the-function"]])
def test_what_several_hosts_measured_is_kept_by_host(hosts: list[str]) -> None:
    results = [
        {
            "ansible_facts": {
                "open_loop_benchmark": {"n": host, "artifacts": [{"path": "/d/open_loop.csv", "sha256": host}]}
            }
        }
        for host in hosts
    ]
    several = len(hosts) > 1
    known = variables(
        {},
        benchmark_trial=trial(load_host=hosts[0], **({"load_hosts": hosts} if several else {})),
        benchmark_load={"results": [{}, {}] if several else results},
        benchmark_loads={"results": results},
    )
    facts = template(tasks("tasks/open_loop.yml")["Take what it measured"]["ansible.builtin.set_fact"], known)
    names = [artifact["path"].rpartition("/")[2] for artifact in facts["benchmark_artifacts"]]
    assert [artifact["on_host"] for artifact in facts["benchmark_artifacts"]] == ["/d/open_loop.csv"] * len(hosts)
    if several:
        assert names == [f"{host}.open_loop.csv" for host in hosts]
        assert [one["load_host"] for one in facts["benchmark_facts"]["open_loop_hosts"]] == hosts
    else:
        assert names == ["open_loop.csv"]
        assert facts["benchmark_facts"]["open_loop_benchmark"]["n"] == "the-server"


def test_a_host_that_sent_nothing_is_named_with_its_reason() -> None:
    sent = {"ansible_facts": {"open_loop_benchmark": {"artifacts": []}}}
    known = variables(
        {},
        benchmark_trial=trial(load_host="near", load_hosts=["near", "the-function"]),
        benchmark_loads={"results": [sent, {"failed": False, "msg": "the host does not resolve"}]},
    )
    assert template(known["benchmark_unsent"], known) == ["the-function: the host does not resolve"]
    known["benchmark_loads"] = {"results": [sent, sent]}
    assert template(known["benchmark_unsent"], known) == []


def test_all_hosts_are_told_one_moment_some_seconds_ahead() -> None:
    known = variables({}, benchmark_trial=trial(load_host="near", load_hosts=["near", "the-function"]))
    task = tasks("tasks/open_loop.yml")["Agree on when to begin"]["ansible.builtin.set_fact"]
    moment = template(task["benchmark_begin_utc_seconds"], known)
    assert 15 < moment - time.time() < 17
