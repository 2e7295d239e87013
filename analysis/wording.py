# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The fixed phrases of a report and the way its numbers are printed. Every sentence has its one place here."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from analysis import burst_credits, figures, parity, steal, thresholds, validity
from analysis.figures import ABSENT, lookup, percent
from analysis.metrics import Role
from analysis.schema import Arm, Caution, Status, Verdict
from analysis.verdict import SIGNIFICANCE

Run = Mapping[str, Any]

NOT_MEASURED = "not measured"
LONGEST_CHECK = 120
LEAST_IN_CORES = 0.01
# What a choice between the two asks besides the response time.
BESIDE = ("ready_seconds", "busy_memory_bytes")


def quantity(value: float | None, unit: str) -> str:
    """Print a figure with its unit at three significant digits; the unit is scaled for the eye, in tables only."""
    if value is None:
        return NOT_MEASURED
    if unit == "s":
        long = abs(figures.rounded(value)) >= 1 or value == 0
        return f"{_significant(value)} s" if long else f"{_significant(value * 1000)} ms"
    if unit == "bytes":
        for factor, name in ((2**30, "GiB"), (2**20, "MiB"), (2**10, "KiB")):
            if abs(figures.rounded(value / factor)) >= 1:
                return f"{_significant(value / factor)} {name}"
        return f"{value:.0f} bytes"
    if unit == "cores" and 0 < abs(figures.rounded(value)) < LEAST_IN_CORES:
        return f"{_significant(value * 1000)} millicores"
    return f"{_significant(value)} {unit}"


def _significant(value: float) -> str:
    rounded = figures.rounded(value)
    if value == 0 or abs(rounded) >= 1000:
        return f"{value:,.0f}".replace(",", " ")
    if abs(rounded) < 1:
        return f"{rounded:.{2 - math.floor(math.log10(abs(rounded)))}f}".rstrip("0")
    return f"{rounded:.{0 if abs(rounded) >= 100 else 1 if abs(rounded) >= 10 else 2}f}"


def summary(found: Mapping[str, Any] | None, unit: str) -> str:
    """Print one arm's figures: the median, "< x" where any lies below the counter's resolution, or "not measured"."""
    if found is None:
        return NOT_MEASURED
    if found["less_than"] is not None:
        return f"< {quantity(found['less_than'], unit)}"
    return quantity(found["median"], unit)


def spread(found: Mapping[str, Any] | None, unit: str) -> str:
    """Print the smallest and largest figure of an arm, or that there is one observation."""
    if found is None or found["less_than"] is not None or found["min"] is None:
        return "-"
    if found["n"] == 1:
        return "one observation"
    return f"{quantity(found['min'], unit)} to {quantity(found['max'], unit)}"


def figure(found: Mapping[str, Any], unit: str) -> str:
    """Print one trial's figure."""
    if found["less_than"] is not None:
        return f"< {quantity(found['less_than'], unit)}"
    return quantity(found["value"], unit)


def ratio(value: float | None) -> str:
    """Print serverless / server."""
    return "-" if value is None else figures.ratio(value)


def interval(found: Mapping[str, Any] | None) -> str:
    """Print the bounds of an interval of a ratio."""
    return "-" if found is None else f"{figures.ratio(found['low'])} to {figures.ratio(found['high'])}"


def significance(run: Run) -> float:
    """What a p is compared with: 5 %, and less where a rule on the verdict looked before the last block."""
    return float(run["stopping"]["significance"]) if "stopping" in run else SIGNIFICANCE


def probability(value: float | None) -> str:
    """Print a p value."""
    return "-" if value is None else f"{value:.3f}" if value >= 0.001 else "< 0.001"


def verdict(metric: Mapping[str, Any]) -> str:
    """Print a metric's verdict, or that it is shown and not tested; over unequal ground it says so itself."""
    if metric["verdict"] == Verdict.NOT_VALID and parity.FAILED in (metric["reason"] or ""):
        return f"{metric['verdict']}: {parity.FAILED}"
    if metric["verdict"] is not None:
        return str(metric["verdict"])
    return "not tested" if metric["role"] == Role.SHOWN else "no verdict"


