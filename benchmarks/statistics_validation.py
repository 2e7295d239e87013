# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Proves the verdict's statistics by simulation: coverage of the intervals, power, and the same arm twice.

It runs the code that judges real runs (``analysis.verdict``, ``analysis.stopping``, ``analysis.statistics``) on samples
whose truth is known, and prints a table with what was asked and what came out; docs/statistics.md states the figures.
From the repository's root, with the development environment (``make lint`` makes it)::

    PYTHONPATH=.:plugins/module_utils .venv-dev/bin/python benchmarks/statistics_validation.py

``--small`` takes a tenth of the simulations, with wider bounds: it shows that the script works, not that the figures
hold. The exit code is 1 where a figure misses its bounds. Everything is drawn from ``--seed``.
"""

from __future__ import annotations

import argparse
import json
import math
import random
import statistics as plain
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from evenkeel import stop_rule
from evenkeel.plan import ARMS, block_orders
from scipy import optimize, stats

from analysis import statistics, stopping, verdict
from analysis.metrics import DURATION
from analysis.schema import Verdict

RECORDING = Path(__file__).parent / "data" / "server-trials.json"
SEED = 20261129
MARGIN = 0.05
SLOWDOWN = 1.10
PILOT_BLOCKS = 10
REQUESTS = 20
REQUESTS_OF_POWER = 100  # as many as a load of the profile demo may have
WINNERS = frozenset({Verdict.FASTER, Verdict.SLOWER})

Draw = Callable[[random.Random], float]


@dataclass(frozen=True)
class Shape:
    """A distribution of latencies: how one is drawn, and the probability of at most some value."""

    name: str
    draw: Draw
    at_most: Callable[[float], float]

    def quantile(self, fraction: float) -> float:
        """Give the true quantile."""
        return float(optimize.brentq(lambda value: self.at_most(value) - fraction, 1e-6, 1e4))


@dataclass(frozen=True)
class Figure:
    """One figure of the proof; ``low`` and ``high`` are the bounds asked for, as fractions of the simulations."""

    proof: str
    case: str
    simulations: int
    found: float
    low: float
    high: float

    @property
    def holds(self) -> bool:
        """Whether it lies within the bounds."""
        return self.low <= self.found <= self.high


def _lognormal(scale: float, spread: float) -> tuple[Draw, Callable[[float], float]]:
    centre = math.log(scale)
    return (
        lambda chance: chance.lognormvariate(centre, spread),
        lambda value: float(stats.norm.cdf((math.log(value) - centre) / spread)),
    )


def _mixed(name: str, share: float, usual: float, other: float, spread: float) -> Shape:
    """Mix two lognormal parts; ``share`` of the values are of the second."""
    (draw_usual, below_usual), (draw_other, below_other) = _lognormal(usual, spread), _lognormal(other, spread)
    return Shape(
        name,
        lambda chance: (draw_other if chance.random() < share else draw_usual)(chance),
        lambda value: (1 - share) * below_usual(value) + share * below_other(value),
    )


SHAPES = (
    Shape("skewed", *_lognormal(1.0, 0.6)),
    _mixed("bimodal", 0.3, 1.0, 2.2, 0.1),
    _mixed("outlier-laden", 0.03, 1.0, 10.0, 0.2),
)


def ratio_coverage(shape: Shape, blocks: int, simulations: int, chance: random.Random) -> float:
    """Give how often the 95 % interval of the ratio holds the truth, a slowdown of 10 %.

    A block's two trials are drawn from one distribution under a common factor of the block's, so that they may be
    exchanged: d is symmetric about ln 1.1.
    """
    covered = 0
    for _ in range(simulations):
        ratios = []
        for _ in range(blocks):
            machine = math.exp(chance.gauss(0, 0.05))
            server, serverless = (machine * plain.fmean(shape.draw(chance) for _ in range(REQUESTS)) for _ in range(2))
            ratios.append(SLOWDOWN * serverless / server)
        interval = verdict.compare(ratios).interval
        assert interval is not None
        covered += interval.low <= SLOWDOWN <= interval.high
    return covered / simulations


def quantile_coverage(shape: Shape, fraction: float, requests: int, simulations: int, chance: random.Random) -> float:
    """Give how often the order-statistic interval of one run's quantile holds the true quantile."""
    truth, covered = shape.quantile(fraction), 0
    for _ in range(simulations):
        sample = sorted(shape.draw(chance) for _ in range(requests))
        interval = statistics.quantile_interval(sample, fraction, 0.95)
        assert interval is not None
        covered += interval.low <= truth <= interval.high
    return covered / simulations


