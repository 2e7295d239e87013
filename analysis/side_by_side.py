# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The study's table with this run's figures beside it: as measured, and normalised to one machine by measured scores.

Only the phases in which the network computes are scaled, training and evaluation, each by its own score and each block
by the scores around it. Platform, network, memory and CPU in cores never are.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from analysis import calibration, normalise, verdict
from analysis.figures import lookup, number_at, percent, ratio
from analysis.metrics import BY_NAME, DURATION
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import Arm, Kind, Verdict

PROFILE = "paper"
NOT_TESTED, NOT_MEASURED, NOT_VALID = "not tested", "not measured", "not valid"
HOLDS, FAILS, CANNOT_TELL = "holds", "does not hold", "cannot tell"

Record = tuple[PlannedTrial, Mapping[str, Any]]
Metric = Mapping[str, Any]

# Each row of the study's table: our metric, and the half of the score that its scaled phase is of.
ROWS: tuple[tuple[str, str, str | None], ...] = (
    ("Start-up, training included", "trained_ready_seconds", "training"),
    ("Average response, ab -n 10 -c 2", "response_mean_seconds", "evaluation"),
    ("Idle CPU", "idle_cpu_cores", None),
    ("Idle memory", "idle_memory_bytes", None),
    ("Busy CPU", "busy_cpu_cores", None),
    ("Busy memory", "busy_memory_bytes", None),
)
# What a run must share with the study for its table to be of the same measurement.
LIKE_THE_STUDY: tuple[tuple[str, object], ...] = (("dataset", "cifar10"), ("recipe", "study"), ("start_with", "train"))
LOAD_OF_THE_STUDY: tuple[tuple[str, object], ...] = (("requests", 10), ("concurrency", 2))


@dataclass(frozen=True)
class _Ground:
    """Whether the arms computed on one machine with equal CPUs; then every factor is 1 by definition."""

    run: RunFolder
    hosts: Mapping[Arm, str]
    same: bool

    def factor(self, half: str, block: int | None) -> float | None:
        """Give the serverless arm's score over the server's, around a block; None where one is missing."""
        if self.same:
            return 1.0
        scores = {arm: calibration.around(self.run, host, block)[half] for arm, host in self.hosts.items()}
        above, below = scores.get(Arm.SERVERLESS), scores.get(Arm.SERVER)
        return above / below if above and below else None


def here(
    run: RunFolder,
    records: Sequence[Record],
    metrics: Sequence[Metric],
    *,
    margin: float,
    significance: float,
    cpus: Mapping[Arm, float],
    sweeps: Sequence[Mapping[str, Any]] = (),
) -> dict[str, Any] | None:
    """Give this run's side of the study's table as it stands in ``run.json``; None but for the profile ``paper``."""
    if run.plan["profile"]["name"] != PROFILE:
        return None
    by_name = {metric["name"]: metric for metric in metrics}
    ground = _ground(run, records, cpus)
    rows = [
        _row(
            title,
            by_name[name],
            _normalised(by_name[name], half, ground, records, margin=margin, significance=significance),
        )
        for title, name, half in ROWS
    ]
    return {
        "differs": _differs(run),
        "ground": _said(ground),
        "rows": rows,
        "findings": _findings(rows, by_name, sweeps),
    }


def _ground(run: RunFolder, records: Sequence[Record], cpus: Mapping[Arm, float]) -> _Ground:
    boots: dict[Arm, set[str]] = {}
    for trial, record in records:
        boot = lookup(record["facts"], "service_startup", "host_boot_id")
        if isinstance(boot, str):
            boots.setdefault(trial.arm, set()).add(boot)
    one = len(boots) == len(Arm) and len(set.union(*boots.values())) == 1
    granted = set(cpus.values())
    hosts = {Arm(arm): str(described["host"]) for arm, described in run.plan["arms"].items()}
    return _Ground(run, hosts, same=one and len(cpus) == len(Arm) and len(granted) == 1)


def _said(ground: _Ground) -> dict[str, Any]:
    spreads = {
        half: max(
            (
                found
                for host in ground.hosts.values()
                if (found := calibration.spread(ground.run, host, half)) is not None
            ),
            default=None,
        )
        for half in calibration.HALVES
    }
    drift = ", ".join(f"{half} {percent(found, 1)}" for half, found in spreads.items() if found is not None)
    if ground.same:
        reason = "both arms computed on one machine with the same CPUs, so the factor is 1 by definition"
        reason += (
            f"; its scores moved by {drift} over the run, which is a check of drift and scales nothing" if drift else ""
        )
    else:
        reason = (
            "the serverless arm's training and evaluation are scaled to the server's machine, each by the scores "
            "around its own block"
        )
        reason += f"; over the run the scores of one machine moved by at most {drift}" if drift else ""
    return {"same_machine": ground.same, "score_spread": spreads, "reason": reason}


