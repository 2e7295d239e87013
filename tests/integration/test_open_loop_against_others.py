# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The open loop beside two load generators of others, on a server whose delays are known.

Each gets a server of its own with the same delays, and all run at the same time, so that what the machine does
meanwhile falls on all alike. The others are installed into a temporary folder by their own package managers.
"""

from __future__ import annotations

import json
import os
import shutil
import statistics
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from evenkeel import open_loop
from evenkeel.ab import summarise_latency

from tests.standins.raw_server import good_after, log_normal_delays, raw_server

pytestmark = pytest.mark.alone

ROOT = Path(__file__).resolve().parents[2]
VEGETA = "github.com/tsenart/vegeta/v12@v12.13.0"
LOADTEST = "loadtest@8.2.1"
INSTALL_SECONDS = 600
RATE, SECONDS = 50, 60
REQUESTS = RATE * SECONDS
MEDIAN_SECONDS, SPREAD, SEED = 0.05, 0.5, 11
PERCENTILES = ("p50", "p90", "p95")
# Of the other tool's figure, whichever is more.
RELATIVE, ABSOLUTE_SECONDS = 0.05, 0.001

OWN = """
import json, sys
from evenkeel import ab, ab_load, open_loop_run as r
url, folder, rate, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3]), float(sys.argv[4])
probing = ab_load.Probing(ab.Load(url, 1, 1, 10), None, {"class": 3})
print(json.dumps(r.run(r.Plan(probing, rate, seconds, "uniform"), r.Surroundings(folder))))
"""
OTHERS = """
import {loadTest} from 'loadtest'
const [url, rate, requests] = process.argv.slice(2)
const times = []
const result = await loadTest({
    url, maxRequests: Number(requests), requestsPerSecond: Number(rate), concurrency: 1, cores: 1, quiet: true,
    statusCallback: (error, one) => { times.push(one.requestElapsed) },
})
console.log(JSON.stringify({errors: result.totalErrors, times}))
"""


@pytest.fixture(scope="module")
def tools(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with both tools in it."""
    missing = [name for name in ("go", "node", "npm") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"{' and '.join(missing)} not on this machine, so that there is nothing to compare with")
    folder = tmp_path_factory.mktemp("tools")
    caches = {"GOBIN": str(folder), "GOPATH": str(folder / "go"), "GOFLAGS": "-modcacherw"}
    for argv in (["go", "install", VEGETA], ["npm", "install", "--prefix", str(folder), "--no-audit", LOADTEST]):
        done = subprocess.run(
            argv, check=False, capture_output=True, text=True, timeout=INSTALL_SECONDS, env={**os.environ, **caches}
        )
        if done.returncode != 0:
            pytest.skip(f"{' '.join(argv[:2])} failed, so that there is nothing to compare with: {done.stderr[-300:]}")
    (folder / "others.mjs").write_text(OTHERS)
    return folder


def of_times(seconds: list[float]) -> dict[str, Any]:
    return summarise_latency(sorted(seconds), None)


def start(argv: list[str], **environment: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        argv, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env={**os.environ, **environment}
    )


def test_the_percentiles_are_theirs(tools: Path, tmp_path: Path) -> None:
    delays = log_normal_delays(REQUESTS + 10, MEDIAN_SECONDS, SPREAD, SEED)
    script = good_after(lambda number: delays[number])
    with raw_server(script) as mine, raw_server(script) as second, raw_server(script) as third:
        own = start(
            [sys.executable, "-c", OWN, mine.url, str(tmp_path), str(RATE), str(SECONDS)],
            PYTHONPATH=str(ROOT / "plugins" / "module_utils"),
        )
        attack = ["attack", f"-rate={RATE}/1s", f"-duration={SECONDS}s", "-keepalive=false", "-timeout=10s"]
        vegeta = start([str(tools / "vegeta"), *attack, f"-output={tmp_path / 'vegeta.bin'}"])
        assert vegeta.stdin is not None
        vegeta.stdin.write(f"GET {second.url}\n")
        vegeta.stdin.close()
        others = start(["node", str(tools / "others.mjs"), third.url, str(RATE), str(REQUESTS)])
        said = json.loads(own.communicate(timeout=3 * SECONDS)[0])
        theirs = json.loads(others.communicate(timeout=3 * SECONDS)[0].strip().splitlines()[-1])
        assert vegeta.wait(timeout=3 * SECONDS) == 0
    encoded = subprocess.run(
        [str(tools / "vegeta"), "encode", "--to=json", str(tmp_path / "vegeta.bin")],
        check=True,
        capture_output=True,
        text=True,
    )
    hits = [json.loads(line) for line in encoded.stdout.splitlines()]
    rows = open_loop.from_csv((tmp_path / "open_loop.csv").read_text())
    assert said["requests"]["succeeded"] == len(rows) == len(hits) == REQUESTS
    assert {hit["code"] for hit in hits} == {200}
    assert theirs["errors"] == 0
    found = {
        "the delays themselves": of_times(delays[1 : REQUESTS + 1]),
        "open_loop_benchmark": said["latency_seconds"],
        "vegeta": of_times([hit["latency"] / 1e9 for hit in hits]),
        "loadtest": of_times([one / 1000 for one in theirs["times"]]),
    }
    print(json.dumps({"lag": said["lag_seconds"], "invalid": said["invalid_reasons"]}))
    for name, figures in found.items():
        print(f"{name}: " + ", ".join(f"{key} {1000 * figures[key]:.2f} ms" for key in PERCENTILES))
    assert statistics.median(delays) == pytest.approx(MEDIAN_SECONDS, rel=0.05)
    for name in ("vegeta", "loadtest"):
        assert_near(said["latency_seconds"], found[name], name)


def assert_near(own: Mapping[str, Any], theirs: Mapping[str, Any], name: str) -> None:
    for key in PERCENTILES:
        allowed = max(RELATIVE * theirs[key], ABSOLUTE_SECONDS)
        assert abs(own[key] - theirs[key]) <= allowed, f"{key}: ours {own[key]}, {name}'s {theirs[key]}"
