# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""When a run looks at the machines under its arms, and what it makes of what they say."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.plugins.loader import init_plugin_loader
from ansible.template import Templar

ROLE = Path(__file__).resolve().parents[4] / "roles" / "benchmark"
EC2 = {"ec2_instance_id": "i-0123456789abcdef0", "ec2_region": "eu-central-1"}


def value(name: str, **variables: Any) -> Any:
    """A variable of the role, as Ansible reads it with these others set."""
    loader = DataLoader()
    known = loader.load_from_file(str(ROLE / "vars" / "main.yml"), trusted_as_template=True)
    return Templar(loader, {**known, "calibrate": "auto", "credits_wait_seconds": 600, **variables}).template(
        known[name]
    )


def hosts(**boots: str | None) -> dict[str, Any]:
    """Hosts of the play, by the boot id of the machine that each is."""
    return {
        "ansible_play_hosts_all": list(boots),
        "hostvars": {
            name: {"inventory_hostname": name, "ansible_facts": {"machine": {"host_boot_id": boot}}}
            for name, boot in boots.items()
        },
    }


@pytest.mark.parametrize(
    ("boots", "calibrate", "expected"),
    [
        ({"a": "1", "b": "1"}, "auto", False),
        ({"a": "1", "b": "2"}, "auto", True),
        ({"a": "1"}, "auto", False),
        ({"a": None, "b": None}, "auto", False),
        ({"a": "1", "b": "1"}, "always", True),
        ({"a": "1", "b": "2"}, "never", False),
    ],
)
def test_machines_are_scored_where_they_differ_or_it_is_asked_for(
    boots: dict[str, str | None], calibrate: str, expected: bool
) -> None:
    given = hosts(**boots)
    assert value("benchmark_calibrates", **given, calibrate=calibrate) is expected
    assert value("benchmark_looks_at_machines", **given, calibrate=calibrate) is expected


