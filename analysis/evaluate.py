# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""From a run folder to the content of ``run.json``: the only source of every report."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from evenkeel.counters import Figure

from analysis import (
    base_run,
    cautions,
    certainty,
    cold,
    costing,
    machines,
    normalise,
    open_loop,
    parity,
    rebuild,
    recheck,
    resources,
    side_by_side,
    stopping,
    thresholds,
    validity,
    verdict,
    watched,
)
from analysis.clocks import Window
from analysis.errors import RunUnreadable
from analysis.figures import ABSENT, lookup, summary
from analysis.metrics import BY_NAME, DURATION, REGISTRY, Metric, Role, role_of
from analysis.run_store import PlannedTrial, RunFolder
from analysis.schema import CLUSTERS, LOADS, SCHEMA_VERSION, Arm, Kind, Status, Verdict

Record = tuple[PlannedTrial, Mapping[str, Any]]

# What a start's data hold of the cluster's watch.
OF_THE_CLUSTER = ("valid", "invalid_reasons", "phases", "overlap_seconds", "image_pulled", "pod")

# What an open-loop trial's data hold of its facts.
OF_AN_OPEN_LOOP = ("rate_rps", "requests", "censored", "latency_seconds", "lag_seconds")

# The key of a record under which the reasons stand why its start was not cold.
NOT_COLD = "not_cold"

NOT_KNOWN_EMBEDDED = (
    (
        "control plane's CPU and memory",
        "both arms ran as processes: there was no cluster, gateway or watchdog to measure",
    ),
    ("pod cold start", "both arms ran as processes: no pod was scheduled, no image pulled, no container started"),
    (
        "gateway's share of the response time",
        "both arms ran as processes: requests went straight to the function's own server",
    ),
)
NOT_KNOWN_IN_CONTAINER = (
    (
        "control plane's CPU and memory",
        "the function ran as a container on a Docker engine: there was no cluster or gateway to measure",
    ),
    ("pod cold start", "the function ran as a container on a Docker engine: no pod was scheduled, no image pulled"),
    (
        "gateway's share of the response time",
        "the function ran as a container on a Docker engine: requests went straight to its watchdog",
    ),
)
NOT_KNOWN_ON_CLUSTER = (
    (
        "gateway's share of the response time",
        "every request went through the gateway and the watchdog, and what they took of its time was not told apart",
    ),
)


@dataclass(frozen=True)
class _Context:
    """What of a run bears on every metric; ``borrowed`` where the other arm's figures are another run's.

    ``unequal`` where the arms were found on unequal ground.
    """

    primary: str
    margin: float
    status: Status
    valid: bool
    borrowed: bool
    unequal: bool
    significance: float


@dataclass(frozen=True)
class Pair:
    """Two trials, one of each arm, that are compared; a figure is None where its arm was not measured.

    ``rejected`` where one of them is a start that was not cold.
    """

    label: str
    server: Figure | None
    serverless: Figure | None
    reason: str | None = None
    rejected: bool = False

    @property
    def measured(self) -> bool:
        """Whether either arm has a value."""
        return any(figure is not None and figure.value is not None for figure in (self.server, self.serverless))

    @property
    def ratio(self) -> float | None:
        """serverless / server, or None where either is not a number above 0."""
        if self.reason is not None or self.server is None or self.serverless is None:
            return None
        below, above = self.server.value, self.serverless.value
        return above / below if above is not None and below is not None and above > 0 and below > 0 else None