def what_it_is(run: Run) -> str:
    """Say in one sentence what was compared with what."""
    platforms = run["platform"]
    if set(platforms.values()) == {"process"}:
        if len(platforms) == len(Arm):
            return (
                "Embedded: the function's process against the server's process on one machine, "
                "without gateway, watchdog or cluster."
            )
        whose = "server's" if Arm.SERVER in platforms else "function's"
        return f"Embedded: the {whose} process on one machine, without gateway, watchdog or cluster."
    described = [_arm(arm, platforms[arm]) for arm in (Arm.SERVERLESS, Arm.SERVER) if arm in platforms]
    where = _engines(run) if set(platforms.values()) == {"docker"} else ""
    return f"{_kind_of_run(set(platforms.values()))}: {' against '.join(described).rstrip(',')}{where}."


# What stands for an arm on each platform; beside these a platform is called by its name.
_ARMS: Mapping[tuple[str, str], str] = {
    (Arm.SERVERLESS, "process"): "the function's process, without gateway, watchdog or cluster",
    (Arm.SERVERLESS, "docker"): "the function's container",
    (Arm.SERVERLESS, "kind"): "the function's pod on OpenFaaS in a KinD cluster, behind gateway and watchdog,",
    (
        Arm.SERVERLESS,
        "kubernetes",
    ): "the function's pod on OpenFaaS in an existing cluster, behind gateway and watchdog,",
    (Arm.SERVER, "process"): "the server's process",
    (Arm.SERVER, "docker"): "the server's container",
    (Arm.SERVER, "systemd"): "the server's systemd unit",
}
_KINDS = (("kind", "KinD"), ("kubernetes", "Kubernetes"), ("docker", "Containers"))
PAIRINGS: Mapping[str, str] = {
    "function": "the function's limits equal the server's, and the node that it runs on is free to use more",
    "platform": "the limits of the whole node, control plane included, equal the server's",
}


def _arm(arm: str, platform: str) -> str:
    return _ARMS.get((arm, platform), f"the {arm} arm on platform {platform}")


def _kind_of_run(platforms: set[str]) -> str:
    return next((title for platform, title in _KINDS if platform in platforms), "This run")


def _engines(run: Run) -> str:
    """Say on which Docker engines both arms' containers ran, as far as the hosts' boot ids tell."""
    names = {described["host"] for described in run["arms"].values()}
    boots = {lookup(run["provenance"]["hosts"], name, "host_boot_id") for name in names}
    engines = "on the Docker engines of two hosts" if len(boots) > 1 else "on one Docker engine"
    if len(names) > 1 and boots & {None, ABSENT}:
        engines = "on Docker"
    return f" {engines}, without gateway or cluster"


def pairing_sentence(run: Run) -> str | None:
    """Say what was given equal limits, where an arm on a cluster leaves the choice."""
    chosen = next((pairing for arm in run["arms"].values() if (pairing := arm.get("pairing")) is not None), None)
    return None if chosen is None else f"Pairing by {chosen}: {PAIRINGS[chosen]}."


def parity_failed(run: Run) -> bool:
    """Whether a condition was found to differ between the arms; what an interrupted run did not record is no such."""
    return bool(_unequal(run))


def _unequal(run: Run) -> list[str]:
    """Give what was found of the failed checks."""
    return [
        reason["message"] for reason in run["invalid_reasons"] if validity.is_of_parity(reason["code"], reason["trial"])
    ]


def parity_sentence(run: Run) -> str | None:
    """Say that the arms did not stand on equal ground, and in what; None where they did."""
    found = _unequal(run)
    if not found:
        return None
    # The check's name and values stand before the remark in brackets; lists of packages are too long for a sentence.
    first = found[0].partition(" (")[0]
    if len(first) > LONGEST_CHECK:
        first = first.partition(":")[0]
    more = f", and {len(found) - 1} more" if len(found) > 1 else ""
    return f"{parity.FAILED}: the arms did not stand on equal ground ({first}{more})."


