# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What a reader must know of a run that is valid all the same: what was seen, and what to do about it."""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from analysis import burst_credits, calibration, cold, disturbances, open_loop, parity, steal, watched
from analysis.figures import lookup, number_at, percent
from analysis.run_store import WATCHERS, PlannedTrial, RunFolder
from analysis.schema import Arm, Caution, Kind, Part

MOST_CLIENT_SHARE = 0.02
MOST_BUSY_BEFORE = 0.1  # of a host's CPUs; ansible-playbook itself takes a few percent


@dataclass(frozen=True)
class Remark:
    """One caution, worded for the report."""

    code: Caution
    message: str

    def as_json(self) -> dict[str, str]:
        """Give the caution as it stands in ``run.json``."""
        return {"code": self.code.value, "message": self.message}


def cautions(run: RunFolder) -> list[Remark]:
    """List what the run's records give reason to remark, each kind once."""
    return [remark for find in _FINDERS for remark in find(run)]


def _standins(run: RunFolder) -> Iterator[Remark]:
    for arm, described in sorted(run.plan["arms"].items()):
        software = [f"{name} {version}" for name, version in sorted(described.get("software", {}).items())]
        for name in [*described.get("standins", []), *(one for one in software if "stand-in" in one)]:
            yield Remark(
                Caution.STAND_IN, f"The {arm} arm ran with a stand-in, {name}: its figures are of that stand-in."
            )


def _queued(run: RunFolder) -> Iterator[Remark]:
    concurrency = run.plan["profile"]["run"]["load"].get("concurrency")
    counts = sorted({requests for _, requests in _loads(run)})
    if concurrency != 2 or not counts:
        return
    yield Remark(
        Caution.QUEUED_REQUESTS,
        "GET / under ab -c 2 is two evaluations in a queue, since a service evaluates one after the other: the mean "
        f"response is {' to '.join(f'{_queue_factor(count):.2f}' for count in sorted({counts[0], counts[-1]}))} times "
        f"one evaluation by construction. {_one_evaluation(run)}",
    )


def _one_evaluation(run: RunFolder) -> str:
    """Say what one evaluation took alone, the median over each arm's starts."""
    found = []
    for arm in Arm:
        figures = [
            number_at(run.records.get(trial.id, {}), "facts", "service_startup", "evaluation", "wall_seconds").value
            for trial in run.trials
            if trial.arm is arm and trial.kind is Kind.START and not trial.discarded
        ]
        seconds = [value for value in figures if value is not None]
        if seconds:
            found.append(f"{arm} {statistics.median(seconds):.3g} s")
    return f"One evaluation alone took: {', '.join(found)}." if found else "One evaluation alone was not measured."


def _loads(run: RunFolder) -> list[tuple[str, int]]:
    """Give the trial id and the requests planned of every load that was measured."""
    found = [
        (trial.id, lookup(run.records.get(trial.id, {}), "facts", "ab_benchmark", "requests", "planned"))
        for trial in run.trials
        if trial.kind is Kind.LOAD
    ]
    return [(name, planned) for name, planned in found if isinstance(planned, int) and planned > 1]


def _queue_factor(requests: int) -> float:
    """Mean response over one evaluation's time at ``ab -n requests -c 2``, a service evaluating one after the other.

    The first request and the second, sent when it is answered together with the third, wait for nobody: 1 each; every
    other one waits for one evaluation: 2 each.
    """
    return (2 * requests - 2) / requests


def _client_share(run: RunFolder) -> Iterator[Remark]:
    shares: list[tuple[float, str, str]] = []
    for trial in run.trials:
        facts = run.records.get(trial.id, {}).get("facts", {})
        beside = trial.host == trial.load_host
        cores = _measuring_cores(facts, generator=beside)
        service = watched.mean_cores(facts, watched.load_window(facts)).value if trial.kind is Kind.LOAD else None
        if service:
            shares.append((cores / service, trial.id, "load generator and the watchers" if beside else "watchers"))
    if shares and max(shares)[0] > MOST_CLIENT_SHARE:
        share, where, who = max(shares)
        yield Remark(
            Caution.CLIENT_CPU_SHARE,
            f"The {who} used up to {percent(share, 1)} of the service's CPU time ({where}), "
            f"above {percent(MOST_CLIENT_SHARE)}: what they take is missing to the service, in both arms alike.",
        )


