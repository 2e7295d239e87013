# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the role tells the chart, where it looks for images, and what it says when OpenFaaS does not run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "openfaas"


def templar(**variables: Any) -> Templar:
    """Ansible's own, with the role's variables and these; those named twice are the latter."""
    loader = DataLoader()
    loader.set_basedir(str(ROLE))
    known: dict[str, Any] = {"evenkeel_state_dir": "/s", "kubeconfig": "/s/kubeconfig", "function_registry": "local"}
    for part in ("defaults", "vars"):
        known |= loader.load_from_file(str(ROLE / part / "main.yml"), trusted_as_template=True)
    return Templar(loader, known | variables)


def value(name: str, **variables: Any) -> Any:
    one = templar(**variables)
    return one.template(one.available_variables[name])


def test_a_start_that_trains_for_twenty_minutes_fits_into_the_time_outs() -> None:
    values = value("openfaas_values")
    assert values["gateway"] == {
        "nodePort": 31112,
        "upstreamTimeout": "21m",
        "readTimeout": "21m30s",
        "writeTimeout": "21m30s",
    }
    assert values["queueWorker"]["ackWait"] == "22m"


def test_what_disturbs_a_measurement_is_off_and_the_password_is_not_the_charts() -> None:
    values = value("openfaas_values")
    assert values["alertmanager"] == {"create": False} and values["prometheus"] == {"create": False}
    assert values["async"] is False and values["generateBasicAuth"] is False and values["createCRDs"] is False
    assert values["serviceType"] == "NodePort" and "securityContext" not in values and "registryPrefix" not in values


@pytest.mark.parametrize("given", [True, "true"])
def test_what_is_asked_for_with_e_is_a_truth_value_for_the_chart(given: object) -> None:
    values = value("openfaas_values", openfaas_async=given, openfaas_prometheus=given, openfaas_node_port="31113")
    assert (values["async"], values["prometheus"]["create"], values["gateway"]["nodePort"]) == (True, True, 31113)


def test_openshift_chooses_the_users_and_has_a_route() -> None:
    values = value("openfaas_values", openfaas_routes={"api_found": True, "resources": []})
    assert values["securityContext"] is False and values["functions"] == {"setNonRootUser": False}
    assert values["exposeServices"] is False and "nodePort" not in values["gateway"]


def test_images_may_come_from_a_mirror() -> None:
    assert (
        value("openfaas_values", openfaas_image_mirror="registry.example/m")["registryPrefix"] == "registry.example/m"
    )


@pytest.mark.parametrize(
    ("chart", "url"),
    [
        ("", "https://openfaas.github.io/faas-netes/openfaas-15.0.6.tgz"),
        ("https://mirror.example/c.tgz", "https://mirror.example/c.tgz"),
        ("/srv/c.tgz", "file:///srv/c.tgz"),
    ],
)
def test_the_chart_may_come_from_elsewhere(chart: str, url: str) -> None:
    assert value("openfaas_chart_url", openfaas_chart=chart) == url


@pytest.mark.parametrize(
    ("registry", "address"),
    [
        ("ghcr.io/me/evenkeel", "https://ghcr.io"),
        ("me", "https://registry-1.docker.io"),
        ("docker.io/me", "https://registry-1.docker.io"),
        ("172.18.0.250:5000", "http://172.18.0.250:5000"),
        ("172.32.0.1:5000/x", "https://172.32.0.1:5000"),
        ("10.0.0.1/x", "http://10.0.0.1"),
        ("registry.local:5000/x", "http://registry.local:5000"),
        ("100.64.0.1/x", "https://100.64.0.1"),
    ],
)
def test_a_registry_is_asked_as_the_provider_asks_it(registry: str, address: str) -> None:
    names = ("openfaas_registry_scheme", "openfaas_registry_host")
    scheme, host = (value(name, function_registry=registry) for name in names)
    assert f"{scheme}://{host}" == address


def evidence(**found: Any) -> str:
    template = (ROLE / "templates" / "evidence.txt.j2").read_text()
    kinds = ("deployments", "pods", "events")
    variables = {
        "openfaas_missing": "OpenFaaS does not run after 600 s (openfaas_deadline_seconds).",
        "openfaas_evidence": {"results": [{"resources": found.get(kind, [])} for kind in kinds]},
        "openfaas_logs": {"results": found.get("logs", [])},
    }
    return str(templar(**variables).template(trust_as_template(template)))


POD = {
    "metadata": {"name": "gateway-1"},
    "status": {
        "conditions": [{"type": "Ready", "status": "False", "message": "containers with unready status: [faas-netes]"}],
        "containerStatuses": [
            {"name": "gateway", "ready": True},
            {
                "name": "faas-netes",
                "ready": False,
                "restartCount": 4,
                "state": {"waiting": {"reason": "CrashLoopBackOff", "message": "back-off 40s"}},
                "lastState": {"terminated": {"exitCode": 1, "reason": "Error"}},
            },
        ],
    },
}


def test_a_provider_without_internet_access_is_told_with_its_evidence() -> None:
    text = evidence(
        deployments=[
            {
                "metadata": {"name": "gateway"},
                "status": {
                    "conditions": [{"type": "Available", "status": "False", "message": "no minimum availability"}]
                },
            }
        ],
        pods=[POD],
        events=[
            {"type": "Normal", "reason": "Pulled", "message": "-", "involvedObject": {"name": "gateway-1"}},
            {"type": "Warning", "reason": "BackOff", "message": "restarting", "involvedObject": {"name": "gateway-1"}},
        ],
        logs=[
            {
                "openfaas_item": [POD, {"name": "faas-netes"}],
                "log": "OpenFaaS CE cannot be run in an offline environment: x",
                "log_lines": ["OpenFaaS CE cannot be run in an offline environment: x", ""],
            },
            {"openfaas_item": [POD, {"name": "gateway"}], "log": "", "log_lines": [""]},
        ],
    )
    assert text.splitlines()[:7] == [
        "OpenFaaS does not run after 600 s (openfaas_deadline_seconds).",
        "deployment gateway: Available is False, no minimum availability",
        "pod gateway-1: Ready is False, containers with unready status: [faas-netes]",
        "container faas-netes: CrashLoopBackOff, back-off 40s, ended with 1 (Error), restarted 4 times",
        "event gateway-1: BackOff, restarting",
        "The log of faas-netes ends with:",
        "  OpenFaaS CE cannot be run in an offline environment: x",
    ]
    assert "Give the cluster's pods Internet access." in text and "Pulled" not in text


def test_an_image_that_cannot_be_pulled_names_the_mirror() -> None:
    waiting = {"name": "gateway", "ready": False, "state": {"waiting": {"reason": "ImagePullBackOff", "message": "m"}}}
    text = evidence(pods=[{"metadata": {"name": "p"}, "status": {"containerStatuses": [waiting]}}])
    assert "container gateway: ImagePullBackOff, m, restarted 0 times" in text
    assert "set `openfaas_image_mirror`" in text and "There is no deployment in the namespace openfaas." in text
