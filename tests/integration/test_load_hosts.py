# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Loads from other machines than the service's: another clock and another boot id, a network between, several at once.

The server arm stands on one machine under systemd (ssh_machine.py), its loads come from another one over the engine's
network. Both are containers of one kernel: the load's machine gets a clock of its own by a time namespace around its
sshd, in which all modules run, and a boot id by a bind mount. So what is converted is known exactly.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from evenkeel.clock import BOOT_ID_PATH

from tests.integration.ssh_machine import SshMachine, ssh_machine
from tests.integration.test_ssh_host import PORT, UNIT, Deployment, said
from tests.integration.toolkit import SHORT, run_json

# By how much the load machine's clock is ahead, and its boot id.
AHEAD = 5000
BOOT_ID = "0c11e27a-0000-4000-8000-000000000002"
# What a busy machine does to a load generator is not what is asked here.
LAG_CODES = {"generator_lagged", "rate_not_achieved"}
RATES: dict[str, Any] = {
    "request": "predict",
    "fractions": [0.5],
    "seconds": 6,
    "arrivals": "poisson",
    "blocks": 1,
    "timeout_seconds": 10,
    "capacity": {"at_least_seconds": 2, "at_most_requests": 400, "concurrency": 4},
    "sweep": None,
}


@dataclass
class FromElsewhere(Deployment):
    """The deployment with hosts for its loads: another machine, and this one.

    `server` is what the inventory says of the server beside that.
    """

    client: SshMachine | None = None
    server: dict[str, Any] = field(default_factory=dict)

    def inventory(self, **server: Any) -> Path:
        assert self.client is not None
        address = self.machine.address
        there = {"app_exposure": address, "load_url": f"http://{address}:{PORT}", "load_host": "the-client"}
        path = super().inventory(**(there | self.server | server))
        known = yaml.safe_load(path.read_text())
        local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
        clients = {"the-client": self.client.variables() | {"ansible_become": True}, "here": local}
        known["all"]["children"]["load"] = {"hosts": clients}
        path.write_text(yaml.safe_dump(known))
        return path

    def with_server(self, **server: Any) -> FromElsewhere:
        """The same deployment with something else said of the server."""
        return replace(self, server=server)


@pytest.fixture(scope="module")
def deployed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[FromElsewhere]:
    folder, beside = (tmp_path_factory.mktemp(name) for name in ("server", "client"))
    with ssh_machine(folder) as machine, ssh_machine(beside, "client", own_clock=True) as client:
        client.shell("apt-get install --yes --no-install-recommends --no-download apache2-utils")
        client.move_clock(AHEAD, BOOT_ID)
        deployment = FromElsewhere(folder, machine, client=client)
        done = deployment.play("site", profile="demo")
        assert done.returncode == 0, done.stdout
        yield deployment


def record(deployment: Deployment, trial: str) -> dict[str, Any]:
    facts: dict[str, Any] = json.loads((deployment.newest_run() / "raw" / f"{trial}.json").read_text())["facts"]
    return facts


def test_another_machine_reaches_the_service_and_loopback_stays(deployed: FromElsewhere) -> None:
    assert deployed.client is not None
    listens = deployed.machine.shell("ss -Htln 'sport = :8080'").splitlines()
    assert sorted(line.split()[3] for line in listens) == sorted(
        [f"127.0.0.1:{PORT}", f"{deployed.machine.address}:{PORT}"]
    )
    deployed.wait_until_ready()
    url = f"http://{deployed.machine.address}:{PORT}/clock"
    script = f"import urllib.request; print(urllib.request.urlopen('{url}', timeout=10).read().decode())"
    clock = json.loads(deployed.client.run("python3", "-c", script))
    assert clock["host_boot_id"] == Path(BOOT_ID_PATH).read_text().strip()
    assert abs(clock["monotonic_seconds"] - time.clock_gettime(time.CLOCK_MONOTONIC)) < 30


