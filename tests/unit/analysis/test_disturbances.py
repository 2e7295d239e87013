# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What disturbs a trial is found from its facts, has its code and its words, and is never found in a good run."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from analysis import disturbances
from analysis.evaluate import evaluate
from analysis.run_store import read_run
from analysis.schema import Arm, Caution, Kind, Reason, first_violation
from tests.unit.fixtures.runs.generator import change_record

LOAD = "b02-serverless-load"
DISTURBANCES = {Caution.THROTTLED, Caution.SWAPPED, Caution.CLOCK_SET, Caution.WATCH_WINDOW_OFF, Caution.STALLED}


def judged(folder: Path) -> dict[str, Any]:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    return run


def reasons(folder: Path) -> dict[str, str]:
    return {reason["code"]: f"{reason['trial']}: {reason['message']}" for reason in judged(folder)["invalid_reasons"]}


def remarks(folder: Path) -> dict[str, str]:
    run = judged(folder)
    assert run["valid"], "a remark is no reason against a run"
    return {caution["code"]: caution["message"] for caution in run["warnings"] if caution["code"] in DISTURBANCES}


def group(periods: int | None, elapsed: int | None, quota: float | None) -> dict[str, Any]:
    return {
        "throttled_periods": periods,
        "elapsed_periods": elapsed,
        "throttled_seconds": None if periods is None else periods / 20,
        "cpu_quota_cores": quota,
    }


def granted(folder: Path, quota: float | None) -> None:
    """Let every counted start of both arms have been granted this quota."""
    for trial in read_run(folder).trials:
        if trial.kind is Kind.START and not trial.discarded:
            change_record(folder, trial.id, {("service_startup", "granted", "cpu_quota_cores"): quota})


def test_a_good_run_has_none_of_them(run_folder: Path) -> None:
    assert (reasons(run_folder), remarks(run_folder)) == ({}, {})


@pytest.mark.parametrize(("cores", "found"), [(0.95, True), (0.9, True), (0.89, False), (0.004, False)])
def test_a_load_generator_at_the_end_of_its_one_thread_measures_itself(
    run_folder: Path, cores: float, found: bool
) -> None:
    change_record(run_folder, LOAD, {("ab_benchmark", "client", "cpu_cores"): cores})
    against = reasons(run_folder)
    assert set(against) == ({Reason.CLIENT_SATURATED} if found else set())
    if found:
        assert f"{LOAD}: the load generator used {cores:.2g} CPU cores" in against[Reason.CLIENT_SATURATED]
        assert "load_host" in against[Reason.CLIENT_SATURATED], "it says what to do"


def test_a_clock_that_was_set_under_ab_has_its_own_code(run_folder: Path) -> None:
    said = "clock_disagrees: the wall clock was set by 0.4 s"
    change_record(run_folder, LOAD, {("ab_benchmark", "valid"): False, ("ab_benchmark", "invalid_reasons"): [said]})
    assert reasons(run_folder) == {Reason.CLOCK_STEPPED: f"{LOAD}: {said}"}


@pytest.mark.parametrize(("step", "found"), [(-2.5, True), (0.5, True), (0.001, False), (0.0, False), (None, False)])
def test_a_clock_that_was_set_beside_a_load_is_said(run_folder: Path, step: float | None, found: bool) -> None:
    change_record(run_folder, LOAD, {("htop", "window", "wall_clock_step_seconds"): step})
    said = remarks(run_folder)
    assert set(said) == ({Caution.CLOCK_SET} if found else set())
    if found:
        assert f"{step:+.3g} s" in said[Caution.CLOCK_SET] and LOAD in said[Caution.CLOCK_SET]


@pytest.mark.parametrize(
    ("size", "found"), [(64 * 2**20, True), (2**20 + 1, True), (2**20, False), (0, False), (None, False)]
)
def test_a_host_that_swapped_is_said(run_folder: Path, size: int | None, found: bool) -> None:
    change_record(run_folder, LOAD, {("htop", "window", "host_swapped_bytes"): size})
    said = remarks(run_folder)
    assert set(said) == ({Caution.SWAPPED} if found else set())
    if found:
        assert LOAD in said[Caution.SWAPPED] and "repeat the run" in said[Caution.SWAPPED]


def test_a_quota_that_holds_one_arm_back_is_said_with_the_other_arms_share(run_folder: Path) -> None:
    granted(run_folder, 1.5)
    for trial in read_run(run_folder).trials:
        if trial.kind is Kind.LOAD:
            held = 40 if trial.arm is Arm.SERVERLESS else 1
            change_record(run_folder, trial.id, {("htop", "cgroup"): group(held, 100, 1.5)})
    said = remarks(run_folder)
    assert set(said) == {Caution.THROTTLED}
    assert "the serverless arm in up to 40 %" in said[Caution.THROTTLED]
    assert "the server arm under the same quota in no more than 1 %" in said[Caution.THROTTLED]


@pytest.mark.parametrize("found", [group(9, 100, 1.5), group(0, 100, 1.5), group(40, None, 1.5)])
def test_few_periods_are_a_quotas_nature_and_uncounted_ones_are_unknown(
    run_folder: Path, found: dict[str, Any]
) -> None:
    granted(run_folder, 1.5)
    change_record(run_folder, LOAD, {("htop", "cgroup"): found})
    assert (reasons(run_folder), remarks(run_folder)) == ({}, {})