def status_sentence(run: Run) -> str | None:
    """Say what the run is where it is not simply complete and valid."""
    if run["status"] == Status.INTERRUPTED:
        return (
            "This run was interrupted: what was measured until then is shown, and nothing is compared. "
            f"Resume it with: ansible-playbook benchmark.yml -e resume={run['run_id']}"
        )
    if not run["valid"]:
        count = len(run["invalid_reasons"])
        unequal = parity_sentence(run)
        begin = f"{unequal} " if unequal else ""
        return (
            f"{begin}This run is INVALID, for {count} {'reason' if count == 1 else 'reasons'} listed below: its "
            "figures are shown as they were measured, and nothing is compared."
        )
    if run["status"] == Status.ONE_ARM:
        (arm,) = run["platform"]
        other = next(name for name in Arm if name != arm)
        beside = (
            f" The {other} arm's figures are those of run {run['base_run']}, not interleaved with this one."
            if run["base_run"]
            else ""
        )
        return f"Only the {arm} arm was measured: a valid run, without a verdict.{beside}"
    return None


def headline(metric: Mapping[str, Any], margin: float) -> str:
    """Say what the primary metric shows: the effect first, then the interval, its level and n."""
    title = metric["title"]
    word = metric["verdict"]
    if word is None:
        measured = [f"{arm} {summary(metric[arm], metric['unit'])}" for arm in Arm if metric[arm] is not None]
        return f"{title}, no verdict: {', '.join(measured)} (medians over loads); {metric['reason']}."
    if word in (Verdict.NOT_MEASURED, Verdict.NOT_VALID):
        return f"{title}: {word}; {metric['reason']}."
    change = abs(metric["ratio"] - 1)
    direction = "less" if metric["ratio"] < 1 else "more"
    time = " time" if metric["unit"] == "s" else ""
    effect = f"takes {percent(change, 1)} {direction}{time} than the server arm"
    found = metric["interval"]
    evidence = f"ratio {ratio(metric['ratio'])}"
    if found is not None:
        evidence += f", {percent(found['level'], 1)} interval {interval(found)}"
    evidence += f", {metric['n']} {'block' if metric['n'] == 1 else 'blocks'} of each arm"
    if word == Verdict.EQUIVALENT:
        return (
            f"{title}: equivalent. No difference beyond the margin of {percent(margin)} between the arms ({evidence})."
        )
    if word == Verdict.INCONCLUSIVE:
        return f"{title}: inconclusive. Whether the arms differ cannot be told from this run ({evidence})."
    if word == Verdict.TOO_FEW_BLOCKS:
        return f"{title}: too few blocks for a verdict: {metric['reason']} ({evidence})."
    return f"{title}: serverless is {word}. It {effect} ({evidence})."


def beside_it(run: Run) -> str | None:
    """Say what a choice asks besides the headline: start-up, memory under load, and where the costs meet.

    Only what this run compared; None where that is nothing, and of a run that is not valid.
    """
    if not run["valid"]:
        return None
    said = [
        f"{metric['title']}: {verdict(metric)} (ratio {ratio(metric['ratio'])})."
        for metric in run["metrics"]
        if metric["name"] in BESIDE and not metric["primary"] and metric["ratio"] is not None
    ]
    return " ".join([*said, *([even] if (even := _break_even(run)) else [])]) or None


def _break_even(run: Run) -> str | None:
    """Say where the costs meet; None where that is not known. A run of an earlier version has no cost."""
    found = run.get("cost")
    if found is None or found["break_even"] is None or found["break_even"]["rate_rps"] is None:
        return None
    even, label = found["break_even"], f"pay per use ({found['pay_per_use']['label']})"
    if even["beyond_capacity"]:
        return f"At every rate that one server can answer {label} costs less."
    return f"Below {quantity(even['rate_rps'], 'requests/s')} {label} costs less, above it a server."


def primary(run: Run) -> Mapping[str, Any]:
    """Give the run's primary metric."""
    return next(metric for metric in run["metrics"] if metric["primary"])


def of_the_machines(run: Run) -> list[str]:
    """Say where a machine did not give what it has while it was measured: the verdict is read with that in mind."""
    arms: Mapping[str, Mapping[str, Any]] = run.get("machines", {}).get("arms", {})
    passed = [(arm, found["steal"]) for arm, found in arms.items() if found["steal"]["passed"]]
    said = []
    if passed:
        arm, worst = max(passed, key=lambda one: one[1]["max"])
        said.append(f"{steal.sentence(worst['max'], worst['max_trial'], arm)}.")
    for arm, found in arms.items():
        if found["credits"] is not None and found["credits"]["ran_out"]:
            said.append(f"{burst_credits.sentence(found['credits'], arm)}.")
    return said