Ratios = Callable[[int, random.Random], list[float]]


def recorded_ratios(trials: Sequence[Sequence[float]], effect: float = 1.0) -> Ratios:
    """Draw the ratios of runs in which both arms are whole recorded trials of one arm.

    A block is two trials that were neighbours in time, which of them is whose by the toolkit's own balanced order.
    Every request of the serverless arm takes ``effect`` times as long as it did.
    """
    means = [plain.fmean(samples) for samples in trials]

    def draw(blocks: int, chance: random.Random) -> list[float]:
        ratios = []
        for order in block_orders(list(ARMS), blocks, chance):
            first = chance.randrange(len(means) - 1)
            figures = dict(zip(order, means[first : first + 2], strict=True))
            ratios.append(effect * figures["serverless"] / figures["server"])
        return ratios

    return draw


def simulated_ratios(shape: Shape, effect: float, requests: int = REQUESTS) -> Ratios:
    """Draw the ratios of runs whose requests are of one shape."""

    def draw(blocks: int, chance: random.Random) -> list[float]:
        def trial() -> float:
            return plain.fmean(shape.draw(chance) for _ in range(requests))

        return [effect * trial() / trial() for _ in range(blocks)]

    return draw


def named(ratios: Sequence[float], significance: float = verdict.SIGNIFICANCE) -> Verdict:
    """Give the verdict of a run."""
    compared = verdict.compare(ratios, significance)
    return verdict.decide(compared, compared.p, MARGIN, *DURATION, significance=significance).verdict


def stopped(ratios: Sequence[float], rule: stop_rule.StopRule) -> Verdict:
    """Give the verdict of a run with a rule, by the blocks that it measured."""
    found = stopping.stopping(rule, len(ratios), lambda blocks: ratios[:blocks], MARGIN, DURATION)
    return named(ratios[: found.stopped_at or len(ratios)], found.significance)


def asked_for(pilot: Sequence[float]) -> int:
    """Give the number of blocks that the report of a pilot run asks for, at least those of an interval."""
    interval = verdict.compare(pilot).interval
    assert interval is not None
    return max(verdict.FEWEST_PAIRS, statistics.blocks_needed(len(pilot), interval, MARGIN))


def power(ratios: Ratios, simulations: int, chance: random.Random) -> tuple[float, float]:
    """Give how often a run at the number of blocks that a pilot run asked for says slower; and that number's median."""
    counts, slower = [], 0
    for _ in range(simulations):
        counts.append(asked_for(ratios(PILOT_BLOCKS, chance)))
        slower += named(ratios(counts[-1], chance)) is Verdict.SLOWER
    return slower / simulations, plain.median(counts)


def stopped_share(
    ratios: Ratios, rule: stop_rule.StopRule, words: frozenset[Verdict], simulations: int, chance: random.Random
) -> float:
    """Give how often a run that may end by ``rule`` has one of these verdicts."""
    return sum(stopped(ratios(rule.looks[-1], chance), rule) in words for _ in range(simulations)) / simulations


def same_arm_twice(ratios: Ratios, blocks: int, simulations: int, chance: random.Random) -> tuple[float, float]:
    """Give how often a winner is named, and how often p is at most 5 % whatever the margin."""
    runs = [ratios(blocks, chance) for _ in range(simulations)]
    significant = sum((verdict.compare(run).p or 1) <= verdict.SIGNIFICANCE for run in runs)
    return sum(named(run) in WINNERS for run in runs) / simulations, significant / simulations


def recorded_trials(path: Path = RECORDING) -> list[list[float]]:
    """Read the recorded trials, each its requests' times in seconds, in the order of time."""
    return [trial["samples_seconds"] for trial in json.loads(path.read_text("utf-8"))["trials"]]