def evaluate(run: RunFolder, base: RunFolder | None = None) -> dict[str, Any]:
    """Give the content of ``run.json``.

    ``base`` is the run that the plan's ``base_run`` names: its other arm is set beside this run's one arm, without a
    verdict, and over unequal ground this run is INVALID. Raises RunUnreadable where the profile names a primary metric
    or a threshold that does not exist, or the base run does not fit: it is INVALID, or measured something else.
    """
    primary = run.plan["profile"]["run"]["primary"]
    if primary not in BY_NAME or BY_NAME[primary].words is None:
        known = ", ".join(metric.name for metric in REGISTRY if metric.words)
        raise RunUnreadable(f"the profile's primary metric {primary!r} is not one of: {known}")
    own = _records(run)
    ground = base_run.Ground.of(run)
    beside = _beside(ground, base) if base is not None else []
    checks = parity.checks([*own, *beside])
    status = validity.status_of(run)
    stopped = stopping_of(run)
    problems = _problems(run, own)
    # A run that is INVALID by itself has its own reasons alone: they tell more than its distance to another run.
    if base is not None and not problems:
        _check_alike(ground, base, beside)
        problems = list(validity.of_parity(checks))
    context = _Context(
        primary=primary,
        margin=run.plan["profile"]["run"]["margin"],
        status=status,
        valid=not problems,
        borrowed=base is not None,
        unequal=any(validity.is_of_parity(problem.code, problem.trial) for problem in problems),
        significance=stopped.significance if stopped else verdict.SIGNIFICANCE,
    )
    cpus = parity.granted_cpus([*own, *beside])
    opened = open_loop.open_loop(run)
    metrics = _metrics(context, [*own, *beside])
    return {
        "schema_version": SCHEMA_VERSION,
        "run_id": run.plan["run_id"],
        "status": status.value,
        "valid": not problems,
        "invalid_reasons": [problem.as_json() for problem in problems],
        "warnings": [caution.as_json() for caution in (*cautions.cautions(run), *certainty.cautions(metrics))],
        "created_utc": run.plan["created_utc"],
        "begun_utc": _event_time(run, "run_begun", 0),
        "ended_utc": _event_time(run, "step_done", -1),
        "profile": {key: run.plan["profile"][key] for key in ("name", "service", "run")},
        "seed": run.plan["seed"],
        "platform": {arm: described["platform"] for arm, described in sorted(run.plan["arms"].items())},
        "arms": {arm: dict(described) for arm, described in sorted(run.plan["arms"].items())},
        "base_run": run.plan["base_run"],
        "parity": {
            "passed": parity.passed(checks, interrupted=status is Status.INTERRUPTED),
            "checks": [check.as_json() for check in checks],
        },
        "trials": [_trial(run, trial) for trial in run.trials],
        "metrics": metrics,
        "thresholds": _thresholds(run, metrics, valid=context.valid),
        **({"stopping": stopped.as_json()} if stopped else {}),
        "not_measured": [{"name": name, "reason": reason} for name, reason in _not_measured(run)],
        "study": {
            **normalise.study(),
            "here": side_by_side.here(
                run,
                own,
                metrics,
                margin=context.margin,
                significance=context.significance,
                cpus=cpus,
                sweeps=opened["sweeps"] if opened else (),
            ),
        },
        "normalisation": normalise.normalisation(cpus.get(Arm.SERVER), cpus.get(Arm.SERVERLESS)),
        "machines": machines.machines(run),
        "cost": costing.costs(run, own, valid=not problems, status=status),
        "files": [{"path": file.path, "bytes": file.bytes, "sha256": file.sha256} for file in run.files],
        "provenance": {
            "toolkit": run.plan["toolkit"],
            "controller": run.plan["controller"],
            "hosts": {name: dict(facts) for name, facts in sorted(run.hosts.items())},
        },
        **_of_cluster(run),
        **({"open_loop": opened} if opened else {}),
    }


def _thresholds(run: RunFolder, metrics: Sequence[Mapping[str, Any]], *, valid: bool) -> list[dict[str, Any]]:
    try:
        return thresholds.judge(run.plan["profile"]["run"]["thresholds"], metrics, valid=valid)
    except thresholds.ThresholdInvalid as error:
        raise RunUnreadable(f"{run.path / 'plan.json'}: {error}; a plan is never edited by hand") from error


def stopping_of(run: RunFolder) -> stopping.Stopping | None:
    """Look again at a run whose plan has a rule to end it early; None where it has none."""
    rule = stopping.rule_of(run)
    if rule is None:
        return None
    margin, metric = run.plan["profile"]["run"]["margin"], BY_NAME[run.plan["profile"]["run"]["primary"]]
    return stopping.stopping(rule, stopping.whole_blocks(run), _ratios_until(run), margin, metric.words or DURATION)


