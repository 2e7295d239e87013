# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.openfaas, against a stand-in gateway."""

from __future__ import annotations

import itertools
import json
import socket
import threading
import time
from collections.abc import Iterator
from dataclasses import replace
from fractions import Fraction
from typing import Any

import pytest
from evenkeel import http, openfaas
from evenkeel.openfaas import Gateway, OpenFaasError, Plan, Spec, Unanswered
from hypothesis import given
from hypothesis import strategies as st

from tests.standins.http_server import Reply, always, http_server
from tests.standins.openfaas_gateway import OLD_REFUSAL, REFUSAL, Fault, StandinGateway, canonical

PASSWORD = "stand-in-password"
OPTIONS: dict[str, Any] = {
    "name": "cifar-cnn",
    "namespace": "openfaas-fn",
    "image": "registry.example/cifar-cnn:1",
    "env": {"exec_timeout": "20m30s"},
    "secrets": ["b-secret", "a-secret"],
    "labels": {"app": "evenkeel"},
    "annotations": {"note": "one"},
    "limits": {"cpu": "2", "memory": "4Gi"},
    "requests": {"cpu": "250m", "memory": "1Gi"},
    "read_only_root_filesystem": False,
}
SPEC = openfaas.checked_spec(OPTIONS)
NEXT = replace(SPEC, image="registry.example/cifar-cnn:2")
PLAN = Plan(replace="rolling", adopt=False, ready_path="/ready", deadline_seconds=5)


@pytest.fixture(autouse=True)
def haste(monkeypatch: pytest.MonkeyPatch) -> None:
    """The same waits, shorter."""
    monkeypatch.setattr(openfaas, "POLL_SECONDS", 0.02)
    monkeypatch.setattr(openfaas, "READ_BACK_SECONDS", 0.02)
    monkeypatch.setattr(openfaas, "SETTLE_SECONDS", 0.2)


@pytest.fixture
def gateway() -> Iterator[StandinGateway]:
    with StandinGateway(secrets=["a-secret", "b-secret"]) as running:
        yield running


def client(gateway: StandinGateway, password: str = PASSWORD) -> Gateway:
    return Gateway(gateway.url, "admin", password)


def present(gateway: StandinGateway, spec: Spec = SPEC, *, check_mode: bool = False, **plan: Any) -> dict[str, Any]:
    return openfaas.ensure_present(client(gateway), spec, replace(PLAN, **plan), check_mode=check_mode)


def absent(gateway: StandinGateway, *, check_mode: bool = False, **plan: Any) -> dict[str, Any]:
    plan_ = replace(PLAN, **plan)
    return openfaas.ensure_absent(client(gateway), SPEC.name, SPEC.namespace, plan_, check_mode=check_mode)


# --- what is asked for ---


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("2", 2),
        ("2000m", 2),
        ("0.5", Fraction(1, 2)),
        (".5", Fraction(1, 2)),
        ("1.", 1),
        ("4Gi", 4294967296),
        ("4096Mi", 4294967296),
        ("4294967296", 4294967296),
        ("1.5Gi", 1610612736),
        ("4G", 4 * 10**9),
        ("1e3", 1000),
        ("1E3", 1000),
        ("1E", 10**18),
        ("5e-1", Fraction(1, 2)),
        ("1k", 1000),
        ("100u", Fraction(1, 10000)),
        ("1n", Fraction(1, 10**9)),
    ],
)
def test_a_quantity_is_an_exact_number(text: str, value: Fraction | int) -> None:
    assert openfaas.parse_quantity(text) == value


@pytest.mark.parametrize("text", ["", "4 Gi", "4GB", "-1", "4gi", "1e", "1e999", "Gi", "2cpu", "0x2", ".", "1K"])
def test_another_text_is_no_quantity(text: str) -> None:
    with pytest.raises(OpenFaasError, match="no quantity"):
        openfaas.parse_quantity(text)


@given(st.integers(0, 10**12), st.sampled_from(["", "m", "Ki", "Mi", "Gi"]))
def test_the_stand_in_writes_a_quantity_as_the_same_number(number: int, suffix: str) -> None:
    text = f"{number}{suffix}"
    assert openfaas.parse_quantity(canonical(text)) == openfaas.parse_quantity(text)


def test_the_request_is_what_faas_provider_takes() -> None:
    assert SPEC.document() == {
        "service": "cifar-cnn",
        "namespace": "openfaas-fn",
        "image": "registry.example/cifar-cnn:1",
        "envVars": {"exec_timeout": "20m30s"},
        "secrets": ["a-secret", "b-secret"],
        "labels": {"app": "evenkeel"},
        "annotations": {"note": "one", "com.evenkeel.spec-sha256": SPEC.sha256},
        "limits": {"cpu": "2", "memory": "4Gi"},
        "requests": {"cpu": "250m", "memory": "1Gi"},
        "readOnlyRootFilesystem": False,
    }


def test_numbers_are_taken_as_they_are_written() -> None:
    assert openfaas.checked_spec({**OPTIONS, "env": {"port": 8080, "share": 0.5, 1: "x"}}).env == {
        "port": "8080",
        "share": "0.5",
        "1": "x",
    }


