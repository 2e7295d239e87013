# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.plan: the order of a run's trials."""

from __future__ import annotations

import random
from collections import Counter

import pytest
from evenkeel.plan import block_orders, finished, open_loop_fraction, open_loop_mode, trial_plan, turns
from hypothesis import given
from hypothesis import strategies as st

BOTH = {"server": {"host": "s", "load_host": "s"}, "serverless": {"host": "f", "load_host": "l"}}
DEMO = {"trained_starts": 1, "loading_starts": 6, "blocks": 6, "idle_windows": 2}


@given(st.integers(0, 2**31), st.integers(0, 20))
def test_either_arm_goes_first_equally_often(seed: int, pairs: int) -> None:
    orders = block_orders(["a", "b"], 2 * pairs, random.Random(seed))
    assert Counter(order[0] for order in orders) == Counter({"a": pairs, "b": pairs} if pairs else {})
    for first, second in zip(orders[::2], orders[1::2], strict=True):
        assert first == second[::-1]


@given(st.integers(0, 2**31), st.integers(1, 21))
def test_a_block_holds_each_arm_once(seed: int, blocks: int) -> None:
    orders = block_orders(["a", "b"], blocks, random.Random(seed))
    assert len(orders) == blocks
    assert all(sorted(order) == ["a", "b"] for order in orders)


def test_the_seed_decides_the_order() -> None:
    assert trial_plan(DEMO, BOTH, 7) == trial_plan(DEMO, BOTH, 7)
    assert len({str(trial_plan(DEMO, BOTH, seed)) for seed in range(20)}) > 10


def test_the_demo_counts_what_its_profile_says() -> None:
    trials = trial_plan(DEMO, BOTH, 1)
    counted = Counter((trial["arm"], trial["kind"], trial["mode"]) for trial in trials if trial["counted"])
    for arm in BOTH:
        assert counted[arm, "start", "train"] == 1
        assert counted[arm, "start", "load"] == 6
        assert counted[arm, "idle", None] == 2
        assert counted[arm, "load", None] == 6
    assert [trial["order"] for trial in trials] == list(range(1, len(trials) + 1))
    assert len({trial["id"] for trial in trials}) == len(trials)


def test_every_turn_begins_with_a_start_of_its_own_arm() -> None:
    trials = [trial for trial in trial_plan(DEMO, BOTH, 3) if trial["block"]]
    turns: list[list[str]] = []
    for trial in trials:
        if trial["kind"] == "start":
            turns.append([])
        turns[-1].append(trial["arm"])
    assert len(turns) == 12
    assert all(len(set(turn)) == 1 for turn in turns)


def test_each_arm_starts_once_for_the_page_cache() -> None:
    trials = trial_plan(DEMO, BOTH, 1)
    assert [trial["mode"] for trial in trials[:4]] == ["imports", "imports", "train", "train"]
    assert not any(trial["counted"] for trial in trials[:2])


def test_without_trained_starts_the_blocks_follow_the_discarded_ones() -> None:
    trials = trial_plan({**DEMO, "trained_starts": 0}, BOTH, 1)
    assert [trial["mode"] for trial in trials[:3]] == ["imports", "imports", "load"]


def test_only_the_first_starts_and_windows_are_counted() -> None:
    trials = trial_plan({**DEMO, "loading_starts": 3, "blocks": 10, "idle_windows": 1}, BOTH, 1)
    starts = [trial for trial in trials if trial["mode"] == "load"]
    assert len(starts) == 20
    assert {trial["block"] for trial in starts if trial["counted"]} == {1, 2, 3}
    assert [trial["block"] for trial in trials if trial["kind"] == "idle"] == [1, 1]


def test_one_arm_alone() -> None:
    trials = trial_plan(DEMO, {"server": BOTH["server"]}, 1)
    assert {trial["arm"] for trial in trials} == {"server"}
    assert {trial["host"] for trial in trials} == {"s"}