def look_at(run: RunFolder, blocks: int) -> stopping.Look:
    """Look at a run after ``blocks`` blocks.

    Raises RunUnreadable where its plan has no look there, or those blocks are not recorded whole.
    """
    rule, profile = stopping.rule_of(run), run.plan["profile"]["run"]
    if rule is None or blocks not in rule.looks:
        declared = f"looks after {', '.join(map(str, rule.looks))} blocks" if rule else "no stop_when"
        raise RunUnreadable(f"the plan of {run.plan['run_id']} has {declared}, so none after {blocks}")
    if stopping.whole_blocks(run) < blocks:
        raise RunUnreadable(f"{run.path} has {stopping.whole_blocks(run)} whole blocks, fewer than {blocks} to look at")
    words = BY_NAME[profile["primary"]].words or DURATION
    return stopping.look(rule, blocks, _ratios_until(run), profile["margin"], words)


def _ratios_until(run: RunFolder) -> stopping.RatiosUntil:
    metric, records = BY_NAME[run.plan["profile"]["run"]["primary"]], _records(run)

    def ratios(blocks: int) -> list[float] | None:
        until = [(trial, record) for trial, record in records if trial.block is None or trial.block <= blocks]
        kept = _kept(pairs_of(metric, until))
        found = [pair.ratio for pair in kept if pair.ratio is not None]
        return found if len(found) == len(kept) else None

    return ratios


def pairs_of(metric: Metric, records: Sequence[Record]) -> list[Pair]:
    """Pair the counted trials of a metric: by block, and outside the blocks in the order they were made."""
    by_arm: dict[Arm, dict[str, _Read]] = {arm: {} for arm in Arm}
    for trial, record in records:
        if not trial.counted or trial.kind != metric.trial or metric.mode not in (None, trial.mode):
            continue
        found = by_arm[trial.arm]
        single = sum(not label.startswith("block") for label in found) + 1
        label = f"block {trial.block}" if trial.block is not None else f"{trial.mode or trial.kind.value} {single}"
        kind = metric.kind_of(record["facts"]) if metric.kind_of else None
        unwatched = "unwatched" in record["facts"]
        found[label] = _Read(_figure(metric, record), kind, _is_rejected(metric, record), unwatched)
    labels = dict.fromkeys([*by_arm[Arm.SERVER], *by_arm[Arm.SERVERLESS]])
    return [_pair(label, by_arm[Arm.SERVER].get(label), by_arm[Arm.SERVERLESS].get(label)) for label in labels]


class _Read(NamedTuple):
    """One trial's figure of a metric, the kind it is of, and whether its start is rejected or nothing can watch it."""

    figure: Figure
    kind: str | None
    rejected: bool
    unwatched: bool


def _pair(label: str, server: _Read | None, serverless: _Read | None) -> Pair:
    reason = None
    # Where nothing can watch a service, its figure says why, and has no kind to differ.
    if server and serverless and server.kind != serverless.kind and not (server.unwatched or serverless.unwatched):
        reason = f"different kinds are not compared: {server.kind} against {serverless.kind}"
    rejected = any(one is not None and one.rejected for one in (server, serverless))
    return Pair(label, server and server.figure, serverless and serverless.figure, reason, rejected)


def _is_rejected(metric: Metric, record: Mapping[str, Any]) -> bool:
    return metric.cold and bool(record.get(NOT_COLD))


def _figure(metric: Metric, record: Mapping[str, Any]) -> Figure:
    """Read a trial's figure; a start that was not cold has none of a cold start."""
    if _is_rejected(metric, record):
        return Figure(reason=f"{cold.NOT_COUNTED}: {'; '.join(record[NOT_COLD])}")
    return metric.read(record["facts"])


