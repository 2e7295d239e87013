# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""library/ec2_credits_facts.py, with boto3's real client and botocore's stubber in place of CloudWatch."""

from __future__ import annotations

import builtins
import datetime
import time
from collections.abc import Callable
from types import ModuleType
from typing import Any

import boto3
import pytest
import yaml
from botocore.stub import ANY, Stubber

INSTANCE = "i-0123456789abcdef0"
OPTIONS = {"instance_id": INSTANCE, "region": "eu-central-1"}
WINDOW = {"start_utc": "2026-11-24T22:00:10Z", "end_utc": "2026-11-24T22:12:00Z"}


@pytest.fixture
def module(load_module: Callable[[str], ModuleType]) -> ModuleType:
    return load_module("ec2_credits_facts")


@pytest.fixture
def run(module: ModuleType, run_module: Callable[..., dict[str, Any]]) -> Callable[..., dict[str, Any]]:
    def run(check_mode: bool = False, **options: Any) -> dict[str, Any]:
        return run_module(module, {**OPTIONS, **options}, check_mode)

    return run


@pytest.fixture(autouse=True)
def _no_credentials_of_this_machine(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY", "AWS_PROFILE", "AWS_ENDPOINT_URL"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("AWS_CONFIG_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_SHARED_CREDENTIALS_FILE", "/nonexistent")
    monkeypatch.setenv("AWS_EC2_METADATA_DISABLED", "true")
    # boto3 keeps the credentials that another test of this process may have had.
    monkeypatch.setattr(boto3, "DEFAULT_SESSION", None)


@pytest.fixture
def stubbed(module: ModuleType, monkeypatch: pytest.MonkeyPatch) -> Stubber:
    """CloudWatch answers what a test adds to it, and nothing else."""
    client = boto3.client(
        "cloudwatch", region_name=OPTIONS["region"], aws_access_key_id="none", aws_secret_access_key="none"
    )
    monkeypatch.setattr(module, "cloudwatch", lambda region: client)
    stubber = Stubber(client)
    stubber.activate()
    return stubber


def utc(minute: int) -> datetime.datetime:
    return datetime.datetime(2026, 11, 24, 22, minute, tzinfo=datetime.UTC)


def answer(balance: dict[int, float], more: str | None = None, **others: dict[int, float]) -> dict[str, Any]:
    """A page of GetMetricData: values by the minute after 22:00 that their period begins."""
    found = {"cPUCreditBalance": balance, **others}
    results = [
        {"Id": name, "Timestamps": [utc(minute) for minute in values], "Values": list(values.values())}
        for name, values in found.items()
    ]
    return {"MetricDataResults": results, **({"NextToken": more} if more else {})}


def facts_of(result: dict[str, Any]) -> dict[str, Any]:
    assert (result["failed"], result["changed"]) == (False, False), result.get("msg")
    facts: dict[str, Any] = result["ansible_facts"]["ec2_credits"]
    return facts


def test_every_documented_figure_is_returned(module: ModuleType, run: Any, stubbed: Stubber) -> None:
    asked = {
        "MetricDataQueries": ANY,
        "StartTime": utc(0) - datetime.timedelta(hours=1),
        "EndTime": utc(15),
        "ScanBy": "TimestampAscending",
    }
    usage = {0: 1.5, 5: 2.0}
    stubbed.add_response("get_metric_data", answer({0: 90.0}, more="next", cPUCreditUsage=usage), asked)
    stubbed.add_response("get_metric_data", answer({5: 80.0, 10: 70.0}), {**asked, "NextToken": "next"})
    facts = facts_of(run(**WINDOW))
    documented = yaml.safe_load(module.RETURN)["ansible_facts"]["contains"]["ec2_credits"]["contains"]
    assert facts.keys() == documented.keys()
    begin = utc(0).timestamp()
    assert facts["points"]["CPUCreditBalance"] == [[begin, 90.0], [begin + 300, 80.0], [begin + 600, 70.0]]
    assert facts["points"]["CPUSurplusCreditsCharged"] == []
    assert (facts["start_epoch_seconds"], facts["period_seconds"]) == (begin + 10, 300)
    assert facts["summary"]["usage"] == 3.5
    assert (facts["summary"]["balance_min"], facts["summary"]["ran_out"], facts["summary"]["complete"]) == (
        70.0,
        False,
        True,
    )
    stubbed.assert_no_pending_responses()


def test_late_data_points_are_waited_for(
    module: ModuleType, run: Any, stubbed: Stubber, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "POLL_SECONDS", 0.01)
    for balance in ({0: 90.0}, {0: 90.0, 5: 80.0}, {0: 90.0, 5: 80.0, 10: 0.0}):
        stubbed.add_response("get_metric_data", answer(balance))
    facts = facts_of(run(**WINDOW, wait_seconds=60))
    assert (facts["summary"]["complete"], facts["summary"]["ran_out"]) == (True, True)
    assert facts["waited_seconds"] < 30
    stubbed.assert_no_pending_responses()


def test_the_wait_has_an_end(module: ModuleType, run: Any, stubbed: Stubber, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "Deadline", lambda _seconds: _Over())
    stubbed.add_response("get_metric_data", answer({0: 90.0}))
    assert facts_of(run(**WINDOW, wait_seconds=60))["summary"]["complete"] is False


class _Over:
    def expired(self) -> bool:
        return True


def test_an_instance_without_credits_is_not_waited_for(run: Any, stubbed: Stubber) -> None:
    stubbed.add_response("get_metric_data", answer({}))
    facts = facts_of(run(**WINDOW, wait_seconds=600))
    assert facts["summary"]["ran_out"] is None
    assert "not burstable" in facts["summary"]["reason"]


def test_without_a_window_it_is_the_last_quarter_of_an_hour(run: Any, stubbed: Stubber) -> None:
    stubbed.add_response("get_metric_data", answer({}))
    facts = facts_of(run())
    assert facts["end_epoch_seconds"] - facts["start_epoch_seconds"] == 900
    assert abs(facts["end_epoch_seconds"] - time.time()) < 300


def test_a_refusal_says_what_to_allow(run: Any, stubbed: Stubber) -> None:
    stubbed.add_client_error("get_metric_data", "AccessDenied", "not authorized", 403)
    result = run(**WINDOW)
    assert result["failed"] is True
    assert f"CloudWatch refused the CPU credits of {INSTANCE} in eu-central-1" in result["msg"]
    assert "cloudwatch:GetMetricData" in result["next_step"]


def test_missing_credentials_are_named(run: Any) -> None:
    result = run(**WINDOW)
    assert result["failed"] is True
    assert "Unable to locate credentials" in result["msg"]
    assert "AWS_PROFILE" in result["next_step"]


def test_another_endpoint_is_honoured(module: ModuleType, run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_ENDPOINT_URL", "http://127.0.0.1:1")
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "none")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "none")
    assert module.cloudwatch("eu-central-1").meta.endpoint_url == "http://127.0.0.1:1"
    result = run(**WINDOW)
    assert result["failed"] is True
    assert "CloudWatch did not answer" in result["msg"]
    assert "AWS_ENDPOINT_URL" in result["next_step"]


