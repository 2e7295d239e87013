# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from analysis import clocks
from analysis.clocks import Clock, Reading, Window, seen_on
from analysis.evaluate import evaluate
from analysis.run_store import read_run
from analysis.schema import first_violation
from tests.unit.fixtures.runs.generator import BOOT_ID, SyntheticRun, change_json, change_plan, change_record

HERE, THERE = "the load's boot", "the watcher's boot"


def reading(offset: float, error: float = 0.001, moment: float = 99.0, boot: str = THERE) -> Reading:
    return Reading(offset, error, moment, boot)


def window(before: Reading | str, after: Reading | str, seconds: float = 10.0) -> Window:
    return Window(100.0, 100.0 + seconds, HERE, Clock(before, after))


def test_a_window_is_moved_by_the_offset_and_keeps_its_length() -> None:
    found = seen_on(window(reading(5000.0), reading(5000.0, moment=111.0)), THERE)
    assert isinstance(found, Window)
    assert (found.start, found.end, found.host_boot_id) == (5100.0, 5110.0, THERE)
    assert found.slack_seconds == pytest.approx(0.001)


@pytest.mark.parametrize(("boot", "other"), [(HERE, HERE), (None, HERE), (HERE, None), (None, None)])
def test_one_clock_is_not_converted(boot: str | None, other: str | None) -> None:
    given_window = Window(100.0, 110.0, boot, Clock(reading(5000.0), reading(5000.0)))
    assert seen_on(given_window, other) is given_window


@pytest.mark.parametrize(
    ("given_window", "said"),
    [
        (Window(100.0, 110.0, HERE), "clocks do not agree"),
        (window("connection refused", reading(0.0)), "not known before the load: connection refused"),
        (window(reading(0.0), "connection refused"), "not known after the load: connection refused"),
        (
            window(reading(0.0, boot="a third"), reading(0.0, boot="a third")),
            "not that of the host where the service was watched",
        ),
        (window(reading(0.0), reading(0.0, boot="after a reboot")), "was rebooted"),
        # 12 s in between allow 0.012 s, and the errors 0.002 s.
        (window(reading(5.0), reading(5.0145, moment=111.0)), "changed by 0.0145 s"),
        (window(reading(5.0, 0.51), reading(5.0, 0.2, moment=111.0)), "more than 5 %"),
    ],
)
def test_what_cannot_be_found_there_has_a_reason_of_its_own(given_window: Window, said: str) -> None:
    found = seen_on(given_window, THERE)
    assert isinstance(found, str)
    assert said in found


def test_a_slack_of_5_percent_is_still_taken() -> None:
    found = seen_on(window(reading(5.0, 0.5), reading(5.0, 0.2, moment=111.0)), THERE)
    assert isinstance(found, Window)
    assert found.slack_seconds == pytest.approx(0.5)


def test_a_drift_that_two_clocks_can_have_widens_the_slack() -> None:
    found = seen_on(window(reading(5.0), reading(5.012, moment=111.0)), THERE)
    assert isinstance(found, Window)
    assert found.start == pytest.approx(105.006)
    assert found.slack_seconds == pytest.approx(0.007)


def measured(ahead: float, drift: float, moment: float, there: float, back: float) -> Reading:
    """What one round trip says of a clock that is truly ``ahead`` at 0 and gains ``drift``: begun at ``moment``,
    ``there`` on its way to the stamp and ``back`` from it."""
    stamped = moment + there
    stamp = stamped + ahead + drift * stamped
    middle = moment + (there + back) / 2
    return Reading(stamp - middle, (there + back) / 2, middle, THERE)


ways = st.floats(1e-5, 0.05)


@given(
    ahead=st.floats(-1e6, 1e6),
    drift=st.floats(-clocks.MOST_DRIFT, clocks.MOST_DRIFT),
    seconds=st.floats(5.0, 60.0),
    trips=st.tuples(ways, ways, ways, ways),
)
def test_the_truth_lies_within_the_slack(
    ahead: float, drift: float, seconds: float, trips: tuple[float, float, float, float]
) -> None:
    """The clock that is read is truly ``ahead + drift * t`` ahead at the moment t of the reader's own clock."""
    before = measured(ahead, drift, 99.8, *trips[:2])
    after = measured(ahead, drift, 100.0 + seconds + 0.1, *trips[2:])
    found = seen_on(window(before, after, seconds), THERE)
    assert isinstance(found, Window)
    for edge, placed in ((100.0, found.start), (100.0 + seconds, found.end)):
        assert abs(placed - (edge + ahead + drift * edge)) <= found.slack_seconds + 1e-6
    assert found.seconds == pytest.approx(seconds)


def facts(**changes: Any) -> dict[str, Any]:
    one = {"n": 20, "offset_seconds": 5.0, "error_seconds": 0.001, "host_boot_id": THERE, "monotonic_seconds": 99.0}
    return {"clock": {"before": one, "after": {**one, "reason": None, **changes}}}


def test_a_clock_is_read_from_the_load_generators_facts() -> None:
    assert clocks.clock_of(facts()) == Clock(reading(5.0), reading(5.0))
    assert clocks.boot_ids(clocks.clock_of(facts())) == {THERE}