def _metrics(context: _Context, records: Sequence[Record]) -> list[dict[str, Any]]:
    paired = {metric.name: pairs_of(metric, records) for metric in REGISTRY}
    comparisons = {name: found for name, pairs in paired.items() if (found := _compare(context, pairs)) is not None}
    family = {
        metric.name: p
        for metric in REGISTRY
        if role_of(metric, context.primary) is Role.FAMILY
        and metric.name in comparisons
        and (p := comparisons[metric.name].p) is not None
    }
    adjusted = verdict.adjust(family)
    rows = []
    for metric in REGISTRY:
        role = role_of(metric, context.primary)
        comparison = comparisons.get(metric.name)
        pairs = paired[metric.name]
        p = comparison.p if comparison is not None and role is not Role.SHOWN else None
        kept = _kept(pairs)
        word, reason = _word(metric, context, comparison, adjusted.get(metric.name, p), kept)
        if len(kept) < len(pairs):
            reason = (
                f"{reason if kept else 'no pair is left'}; {len(pairs) - len(kept)} of {len(pairs)} pairs are left "
                "out, a start of theirs not being cold"
            )
        rows.append(
            {
                "name": metric.name,
                "title": metric.title,
                "unit": metric.unit,
                "definition": metric.definition,
                "primary": role is Role.PRIMARY,
                "role": role.value,
                "kind": _kind(metric, records),
                "server": summary(pair.server for pair in pairs),
                "serverless": summary(pair.serverless for pair in pairs),
                "n": sum(pair.ratio is not None for pair in pairs),
                "pairs": [_pair_json(pair, shown=context.valid and not context.borrowed) for pair in pairs],
                "ratio": None if comparison is None else comparison.ratio,
                "interval": _interval(comparison.interval if comparison else None),
                "equivalence_interval": _interval(comparison.equivalence_interval if comparison else None),
                "p": p,
                "p_adjusted": adjusted.get(metric.name),
                "verdict": None if word is None else word.value,
                "reason": reason,
                "certainty": certainty.certainty(
                    metric, comparison, kept, records, wished=context.margin, level=1 - context.significance
                ),
            }
        )
    return rows


def _compare(context: _Context, pairs: Sequence[Pair]) -> verdict.Comparison | None:
    """Compare where every pair has a ratio: leaving out those that have none would drop the inconvenient ones.

    A pair with a start that was not cold is no sample, whatever its figures are.
    """
    kept = _kept(pairs)
    ratios = [pair.ratio for pair in kept if pair.ratio is not None]
    if not context.valid or context.borrowed or not ratios or len(ratios) < len(kept):
        return None
    return verdict.compare(ratios, context.significance)


def _kept(pairs: Sequence[Pair]) -> list[Pair]:
    return [pair for pair in pairs if not pair.rejected]


def _word(
    metric: Metric,
    context: _Context,
    comparison: verdict.Comparison | None,
    p: float | None,
    pairs: Sequence[Pair],
) -> tuple[Verdict | None, str]:
    """Give the verdict and its reason; no verdict where nothing is tested."""
    if not context.valid:
        unequal = f"{parity.FAILED}: " if context.unequal else ""
        return Verdict.NOT_VALID, f"{unequal}the run is not valid, so no figures are compared"
    if context.status is Status.ONE_ARM:
        if not any(pair.measured for pair in pairs):
            return Verdict.NOT_MEASURED, _why_not_measured(metric, pairs)
        beside = "not interleaved with the base run, so nothing is tested"
        return None, beside if context.borrowed else "one arm was measured"
    if comparison is None:
        shown = metric.words is None and any(pair.measured for pair in pairs)
        return None if shown else Verdict.NOT_MEASURED, _why_not_measured(metric, pairs)
    if metric.words is None:
        count = "one observation an arm" if comparison.n == 1 else f"{comparison.n} pairs"
        return None, f"{count}; shown, not tested"
    decision = verdict.decide(comparison, p, context.margin, *metric.words, significance=context.significance)
    return decision.verdict, decision.reason