def of_the_thresholds(run: Run) -> str | None:
    """Say how many of the thresholds a valid run misses, and which; None where it has none, or is not valid."""
    rules = run["thresholds"]
    if not rules or not run["valid"]:
        return None
    against = thresholds.missed(rules)
    if not against:
        return f"Thresholds: {'the one rule is' if len(rules) == 1 else f'all {len(rules)} rules are'} met."
    said = "; ".join(f"{rule['rule']} ({rule['reason']})" for rule in against)
    return f"Thresholds: {len(against)} of {len(rules)} {'rule' if len(rules) == 1 else 'rules'} MISSED: {said}."


def verdict_sentence(run: Run) -> str:
    """Give the one sentence that a reader takes away: the headline, or why there is none."""
    status = status_sentence(run)
    if run["valid"] and run["status"] != Status.INTERRUPTED:
        return headline(primary(run), run["profile"]["run"]["margin"])
    return status or headline(primary(run), run["profile"]["run"]["margin"])


# What to do about a caution, by its code: the sentence that follows what was seen.
NEXT_STEPS: Mapping[str, str] = {
    Caution.CLIENT_CPU_SHARE: "Next: name a host of its own for the load (load_host), or give the host more CPUs.",
    Caution.CLIENT_SHARES_CPUS: "Next: nothing, where both arms share alike; else name a load host for each arm.",
    Caution.QUEUED_REQUESTS: "Next: read the mean as a queue of two; for one evaluation take the time given here.",
    Caution.TOOL_DISAGREES: "Next: use the counters' rows, not htop's, and look at those trials' raw files.",
    Caution.WATCHER_FAILED: "Next: mend what it says and run again, if CPU and memory matter to you.",
    Caution.HOST_BUSY_BEFORE: "Next: see each host's load under Hosts and software.",
    Caution.STAND_IN: "Next: run again with the real thing before you decide anything by it.",
    Caution.UNCOMMITTED_CHANGES: "Next: commit them and run again, where others are to reproduce this.",
    Caution.NOT_INTERLEAVED: "Next: measure both arms in one run for a verdict.",
    Caution.RESUMED: "Next: compare the blocks before and after the pause in the chart block by block.",
    Caution.NOT_COLD: "Next: look at the starts listed under Cold starts; more blocks make up for them.",
    Caution.PODS_CHANGED: "Next: run again when the cluster is quiet.",
    Caution.GRANT_UNKNOWN: "Next: set the limits of both arms, so that they can be read back.",
    Caution.STEAL: "Next: run again at another hour or on a dedicated host.",
    Caution.CREDITS_RAN_OUT: "Next: wait until the credits are back, or take an instance without them.",
    Caution.CALIBRATION_DRIFT: "Next: run again when the machine gives a steady score.",
    Caution.THROTTLED: "Next: see under Equal ground what each arm was granted; equal quotas throttle alike.",
    Caution.SWAPPED: "Next: free memory on the host, or turn swap off, and run again.",
    Caution.CLOCK_SET: "Next: let the clock settle (chronyc tracking), and run again.",
    Caution.WATCH_WINDOW_OFF: "Next: watch and load on one host; the watcher's raw record says what ended it.",
    Caution.STALLED: "Next: look at an open loop, which counts what waits: ab stops asking while a server stands.",
    Caution.DRIFT: "Next: look at the chart block by block; a machine that warms up or fills up needs a longer run.",
    Caution.PYTHON_BUILD: "Next: nothing, unless the arms differ where you expect none.",
    Caution.OPEN_LOOP_NOT_VALID: "Next: read the reason at that rate; a lower rate or a freer load host mends most.",
}


def next_step(code: str) -> str:
    """Say what to do about a caution."""
    return NEXT_STEPS[code]


def opening(run: Run) -> Sequence[str]:
    """Give the sentences every report begins with."""
    status, pairing = status_sentence(run), pairing_sentence(run)
    return [
        what_it_is(run),
        *([pairing] if pairing else []),
        *([status] if status else []),
        *([headline(primary(run), run["profile"]["run"]["margin"])] if run["valid"] else []),
        *([said] if (said := beside_it(run)) else []),
        *([said] if (said := of_the_thresholds(run)) else []),
        *([f"{run['stopping']['reason']}."] if run["valid"] and "stopping" in run else []),
        *of_the_machines(run),
    ]
