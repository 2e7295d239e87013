# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Records real load trials of one arm, for the A/A proof of ``statistics_validation.py``.

It deploys the embedded server arm with ``site.yml`` in a folder of its own, measures that arm alone with
``benchmark.yml``, each load after a start of its own, keeps every request's time with what it was recorded on, and
resets what it made. From the repository's root, with the development environment (``make lint`` makes it)::

    .venv-dev/bin/python benchmarks/record_trials.py benchmarks/data/server-trials.json

It takes about 15 minutes for 64 trials on 2 CPUs. Nothing is sent but to 127.0.0.1.
"""

from __future__ import annotations

import argparse
import json
import os
import socket
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
TRIALS = 64
REQUESTS = 20
# What of a host tells how its figures came about; nothing that names the machine.
HOST_FACTS = ("cpu_model", "cpu_count", "memory_bytes", "kernel", "busy_cores")


def main() -> None:
    """Deploy, measure, keep, remove."""
    parser = argparse.ArgumentParser(description="Record real load trials of the embedded server arm.")
    parser.add_argument("to", type=Path, help="the JSON file to write")
    parser.add_argument("--trials", type=int, default=TRIALS, help="load trials, each with a start of its own")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests a trial, at most 100")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evenkeel-record-") as scratch:
        folder = measured(Path(scratch), options.trials, options.requests)
        options.to.write_text(laid_out(recording(folder)), "utf-8")
    print(f"{options.to}: {options.trials} trials")


def measured(scratch: Path, trials: int, requests: int) -> Path:
    """Deploy and measure the server arm under ``scratch``; give its run's folder."""
    inventory = scratch / "inventory.json"
    arm = {"hosts": {"the-server": {"platform": "process", "service_port": free_port()}}}
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(json.dumps({"all": {"vars": local, "children": {"server": arm}}}), "utf-8")
    places = {"evenkeel_state_dir": str(scratch / "state"), "results_dir": str(scratch / "results"), "profile": "demo"}
    counts = {"trained_starts": 0, "loading_starts": trials, "blocks": trials, "idle_windows": 0}
    load = {"load_requests": requests, "load_at_least_seconds": 0, "run_seed": 1}
    try:
        play("site", inventory, places, check=True)
        # Its exit code is that of the run's validity, which is looked at in run.json.
        play("benchmark", inventory, {**places, **counts, **load}, check=False)
    finally:
        play("reset", inventory, places, check=True)
    found = [path.parent for path in (scratch / "results").glob("*/run.json") if path.parent.name != "latest"]
    if not found:
        raise SystemExit("the measurement ended without a run.json: its last lines, above, say why")
    return found[0]


def play(playbook: str, inventory: Path, variables: dict[str, Any], *, check: bool) -> None:
    """Run a playbook; with ``check`` raise CalledProcessError where it fails."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), f"{playbook}.yml"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    subprocess.run([*command, "-e", json.dumps(variables)], cwd=ROOT, check=check, env=environment)


def recording(folder: Path) -> dict[str, Any]:
    """Give what is kept of a run: where it comes from, and every load trial in the order of time."""
    run = json.loads((folder / "run.json").read_text("utf-8"))
    if not run["valid"]:
        raise SystemExit(f"the run is INVALID: {run['invalid_reasons'][0]['message']}; nothing was recorded")
    host = next(iter(run["provenance"]["hosts"].values()))
    loads = [trial for trial in run["trials"] if trial["kind"] == "load"]
    return {
        "provenance": {
            "what": "load trials of the embedded server arm (gunicorn and Flask), each after a start of its own",
            "recorded_with": "benchmarks/record_trials.py",
            "run_id": run["run_id"],
            "begun_utc": run["begun_utc"],
            "ended_utc": run["ended_utc"],
            "toolkit": run["provenance"]["toolkit"],
            "host": {name: host[name] for name in HOST_FACTS if name in host},
            "service": run["profile"]["service"],
            "load": run["profile"]["run"]["load"],
            "unit": "s",
        },
        "trials": [{"block": trial["block"], "samples_seconds": trial["data"]["samples_seconds"]} for trial in loads],
    }


def laid_out(recorded: dict[str, Any]) -> str:
    """Lay the recording out with a trial a line."""
    trials = ",\n  ".join(json.dumps(trial) for trial in recorded["trials"])
    provenance = json.dumps(recorded["provenance"], indent=2).replace("\n", "\n ")
    return f'{{\n "provenance": {provenance},\n "trials": [\n  {trials}\n ]\n}}\n'


def free_port() -> int:
    """Give a TCP port of loopback that nobody has."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


if __name__ == "__main__":
    main()