def _why_not_measured(metric: Metric, pairs: Sequence[Pair]) -> str:
    missing = sum(pair.ratio is None for pair in pairs)
    if missing < len(pairs):
        return f"{missing} of {len(pairs)} pairs have no ratio, the first because {_why_no_ratio(pairs)}"
    return _why_no_ratio(pairs) if pairs else _no_such_trials(metric)


def _no_such_trials(metric: Metric) -> str:
    return f"the profile has no counted {metric.mode + ' ' if metric.mode else ''}{metric.trial.value} trials"


def _why_no_ratio(pairs: Sequence[Pair]) -> str:
    for pair in pairs:
        if pair.reason is not None:
            return pair.reason
        for arm, figure in ((Arm.SERVER, pair.server), (Arm.SERVERLESS, pair.serverless)):
            if figure is None:
                return f"{pair.label} has no {arm.value} trial"
            if figure.less_than is not None:
                return f"{arm.value} is below what its counter can show, so there is no ratio"
            if figure.reason is not None:
                return figure.reason
    return "a figure of 0 gives no ratio"


def _kind(metric: Metric, records: Iterable[Record]) -> str | None:
    if metric.kind_of is None:
        return None
    kinds = {
        kind
        for trial, record in records
        if trial.counted and trial.kind == metric.trial and (kind := metric.kind_of(record["facts"])) is not None
    }
    return " and ".join(sorted(kinds)) or None


def _pair_json(pair: Pair, *, shown: bool) -> dict[str, Any]:
    absent = Figure(reason="no such trial of this arm")
    return {
        "pair": pair.label,
        "server": (pair.server or absent)._asdict(),
        "serverless": (pair.serverless or absent)._asdict(),
        "ratio": pair.ratio if shown else None,
    }


def _interval(interval: Any) -> dict[str, Any] | None:
    if interval is None:
        return None
    return {"low": interval.low, "high": interval.high, "level": interval.level, "method": verdict.METHOD}


def _trial(run: RunFolder, trial: PlannedTrial) -> dict[str, Any]:
    record = _record(run, trial) if trial.id in run.records else None
    facts = record["facts"] if record is not None else {}
    window = watched.load_window(facts) if trial.kind in LOADS else watched.watch_window(facts)
    return {
        "id": trial.id,
        "block": trial.block,
        "order": trial.order,
        "arm": trial.arm.value,
        "kind": trial.kind.value,
        "mode": trial.mode,
        "counted": trial.counted,
        "host": trial.host,
        "load_host": trial.load_host,
        **({"load_hosts": list(trial.load_hosts)} if len(trial.load_hosts) > 1 else {}),
        "file": f"raw/{trial.id}.json" if record is not None else None,
        "window": window.as_json() if window is not None else None,
        "figures": {
            metric.name: _figure(metric, record)._asdict()
            for metric in REGISTRY
            if record is not None and metric.trial == trial.kind and metric.mode in (None, trial.mode)
        },
        "data": _data(trial, facts, window) if record is not None else {},
        **({} if run.needs(trial) else {"not_needed": True}),
    }


def _data(trial: PlannedTrial, facts: Mapping[str, Any], window: Window | None) -> dict[str, Any]:
    """Give what the charts draw of one trial, beside its figures."""
    if trial.kind is Kind.START:
        started = {
            key: lookup(facts, "service_startup", key) for key in ("instance_id", "phases", "resolution_seconds")
        }
        cluster = {key: lookup(facts, "pod_phases", key) for key in OF_THE_CLUSTER}
        seen = {key: value for key, value in cluster.items() if value is not ABSENT}
        return {
            **{key: value for key, value in started.items() if value is not ABSENT},
            **({"pod_phases": {**seen, "lead_seconds": _lead_seconds(facts)}} if seen else {}),
        }
    course = watched.course(facts, window) if window is not None else {"cores": [], "memory_bytes": []}
    if trial.kind is Kind.IDLE:
        return course
    if trial.kind is Kind.OPEN_LOOP:
        kept = {key: lookup(facts, open_loop.MODULE, key) for key in OF_AN_OPEN_LOOP}
        return {key: value for key, value in kept.items() if value is not ABSENT}
    keys = ("samples_seconds", "quantiles_seconds", "requests", "censored", "latency_seconds")
    load = {key: lookup(facts, "ab_benchmark", key) for key in keys}
    return {**{key: value for key, value in load.items() if value is not ABSENT}, **course}


