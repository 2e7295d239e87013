# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""stack.yaml and the template as faas-cli reads them (its schema: faas-cli, stack/schema.go)."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

FUNCTION = Path(__file__).resolve().parents[3] / "function"
DOCKERFILE = (FUNCTION / "template" / "python3-http-conda" / "Dockerfile").read_text()
FUNCTION_KEYS = {
    "annotations",
    "build_args",
    "build_options",
    "environment",
    "handler",
    "image",
    "labels",
    "lang",
    "limits",
    "requests",
    "secrets",
}


@pytest.fixture(scope="module")
def stack() -> dict[str, Any]:
    text = (FUNCTION / "stack.yaml").read_text()
    # faas-cli puts the environment in before it parses.
    document: dict[str, Any] = yaml.safe_load(re.sub(r"\$\{\w+:-([^}]*)\}", r"\1", text))
    return document


@pytest.fixture(scope="module")
def cifar_cnn(stack: dict[str, Any]) -> dict[str, Any]:
    function: dict[str, Any] = stack["functions"]["cifar-cnn"]
    return function


def seconds(duration: str) -> int:
    """A Go duration of minutes and seconds."""
    found = re.fullmatch(r"(?:(\d+)m)?(?:(\d+)s)?", duration)
    assert found, duration
    return int(found[1] or 0) * 60 + int(found[2] or 0)


def test_only_keys_that_faas_cli_knows(stack: dict[str, Any], cifar_cnn: dict[str, Any]) -> None:
    assert stack.keys() == {"version", "provider", "functions", "configuration"}
    assert stack["provider"]["name"] == "openfaas"
    assert cifar_cnn.keys() <= FUNCTION_KEYS


def test_its_language_is_a_template_here(cifar_cnn: dict[str, Any]) -> None:
    template = yaml.safe_load((FUNCTION / "template" / cifar_cnn["lang"] / "template.yml").read_text())
    assert template["language"] == cifar_cnn["lang"]
    assert (FUNCTION / cifar_cnn["handler"] / "handler.py").is_file()


def test_maps_of_strings_hold_strings(cifar_cnn: dict[str, Any]) -> None:
    """Go's YAML refuses a boolean where a string is wanted."""
    for name in ("environment", "build_args", "limits", "requests"):
        assert all(isinstance(value, str) for value in cifar_cnn[name].values()), name


def test_time_outs_get_longer_outwards(cifar_cnn: dict[str, Any]) -> None:
    environment = cifar_cnn["environment"]
    assert seconds(environment["exec_timeout"]) < seconds(environment["read_timeout"])
    assert seconds(environment["exec_timeout"]) < seconds(environment["write_timeout"])
    # Kubernetes kills a pod 30 s after it told it to end.
    assert seconds(environment["healthcheck_interval"]) < 30


def test_the_limits_are_the_server_s_and_the_requests_leave_room(cifar_cnn: dict[str, Any]) -> None:
    assert cifar_cnn["limits"] == {"cpu": "2", "memory": "4Gi"}
    assert cifar_cnn["requests"] == {"cpu": "250m", "memory": "1Gi"}


def test_the_image_has_the_stack_s_time_outs(cifar_cnn: dict[str, Any]) -> None:
    """An engine runs the image without the stack's environment."""
    assert {f'{name}="{value}"' for name, value in cifar_cnn["environment"].items()} <= set(DOCKERFILE.split())


def test_the_dockerfile_copies_what_the_stack_brings(stack: dict[str, Any]) -> None:
    for folder in stack["configuration"]["copy"]:
        assert f"COPY function/{Path(folder).name}/ " in DOCKERFILE


def test_the_dockerfile_orders_its_layers_and_drops_root() -> None:
    lines = DOCKERFILE.splitlines()
    places = [
        next(number for number, line in enumerate(lines) if line.startswith(start))
        for start in (
            "COPY function/packages/service.txt",
            "COPY --from=packages",
            "COPY function/data/",
            "COPY function/*.py",
            "USER 10001",
            "CMD",
        )
    ]
    assert places == sorted(places)


def test_every_installation_checks_hashes() -> None:
    installations = re.findall(r"pip install.*(?:\\\n.*)*", DOCKERFILE)
    assert len(installations) == 3
    assert all("--require-hashes" in installation for installation in installations)


def test_what_is_said_of_the_network_stays_in_a_stage() -> None:
    """The final stage takes nothing of it but the installed packages."""
    stage, _, image = DOCKERFILE.partition("FROM ${CONDA_IMAGE}\n")
    assert "/run/network/" in stage and "network" not in image
    assert "COPY --from=packages /opt/python /opt/python" in image


def test_the_dockerfile_runs_the_template_s_process() -> None:
    template = yaml.safe_load((FUNCTION / "template" / "python3-http-conda" / "template.yml").read_text())
    assert f'fprocess="{template["fprocess"]}"' in DOCKERFILE
    assert 'mode="http"' in DOCKERFILE and 'upstream_url="http://127.0.0.1:5000"' in DOCKERFILE