@pytest.mark.parametrize(
    ("run", "arms", "named"),
    [(DEMO, {}, "arms"), (DEMO, {"other": BOTH["server"]}, "other"), ({**DEMO, "blocks": 0}, BOTH, "blocks: got 0")],
)
def test_what_cannot_be_planned_is_refused(run: dict[str, int], arms: dict[str, dict[str, str]], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        trial_plan(run, arms, 1)


def test_a_turn_is_one_life_of_a_service() -> None:
    lives = turns(trial_plan(DEMO, BOTH, 1))
    assert [len(life) for life in lives] == [1] * 4 + [3] * 4 + [2] * 8
    assert all(life[0]["kind"] == "start" for life in lives)


def test_a_broken_turn_is_not_finished() -> None:
    trials = trial_plan({**DEMO, "trained_starts": 0}, {"server": BOTH["server"]}, 1)
    recorded = [trial["id"] for trial in trials[:6]]
    assert finished(trials, recorded) == [trial["id"] for trial in trials[:4]]
    assert finished(trials, [trial["id"] for trial in trials]) == [trial["id"] for trial in trials]
    assert finished(trials, []) == []


OPEN_LOOP = {"request": "predict", "fractions": [0.3, 0.6, 0.8], "blocks": 2, "sweep": {}}


def test_an_open_loop_adds_to_the_turns_and_moves_nothing() -> None:
    """What a run without one has stays in its order, so that its seed means the same."""
    plain = trial_plan(DEMO, BOTH, 7)
    trials = trial_plan(DEMO | {"open_loop": OPEN_LOOP}, BOTH, 7)
    kept = [trial["id"] for trial in trials if trial["kind"] not in ("capacity", "open_loop")]
    assert kept == [trial["id"] for trial in plain]
    assert trial_plan(DEMO | {"open_loop": None}, BOTH, 7) == plain
    assert [trial["order"] for trial in trials] == list(range(1, len(trials) + 1))


def test_the_capacity_is_known_before_the_first_rate_and_the_sweep_comes_last() -> None:
    trials = trial_plan(DEMO | {"open_loop": OPEN_LOOP}, BOTH, 7)
    assert {(trial["block"], trial["id"]) for trial in trials if trial["kind"] == "capacity"} == {
        (1, f"c01-{arm}-capacity") for arm in BOTH
    }
    for arm in BOTH:
        for block in (2, 3):
            turn = [trial for trial in trials if (trial["arm"], trial["block"]) == (arm, block)]
            modes = [trial["mode"] for trial in turn if trial["kind"] == "open_loop"]
            assert sorted(modes[:3]) == ["rate30", "rate60", "rate80"]
            assert modes[3:] == (["sweep"] if block == 3 else [])
            assert [trial["kind"] for trial in turn].index("load") < len(turn) - len(modes)
    others = [trial_plan(DEMO | {"open_loop": OPEN_LOOP}, BOTH, seed) for seed in range(10)]
    orders = {tuple(trial["mode"] for trial in other if trial["kind"] == "open_loop") for other in others}
    assert len(orders) > 5, "the rates come in an order that the seed draws"


def test_an_evaluations_capacity_is_that_of_the_load_itself() -> None:
    trials = trial_plan(DEMO | {"open_loop": OPEN_LOOP | {"request": "evaluate", "sweep": None}}, BOTH, 7)
    assert Counter(trial["kind"] for trial in trials)["capacity"] == 0
    assert not any(trial["mode"] == "sweep" for trial in trials)


@pytest.mark.parametrize(
    ("change", "named"),
    [
        ({"blocks": 6}, "open_loop.blocks"),
        ({"blocks": 0}, "open_loop.blocks"),
        ({"fractions": [0.3, 0.301]}, "open_loop.fractions"),
        ({"fractions": []}, "open_loop.fractions"),
        ({"fractions": [3]}, "open_loop.fractions"),
    ],
)
def test_an_open_loop_that_cannot_be_planned_is_refused(change: dict[str, object], named: str) -> None:
    with pytest.raises(ValueError, match=named):
        trial_plan(DEMO | {"open_loop": OPEN_LOOP | change}, BOTH, 7)


@given(st.integers(1, 200))
def test_a_mode_names_its_fraction(percent: int) -> None:
    assert open_loop_fraction(open_loop_mode(percent / 100)) == percent / 100
    assert open_loop_fraction("sweep") is open_loop_fraction(None) is open_loop_fraction("load") is None


def test_only_an_open_loop_is_planned_from_several_load_hosts() -> None:
    """ab is one process on one host, so every other trial comes from the first of them."""
    open_loop = {"request": "predict", "blocks": 2, "fractions": [0.3, 0.8], "sweep": None}
    arms = {"server": {"host": "s", "load_host": "a", "load_hosts": ["a", "b"]}, "serverless": BOTH["serverless"]}
    for trial in trial_plan({**DEMO, "open_loop": open_loop}, arms, 1):
        several = trial["arm"] == "server" and trial["kind"] == "open_loop"
        assert trial.get("load_hosts") == (["a", "b"] if several else None)
        assert trial["load_host"] == arms[trial["arm"]]["load_host"]