def _measuring_cores(facts: Mapping[str, Any], *, generator: bool) -> float:
    """The mean CPU cores that the watchers, and the load generator where it ran beside them, used themselves, as far
    as they said it."""
    used_to_load = lookup(facts, "ab_benchmark", "client", "cpu_cores")
    total = float(used_to_load) if generator and isinstance(used_to_load, int | float) else 0.0
    for watcher in WATCHERS:
        used = lookup(facts, watcher, "client", "cpu_seconds")
        begin = lookup(facts, watcher, "window", "start_monotonic_seconds")
        end = lookup(facts, watcher, "window", "end_monotonic_seconds")
        if all(isinstance(value, int | float) for value in (used, begin, end)) and end > begin:
            total += used / (end - begin)
    return total


def _watcher_failed(run: RunFolder) -> Iterator[Remark]:
    failures = {
        trial.id: failure
        for trial in run.trials
        for watcher in reversed(WATCHERS)
        if isinstance(failure := lookup(run.records.get(trial.id, {}), "facts", f"{watcher}_failure"), str)
    }
    if failures:
        first = next(iter(failures.values()))
        yield Remark(
            Caution.WATCHER_FAILED,
            f"The watcher gave no figures in {_several(failures)}, so that CPU and memory are not measured there: "
            f"{first}",
        )


def _shared_cpus(run: RunFolder) -> Iterator[Remark]:
    loads = [trial for trial in run.trials if trial.kind is Kind.LOAD]
    also = _open_loop_shares(run)
    shared = {trial.arm for trial in loads if trial.host == trial.load_host}
    elsewhere = {trial.arm for trial in loads} - shared
    if shared and elsewhere:
        yield Remark(
            Caution.CLIENT_SHARES_CPUS,
            f"The {' and '.join(shared)} arm's load generator ran on that arm's own host and shared its CPUs with the "
            f"service; the {' and '.join(elsewhere)} arm's ran on another machine, with a network between.{also}",
        )
    elif shared:
        yield Remark(
            Caution.CLIENT_SHARES_CPUS,
            "The load generator and the watchers ran on the service's own host and shared its CPUs, in both arms "
            "alike; no network "
            f"lies between.{also}",
        )


def _open_loop_shares(run: RunFolder) -> str:
    """Say what sharing the CPUs does to an open loop; nothing where the run has none."""
    trials = [trial for trial in run.trials if trial.kind is Kind.OPEN_LOOP and trial.host == trial.load_host]
    if not trials:
        return ""
    used = [
        figure.value
        for trial in trials
        if (figure := number_at(run.records.get(trial.id, {}), "facts", open_loop.MODULE, "client", "cpu_cores")).value
        is not None
    ]
    most = f" It took up to {max(used):.2g} cores." if used else ""
    return (
        f" So did the open loop's, which takes CPU time for each request it sends.{most} Its latencies are those of "
        "the service with the generator beside it, and its own lag is measured and held to a limit."
    )


def _open_loop_not_valid(run: RunFolder) -> Iterator[Remark]:
    against = open_loop.not_valid(open_loop.open_loop(run))
    if against:
        others = f" And {len(against) - 1} more." if len(against) > 1 else ""
        yield Remark(
            Caution.OPEN_LOOP_NOT_VALID,
            f"Open-loop figures that are not valid, and not printed: {against[0]}.{others} The verdict does not "
            "rest on them.",
        )


def _tool_disagrees(run: RunFolder) -> Iterator[Remark]:
    where = [
        trial.id
        for trial in run.trials
        if lookup(run.records.get(trial.id, {}), "facts", "htop", "proc_check", "passed") is False
    ]
    if where:
        yield Remark(
            Caution.TOOL_DISAGREES,
            f"What htop drew and what /proc counted differ in {_several(where)}; the verdict uses the counters.",
        )


def _busy_before(run: RunFolder) -> Iterator[Remark]:
    """Hosts of the inventory that are one machine, by its boot id, are remarked on once."""
    busy: dict[str, list[str]] = {}
    for name, facts in sorted(run.hosts.items()):
        cores, cpus = number_at(facts, "busy_cores").value, number_at(facts, "cpu_count").value
        if cores is not None and cpus is not None and cores > MOST_BUSY_BEFORE * cpus:
            busy.setdefault(str(facts.get("host_boot_id") or name), []).append(name)
    for names in busy.values():
        facts = run.hosts[names[0]]
        yield Remark(
            Caution.HOST_BUSY_BEFORE,
            f"{' and '.join(names)} kept {facts['busy_cores']:.2g} of {facts['cpu_count']} CPUs busy with both arms "
            "stopped: end what else runs there and repeat.",
        )


def _uncommitted(run: RunFolder) -> Iterator[Remark]:
    if lookup(run.plan, "toolkit", "dirty") is True:
        yield Remark(
            Caution.UNCOMMITTED_CHANGES, "The toolkit had uncommitted changes: its commit does not name what ran."
        )