def test_the_hash_is_of_the_meaning_not_of_the_spelling() -> None:
    same = {**OPTIONS, "limits": {"cpu": "2000m", "memory": "4294967296"}, "secrets": ["a-secret", "b-secret"]}
    assert openfaas.checked_spec(same).sha256 == SPEC.sha256


@pytest.mark.parametrize(
    "change",
    [
        {"image": "registry.example/cifar-cnn:2"},
        {"env": {}},
        {"secrets": ["a-secret"]},
        {"labels": {}},
        {"annotations": {}},
        {"limits": {"cpu": "1", "memory": "4Gi"}},
        {"requests": None},
        {"read_only_root_filesystem": True},
    ],
)
def test_every_field_changes_the_hash(change: dict[str, Any]) -> None:
    assert openfaas.checked_spec({**OPTIONS, **change}).sha256 != SPEC.sha256


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"image": None}, "image must name the image"),
        ({"image": "two words"}, "image must name the image"),
        ({"name": "Cifar"}, "name must be of at most 63"),
        ({"name": "x" * 64}, "name must be of at most 63"),
        ({"name": "cifar-"}, "name must be of at most 63"),
        ({"name": "a/../b"}, "name must be of at most 63"),
        ({"namespace": ""}, "namespace must be of at most 63"),
        ({"secrets": ["A"]}, "secrets must be names"),
        ({"env": {"debug": True}}, "env.debug must be a text, not True"),
        ({"env": {"debug": None}}, "env.debug must be a text, not None"),
        ({"env": {"": "x"}}, "env has an entry without a name"),
        ({"labels": {"uid": "1"}}, "labels must not hold uid"),
        ({"labels": {"faas_function": "1"}}, "labels must not hold faas_function"),
        ({"annotations": {"com.evenkeel.spec-sha256": "1"}}, "annotations must not hold com.evenkeel"),
        ({"limits": {"cpu": "two", "memory": None}}, "limits.cpu: 'two' is no quantity"),
        ({"requests": {"cpu": "0", "memory": None}}, "requests.cpu must be above 0"),
        ({"requests": {"cpu": "2500m", "memory": None}}, "requests.cpu is 2500m, above limits.cpu, 2"),
    ],
)
def test_a_wrong_option_is_named(change: dict[str, Any], words: str) -> None:
    with pytest.raises(OpenFaasError, match=words):
        openfaas.checked_spec({**OPTIONS, **change})


@pytest.mark.parametrize(
    ("url", "words"),
    [
        ("127.0.0.1:31112", "must begin with http"),
        ("ftp://host", "must begin with http"),
        ("http://", "without a host"),
        ("http://host:99999", "not a URL"),
        ("http://host?x=1", "must end with its path"),
    ],
)
def test_a_wrong_address_is_named(url: str, words: str) -> None:
    with pytest.raises(OpenFaasError, match=words):
        Gateway(url, "admin", PASSWORD)


def test_a_password_in_the_address_is_refused_and_not_repeated() -> None:
    with pytest.raises(OpenFaasError, match="password_file") as raised:
        Gateway("http://admin:geheim@host:1", "admin", PASSWORD)
    assert "geheim" not in str(raised.value)


@pytest.mark.parametrize("username", ["", "a:b"])
def test_a_user_name_that_basic_authentication_cannot_carry_is_refused(username: str) -> None:
    with pytest.raises(OpenFaasError, match="username"):
        Gateway("http://host:1", username, PASSWORD)


# --- what is deployed ---


def status_of(spec: Spec, **change: Any) -> dict[str, Any]:
    """What the Community Edition reports of it after one update."""
    document = spec.document()
    status = {
        "name": spec.name,
        "image": spec.image,
        "secrets": document["secrets"],
        "labels": {"faas_function": spec.name, "uid": "123", **spec.labels},
        "annotations": {"prometheus.io.scrape": "false", **document["annotations"]},
        "limits": {"memory": "4Gi", "cpu": "2"},
        "requests": {"memory": "1Gi", "cpu": "250m"},
        "replicas": 1,
    }
    return {name: value for name, value in {**status, **change}.items() if value is not None}


def test_what_the_provider_adds_or_leaves_out_is_no_difference() -> None:
    comparison = openfaas.compare(SPEC, status_of(SPEC))
    assert comparison.differing == []
    assert comparison.before == comparison.after


