# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from typing import Any

import pytest

from analysis import wording


@pytest.mark.parametrize(
    ("value", "unit", "printed"),
    [
        (None, "s", "not measured"),
        (0.0, "requests", "0 requests"),
        (0.0, "s", "0 s"),
        (0.7984, "s", "798 ms"),
        (0.9996, "cores", "1.00 cores"),
        (9.996, "s", "10.0 s"),
        (99.96, "s", "100 s"),
        (999.6, "s", "1 000 s"),
        (0.9996, "s", "1.00 s"),
        (0.9994, "s", "999 ms"),
        (1023.7 * 2**10, "bytes", "1.00 MiB"),
        (1023.0 * 2**10, "bytes", "1 023 KiB"),
        (0.009996, "cores", "0.01 cores"),
        (0.00004, "s", "0.04 ms"),
        (4.6, "s", "4.60 s"),
        (844.46, "s", "844 s"),
        (1252.8, "s", "1 253 s"),
        (310 * 2**20, "bytes", "310 MiB"),
        (1.5 * 2**30, "bytes", "1.50 GiB"),
        (512.0, "bytes", "512 bytes"),
        (0.00404, "cores", "4.04 millicores"),
        (7.99e-5, "cores", "0.0799 millicores"),
        (0.01, "cores", "0.01 cores"),
        (0.0, "cores", "0 cores"),
        (0.5, "cores", "0.5 cores"),
        (14.34, "requests/s", "14.3 requests/s"),
    ],
)
def test_a_quantity_has_its_unit_and_three_digits(value: float | None, unit: str, printed: str) -> None:
    assert wording.quantity(value, unit) == printed


def test_below_the_resolution_is_printed_as_less_than() -> None:
    found = {"n": 2, "median": None, "min": None, "max": None, "less_than": 0.004, "values": []}
    assert wording.summary(found, "cores") == "< 4.00 millicores"
    assert wording.figure({"value": None, "less_than": 0.004, "reason": None}, "cores") == "< 4.00 millicores"


def test_what_is_absent_is_not_measured() -> None:
    assert wording.summary(None, "s") == "not measured"
    assert (wording.ratio(None), wording.interval(None), wording.probability(None)) == ("-", "-", "-")


def test_a_small_p_is_not_printed_as_0() -> None:
    assert wording.probability(0.00004) == "< 0.001"


BOTH = ("server", "serverless")


def described(
    server: str | None, serverless: str | None, boots: tuple[str | None, str | None] = ("one", "one"), **of_arms: Any
) -> dict[str, Any]:
    platforms = {name: one for name, one in (("server", server), ("serverless", serverless)) if one is not None}
    return {
        "platform": platforms,
        "arms": {name: {"host": f"{name}-host", **of_arms} for name in platforms},
        "provenance": {
            "hosts": {f"{name}-host": {"host_boot_id": boot} for name, boot in zip(BOTH, boots, strict=True) if boot}
        },
    }


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            described("process", "process"),
            "Embedded: the function's process against the server's process on one machine, without gateway, watchdog "
            "or cluster.",
        ),
        (
            described("docker", "docker"),
            "Containers: the function's container against the server's container on one Docker engine, without gateway "
            "or cluster.",
        ),
        (
            described("docker", "docker", ("one", "two")),
            "Containers: the function's container against the server's container on the Docker engines of two hosts, "
            "without gateway or cluster.",
        ),
        (
            described("docker", "docker", (None, None)),
            "Containers: the function's container against the server's container on Docker, without gateway or "
            "cluster.",
        ),
        (
            described("docker", "kind"),
            "KinD: the function's pod on OpenFaaS in a KinD cluster, behind gateway and watchdog, against the server's "
            "container.",
        ),
        (
            described(None, "kubernetes"),
            "Kubernetes: the function's pod on OpenFaaS in an existing cluster, behind gateway and watchdog.",
        ),
        (
            described("docker", None),
            "Containers: the server's container on one Docker engine, without gateway or cluster.",
        ),
        (described("moon", None), "This run: the server arm on platform moon."),
    ],
)
def test_a_run_is_called_what_it_is(run: dict[str, Any], said: str) -> None:
    assert wording.what_it_is(run) == said


def test_the_pairing_is_said_where_there_is_a_choice() -> None:
    assert wording.pairing_sentence(described("docker", "docker")) is None
    assert wording.pairing_sentence(described("docker", "docker", pairing=None)) is None
    said = wording.pairing_sentence(described("docker", "kind", pairing="platform"))
    assert said is not None and said.startswith("Pairing by platform: the limits of the whole node")


def compared(name: str, title: str, verdict: str, ratio: float | None, *, primary: bool = False) -> dict[str, Any]:
    return {"name": name, "title": title, "verdict": verdict, "ratio": ratio, "primary": primary, "reason": None}


RESPONSE = compared("response_mean_seconds", "Mean response time", "slower", 1.1, primary=True)
STARTUP = compared("ready_seconds", "Start-up, model loaded", "faster", 0.8)
MEMORY = compared("busy_memory_bytes", "Memory under load", "equivalent", 1.0)
NOT_MEASURED = compared("busy_memory_bytes", "Memory under load", "not measured", None)
USED = {"label": "Lambda-equivalent, not OpenFaaS"}
EVEN = {"break_even": {"rate_rps": 0.6989, "beyond_capacity": False}, "pay_per_use": USED}
BEYOND = {"break_even": {"rate_rps": 9.0, "beyond_capacity": True}, "pay_per_use": USED}


@pytest.mark.parametrize(
    ("run", "said"),
    [
        (
            {"valid": True, "metrics": [RESPONSE, STARTUP, MEMORY], "cost": EVEN},
            "Start-up, model loaded: faster (ratio 0.800). Memory under load: equivalent (ratio 1.000). Below 0.699 "
            "requests/s pay per use (Lambda-equivalent, not OpenFaaS) costs less, above it a server.",
        ),
        (
            {"valid": True, "metrics": [RESPONSE, NOT_MEASURED], "cost": BEYOND},
            "At every rate that one server can answer pay per use (Lambda-equivalent, not OpenFaaS) costs less.",
        ),
        (
            {"valid": True, "metrics": [STARTUP | {"primary": True}, MEMORY], "cost": {"break_even": None}},
            "Memory under load: equivalent (ratio 1.000).",
        ),
        ({"valid": True, "metrics": [RESPONSE], "cost": {"break_even": {"rate_rps": None}}}, None),
        ({"valid": True, "metrics": [RESPONSE, NOT_MEASURED]}, None),
        ({"valid": False, "metrics": [RESPONSE, STARTUP, MEMORY], "cost": EVEN}, None),
    ],
    ids=["all", "beyond capacity", "start-up is the headline", "no break-even", "nothing", "invalid"],
)
def test_beside_the_headline_stands_what_a_choice_asks_and_the_run_compared(
    run: dict[str, Any], said: str | None
) -> None:
    assert wording.beside_it(run) == said