@pytest.mark.parametrize("found", [None, {}, {"clock": None}, {"clock": 3}])
def test_without_one_there_is_none(found: object) -> None:
    assert clocks.clock_of(found) is None
    assert clocks.boot_ids(None) == set()


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"offset_seconds": None, "reason": "refused"}, "refused"),
        ({"host_boot_id": None}, "nobody answered"),
        ({"monotonic_seconds": True}, "nobody answered"),
    ],
)
def test_a_reading_that_says_nothing_is_its_reason(changes: dict[str, Any], reason: str) -> None:
    found = clocks.clock_of(facts(**changes))
    assert found is not None
    assert found.after == reason


def test_an_edge_without_any_reading_is_a_reason_too() -> None:
    found = clocks.clock_of({"clock": {"before": None, "after": None}})
    assert found == Clock("nobody answered", "nobody answered")


AHEAD = 5000.0
CLIENT = "0c11e27a-0000-4000-8000-000000000002"


@pytest.fixture
def remote(run_folder: Path) -> Path:
    """A run whose loads came from another machine, with a clock of its own that the services' host's is ahead of."""

    def move(plan: dict[str, Any]) -> None:
        for found in (*plan["arms"].values(), *plan["trials"]):
            found["load_host"] = "client"

    def elsewhere(record: dict[str, Any]) -> None:
        load = record["facts"]["ab_benchmark"]
        begin, end = (load["window"][f"{edge}_monotonic_seconds"] - AHEAD for edge in ("start", "end"))
        load["window"] = {"start_monotonic_seconds": begin, "end_monotonic_seconds": end, "host_boot_id": CLIENT}
        said = {"n": 20, "offset_seconds": AHEAD, "error_seconds": 0.0005, "host_boot_id": BOOT_ID, "reason": None}
        load["clock"] = {
            "before": {**said, "monotonic_seconds": begin - 0.5},
            "after": {**said, "monotonic_seconds": end + 0.5},
        }

    change_plan(run_folder, move)
    for path in run_folder.glob("raw/b*-load.json"):
        change_json(path, elsewhere)
    return run_folder


def figures(folder: Path, trial: str = "b01-server-load") -> dict[str, Any]:
    run = evaluate(read_run(folder))
    assert first_violation("run", run) is None
    found = next(one for one in run["trials"] if one["id"] == trial)
    return {**found["figures"], "course": found["data"]["cores"], "codes": {one["code"] for one in run["warnings"]}}


def test_a_run_with_a_load_from_another_machine_has_the_figures_of_one_machine(tmp_path: Path, remote: Path) -> None:
    here = figures(SyntheticRun().write(tmp_path / "here"))
    there = figures(remote)
    for name in ("busy_cpu_cores", "busy_cpu_seconds_per_request", "busy_memory_bytes"):
        assert there[name]["value"] == pytest.approx(here[name]["value"], rel=1e-3)
    assert [value for _, value in there["course"]] == pytest.approx([value for _, value in here["course"]], rel=1e-3)
    assert "watch_window_off" not in there["codes"]
    assert evaluate(read_run(remote))["valid"]


def test_a_slack_that_is_too_wide_is_the_figures_reason(remote: Path) -> None:
    change_record(remote, "b01-server-load", {("ab_benchmark", "clock", "after", "error_seconds"): 5.0})
    found = figures(remote)
    for name in ("busy_cpu_cores", "busy_memory_bytes", "busy_htop_cpu_percent"):
        assert found[name]["value"] is None
        assert "more than 5 %" in found[name]["reason"]
    assert "watch_window_off" in found["codes"]


@pytest.mark.parametrize("clock", [None, {"before": None, "after": None}])
def test_without_a_clock_of_the_services_host_its_cpu_is_not_measured(remote: Path, clock: Any) -> None:
    change_record(remote, "b01-server-load", {("ab_benchmark", "clock"): clock})
    assert figures(remote)["busy_cpu_cores"]["value"] is None


@pytest.mark.parametrize("which", [("htop", "host_boot_id"), ("ab_benchmark", "clock", "after", "host_boot_id")])
def test_a_reboot_of_the_services_host_is_found_from_another_machine(remote: Path, which: tuple[str, ...]) -> None:
    booted = ("service_startup", "startup", "host_boot_id")
    change_record(remote, "b01-server-start", {booted: BOOT_ID})
    assert evaluate(read_run(remote))["valid"]
    change_record(remote, "b01-server-load", {which: "after the reboot"})
    assert ("host_rebooted", "b01-server-load") in {
        (one["code"], one["trial"]) for one in evaluate(read_run(remote))["invalid_reasons"]
    }


def test_a_load_generator_on_another_machine_takes_no_cpu_from_the_service(remote: Path) -> None:
    """The remark is about the service's own CPUs, which the watchers alone share there."""
    change_record(remote, "b01-server-load", {("ab_benchmark", "client", "cpu_cores"): 0.5})
    assert "client_cpu_share" not in figures(remote)["codes"]