@pytest.mark.parametrize(
    ("change", "differing"),
    [
        ({"image": "other"}, ["image"]),
        ({"secrets": None}, ["secrets"]),
        ({"secrets": ["a-secret", "b-secret", "c-secret"]}, ["secrets"]),
        ({"labels": None}, ["labels"]),
        ({"labels": {"app": "evenkeel", "more": "1"}}, ["labels"]),
        ({"limits": None}, ["limits"]),
        ({"limits": {"memory": "4294967296", "cpu": "2000m"}}, []),
        ({"limits": {"memory": "4Gi", "cpu": "0"}}, ["limits"]),
        ({"limits": {"memory": "4Gi", "cpu": "what"}}, ["limits"]),
        ({"requests": {"memory": "2Gi", "cpu": "250m"}}, ["requests"]),
        ({"envVars": {"exec_timeout": "20m30s"}}, []),
        ({"envVars": {"exec_timeout": "30s"}}, ["env"]),
        ({"envVars": {}}, ["env"]),
        ({"readOnlyRootFilesystem": True}, ["read_only_root_filesystem"]),
        ({"readOnlyRootFilesystem": False}, []),
        ({"annotations": None}, ["annotations", "spec_sha256"]),
        ({"annotations": {"note": "one"}}, ["spec_sha256"]),
    ],
)
def test_a_reported_difference_is_named(change: dict[str, Any], differing: list[str]) -> None:
    assert openfaas.compare(SPEC, status_of(SPEC, **change)).differing == differing


def test_a_restart_is_no_difference() -> None:
    annotations = {**SPEC.document()["annotations"], "kubectl.kubernetes.io/restartedAt": "2026-01-01T00:00:00Z"}
    assert openfaas.compare(SPEC, status_of(SPEC, annotations=annotations)).differing == []


def test_an_annotation_that_openfaas_would_add_counts_where_it_is_asked_for() -> None:
    wanted = openfaas.checked_spec({**OPTIONS, "annotations": {"prometheus.io.scrape": "true"}})
    annotations = {**wanted.document()["annotations"], "prometheus.io.scrape": "false"}
    assert openfaas.compare(wanted, status_of(wanted, annotations=annotations)).differing == ["annotations"]


@pytest.mark.parametrize("change", [{"env": {"exec_timeout": "30s"}}, {"read_only_root_filesystem": True}])
def test_what_is_not_reported_is_known_by_the_hash(change: dict[str, Any]) -> None:
    comparison = openfaas.compare(openfaas.checked_spec({**OPTIONS, **change}), status_of(SPEC))
    assert comparison.differing == ["spec_sha256"]
    assert comparison.before["env"] == comparison.before["read_only_root_filesystem"] == openfaas.NOT_REPORTED


def test_nothing_deployed_differs_in_everything() -> None:
    comparison = openfaas.compare(SPEC, None)
    assert comparison.before == {}
    assert comparison.differing == [*SPEC.fields(), "spec_sha256"]


# --- what a function says of itself ---


@pytest.mark.parametrize(
    ("status", "body", "headers", "expected", "text", "next_step"),
    [
        (200, b'{"ready": true, "instance_id": "a"}', {}, (True, "a", False, False), "200", ""),
        (200, b'{"ready": true}', {}, (True, None, False, False), "200", ""),
        (200, b'{"ready": "true"}', {}, (False, None, False, False), "200", ""),
        (200, b"OK", {}, (False, None, False, False), "200", ""),
        (503, b'{"ready": true}', {}, (False, None, False, False), "503", "deadline_seconds"),
        (503, b'{"phase": "train", "progress": 0.3}', {}, (False, None, False, False), "train", "deadline_seconds"),
        (500, b'{"phase": "failed", "error": "no data"}', {}, (False, None, True, False), "no data", "logs deploy"),
        (405, b"Function invocations disabled due to error", {}, (False, None, False, True), "405", "rollout restart"),
        (503, b"No endpoints available for: x.\n", {}, (False, None, False, False), "no pod of it is", "describe"),
        (504, b"", {"x-openfaas-internal": "of-watchdog"}, (False, None, False, False), "exec_timeout was", "exec_"),
        (502, b"", {}, (False, None, False, False), "upstream time-out", "upstreamTimeout"),
        (500, b"Can't reach service for: x.", {}, (False, None, False, False), "cannot reach the pod", "readTimeout"),
        (500, b"", {"x-openfaas-internal": "of-watchdog"}, (False, None, False, False), "does not listen yet", "logs"),
        (404, b"404 page not found", {}, (False, None, False, False), "404", "ready_path"),
    ],
)
def test_an_answer_in_the_functions_place_is_understood(
    *, status: int, body: bytes, headers: dict[str, str], expected: tuple[Any, ...], text: str, next_step: str
) -> None:
    seen = openfaas.read_readiness(http.Response(status, headers, body), "/ready")
    assert (seen.ready, seen.instance_id, seen.failed, seen.fatal) == expected
    assert text in seen.text
    assert next_step in seen.next_step


# --- deploying ---


def test_a_new_function_is_created_and_waited_for(gateway: StandinGateway) -> None:
    gateway.train_seconds = 0.15
    result = present(gateway)
    assert (result["changed"], result["action"], result["ready"]) == (True, "created", True)
    assert result["waited_seconds"] >= 0.15
    assert (result["replaced_trained"], result["gap_seconds"]) == (False, None)
    assert result["function"]["image"] == SPEC.image
    assert result["instance_id"] == "instance-1"
    assert result["provider"] == {
        "name": "faas-netes-ce",
        "version": "0.18.17 (stand-in)",
        "gateway_version": "0.27.14 (stand-in)",
    }
    assert gateway.sent("POST") == [SPEC.document()]
    assert result["diff"]["before"] == {}
    assert result["diff"]["after"]["env"] == {"exec_timeout": "20m30s"}