def test_a_load_with_another_clock_is_found_on_the_watchers(deployed: FromElsewhere) -> None:
    assert deployed.client is not None
    begun = time.clock_gettime(time.CLOCK_MONOTONIC)
    done = deployed.play("benchmark", **SHORT | {"load_requests": 30, "idle_windows": 1, "idle_seconds": 4})
    ended = time.clock_gettime(time.CLOCK_MONOTONIC)
    assert done.returncode == 0, done.stdout
    load = record(deployed, "b01-server-load")
    window, clock = load["ab_benchmark"]["window"], load["ab_benchmark"]["clock"]
    assert window["host_boot_id"] == BOOT_ID
    assert begun + AHEAD < window["start_monotonic_seconds"] < window["end_monotonic_seconds"] < ended + AHEAD
    assert load["htop"]["host_boot_id"] != BOOT_ID
    for edge in ("before", "after"):
        assert (clock[edge]["n"], clock[edge]["host_boot_id"]) == (20, load["htop"]["host_boot_id"])
        assert abs(clock[edge]["offset_seconds"] + AHEAD) <= clock[edge]["error_seconds"] < 0.1
    run = run_json(deployed.newest_run())
    (trial,) = [one for one in run["trials"] if one["id"] == "b01-server-load"]
    figures = trial["figures"]
    # Two CPUs evaluate nearly all the time; on any other stretch of the watch there would be less, or nothing.
    assert figures["busy_cpu_cores"]["value"] > 0.3, figures["busy_cpu_cores"]
    assert figures["busy_memory_bytes"]["value"] > 100 << 20
    assert figures["busy_cpu_seconds_per_request"]["value"] > 0
    assert "watch_window_off" not in {one["code"] for one in run["warnings"]}
    assert run["machines"]["arms"]["server"]["round_trip"]["n"] == 20
    assert run["arms"]["server"]["load_host"] == "the-client"
    assert run["provenance"]["hosts"]["the-client"]["host_boot_id"] == BOOT_ID
    left = "ls -d /var/lib/evenkeel* 2>/dev/null; pgrep -x ab; true"
    assert deployed.client.shell(left) == "", "nothing of a run stays on a load host"


def test_several_hosts_send_an_open_loop_together(deployed: FromElsewhere) -> None:
    several = deployed.with_server(load_host=["the-client", "here"])
    done = several.play("benchmark", **SHORT | {"blocks": 2, "open_loop": RATES})
    assert done.returncode == 0, done.stdout
    hosts = record(deployed, "o02-server-rate50")["open_loop_hosts"]
    assert [host["load_host"] for host in hosts] == ["the-client", "here"]
    parts = [host["open_loop_benchmark"] for host in hosts]
    assert len({part["window"]["host_boot_id"] for part in parts}) == 2
    assert len({part["seed"] for part in parts}) == 2
    begins = [part["begin"]["utc_seconds"] for part in parts]
    assert max(begins) - min(begins) < 0.3
    run = run_json(deployed.newest_run())
    assert run["valid"], run["invalid_reasons"]
    (rate,) = run["open_loop"]["rates"]
    if rate["valid"]:
        assert rate["requests"]["planned"] == sum(part["requests"]["planned"] for part in parts)
        assert rate["rate_rps"] == pytest.approx(2 * parts[0]["rate_rps"])
        assert rate["latency_seconds"]["p50"] > 0
    else:
        said_codes = {reason.split(": ", 1)[0] for part in parts for reason in part["invalid_reasons"]}
        assert said_codes and said_codes <= LAG_CODES, rate["reason"]
    assert "hosts_apart" not in str(rate["reason"])
    raw = {path.name for path in (deployed.newest_run() / "raw").glob("o02-*.csv")}
    assert raw == {"o02-server-rate50.the-client.open_loop.csv", "o02-server-rate50.here.open_loop.csv"}


def test_what_cannot_be_measured_is_said_before(deployed: FromElsewhere) -> None:
    runs = len([*(deployed.folder / "results").iterdir()])
    for changes, expected in (
        ({"load_host": "nobody"}, "load_host of the-server is nobody: it must name hosts of the inventory"),
        ({"load_url": f"http://127.0.0.1:{PORT}"}, "which is another machine, and the service's address is"),
        ({"load_host": ["the-client", "the-server"]}, "of several load hosts none may be the arm's own"),
    ):
        done = deployed.with_server(**changes).play("benchmark", **SHORT)
        assert done.returncode == 2, done.stdout
        assert expected in said(done), done.stdout
    assert len([*(deployed.folder / "results").iterdir()]) == runs
    assert deployed.machine.run("systemctl", "is-active", UNIT) == "active"


# In ab's place: takes the machine's sshd along as soon as a load is sent.
GONE = """#!/bin/sh
test "$1" = -V && exec /usr/bin/ab.real -V
systemctl stop --no-block ssh
kill -9 $(pgrep -x sshd)
sleep 60
"""


def test_a_load_host_that_is_gone_ends_the_watch_and_the_run_says_why(deployed: FromElsewhere) -> None:
    client = deployed.client
    assert client is not None
    client.shell(f"mv /usr/bin/ab /usr/bin/ab.real; cat >/usr/bin/ab <<'END'\n{GONE}END\nchmod +x /usr/bin/ab")
    try:
        done = deployed.play("benchmark", **SHORT)
    finally:
        client.shell("mv /usr/bin/ab.real /usr/bin/ab; systemctl start ssh")
    assert done.returncode in (2, 4), done.stdout
    assert "Check that a load was sent: " in said(done), done.stdout
    assert deployed.machine.shell("pgrep -x htop; true") == ""
    assert deployed.machine.run("systemctl", "is-active", UNIT) == "active"