@pytest.mark.parametrize(
    ("started", "under", "said"),
    [
        (None, group(0, 0, 1.0), "started with no CPU quota and watched under a CPU quota of 1 cores"),
        (2.0, group(50, 100, 1.0), "started with a CPU quota of 2 cores and watched under a CPU quota of 1 cores"),
        (2.0, group(0, 0, None), "started with a CPU quota of 2 cores and watched under no CPU quota"),
        (None, group(7, 100, None), "a quota held it back in 7 periods"),
    ],
)
def test_a_quota_that_is_not_the_one_of_the_start_is_a_reason(
    run_folder: Path, started: float | None, under: dict[str, Any], said: str
) -> None:
    granted(run_folder, started)
    change_record(run_folder, LOAD, {("htop", "cgroup"): under})
    assert said in reasons(run_folder)[Reason.QUOTA_CHANGED]


@pytest.mark.parametrize(
    ("started", "under"), [(None, group(0, 0, None)), (2.0, group(0, 9, 2.0)), (2.0, group(None, None, None))]
)
def test_the_same_quota_or_an_unknown_one_is_none(
    run_folder: Path, started: float | None, under: dict[str, Any]
) -> None:
    granted(run_folder, started)
    change_record(run_folder, LOAD, {("htop", "cgroup"): under})
    assert reasons(run_folder) == {}


def test_the_pod_of_one_container_has_a_quota_and_a_pod_of_several_has_none_of_its_own() -> None:
    def facts(containers: int) -> dict[str, Any]:
        one = {"name": "function", "containers": [{}] * containers, "cgroup": group(3, 10, None)}
        return {"pod_stats": {"groups": [one]}}

    assert disturbances.throttled(facts(1)) == disturbances.Throttled(3, 0.3, 0.15, None)
    assert disturbances.throttled(facts(2)) is None
    docker = {"docker_stats": {"containers": [{"cgroup": group(1, 4, 2.0)}]}}
    assert disturbances.throttled(docker) == disturbances.Throttled(1, 0.25, 0.05, 2.0)
    assert disturbances.throttled({}) is None


@pytest.mark.parametrize(("share", "found"), [(0.01, True), (0.19, True), (0.21, False), (1.0, False)])
def test_answers_that_cost_next_to_nothing_were_not_computed(run_folder: Path, share: float, found: bool) -> None:
    facts = read_run(run_folder).records[LOAD]["facts"]
    window = facts["ab_benchmark"]["window"]
    seconds = window["end_monotonic_seconds"] - window["start_monotonic_seconds"]
    # 10 requests; an evaluation after a start costs 0.45 s on 1.93 cores.
    cores = share * 10 * 0.45 * 1.93 / seconds
    begin = facts["htop"]["counters"]["samples"][0][0]
    samples = [[moment, (moment - begin) * cores] for moment, _ in facts["htop"]["counters"]["samples"]]
    change_record(run_folder, LOAD, {("htop", "counters", "samples"): samples})
    against = reasons(run_folder)
    assert set(against) == ({Reason.NOT_COMPUTED} if found else set())
    if found:
        assert "were not computed on the request" in against[Reason.NOT_COMPUTED]


def test_an_evaluation_that_was_not_measured_judges_no_load(run_folder: Path) -> None:
    facts = read_run(run_folder).records[LOAD]["facts"]
    assert disturbances.evaluation_cost({"service_startup": {"evaluation": None}}) is None
    assert disturbances.not_computed(facts, None) is None
    assert disturbances.not_computed(facts, 1e9) is not None


def off_by(late: float, early: float) -> Callable[[list[list[float]], float, float], list[list[float]]]:
    def cut(samples: list[list[float]], start: float, end: float) -> list[list[float]]:
        return [one for one in samples if start + late <= one[0] <= end - early]

    return cut


@pytest.mark.parametrize(
    ("late", "early", "said"), [(1.0, -9.0, "s after the load"), (-9.0, 1.0, "s before it"), (1.0, 1.0, " and ended ")]
)
def test_a_watcher_beside_its_load_is_said(run_folder: Path, late: float, early: float, said: str) -> None:
    facts = read_run(run_folder).records[LOAD]["facts"]
    window = facts["ab_benchmark"]["window"]
    cut = off_by(late, early)
    kept = cut(facts["htop"]["counters"]["samples"], window["start_monotonic_seconds"], window["end_monotonic_seconds"])
    change_record(run_folder, LOAD, {("htop", "counters", "samples"): kept})
    found = remarks(run_folder)
    assert set(found) == {Caution.WATCH_WINDOW_OFF}
    assert said in found[Caution.WATCH_WINDOW_OFF] and LOAD in found[Caution.WATCH_WINDOW_OFF]


def test_a_watcher_of_another_boot_or_without_readings_is_said(run_folder: Path) -> None:
    change_record(run_folder, LOAD, {("htop", "host_boot_id"): "another"})
    assert "different hosts" in remarks(run_folder)[Caution.WATCH_WINDOW_OFF]
    change_record(run_folder, LOAD, {("htop", "counters", "samples"): []})
    assert "read no counter twice" in remarks(run_folder)[Caution.WATCH_WINDOW_OFF]


@pytest.mark.parametrize(("longest", "found"), [(3.99, False), (4.0, True), (200.0, True)])
def test_a_response_of_many_medians_is_a_stall(longest: float, found: bool) -> None:
    facts = {"ab_benchmark": {"latency_seconds": {"p50": 1.0, "max": longest}}}
    assert disturbances.stalled(facts) == ((longest, 1.0) if found else None)


def test_a_load_without_a_median_has_no_stall() -> None:
    assert disturbances.stalled({"ab_benchmark": {"latency_seconds": {"p50": None, "max": 5.0}}}) is None
    assert disturbances.stalled({}) is None
