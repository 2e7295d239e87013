# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Where a server arm under systemd listens, and which exposures are refused."""

from __future__ import annotations

from pathlib import Path

import jinja2
import pytest
from ansible.parsing.dataloader import DataLoader
from ansible.template import Templar, trust_as_template

ROLE = Path(__file__).resolve().parents[4] / "roles" / "platform_systemd"


@pytest.mark.parametrize(
    ("exposure", "listens"),
    [
        ("loopback", ["127.0.0.1:8080"]),
        ("10.0.0.7", ["127.0.0.1:8080", "10.0.0.7:8080"]),
        ("cidr", ["0.0.0.0:8080"]),
    ],
)
def test_the_socket_listens_on_loopback_and_where_it_is_to_be_reached(exposure: str, listens: list[str]) -> None:
    # As Ansible's module template reads it.
    environment = jinja2.Environment(trim_blocks=True, undefined=jinja2.StrictUndefined, autoescape=False)
    template = environment.from_string((ROLE / "templates" / "socket.j2").read_text("utf-8"))
    unit = template.render(app_exposure=exposure, service_port=8080, arm="server", evenkeel_state_dir="/s")
    lines = unit.splitlines()
    assert [line.partition("=")[2] for line in lines if line.startswith("ListenStream=")] == listens
    # An address may come later than the unit.
    assert ("FreeBind=yes" in lines) is (len(listens) > 1)


@pytest.mark.parametrize(
    ("exposure", "cidr", "allowed"),
    [
        ("loopback", "", True),
        ("10.0.0.7", "", True),
        ("cidr", "", False),
        ("cidr", "203.0.113.7/32", True),
        ("everybody", "", False),
        ("10.0.0.7:8080", "", False),
        ("fe80::1", "", False),
    ],
)
def test_an_exposure_that_nothing_limits_is_refused(exposure: str, cidr: str, allowed: bool) -> None:
    tasks = DataLoader().load_from_file(str(ROLE / "tasks" / "preflight.yml"))
    (check,) = (task["ansible.builtin.assert"] for task in tasks if task["name"] == "Check who may reach it")
    known = {"app_exposure": exposure, "ec2_admin_cidr": cidr}
    assert Templar(DataLoader(), known).template(trust_as_template("{{ " + check["that"] + " }}")) is allowed