def test_a_missing_library_is_named(run: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_boto3(name: str, *given: Any, **options: Any) -> Any:
        if name == "boto3":
            raise ImportError(name)
        return real(name, *given, **options)

    monkeypatch.setattr(builtins, "__import__", without_boto3)
    result = run(**WINDOW)
    assert result["failed"] is True
    assert "Failed to import the required Python library (boto3)" in result["msg"]


def test_check_mode_asks_nobody(run: Any, stubbed: Stubber) -> None:
    result = run(check_mode=True, **WINDOW)
    assert (result["failed"], result["changed"]) == (False, False)
    assert result["plan"]["metrics"]["CPUCreditBalance"] == "Minimum"
    assert "ansible_facts" not in result


@pytest.mark.parametrize("check_mode", [False, True])
@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"start_utc": "yesterday"}, "start_utc is 'yesterday', not a time in UTC such as"),
        ({**WINDOW, "end_utc": "2026-11-24 22:00"}, "end_utc is '2026-11-24 22:00'"),
        ({"start_utc": WINDOW["end_utc"], "end_utc": WINDOW["start_utc"]}, "start_utc must lie before end_utc"),
        ({**WINDOW, "wait_seconds": -1}, "wait_seconds is -1: give a number from 0 to 3600"),
    ],
)
def test_bad_input_gets_one_clear_message(run: Any, given: dict[str, Any], message: str, check_mode: bool) -> None:
    result = run(check_mode=check_mode, **given)
    assert result["failed"] is True
    assert message in result["msg"]