def _base(run: RunFolder) -> Iterator[Remark]:
    if run.plan["base_run"]:
        yield Remark(
            Caution.NOT_INTERLEAVED,
            f"The other arm's figures are those of run {run.plan['base_run']}, measured at another time: not "
            "interleaved, so "
            "nothing is tested.",
        )


def _resumed(run: RunFolder) -> Iterator[Remark]:
    times = sum(event.get("event") == "run_resumed" for event in run.journal)
    if times:
        yield Remark(
            Caution.RESUMED, f"The run was interrupted and resumed {'once' if times == 1 else f'{times} times'}."
        )


def _not_cold(run: RunFolder) -> Iterator[Remark]:
    judged = cold.cold_starts(run)
    if judged.rejected:
        first = next(iter(judged.rejected.values()))
        yield Remark(
            Caution.NOT_COLD,
            f"{len(judged.rejected)} of {judged.starts} starts were not cold and are not counted "
            f"({_several(judged.rejected)}): {'; '.join(first)}",
        )


def _pods_changed(run: RunFolder) -> Iterator[Remark]:
    changed = {
        trial.id: changes
        for trial in run.trials
        if (changes := watched.group_changes(run.records.get(trial.id, {}).get("facts", {}), Part.OPENFAAS))
    }
    if changed:
        first = next(iter(changed.values()))
        yield Remark(
            Caution.PODS_CHANGED,
            f"OpenFaaS's own pods did not stay the same in {_several(changed)}, so that their figures there are not "
            f"of one set of pods: {'; '.join(first)}",
        )


def _grant_unknown(run: RunFolder) -> Iterator[Remark]:
    arms = sorted(
        {
            trial.arm.value
            for trial in run.trials
            if trial.kind is Kind.START
            and not trial.discarded
            and parity.is_out_of_sight(run.records.get(trial.id, {}).get("facts", {}))
        }
    )
    if arms:
        yield Remark(
            Caution.GRANT_UNKNOWN,
            f"The {' and the '.join(arms)} arm ran on another host, where the CPUs and the memory it was granted "
            "cannot be read back: that they equal the other arm's is not checked.",
        )


def _steal(run: RunFolder) -> Iterator[Remark]:
    shares = steal.stolen(run)
    passed = [one for one in shares if one.share > steal.MOST_SHARE]
    worst = steal.worst(passed)
    if worst is not None:
        others = f"; {len(passed)} of {len(shares)} trials passed it" if len(passed) > 1 else ""
        yield Remark(
            Caution.STEAL,
            f"{steal.sentence(worst.share, worst.trial, worst.arm)}{others}. What is stolen is missing to the service: "
            "repeat the run, or measure on a machine whose CPUs are not shared.",
        )


def _credits(run: RunFolder) -> Iterator[Remark]:
    for arm, described in sorted(run.plan["arms"].items()):
        found = burst_credits.of_arm(run, described["host"])
        if found is not None and found["ran_out"]:
            yield Remark(
                Caution.CREDITS_RAN_OUT,
                f"{burst_credits.sentence(found, arm)}. Without credits an instance in standard mode is slowed down to "
                "its baseline; in unlimited mode it goes on, at a charge. Let credits accrue before a run, or take an "
                "instance that is not burstable.",
            )


def _calibration_drift(run: RunFolder) -> Iterator[Remark]:
    for arm, described in sorted(run.plan["arms"].items()):
        found = calibration.of_arm(run, described["host"])
        drifts = calibration.drifts(found) if found is not None else {}
        if drifts:
            said = " and ".join(calibration.drift_text(half, drift) for half, drift in drifts.items())
            yield Remark(
                Caution.CALIBRATION_DRIFT,
                f"The {arm} arm's machine {described['host']} was not as fast after the run as before it ({said}), by "
                f"more than {percent(calibration.MOST_DRIFT)}: its clock rate, its neighbours or its credits changed "
                "meanwhile.",
            )


def _python_builds(run: RunFolder) -> Iterator[Remark]:
    """Two builds of one Python are no unequal ground, but not the same program either."""
    builds: dict[Arm, set[str]] = {arm: set() for arm in Arm}
    for trial in run.trials:
        record = run.records.get(trial.id, {})
        build = lookup(record, "facts", "service_startup", "startup", "effective", "python_build")
        if trial.kind is Kind.START and not trial.discarded and isinstance(build, str):
            builds[trial.arm].add(build)
    if all(builds.values()) and len(set.union(*builds.values())) > 1:
        told = "; ".join(f"{arm}: {', '.join(sorted(builds[arm]))}" for arm in sorted(builds))
        yield Remark(
            Caution.PYTHON_BUILD,
            f"The services ran on different builds of Python ({told}): part of a difference may be the interpreter's.",
        )