def _differs(run: RunFolder) -> list[str]:
    service, load = run.plan["profile"]["service"], run.plan["profile"]["run"]["load"]
    found = [(key, service.get(key), wanted) for key, wanted in LIKE_THE_STUDY if service.get(key) != wanted]
    found += [(key, load.get(key), wanted) for key, wanted in LOAD_OF_THE_STUDY if load.get(key) != wanted]
    return [f"{key} is {value} here, and was {wanted} in the study" for key, value, wanted in found]


def _row(title: str, metric: Metric, normalised: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "name": title,
        "metric": metric["name"],
        "unit": metric["unit"],
        "server": metric["server"],
        "serverless": metric["serverless"],
        "n": metric["n"],
        "ratio": metric["ratio"],
        "interval": metric["interval"],
        "verdict": metric["verdict"],
        "reason": metric["reason"],
        "normalised": normalised,
    }


def _normalised(
    metric: Metric, half: str | None, ground: _Ground, records: Sequence[Record], *, margin: float, significance: float
) -> dict[str, Any]:
    nothing: dict[str, Any] = {"ratio": None, "interval": None, "factors": [], "verdict": None}
    if half is None:
        return {**nothing, "reason": "not scaled: CPU in cores and memory do not depend on speed"}
    if metric["ratio"] is None:
        return {**nothing, "reason": metric["reason"]}
    pairs = [pair for pair in metric["pairs"] if pair["ratio"] is not None]
    factors = [ground.factor(half, _block(pair["pair"])) for pair in pairs]
    if ground.same:
        same = {key: metric[key] for key in ("ratio", "interval", "verdict")}
        return {**same, "factors": factors, "reason": "the factor is 1 by definition"}
    parts = [_part(metric["name"], pair["pair"], records) for pair in pairs]
    ratios = []
    for pair, part, factor in zip(pairs, parts, factors, strict=True):
        if factor is None:
            return {**nothing, "reason": f"a machine's score around {pair['pair']} is missing"}
        if part is None:
            return {**nothing, "reason": f"how long the network computed in {pair['pair']} is not recorded"}
        ratios.append(normalise.scaled(pair["serverless"]["value"], part, factor) / pair["server"]["value"])
    compared = verdict.compare(ratios, significance)
    words = BY_NAME[metric["name"]].words or DURATION
    decided = verdict.decide(compared, compared.p, margin, *words, significance=significance)
    interval = compared.interval
    return {
        "ratio": compared.ratio,
        "interval": None
        if interval is None
        else {"low": interval.low, "high": interval.high, "level": interval.level, "method": verdict.METHOD},
        "factors": factors,
        "verdict": decided.verdict.value,
        "reason": decided.reason,
    }


def _block(label: str) -> int | None:
    """Give the block of a pair's label; None for a trained start, which comes before all blocks."""
    return int(label.removeprefix("block ")) if label.startswith("block ") else None


def _part(metric: str, label: str, records: Sequence[Record]) -> float | None:
    """Give the seconds of the serverless arm's figure of one pair in which the network computed."""
    mine = [(trial, record["facts"]) for trial, record in records if trial.arm is Arm.SERVERLESS]
    block = _block(label)
    if metric == "trained_ready_seconds":
        starts = [facts for trial, facts in mine if trial.mode == "train" and trial.counted]
        return _train_seconds(starts[int(label.rpartition(" ")[2]) - 1])
    found = {trial.kind: facts for trial, facts in mine if trial.block == block}
    return _evaluation_seconds(found.get(Kind.START, {}), found.get(Kind.LOAD, {}))


def _train_seconds(facts: Mapping[str, Any]) -> float | None:
    phases = lookup(facts, "service_startup", "phases")
    for phase in phases if isinstance(phases, list) else ():
        begin, end = (number_at(phase, f"{edge}_seconds").value for edge in ("begin", "end"))
        if lookup(phase, "name") == "train" and begin is not None and end is not None:
            return end - begin
    return None