def rule(text: str, blocks: int, looks: Sequence[int] | None = None) -> stop_rule.StopRule:
    """Give a rule that is known to be one."""
    found = stop_rule.parse(text, list(looks) if looks else None, blocks)
    assert found is not None
    return found


def figures(seed: int, small: bool) -> Iterator[Figure]:
    """Run every proof. ``small``: a tenth of the simulations, with bounds that are as much wider."""
    coverage_runs, runs, slack = (400, 100, 0.02) if small else (4000, 400, 0.0)
    chance = random.Random(seed)
    covering = (0.93 - slack, 0.97 + slack)
    for shape in SHAPES:
        for blocks in (10, 20):
            found = ratio_coverage(shape, blocks, coverage_runs, chance)
            yield Figure("coverage, ratio", f"{shape.name}, {blocks} blocks", coverage_runs, found, *covering)
        for fraction, requests in ((0.5, 100), (0.95, 400)):
            found = quantile_coverage(shape, fraction, requests, coverage_runs, chance)
            case = f"{shape.name}, p{fraction * 100:g} of {requests} requests"
            yield Figure("coverage, quantile of one run", case, coverage_runs, found, *covering)
    trials = recorded_trials()
    slowed = {"recorded trials": recorded_ratios(trials, SLOWDOWN)}
    slowed |= {shape.name: simulated_ratios(shape, SLOWDOWN, REQUESTS_OF_POWER) for shape in SHAPES}
    for name, ratios in slowed.items():
        share, median = power(ratios, runs, chance)
        case = f"{name}, slower by 10 %, at the blocks asked for (median {median:g})"
        yield Figure("power", case, runs, share, 0.9 - slack, 1.0)
    by_width = rule("ci_half_width<=5%", 200)
    for name in ("recorded trials", "skewed"):
        share = stopped_share(slowed[name], by_width, frozenset({Verdict.SLOWER}), runs, chance)
        yield Figure("power", f"{name}, slower by 10 %, {by_width.text}", runs, share, 0.9 - slack, 1.0)
    again = recorded_ratios(trials)
    winners, significant = same_arm_twice(again, 10, runs, chance)
    most = chance_at_most(runs)
    yield Figure("same arm twice", "recorded trials, 10 blocks: a winner named", runs, winners, 0.0, most)
    yield Figure("same arm twice", "recorded trials, 10 blocks: p at most 0.05", runs, significant, 0.0, most)
    noisy, many = simulated_ratios(SHAPES[0], 1.0), coverage_runs
    for found_rule in (rule("ci_half_width<=5%", 30), rule("verdict", 20, (10, 14, 20))):
        for name, ratios in (("recorded trials", again), ("skewed", noisy)):
            share = stopped_share(ratios, found_rule, WINNERS, many, chance)
            case = f"{name}, {found_rule.text}, at most {found_rule.looks[-1]} blocks: a winner named"
            yield Figure("same arm twice", case, many, share, 0.0, chance_at_most(many))


def chance_at_most(simulations: int) -> float:
    """Give the share that a true rate of 5 % stays at or below in at least 96 of 100 proofs: 28 of 400."""
    return float(stats.binom.ppf(0.96, simulations, verdict.SIGNIFICANCE)) / simulations


def main() -> int:
    """Print the table; give the exit code."""
    parser = argparse.ArgumentParser(description="Prove the statistics of the verdict by simulation.")
    parser.add_argument("--seed", type=int, default=SEED, help=f"default {SEED}")
    parser.add_argument("--small", action="store_true", help="a tenth of the simulations")
    options = parser.parse_args()
    missed = 0
    print("| Proof | Case | Simulations | Asked for | Found |\n|---|---|--:|--:|--:|")
    for figure in figures(options.seed, options.small):
        asked = f"{figure.low:.1%} to {figure.high:.1%}".replace("%", " %")
        word = "" if figure.holds else " MISSED"
        found = f"{figure.found:.2%}".replace("%", " %")
        print(f"| {figure.proof} | {figure.case} | {figure.simulations} | {asked} | {found}{word} |", flush=True)
        missed += not figure.holds
    return 1 if missed else 0


if __name__ == "__main__":
    sys.exit(main())