def _counted(run: RunFolder) -> Iterator[tuple[PlannedTrial, Mapping[str, Any]]]:
    """Give the facts of every counted trial that was measured."""
    for trial in run.trials:
        if trial.counted and trial.id in run.records:
            yield trial, run.records[trial.id]["facts"]


def _throttled(run: RunFolder) -> Iterator[Remark]:
    """A quota that holds a service back in a few periods is its quota; in many of them it is what was measured."""
    worst: dict[Arm, tuple[float, str]] = {}
    for trial, facts in _counted(run):
        seen = disturbances.throttled(facts)
        if trial.kind is Kind.LOAD and seen is not None and seen.share is not None:
            worst[trial.arm] = max(worst.get(trial.arm, (0.0, trial.id)), (seen.share, trial.id))
    held = {arm: found for arm, found in worst.items() if found[0] > disturbances.MOST_THROTTLED_SHARE}
    if not held:
        return
    said = " and ".join(f"the {arm} arm in up to {percent(share)} ({trial})" for arm, (share, trial) in held.items())
    free = [arm for arm in worst if arm not in held]
    yield Remark(
        Caution.THROTTLED,
        f"The CPU quota held back {said} of its periods"
        + (f", the {free[0]} arm under the same quota in no more than {percent(worst[free[0]][0])}" if free else "")
        + ": the service asks for more CPU than it is granted. Grant both arms more, or read the figures as those of "
        "this quota.",
    )


def _swapped(run: RunFolder) -> Iterator[Remark]:
    found = {trial.id: size for trial, facts in _counted(run) if (size := disturbances.swapped(facts)) is not None}
    if found:
        worst = max(found, key=lambda name: found[name])
        yield Remark(
            Caution.SWAPPED,
            f"The host moved up to {found[worst] / 2**20:.3g} MiB to or from swap during a trial ({worst}; "
            f"{len(found)} of the counted trials): times may be the disk's, and memory that was swapped out is missing "
            "from the memory figures. Free memory or turn swap off, and repeat the run.",
        )


def _clock_set(run: RunFolder) -> Iterator[Remark]:
    found = {trial.id: step for trial, facts in _counted(run) if (step := disturbances.clock_step(facts)) is not None}
    if found:
        worst = max(found, key=lambda name: abs(found[name]))
        yield Remark(
            Caution.CLOCK_SET,
            f"The wall clock was set by up to {found[worst]:+.3g} s during a trial ({_several(found)}). Every figure "
            "is of the monotonic clock but ab's own, and a load that it spoils is not valid: let the clock settle "
            "before a run.",
        )


def _watch_window_off(run: RunFolder) -> Iterator[Remark]:
    found = {trial.id: off for trial, facts in _counted(run) if (off := disturbances.uncovered(facts)) is not None}
    if found:
        first, off = next(iter(found.items()))
        yield Remark(
            Caution.WATCH_WINDOW_OFF,
            f"What was watched does not cover the load in {_several(found)} ({first}: {off}): CPU there is not "
            "measured. Watch and load must be on one host; see the watcher's record for what ended it.",
        )


def _stalled(run: RunFolder) -> Iterator[Remark]:
    found = {trial.id: times for trial, facts in _counted(run) if (times := disturbances.stalled(facts)) is not None}
    if found:
        worst = max(found, key=lambda name: found[name][0])
        longest, median = found[worst]
        yield Remark(
            Caution.STALLED,
            f"A response took {longest:.3g} s where half of them took at most {median:.3g} s ({worst}; seen in "
            f"{len(found)} loads). ab is a closed loop: while it waited it sent nothing, so that its percentiles hide "
            "what users arriving meanwhile would have seen. An open-loop load shows that.",
        )


_FINDERS: tuple[Callable[[RunFolder], Iterator[Remark]], ...] = (
    _standins,
    _base,
    _queued,
    _client_share,
    _shared_cpus,
    _tool_disagrees,
    _watcher_failed,
    _busy_before,
    _uncommitted,
    _resumed,
    _not_cold,
    _pods_changed,
    _grant_unknown,
    _steal,
    _credits,
    _calibration_drift,
    _python_builds,
    _throttled,
    _swapped,
    _clock_set,
    _watch_window_off,
    _stalled,
    _open_loop_not_valid,
)


def _several(trials: Iterable[str]) -> str:
    """Name trials, of many the first three: the raw files have what was found in each."""
    names = list(trials)
    return ", ".join(names) if len(names) <= 4 else f"{', '.join(names[:3])} and {len(names) - 3} more"