def _evaluation_seconds(start: Mapping[str, Any], load: Mapping[str, Any]) -> float | None:
    """Give the evaluations that a mean response waited for, times what the service says that one alone took."""
    one = number_at(start, "service_startup", "evaluation", "model_seconds").value
    requests = number_at(load, "ab_benchmark", "requests", "planned").value
    concurrency = number_at(load, "ab_benchmark", "concurrency").value
    if one is None or not requests or not concurrency:
        return None
    return one * normalise.evaluations_waited(int(requests), int(concurrency))


def _findings(
    rows: Sequence[Mapping[str, Any]], metrics: Mapping[str, Metric], sweeps: Sequence[Mapping[str, Any]]
) -> list[dict[str, Any]]:
    start, response = rows[0], rows[1]
    return [
        _finding("Start-up", "with its factor of 16, the serverless arm starts later", *_later(start)),
        _finding("Response", "with its factor of 16, the serverless arm answers later", *_later(response)),
        _finding("Idle resources", "the serverless arm uses less when idle, factor included", *_less(metrics)),
        _finding("Scalability", "the serverless arm scales better", *_scales(sweeps)),
    ]


def _scales(sweeps: Sequence[Mapping[str, Any]]) -> tuple[str, str]:
    """Say what the sweeps of the rate found; one an arm is one observation, which shows no difference by itself."""
    if len({sweep["arm"] for sweep in sweeps}) < len(Arm):
        return NOT_TESTED, "no sweep of the rate was part of this run, and one load says nothing about growing ones"
    for sweep in sweeps:
        if not sweep["valid"]:
            return NOT_VALID, f"{sweep['arm']}: {sweep['reason']}"
    held = "; ".join(f"the {sweep['arm']} arm {_held(sweep)}" for sweep in sweeps)
    return CANNOT_TELL, f"one sweep an arm is one observation: {held}, of one replica each"


def _held(sweep: Mapping[str, Any]) -> str:
    if sweep["state"] == "found":
        return f"held {sweep['knee_rps']:.3g} requests/s and not {sweep['upper_rps']:.3g}"
    if sweep["state"] == "not_reached":
        return f"held every rate up to {sweep['knee_rps']:.3g} requests/s"
    return f"did not hold the first rate, {sweep['upper_rps']:.3g} requests/s"


def _finding(name: str, study: str, state: str, reason: str) -> dict[str, Any]:
    return {"name": name, "study": study, "here": state, "reason": reason}


def _later(row: Mapping[str, Any]) -> tuple[str, str]:
    """Say whether the serverless arm is slower here too, by the normalised ratio and its own verdict."""
    found = row["normalised"]
    if row["verdict"] == Verdict.NOT_VALID:
        return NOT_VALID, row["reason"]
    if found["ratio"] is None:
        return NOT_MEASURED, found["reason"] or row["reason"]
    said = f"normalised ratio {ratio(found['ratio'])}, n {row['n']}"
    if found["interval"] is None:
        return CANNOT_TELL, f"{said}: too few for an interval"
    word = found["verdict"] or _by_interval(found["interval"])
    if word == Verdict.SLOWER:
        return HOLDS, f"{said}: {word}"
    if word in (Verdict.FASTER, Verdict.EQUIVALENT):
        return FAILS, f"{said}: {word}"
    return CANNOT_TELL, f"{said}: {word}"


def _by_interval(interval: Mapping[str, Any]) -> str:
    """Give the word of a figure that is shown and not tested, by its 95 % interval alone."""
    if interval["low"] > 1:
        return Verdict.SLOWER
    return Verdict.FASTER if interval["high"] < 1 else Verdict.INCONCLUSIVE


def _less(metrics: Mapping[str, Metric]) -> tuple[str, str]:
    """Say whether both idle figures of the service alone are less; neither is scaled by anything."""
    found = {title: metrics[name] for title, name in (("CPU", "idle_cpu_cores"), ("memory", "idle_memory_bytes"))}
    words = {title: metric["verdict"] or Verdict.NOT_MEASURED for title, metric in found.items()}
    said = ", ".join(f"{title}: {word}" for title, word in words.items()) + " (the service alone, not its platform)"
    if Verdict.NOT_VALID in words.values():
        return NOT_VALID, said
    if all(word == Verdict.LESS for word in words.values()):
        return HOLDS, said
    if any(word in (Verdict.MORE, Verdict.EQUIVALENT) for word in words.values()):
        return FAILS, said
    if all(word == Verdict.NOT_MEASURED for word in words.values()):
        return NOT_MEASURED, said
    return CANNOT_TELL, said
