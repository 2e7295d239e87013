# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A small, seeded version of each proof; docs/statistics.md has the figures of the whole ones."""

from __future__ import annotations

import random

import pytest

from benchmarks import statistics_validation as proof

SHAPES = {shape.name: shape for shape in proof.SHAPES}


def test_the_recording_is_what_the_proof_asks_for() -> None:
    trials = proof.recorded_trials()
    assert len(trials) >= 60
    assert all(len(samples) >= 10 and min(samples) > 0 for samples in trials)
    # Every trial had a start of its own, so there are as many starts.
    assert len({tuple(samples) for samples in trials}) == len(trials)


@pytest.mark.parametrize("name", SHAPES)
def test_the_true_quantile_is_that_of_many_draws(name: str) -> None:
    chance, shape = random.Random(1), SHAPES[name]
    for fraction in (0.5, 0.95):
        truth = shape.quantile(fraction)
        below = sum(shape.draw(chance) <= truth for _ in range(20_000))
        assert below / 20_000 == pytest.approx(fraction, abs=0.012)


@pytest.mark.parametrize("name", SHAPES)
def test_the_interval_of_a_ratio_covers(name: str) -> None:
    # Four standard deviations of 500 simulations about 0.951, the level attained with 10 blocks.
    assert proof.ratio_coverage(SHAPES[name], 10, 500, random.Random(2)) == pytest.approx(0.951, abs=0.039)


@pytest.mark.parametrize("name", SHAPES)
def test_the_interval_of_a_quantile_covers(name: str) -> None:
    assert proof.quantile_coverage(SHAPES[name], 0.5, 100, 500, random.Random(3)) == pytest.approx(0.965, abs=0.035)


def test_a_slowdown_of_ten_percent_is_found_at_the_blocks_asked_for() -> None:
    found, blocks = proof.power(proof.simulated_ratios(SHAPES["skewed"], 1.1, 100), 40, random.Random(4))
    assert found >= 0.8 and blocks > 10


def test_a_slowdown_of_recorded_trials_is_found_at_the_blocks_asked_for() -> None:
    found, blocks = proof.power(proof.recorded_ratios(proof.recorded_trials(), 1.1), 40, random.Random(5))
    assert found >= 0.8 and blocks >= proof.verdict.FEWEST_PAIRS


def test_the_same_arm_twice_is_seldom_called_different() -> None:
    winners, significant = proof.same_arm_twice(
        proof.recorded_ratios(proof.recorded_trials()), 10, 100, random.Random(6)
    )
    # Of 100 at a true 5 %, 11 or fewer in 99.6 of 100 proofs.
    assert winners <= significant <= 0.11


@pytest.mark.parametrize("rule", [proof.rule("ci_half_width<=5%", 20), proof.rule("verdict", 20, (10, 14, 20))])
def test_a_rule_to_end_early_finds_no_more_winners(rule: proof.stop_rule.StopRule) -> None:
    ratios = proof.simulated_ratios(SHAPES["skewed"], 1.0)
    assert proof.stopped_share(ratios, rule, proof.WINNERS, 60, random.Random(7)) <= 0.15


def test_looking_at_every_block_without_a_correction_would_be_caught() -> None:
    """The proof has teeth: stop at the first p of 5 %, and more than twice as many winners are found."""
    ratios, chance, winners = proof.simulated_ratios(SHAPES["skewed"], 1.0), random.Random(8), 0
    for _ in range(100):
        run = ratios(20, chance)
        winners += any(proof.named(run[:blocks]) in proof.WINNERS for blocks in range(6, 21))
    assert winners / 100 > 0.11


def test_what_chance_may_name_is_28_of_400() -> None:
    assert proof.chance_at_most(400) == 28 / 400


def test_a_figure_that_misses_its_bounds_is_told(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    figures = [proof.Figure("power", "a case", 10, found, 0.9, 1.0) for found in (0.95, 0.85)]
    monkeypatch.setattr(proof, "figures", lambda _seed, _small: iter(figures))
    monkeypatch.setattr("sys.argv", ["statistics_validation.py"])
    assert proof.main() == 1
    printed = capsys.readouterr().out.splitlines()
    assert printed[2:] == [
        "| power | a case | 10 | 90.0 % to 100.0 % | 95.00 % |",
        "| power | a case | 10 | 90.0 % to 100.0 % | 85.00 % MISSED |",
    ]