@pytest.mark.parametrize("reports_env", [False, True])
def test_the_same_function_again_changes_nothing(gateway: StandinGateway, reports_env: bool) -> None:
    gateway.reports_env = reports_env
    present(gateway)
    again = openfaas.checked_spec({**OPTIONS, "limits": {"cpu": "2000m", "memory": "4294967296"}})
    result = present(gateway, again)
    assert (result["changed"], result["action"], result["differing"]) == (False, "none", [])
    assert result["ready"] is True
    assert "diff" not in result
    assert gateway.sent("PUT") == []
    assert len(gateway.sent("POST")) == 1


def test_only_the_environment_changed_is_one_update(gateway: StandinGateway) -> None:
    present(gateway)
    changed = openfaas.checked_spec({**OPTIONS, "env": {"exec_timeout": "30s"}})
    result = present(gateway, changed)
    assert (result["changed"], result["action"], result["differing"]) == (True, "updated", ["spec_sha256"])
    assert gateway.sent("PUT")[0]["envVars"] == {"exec_timeout": "30s"}
    assert present(gateway, changed)["changed"] is False


def test_check_mode_sends_nothing_and_says_what_would_be(gateway: StandinGateway) -> None:
    result = present(gateway, check_mode=True)
    assert (result["changed"], result["action"], result["function"]) == (True, "created", None)
    present(gateway)
    result = present(gateway, NEXT, check_mode=True)
    assert (result["changed"], result["action"], result["differing"]) == (True, "updated", ["image", "spec_sha256"])
    assert result["diff"]["before"]["image"] == SPEC.image
    assert result["diff"]["after"]["image"] == NEXT.image
    assert result["replaced_trained"] is True
    assert present(gateway, check_mode=True)["changed"] is False
    assert (len(gateway.sent("POST")), gateway.sent("PUT"), gateway.sent("DELETE")) == (1, [], [])


