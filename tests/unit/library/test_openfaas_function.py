# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/openfaas_function.py, run as Ansible runs it, against a stand-in gateway."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import yaml
from ansible.module_utils.evenkeel import openfaas

from tests.standins.openfaas_gateway import REFUSAL, Fault, StandinGateway

PASSWORD = "5c9e1f-stand-in"
IMAGE = "registry.example/cifar-cnn:1"
Run = Callable[..., dict[str, Any]]


@pytest.fixture
def module(load_module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.setattr(openfaas, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(openfaas, "SETTLE_SECONDS", 0.2)
    return load_module("openfaas_function")


@pytest.fixture
def gateway() -> Iterator[StandinGateway]:
    with StandinGateway(password=PASSWORD, secrets=["cifar-cnn-service"]) as running:
        yield running


@pytest.fixture
def arguments(gateway: StandinGateway) -> dict[str, Any]:
    return {
        "gateway_url": gateway.url,
        "password": PASSWORD,
        "name": "cifar-cnn",
        "image": IMAGE,
        "secrets": ["cifar-cnn-service"],
        "env": {"exec_timeout": "20m30s", "port": 8080},
        "limits": {"cpu": 2, "memory": "4Gi"},
        "deadline_seconds": 10,
    }


def test_every_state_change_check_real_again_again_check(
    module: ModuleType, run_module: Run, gateway: StandinGateway, arguments: dict[str, Any]
) -> None:
    for state, action in (("present", "created"), ("absent", "removed")):
        wanted = {**arguments, "state": state}
        runs = [run_module(module, wanted, check_mode=check) for check in (True, False, False, True)]
        assert [one["failed"] for one in runs] == [False] * 4
        assert [one["changed"] for one in runs] == [True, True, False, False]
        assert [one["action"] for one in runs] == [action, action, "none", "none"]
        assert [("diff" in one) for one in runs] == [True, True, False, False]
        assert runs[0]["diff"] == runs[1]["diff"]
    assert (len(gateway.sent("POST")), len(gateway.sent("DELETE")), gateway.sent("PUT")) == (1, 1, [])


def test_every_documented_value_is_returned(module: ModuleType, run_module: Run, arguments: dict[str, Any]) -> None:
    documented = yaml.safe_load(module.RETURN)
    anyway = {name for name, value in documented.items() if value["returned"] == "always"}
    with_present = {name for name, value in documented.items() if value["returned"] == "with O(state=present)"}
    result = run_module(module, arguments)
    assert result.keys() - {"changed", "failed", "diff", "invocation", "warnings"} == anyway | with_present
    assert result["function"]["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert result["provider"]["name"] == "faas-netes-ce"
    result = run_module(module, {**arguments, "state": "absent"})
    assert result.keys() - {"changed", "failed", "diff", "invocation", "warnings"} == anyway


def test_a_number_and_its_text_are_the_same_limit(
    module: ModuleType, run_module: Run, arguments: dict[str, Any]
) -> None:
    run_module(module, arguments)
    again = {**arguments, "limits": {"cpu": "2000m", "memory": 4294967296}}
    assert run_module(module, again)["changed"] is False


def test_a_trained_instance_taken_away_is_a_warning(
    module: ModuleType, run_module: Run, gateway: StandinGateway, arguments: dict[str, Any]
) -> None:
    run_module(module, arguments)
    gateway.train_seconds = 0.2
    time.sleep(0.25)
    changed = {**arguments, "image": "registry.example/cifar-cnn:2"}
    planned = run_module(module, changed, check_mode=True)
    assert "may not be from the change until its new instance is" in str(planned["warnings"])
    result = run_module(module, changed)
    assert (result["action"], result["replaced_trained"]) == ("updated", True)
    assert f"for {result['gap_seconds']:.1f} s none was" in str(result["warnings"])


@pytest.mark.parametrize("given", ["password", "password_file"])
def test_the_password_is_nowhere(
    module: ModuleType,
    run_module: Run,
    gateway: StandinGateway,
    arguments: dict[str, Any],
    *,
    tmp_path: Path,
    given: str,
) -> None:
    (tmp_path / "password").write_text(f"{PASSWORD}\n")
    del arguments["password"]
    arguments[given] = PASSWORD if given == "password" else str(tmp_path / "password")
    gateway.log = [f"the service repeats {PASSWORD}"]
    results = [run_module(module, arguments)]
    gateway.authorization = "another"
    results.append(run_module(module, {**arguments, "env": {}}))
    assert [one["failed"] for one in results] == [False, True]
    gateway.authorization = next(headers["Authorization"] for *_, headers in gateway.requests)
    gateway.train_seconds = 60
    results.append(run_module(module, {**arguments, "env": {}, "deadline_seconds": 0.3}))
    assert results[2]["log_tail"] == ["the service repeats ********"]
    token = gateway.authorization.removeprefix("Basic ")
    assert PASSWORD not in json.dumps(results)
    assert token not in json.dumps(results)


def test_a_failure_carries_what_is_needed(
    module: ModuleType, run_module: Run, gateway: StandinGateway, arguments: dict[str, Any]
) -> None:
    gateway.refused_images.add(IMAGE)
    result = run_module(module, arguments)
    assert result["failed"] is True
    assert (result["operation"], result["status"], result["answer"]) == ("deploy the function", 400, REFUSAL)
    assert f"could not read the manifest of {IMAGE}" in result["msg"]
    assert result["next_step"].startswith(f"push {IMAGE} where the cluster can read it")


def test_an_update_that_failed_with_status_200_fails_here(
    module: ModuleType, run_module: Run, gateway: StandinGateway, arguments: dict[str, Any]
) -> None:
    run_module(module, arguments)
    gateway.faults = [Fault("PUT", "/system/functions", status=200)]
    result = run_module(module, {**arguments, "image": "registry.example/cifar-cnn:2"})
    assert result["failed"] is True
    assert f"{IMAGE} is deployed" in result["msg"]
    assert result["differing"] == ["image", "spec_sha256"]


def test_check_mode_where_nothing_is_installed_yet(
    module: ModuleType, run_module: Run, gateway: StandinGateway, arguments: dict[str, Any], tmp_path: Path
) -> None:
    gateway.faults = [Fault("GET", "/system/info", kind="close")]
    no_file = {**arguments, "password": None, "password_file": str(tmp_path / "not-yet")}
    for wanted in (arguments, no_file):
        result = run_module(module, wanted, check_mode=True)
        assert (result["failed"], result["changed"], result["action"]) == (False, True, "created")
        assert "Taken for not installed yet" in str(result["warnings"])
        assert result["diff"]["after"]["image"] == IMAGE
        result = run_module(module, {**wanted, "state": "absent"}, check_mode=True)
        assert (result["failed"], result["changed"], result["action"]) == (False, False, "none")
        assert run_module(module, wanted)["failed"] is True


def test_check_mode_does_not_hide_a_wrong_password(
    module: ModuleType, run_module: Run, arguments: dict[str, Any]
) -> None:
    result = run_module(module, {**arguments, "password": "wrong-password"}, check_mode=True)
    assert result["failed"] is True
    assert "user name and password are not the gateway's" in result["msg"]


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": None}, "image must name the image"),
        ({"name": "Cifar_CNN"}, "name must be of at most 63"),
        ({"state": "absent", "name": "Cifar_CNN"}, "name must be of at most 63"),
        ({"state": "absent", "namespace": "a b"}, "namespace must be of at most 63"),
        ({"password": None}, "is needed once"),
        ({"password_file": "/nowhere/password"}, "is needed once"),
        ({"password": None, "password_file": "/nowhere/password"}, "cannot read /nowhere/password"),
        ({"gateway_url": "127.0.0.1"}, "gateway_url"),
        ({"gateway_url": "http://admin:x@127.0.0.1"}, "must hold no user name or password"),
        ({"env": {"flag": True}}, "env.flag must be a text"),
        ({"limits": {"cpu": "two"}}, "limits.cpu"),
        ({"limits": {"cpus": "2"}}, "cpus"),
        ({"requests": {"cpu": 3}}, "requests.cpu is 3, above limits.cpu, 2"),
        ({"ready_path": "ready"}, "ready_path must begin with a slash"),
        ({"deadline_seconds": 0}, "deadline_seconds must be above 0"),
        ({"deadline_seconds": float("nan")}, "deadline_seconds must be above 0"),
        ({"replace": "quickly"}, "value of replace must be one of"),
    ],
)
def test_bad_input_gets_one_clear_message(
    module: ModuleType,
    run_module: Run,
    gateway: StandinGateway,
    arguments: dict[str, Any],
    *,
    change: dict[str, Any],
    words: str,
) -> None:
    result = run_module(module, {**arguments, **change})
    assert result["failed"] is True
    assert words in result["msg"]
    assert gateway.requests == []


@pytest.mark.parametrize("content", ["", "\n", "two\nlines\n"])
def test_a_password_file_that_holds_no_password_is_named(
    module: ModuleType, run_module: Run, arguments: dict[str, Any], tmp_path: Path, content: str
) -> None:
    (tmp_path / "password").write_text(content)
    result = run_module(module, {**arguments, "password": None, "password_file": str(tmp_path / "password")})
    assert result["failed"] is True
    assert "must hold the password as its only line" in result["msg"]
    assert str(tmp_path / "password") in result["msg"]
