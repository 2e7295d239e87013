# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Records real load trials for the proofs of ``statistics_validation.py``: the same arm twice, and a slower arm.

It deploys embedded arms with ``site.yml`` in a folder of its own, measures them with ``benchmark.yml``, each load after
a start of its own, keeps every request's time with what it was recorded on, and resets what it made. From the
repository's root, with the development environment (``make lint`` makes it)::

    .venv-dev/bin/python benchmarks/record_trials.py benchmarks/data/server-trials.json
    .venv-dev/bin/python benchmarks/record_trials.py benchmarks/data/slower-blocks.json --slower 0.10 --blocks 32

The first measures the server arm alone, 64 trials in about 15 minutes on 2 CPUs. The second measures both arms, of which
the function's evaluations take 10 % longer, and prints the verdict of that run. Nothing is sent but to 127.0.0.1.
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
BLOCKS = 64
REQUESTS = 20
# What of a host tells how its figures came about; nothing that names the machine.
HOST_FACTS = ("cpu_model", "cpu_count", "memory_bytes", "kernel", "busy_cores")
# After each evaluation the compute thread works on: a share SLOWDOWN of what the evaluation took, on as many CPUs, so
# that the arms' effective cores stay equal and the slowdown is all that differs.
SLOWER = """

# A stand-in for the handler's compute thread: every evaluation takes longer.
import time

evaluates = service._compute.evaluate


def longer(job):
    def run(give_way):
        import torch

        begun = time.perf_counter()
        done = job(give_way)
        until = time.perf_counter() + SLOWDOWN * (time.perf_counter() - begun)
        matrix = torch.ones(192, 192)
        while time.perf_counter() < until:
            matrix @ matrix
        return done

    return evaluates(run)


service._compute.evaluate = longer
"""


def main() -> None:
    """Deploy, measure, keep, remove."""
    parser = argparse.ArgumentParser(description="Record real load trials of the embedded arms.")
    parser.add_argument("to", type=Path, help="the JSON file to write")
    parser.add_argument("--blocks", type=int, default=BLOCKS, help="load trials an arm, each with a start of its own")
    parser.add_argument("--requests", type=int, default=REQUESTS, help="requests a trial, at most 100")
    parser.add_argument(
        "--slower", type=float, default=None, metavar="SHARE", help="both arms, the function slower by this share"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="evenkeel-record-") as scratch:
        folder = measured(Path(scratch), options.blocks, options.requests, options.slower)
        run = json.loads((folder / "run.json").read_text("utf-8"))
        options.to.write_text(laid_out(recording(run, options.slower)), "utf-8")
    print(f"{options.to}: {options.blocks} blocks\n{verdict_of(run)}")


def measured(scratch: Path, blocks: int, requests: int, slower: float | None) -> Path:
    """Deploy and measure under ``scratch``; give the run's folder.

    The server arm alone, or both where the function is to be ``slower`` by a share of an evaluation's time.
    """
    inventory = scratch / "inventory.json"
    arms = ("server",) if slower is None else ("server", "serverless")
    hosts = {arm: {"hosts": {f"the-{arm}": {"platform": "process", "service_port": free_port()}}} for arm in arms}
    local = {"ansible_connection": "local", "ansible_python_interpreter": "{{ ansible_playbook_python }}"}
    inventory.write_text(json.dumps({"all": {"vars": local, "children": hosts}}))
    state = scratch / "state"
    places = {"evenkeel_state_dir": str(state), "results_dir": str(scratch / "results"), "profile": "demo"}
    counts = {"trained_starts": 0, "loading_starts": blocks, "blocks": blocks, "idle_windows": 0}
    load = {"load_requests": requests, "load_at_least_seconds": 0, "run_seed": 1}
    try:
        play("site", inventory, places, check=True)
        if slower is not None:
            with (state / "serverless" / "app" / "function" / "handler.py").open("a") as handler:
                handler.write(SLOWER.replace("SLOWDOWN", str(slower)))
        # Its exit code is that of the run's validity, which is looked at in run.json.
        play("benchmark", inventory, {**places, **counts, **load}, check=False)
    finally:
        play("reset", inventory, places, check=True)
    found = [path for path in (scratch / "results").glob("*/run.json") if path.parent.name != "latest"]
    if not found:
        raise SystemExit("the measurement ended without a run.json: its last lines, above, say why")
    return found[0].parent


def play(playbook: str, inventory: Path, variables: dict[str, Any], *, check: bool) -> None:
    """Run a playbook; with ``check`` raise CalledProcessError where it fails."""
    command = [str(Path(sys.executable).with_name("ansible-playbook")), "-i", str(inventory), f"{playbook}.yml"]
    environment = {**os.environ, "LC_ALL": "C.UTF-8", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg")}
    subprocess.run([*command, "-e", json.dumps(variables)], cwd=ROOT, check=check, env=environment)


def recording(run: dict[str, Any], slower: float | None = None) -> dict[str, Any]:
    """Give what is kept of a run's ``run.json``: where it comes from, and every load trial in the order of time.

    Raises SystemExit where the run is INVALID.
    """
    if not run["valid"]:
        raise SystemExit(f"the run is INVALID: {run['invalid_reasons'][0]['message']}; nothing was recorded")
    host = next(iter(run["provenance"]["hosts"].values()))
    loads = [trial for trial in run["trials"] if trial["kind"] == "load"]
    one = "load trials of the embedded server arm (gunicorn and Flask), each after a start of its own"
    both = "load trials of both embedded arms, each after a start of its own; the function's evaluations take longer"
    kept = [
        {"block": trial["block"], "arm": trial["arm"], "samples_seconds": trial["data"]["samples_seconds"]}
        for trial in loads
    ]
    return {
        "provenance": {
            "what": one if slower is None else both,
            "slower_by": slower,
            "verdict": verdict_of(run),
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
        "trials": kept,
    }


def verdict_of(run: dict[str, Any]) -> str:
    """Give the primary metric's verdict in a line, as ``run.json`` has it."""
    primary = next(metric for metric in run["metrics"] if metric["primary"])
    if primary["interval"] is None:
        return f"{primary['verdict']}"
    low, high = primary["interval"]["low"], primary["interval"]["high"]
    return f"{primary['verdict']}: {primary['ratio']:.3f} ({low:.3f} to {high:.3f}), p {primary['p']:.2g}"


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