def test_an_update_that_takes_a_trained_pod_away_says_so(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.pod_seconds, gateway.train_seconds = 0.1, 0.3
    time.sleep(0.45)  # the first instance is ready by the new times too
    result = present(gateway, NEXT)
    assert (result["action"], result["instance_id"]) == ("updated", "instance-2")
    assert result["replaced_trained"] is True
    assert 0.2 < result["gap_seconds"] < result["waited_seconds"]


def test_an_update_whose_new_pod_is_ready_at_once_says_that_none_was_missing(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.pod_seconds = 0.15
    time.sleep(0.2)
    result = present(gateway, NEXT)
    assert result["instance_id"] == "instance-2"  # the old one's ready answers of the first 0.15 s are not taken for it
    assert result["waited_seconds"] >= 0.15
    assert (result["replaced_trained"], result["gap_seconds"]) == (False, None)


def test_an_old_instance_that_becomes_ready_meanwhile_is_not_the_new_one(gateway: StandinGateway) -> None:
    gateway.train_seconds = 0.3
    present(gateway, ready_path="")
    gateway.pod_seconds = 0.5
    gateway.functions["cifar-cnn"].pod.begun -= 0.5  # it has long had its watchdog, and trains for 0.3 s from now
    result = present(gateway, NEXT)
    assert result["instance_id"] == "instance-2"
    assert result["waited_seconds"] >= 0.8
    assert result["replaced_trained"] is True
    assert 0.2 < result["gap_seconds"] < 0.5


def test_an_instance_that_trains_is_replaced_without_loss(gateway: StandinGateway) -> None:
    gateway.train_seconds = 0.2
    present(gateway, ready_path="")
    result = present(gateway, NEXT)
    assert (result["action"], result["instance_id"]) == ("updated", "instance-2")
    assert (result["replaced_trained"], result["gap_seconds"]) == (False, None)


def test_recreate_removes_it_first_and_says_so(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.terminate_seconds = 0.2
    result = present(gateway, NEXT, replace="recreate")
    assert (result["action"], result["instance_id"], result["replaced_trained"]) == ("recreated", "instance-2", True)
    assert result["gap_seconds"] >= 0.2
    assert gateway.sent("DELETE") == [{"functionName": "cifar-cnn", "namespace": "openfaas-fn"}]
    assert gateway.sent("PUT") == []


def test_recreate_removes_what_is_left_of_the_old_one(gateway: StandinGateway) -> None:
    present(gateway)
    body = 'failed create Service: object is being deleted: services "cifar-cnn" already exists\n'
    gateway.faults = [Fault("POST", "/system/functions", status=400, body=body, times=1)]
    result = present(gateway, NEXT, replace="recreate")
    assert result["action"] == "recreated"
    assert len(gateway.sent("DELETE")) == 2
    assert result["function"]["image"] == NEXT.image


def test_without_a_ready_path_it_is_not_asked(gateway: StandinGateway) -> None:
    result = present(gateway, ready_path="")
    assert (result["ready"], result["waited_seconds"]) == (None, None)
    assert not any(target.startswith("/function/") for _, target, _, _ in gateway.requests)
    assert present(gateway, NEXT, ready_path="")["replaced_trained"] is None


def test_a_function_that_vanished_meanwhile_is_created(gateway: StandinGateway) -> None:
    present(gateway)

    def vanish(body: bytes, update: Any = gateway.update) -> tuple[int, str, dict[str, str]]:
        gateway.functions.clear()
        return update(body)

    gateway.update = vanish
    assert present(gateway, NEXT)["function"]["image"] == NEXT.image
    assert [document["image"] for document in gateway.sent("POST")] == [SPEC.image, NEXT.image]


def test_a_function_in_another_namespace_is_called_by_its_full_name() -> None:
    with StandinGateway(namespace="other") as gateway:
        spec = replace(SPEC, namespace="other", secrets=[])
        assert present(gateway, spec)["ready"] is True
        targets = [target for _, target, _, _ in gateway.requests]
        assert "/function/cifar-cnn.other/ready" in targets
        assert "/system/function/cifar-cnn?namespace=other" in targets


def test_a_function_of_somebody_else_is_left_alone(gateway: StandinGateway) -> None:
    client(gateway).system("POST", "functions", {"service": "cifar-cnn", "image": "theirs"}, timeout_seconds=5)
    for change in (present, absent):
        with pytest.raises(OpenFaasError, match="was not deployed by this module") as raised:
            change(gateway)
        assert "adopt: true" in raised.value.details["next_step"]
    assert gateway.functions["cifar-cnn"].request["image"] == "theirs"
    assert present(gateway, adopt=True)["action"] == "updated"
    assert absent(gateway)["action"] == "removed"


# --- what is not believed ---


def test_an_update_that_failed_with_status_200_is_found_out(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.refused_images.add(NEXT.image)
    with pytest.raises(OpenFaasError, match="is not what was asked for") as raised:
        present(gateway, NEXT)
    message, details = str(raised.value), raised.value.details
    assert f"{NEXT.image} was; {SPEC.image} is deployed; different: image, spec_sha256" in message
    assert "PUT was answered with 200, which is the provider's answer to an update that failed" in message
    assert "logs deploy/gateway -c faas-netes" in details["next_step"]
    assert "kubectl -n openfaas-fn get secrets" in details["next_step"]
    assert details["function"]["image"] == SPEC.image


def test_a_missing_secret_at_an_update_is_found_out(gateway: StandinGateway) -> None:
    present(gateway)
    with pytest.raises(OpenFaasError, match="a secret is not there"):
        present(gateway, replace(SPEC, secrets=["c-secret"]))


def test_a_200_after_an_update_that_succeeded_is_success(gateway: StandinGateway) -> None:
    present(gateway)

    def answer(body: bytes, update: Any = gateway.update) -> tuple[int, str, dict[str, str]]:
        return (200, "", {}) if update(body)[0] == 202 else (500, "", {})

    gateway.update = answer
    assert present(gateway, NEXT)["function"]["image"] == NEXT.image


def test_a_lie_about_the_image_is_no_success(gateway: StandinGateway) -> None:
    gateway.reported_image = "another:1"
    with pytest.raises(OpenFaasError, match="another:1 is deployed; different: image"):
        present(gateway)


def test_an_accepted_request_that_was_not_done_is_no_success(gateway: StandinGateway) -> None:
    gateway.faults = [Fault("POST", "/system/functions", status=202)]
    with pytest.raises(OpenFaasError, match="nothing is deployed") as raised:
        present(gateway)
    assert "POST was answered with 202, as if it had been done" in str(raised.value)


def test_somebody_elses_deployment_meanwhile_is_no_success(gateway: StandinGateway) -> None:
    gateway.train_seconds = 0.3

    def overwrite() -> None:
        gateway.functions["cifar-cnn"].request["image"] = "theirs"

    timer = threading.Timer(0.15, overwrite)
    timer.start()
    with pytest.raises(OpenFaasError, match=r"theirs is deployed.*a moment ago"):
        present(gateway)


@pytest.mark.parametrize(("method", "before"), [("POST", False), ("PUT", True)])
@pytest.mark.parametrize("kind", ["lost", "close"])
def test_a_connection_that_breaks_is_read_back(gateway: StandinGateway, method: str, before: bool, kind: Any) -> None:
    if before:
        present(gateway)
    gateway.faults = [Fault(method, "/system/functions", kind=kind, times=1)]
    if kind == "lost":
        assert present(gateway, NEXT)["function"]["image"] == NEXT.image
    else:
        with pytest.raises(OpenFaasError, match=r"not known whether it was done.*closed before an answer"):
            present(gateway, NEXT)
    assert len(gateway.sent(method)) == 1


# --- refusals ---


@pytest.mark.parametrize(
    ("method", "status", "body", "why", "next_step"),
    [
        ("POST", 400, REFUSAL, "could not read the manifest of registry.example/cifar-cnn:1", "private IP address"),
        ("POST", 400, OLD_REFUSAL, "could not read the manifest", "public registry"),
        ("POST", 400, "unable to parse image reference: x", "could not read the manifest", "push"),
        ("POST", 400, "namespace must be: fn", "no namespace openfaas-fn for functions", "set namespace"),
        ("POST", 400, 'unable to fetch secrets: secrets "b" not found', "(a-secret, b-secret) is", "create secret"),
        # As faas-netes 0.17.0 was seen to answer a PUT.
        (
            "POST",
            400,
            'unable update Deployment: f7.openfaas-fn, error: secrets "none" not found',
            "(a-secret, b-secret) is",
            "create secret",
        ),
        ("POST", 400, "unable to create function, maximum: 15, visit", "limit of functions", "faas-cli remove"),
        ("POST", 400, "com.openfaas.scale.zero not available for Community Edition", "does not offer", "leave out"),
        ("POST", 500, 'unable create Deployment: deployments.apps "x" already exists', "does not update", "recreate"),
        ("POST", 500, "unable create Deployment: forbidden", "no reason that is known", "logs deploy/gateway"),
        ("GET", 401, "invalid credentials", "user name and password are not", "get secret basic-auth"),
        ("GET", 401, "unable to list within the kube-system namespace", "no namespace", "set namespace"),
        ("GET", 404, "404 page not found", "no OpenFaaS gateway at this address", "correct gateway_url"),
    ],
)
def test_a_refusal_says_why_and_what_to_do(
    gateway: StandinGateway, *, method: str, status: int, body: str, why: str, next_step: str
) -> None:
    path = "/system/functions" if method == "POST" else "/system/info"
    gateway.faults = [Fault(method, path, status=status, body=body)]
    with pytest.raises(OpenFaasError) as raised:
        present(gateway)
    assert why in str(raised.value)
    assert gateway.url in str(raised.value)
    assert f"answered {status}" in str(raised.value)
    assert next_step in raised.value.details["next_step"]
    assert not isinstance(raised.value, Unanswered)


def test_the_stand_ins_own_refusals_are_known(gateway: StandinGateway) -> None:
    def refused(spec: Spec) -> str:
        with pytest.raises(OpenFaasError) as raised:
            present(gateway, spec)
        return str(raised.value)

    gateway.refused_images.add("private:1")
    assert "without credentials" in refused(replace(SPEC, image="private:1"))
    assert "(c-secret) is not in namespace openfaas-fn" in refused(replace(SPEC, secrets=["c-secret"]))
    assert "no namespace other" in refused(replace(SPEC, namespace="other"))
    assert "does not offer" in refused(replace(SPEC, labels={"com.openfaas.scale.zero": "true"}))
    gateway.function_limit = 0
    assert "limit of functions is reached" in refused(SPEC)


def test_a_wrong_password_is_named_and_not_repeated(gateway: StandinGateway) -> None:
    function = openfaas.Gateway(gateway.url, "admin", "geheim")
    with pytest.raises(OpenFaasError, match="user name and password are not the gateway's") as raised:
        openfaas.ensure_present(function, SPEC, PLAN, check_mode=False)
    assert "geheim" not in json.dumps([str(raised.value), raised.value.details, repr(function)])
    assert gateway.functions == {}


def test_the_function_is_not_told_the_password(gateway: StandinGateway) -> None:
    present(gateway)
    calls = [headers for _, target, _, headers in gateway.requests if target.startswith("/function/")]
    assert calls
    assert not any("Authorization" in headers for headers in calls)


def test_a_gateway_without_its_provider_is_named(gateway: StandinGateway) -> None:
    gateway.provider_away = True
    with pytest.raises(OpenFaasError, match="the provider behind it does not") as raised:
        present(gateway)
    assert "access to the Internet" in raised.value.details["next_step"]


def test_an_upstream_time_out_of_the_gateway_is_named(gateway: StandinGateway) -> None:
    gateway.faults = [Fault("GET", "/system/function/", status=502)]
    with pytest.raises(Unanswered, match="did not answer in the gateway's upstream time-out") as raised:
        present(gateway)
    assert "gateway.upstreamTimeout" in raised.value.details["next_step"]


def test_another_server_is_not_taken_for_a_gateway() -> None:
    with (
        http_server(always(Reply(body=b'{"hello": 1}'))) as server,
        pytest.raises(OpenFaasError, match="is not an OpenFaaS gateway's") as raised,
    ):
        openfaas.ensure_present(Gateway(server.url, "admin", PASSWORD), SPEC, PLAN, check_mode=False)
    assert raised.value.details["next_step"] == "correct gateway_url"


def test_a_redirect_is_not_followed_but_named(gateway: StandinGateway) -> None:
    gateway.faults = [Fault("GET", "/system/info", status=301, headers={"Location": "https://host/system/info"})]
    with pytest.raises(OpenFaasError, match="no OpenFaaS gateway at this address") as raised:
        present(gateway)
    assert "redirects to https://host/system/info" in raised.value.details["next_step"]


def test_an_unreachable_gateway_is_named() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unanswered, match="connection refused: nothing listens there") as raised:
            openfaas.ensure_present(Gateway(url, "admin", PASSWORD), SPEC, PLAN, check_mode=False)
    assert url in str(raised.value)
    assert "correct gateway_url" in raised.value.details["next_step"]


@pytest.mark.parametrize(
    ("kind", "words"),
    [("close", "closed before an answer"), ("stall", "no complete answer within")],
)
def test_a_dead_or_silent_gateway_is_named(gateway: StandinGateway, kind: Any, words: str) -> None:
    gateway.faults = [Fault("GET", "/system/info", kind=kind)]
    with pytest.raises(Unanswered, match=words):
        present(gateway, deadline_seconds=0.3)


# --- a function that does not become ready ---


def test_the_deadline_says_what_was_last_seen(gateway: StandinGateway) -> None:
    gateway.train_seconds = 60
    gateway.log = ["epoch 1", "epoch 2"]
    begun = time.monotonic()
    with pytest.raises(OpenFaasError, match=r"was not ready within 0.4 s") as raised:
        present(gateway, deadline_seconds=0.4)
    assert time.monotonic() - begun < 3
    assert '"phase": "train"' in str(raised.value)
    assert "1 of 1 replicas are available" in str(raised.value)
    assert raised.value.details["log_tail"] == ["epoch 1", "epoch 2"]
    assert raised.value.details["next_step"].startswith("raise deadline_seconds")
    assert "kubectl -n openfaas-fn logs deploy/cifar-cnn" in raised.value.details["next_step"]


def test_a_call_that_is_held_is_a_pod_that_does_not_start(gateway: StandinGateway) -> None:
    gateway.pod_seconds = 60
    with pytest.raises(OpenFaasError, match=r"it holds a call while no pod is ready\); 0 of 1 replicas") as raised:
        present(gateway, deadline_seconds=0.3)
    assert "describe pods -l faas_function=cifar-cnn" in raised.value.details["next_step"]


def test_a_look_that_the_deadline_cuts_short_is_not_the_last_word(gateway: StandinGateway) -> None:
    gateway.faults = [Fault("GET", "/function/", status=502, times=1), Fault("GET", "/function/", kind="stall")]
    with pytest.raises(OpenFaasError, match="upstream time-out was over") as raised:
        present(gateway, deadline_seconds=0.4)
    assert "gateway.upstreamTimeout" in raised.value.details["next_step"]


def test_a_pod_that_does_not_start_is_told_from_one_that_trains(gateway: StandinGateway) -> None:
    gateway.pod_seconds, gateway.hold_seconds = 60, 0
    with pytest.raises(OpenFaasError, match="no pod of it is ready; 0 of 1 replicas") as raised:
        present(gateway, deadline_seconds=0.3)
    assert "describe pods -l faas_function=cifar-cnn" in raised.value.details["next_step"]


def test_an_update_whose_pod_does_not_start_is_no_success(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.pod_seconds = 60
    gateway.functions["cifar-cnn"].pod.begun -= 60
    with pytest.raises(OpenFaasError, match=r"/ready was last answered by the old instance"):
        present(gateway, NEXT, deadline_seconds=0.5)


def test_a_failed_start_ends_the_wait(gateway: StandinGateway) -> None:
    gateway.start_fails = "the data set has no test images"
    begun = time.monotonic()
    with pytest.raises(OpenFaasError, match=r"will not become ready.*no test images") as raised:
        present(gateway, deadline_seconds=60)
    assert time.monotonic() - begun < 5
    assert raised.value.details["log_tail"] == ["stand-in service: starting"]


def test_the_old_instances_failed_start_is_not_the_new_ones(gateway: StandinGateway) -> None:
    gateway.start_fails = "broken"
    present(gateway, ready_path="")
    gateway.pod_seconds = 0.3
    gateway.functions["cifar-cnn"].pod.begun -= 1
    threading.Timer(0.2, setattr, (gateway, "start_fails", None)).start()
    assert present(gateway, NEXT)["instance_id"] == "instance-2"


def test_calls_that_are_disabled_end_the_wait(gateway: StandinGateway) -> None:
    gateway.invocations_disabled = True
    with pytest.raises(OpenFaasError, match="only permits: 15 functions") as raised:
        present(gateway, deadline_seconds=60)
    assert "rollout restart deploy/gateway" in raised.value.details["next_step"]


@pytest.mark.parametrize(
    "fault",
    [
        Fault("GET", "/function/", kind="close", times=3),
        Fault("GET", "/function/", status=502, times=3),
        Fault("GET", "/function/", status=500, headers={"X-OpenFaaS-Internal": "of-watchdog"}, times=3),
    ],
)
def test_a_gateway_that_stumbles_while_it_is_waited_for_is_borne(gateway: StandinGateway, fault: Fault) -> None:
    gateway.faults = [replace(fault)]
    assert present(gateway)["ready"] is True
    assert gateway.faults[0].times == 0


def test_a_log_that_cannot_be_had_does_not_hide_the_failure(gateway: StandinGateway) -> None:
    gateway.train_seconds = 60
    gateway.faults = [Fault("GET", "/system/logs", status=501)]
    with pytest.raises(OpenFaasError, match="was not ready") as raised:
        present(gateway, deadline_seconds=0.3)
    assert raised.value.details["log_tail"] == ["no log: the gateway answered 501 ''"]


def test_a_service_that_names_no_instance_is_taken_at_its_word(gateway: StandinGateway) -> None:
    gateway.names_instance = False
    present(gateway)
    result = present(gateway, NEXT)
    assert (result["ready"], result["instance_id"]) == (True, None)


# --- removing ---


def test_absent_waits_until_it_is_gone(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.terminate_seconds = 0.3
    begun = time.monotonic()
    result = absent(gateway)
    assert time.monotonic() - begun >= 0.3
    assert (result["changed"], result["action"], result["function"]) == (True, "removed", None)
    assert result["diff"]["before"]["image"] == SPEC.image
    assert result["diff"]["before"]["env"] == openfaas.NOT_REPORTED
    assert result["diff"]["after"] == {}
    assert gateway.functions == {}
    again = absent(gateway)
    assert (again["changed"], again["action"]) == (False, "none")
    assert len(gateway.sent("DELETE")) == 1


def test_absent_in_check_mode_removes_nothing(gateway: StandinGateway) -> None:
    present(gateway)
    result = absent(gateway, check_mode=True)
    assert (result["changed"], result["function"]["name"]) == (True, "cifar-cnn")
    assert gateway.sent("DELETE") == []


def test_a_function_that_is_not_listed_but_answers_is_not_gone(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.faults = [Fault("GET", "/function/cifar-cnn/_/health", status=200, body="OK", times=2)]
    absent(gateway)
    assert gateway.faults[0].times == 0
    present(gateway)
    gateway.faults = [Fault("GET", "/function/cifar-cnn/_/health", status=200, body="OK")]
    with pytest.raises(OpenFaasError, match=r"is not gone after 0.3 s: /_/health still answers"):
        absent(gateway, deadline_seconds=0.3)


def test_a_function_that_does_not_go_is_named(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.terminate_seconds, gateway.lingering = 60, True
    with pytest.raises(OpenFaasError, match="it is still listed, with 1 available replicas") as raised:
        absent(gateway, deadline_seconds=0.3)
    assert "get pods -l faas_function=cifar-cnn" in raised.value.details["next_step"]


def test_a_removal_that_got_no_answer_is_asked_again(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.faults = [Fault("DELETE", "/system/functions", kind="close", times=2)]
    assert absent(gateway)["action"] == "removed"
    assert len(gateway.sent("DELETE")) == 3


def test_a_refused_removal_is_named(gateway: StandinGateway) -> None:
    present(gateway)
    gateway.faults = [Fault("DELETE", "/system/functions", status=400, body="Not a function: cifar-cnn")]
    with pytest.raises(OpenFaasError, match="was not made by OpenFaaS"):
        absent(gateway)


# --- check mode without a gateway ---


def test_without_a_gateway_everything_is_still_to_do() -> None:
    result = openfaas.expected_without_gateway(SPEC)
    assert (result["changed"], result["action"]) == (True, "created")
    assert result["diff"]["after"]["image"] == SPEC.image
    assert openfaas.expected_without_gateway(None)["changed"] is False


# --- the stand-in itself ---


def test_the_stand_in_hands_calls_on(gateway: StandinGateway) -> None:
    present(gateway)
    with http_server(always(Reply(status=201, body=b'{"ready": 1}'))) as server:
        gateway.upstream = server.url
        answer = client(gateway).invoke("cifar-cnn", "openfaas-fn", "/predict?x=1", timeout_seconds=5)
        assert (answer.status, answer.body) == (201, b'{"ready": 1}')
        assert server.received[0].target == "/predict?x=1"
    answer = client(gateway).invoke("cifar-cnn", "openfaas-fn", "/predict", timeout_seconds=5)
    assert (answer.status, answer.headers["x-openfaas-internal"]) == (500, "of-watchdog")


def test_the_stand_in_has_one_pod_label_more_after_each_update(gateway: StandinGateway) -> None:
    present(gateway)
    assert "uid" not in client_status(gateway)["labels"]
    uids = []
    for number in itertools.islice(itertools.count(2), 2):
        present(gateway, replace(SPEC, image=f"registry.example/cifar-cnn:{number}"))
        uids.append(client_status(gateway)["labels"]["uid"])
    assert uids[0] != uids[1]


def client_status(gateway: StandinGateway) -> dict[str, Any]:
    answer = client(gateway).system("GET", "function/cifar-cnn", timeout_seconds=5)
    status: dict[str, Any] = json.loads(answer.body)
    return status


def test_a_process_that_serves_is_what_healthz_says() -> None:
    body = b'{"serving": true, "instance_id": "abc"}'
    seen = openfaas.read_readiness(http.Response(200, {}, body), "/healthz")
    assert (seen.ready, seen.instance_id) == (True, "abc")