def _lead_seconds(facts: Mapping[str, Any]) -> float:
    """Give by how much the cluster's zero, the moment its watch saw the start, is later than the start command's."""
    boots = {lookup(facts, name, "host_boot_id") for name in ("pod_phases", "service_startup")}
    begun, seen = (lookup(facts, name, "start_monotonic_seconds") for name in ("service_startup", "pod_phases"))
    known = len(boots) == 1 and isinstance(begun, int | float) and isinstance(seen, int | float)
    return float(seen - begun) if known else 0.0


def _problems(run: RunFolder, own: Sequence[Record]) -> list[validity.Problem]:
    """List the reasons against a run by its own records."""
    rebuilt = [*rebuild.problems(run), *recheck.problems(run), *stopping.problems(run, stopping_of(run))]
    return validity.problems(run, parity.checks(own), rebuilt)


def check_base(ground: base_run.Ground, base: RunFolder) -> None:
    """Find out before a run on ``ground`` whether ``base`` can be set beside it. Raises RunUnreadable where not.

    What the arms were granted is seen when both have been measured.
    """
    _check_alike(ground, base, _beside(ground, base))


def _beside(ground: base_run.Ground, base: RunFolder) -> list[Record]:
    """Give the trials of the base run's arm that the run on ``ground`` does not measure."""
    theirs = _records(base)
    other = [(trial, record) for trial, record in theirs if trial.arm not in ground.arms]
    if len(ground.arms) != 1 or not other:
        raise RunUnreadable(
            f"the base run {base.plan['run_id']} can only be set beside a run of one arm, and must hold the other; "
            f"this run has {' and '.join(sorted(ground.arms))}; name another base_run, or none"
        )
    against = _problems(base, theirs)
    if against:
        raise RunUnreadable(
            f"the base run {base.plan['run_id']} is INVALID ({against[0].code}); name a valid run as base_run, or none"
        )
    return other


def _check_alike(ground: base_run.Ground, base: RunFolder, other: Sequence[Record]) -> None:
    (own,) = ground.arms
    differences = base_run.differences(ground, base_run.Ground.of(base), own=Arm(own), other=other[0][0].arm)
    if differences:
        raise RunUnreadable(
            f"the base run {base.plan['run_id']} cannot be set beside this run: {'; '.join(differences)}; "
            "name another base_run, or none"
        )


def _records(run: RunFolder) -> list[Record]:
    return [(trial, _record(run, trial)) for trial in run.trials if trial.id in run.records]


def _record(run: RunFolder, trial: PlannedTrial) -> Mapping[str, Any]:
    """Give a trial's record, a start's with the reasons why it was not cold."""
    record = run.records[trial.id]
    if trial.kind is not Kind.START:
        return record
    return {**record, NOT_COLD: cold.rejection(run.plan["arms"][trial.arm]["platform"], record["facts"])}


def _not_measured(run: RunFolder) -> tuple[tuple[str, str], ...]:
    platforms = {arm: described["platform"] for arm, described in run.plan["arms"].items()}
    if set(platforms.values()) == {"process"}:
        return NOT_KNOWN_EMBEDDED
    serverless = platforms.get(Arm.SERVERLESS)
    if serverless in CLUSTERS:
        return NOT_KNOWN_ON_CLUSTER
    return NOT_KNOWN_IN_CONTAINER if serverless == "docker" else ()


def _of_cluster(run: RunFolder) -> dict[str, Any]:
    """Give what only a run with an arm on a cluster has."""
    if not cold.on_cluster(run):
        return {}
    return {"resources": resources.resources(run), "cold_starts": cold.cold_starts(run).as_json()}


def _event_time(run: RunFolder, event: str, which: int) -> str | None:
    times = [found["utc"] for found in run.journal if found.get("event") == event and isinstance(found.get("utc"), str)]
    return times[which] if times else None