@pytest.mark.parametrize(
    ("given", "path"), [("/etc/prices.yml", "/etc/prices.yml"), ("mine.yml", "/begun/here/mine.yml")]
)
def test_a_relative_price_file_is_one_of_the_folder_in_which_the_run_was_begun(
    given: str, path: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PWD", "/begun/here")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # another test may have loaded them
        init_plugin_loader()  # without it no lookup plugin is found by its full name
    assert value("benchmark_prices_path", prices_file=given) == path


@pytest.mark.parametrize(
    ("said", "bursting"),
    [
        ({}, []),
        (EC2, ["a"]),
        ({"ec2_instance_id": EC2["ec2_instance_id"]}, []),
        ({**EC2, "ec2_instance_id": ""}, []),
        ({**EC2, "ec2_region": None}, []),
    ],
)
def test_credits_are_read_of_hosts_that_name_their_instance_and_region(
    said: dict[str, str | None], bursting: list[str]
) -> None:
    given = hosts(a="1", b="1")
    given["hostvars"]["a"] |= said
    assert value("benchmark_bursting", **given) == bursting
    assert value("benchmark_looks_at_machines", **given) is bool(bursting)


@pytest.mark.parametrize(
    ("granted", "threads"),
    [(None, []), (2.0, ["--threads", "2"]), (1.5, ["--threads", "2"]), (64.0, ["--threads", "4"])],
)
def test_a_score_takes_the_threads_that_the_service_takes(granted: float | None, threads: list[str]) -> None:
    service = {} if granted is None else {"granted_cpus": granted}
    argv = value(
        "benchmark_calibration_argv",
        service=service,
        settings_service_bin="/state/envs/service/bin",
        ansible_facts={"machine": {"affinity_cpus": [0, 1, 2, 3]}},
    )
    assert argv[:4] == ["timeout", "300", "env", "-i"]
    command = argv.index("/state/envs/service/bin/python")
    assert argv[command + 1 :] == ["-m", "cifar_cnn", "calibrate", *threads]


@pytest.mark.parametrize(
    ("result", "record"),
    [
        ({"rc": 0, "stdout": '{"threads": 2}', "stderr": "a warning"}, {"threads": 2}),
        (
            {"rc": 2, "stdout": "", "stderr": "invalid choice: 'calibrate'", "msg": "non-zero return code"},
            {
                "failure": "the calibration ended with exit code 2: invalid choice: 'calibrate'",
            },
        ),
        ({"msg": "Failed to connect"}, {"failure": "the calibration ended with exit code unknown: Failed to connect"}),
        ({"skipped": True}, {"failure": "the pods run on another host"}),
    ],
)
def test_a_score_that_failed_is_its_reason(result: dict[str, Any], record: dict[str, Any]) -> None:
    service = {"unwatched": "the pods run on another host"}
    assert value("benchmark_calibration_record", benchmark_calibration=result, service=service) == record


@pytest.mark.parametrize(
    ("result", "record"),
    [
        ({"ansible_facts": {"ec2_credits": {"region": "x"}}}, {"region": "x"}),
        ({"msg": "Unable to locate credentials"}, {"failure": "Unable to locate credentials"}),
        ({}, {"failure": "ec2_credits_facts gave no facts"}),
    ],
)
def test_credits_that_could_not_be_read_are_their_reason(result: dict[str, Any], record: dict[str, Any]) -> None:
    assert value("benchmark_credits_record", benchmark_credits=result) == record


@pytest.mark.parametrize(
    ("load_host", "url", "connects"),
    [
        ("a", "http://127.0.0.1:8081", 0),
        ("a", "http://localhost:8081", 0),
        ("a", "http://[::1]:8081", 0),
        ("a", "http://10.0.0.7:8081", 20),
        ("a", "https://gateway.example/function/cifar-cnn", 20),
        ("b", "http://127.0.0.1:8081", 20),
    ],
)
def test_the_network_is_timed_where_one_may_lie_between(load_host: str, url: str, connects: int) -> None:
    trial = {"host": "a", "load_host": load_host}
    assert value("benchmark_connects", benchmark_trial=trial, benchmark_service={"url": url}) == connects


LOCAL = {"ansible_connection": "local"}
FOUND: dict[str, list[str]] = {"beside_argv": []}


@pytest.mark.parametrize(
    ("server", "function", "more", "beside"),
    [
        (LOCAL, LOCAL, {}, ["f"]),
        (LOCAL, {"ansible_host": "10.0.0.7"}, {}, []),
        ({"ansible_host": "10.0.0.7"}, {"ansible_host": "10.0.0.7"}, {}, ["f"]),
        ({"ansible_host": "10.0.0.7"}, {"ansible_host": "10.0.0.7", "ansible_port": 2222}, {}, []),
        ({}, {}, {}, []),
        # The same port: what answers there is the arm itself.
        (LOCAL, {**LOCAL, "service_port": 8083}, {}, []),
        # Both arms are measured.
        (LOCAL, LOCAL, {"ansible_play_hosts_all": ["s", "f"]}, []),
        # One that is stopped for the time of the run.
        (LOCAL, LOCAL, {"service_found": {"beside_argv": ["docker", "start", "x"]}}, []),
        # The service under test runs on other machines.
        (LOCAL, LOCAL, {"service": {"remote": True}}, []),
    ],
)
def test_an_arm_that_would_go_on_beside_the_measured_one_is_found(
    server: dict[str, Any], function: dict[str, Any], more: dict[str, Any], beside: list[str]
) -> None:
    known = {
        "inventory_hostname": "s",
        "ansible_play_hosts_all": ["s"],
        "groups": {"server": ["s"], "serverless": ["f"]},
        "hostvars": {"s": {"service_port": 8083, **server}, "f": function},
        "service_port": 8083,
        "service": {},
        "service_found": FOUND,
    }
    assert value("benchmark_beside", **(known | more)) == beside
