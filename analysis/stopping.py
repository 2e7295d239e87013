# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The looks at a run before its end: what each saw, whether the run might end there, and what the verdict is tested at.

A rule on the width (``ci_half_width<=5%``) is fixed-precision stopping (Chow and Robbins, Annals of Mathematical
Statistics 36, 1965): it looks at how wide the primary metric's interval is and never at where it lies, so the test
keeps its 5 %. A rule on the verdict spends the 5 % over looks declared beforehand (Lan and DeMets, 1983).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from evenkeel import stop_rule
from evenkeel.stop_rule import StopRule

from analysis import statistics, validity, verdict
from analysis.errors import RunUnreadable
from analysis.figures import percent
from analysis.run_store import RunFolder
from analysis.schema import Arm, Reason, Verdict

CONCLUSIVE = frozenset({Verdict.FASTER, Verdict.SLOWER, Verdict.LESS, Verdict.MORE, Verdict.EQUIVALENT})

# The paired ratios of the primary metric in the blocks up to a number; None where a pair has none.
RatiosUntil = Callable[[int], Sequence[float] | None]
Words = tuple[Verdict, Verdict]


@dataclass(frozen=True)
class Look:
    """What one look saw. ``critical_p`` and ``p`` are None where the rule is on the width alone."""

    blocks: int
    n: int
    half_width: float | None
    critical_p: float | None
    p: float | None
    stop: bool
    message: str


@dataclass(frozen=True)
class Stopping:
    """A rule, the looks that were made, and what came of it.

    ``stopped_at`` is None where all blocks were measured and the rule was not met, or the run has not come that far;
    ``missing_blocks`` is the estimate of how many more a width would have needed.
    """

    rule: StopRule
    looks: tuple[Look, ...]
    stopped_at: int | None
    missing_blocks: int | None
    reason: str

    @property
    def significance(self) -> float:
        """What a p is compared with at the end of the run."""
        critical = self.looks[-1].critical_p if self.looks else None
        return verdict.SIGNIFICANCE if critical is None else critical

    def as_json(self) -> dict[str, Any]:
        """Give what ``run.json`` holds of it."""
        return {
            "rule": self.rule.text,
            "declared_looks": list(self.rule.looks),
            "looks": [asdict(look) for look in self.looks],
            "stopped_at": self.stopped_at,
            "missing_blocks": self.missing_blocks,
            "significance": self.significance,
            "reason": self.reason,
        }


def rule_of(run: RunFolder) -> StopRule | None:
    """Give the rule that the run's plan holds; None for a plan without one, as those of earlier versions are.

    Raises RunUnreadable where it holds what is no rule.
    """
    profile = run.plan["profile"]["run"]
    try:
        return stop_rule.parse(profile.get("stop_when"), profile.get("looks"), profile["blocks"])
    except ValueError as error:
        raise RunUnreadable(f"{run.path / 'plan.json'}: {error}; a plan is never edited by hand") from error


def look(rule: StopRule, blocks: int, ratios_until: RatiosUntil, margin: float, words: Words) -> Look:
    """Look at the run after ``blocks`` blocks, by nothing but what was measured until then."""
    ratios = ratios_until(blocks)
    critical = _critical_p(rule, blocks)
    compared = verdict.compare(ratios, verdict.SIGNIFICANCE if critical is None else critical) if ratios else None
    n = len(ratios) if ratios else 0
    if compared is None or compared.interval is None:
        why = "a pair has no ratio" if ratios is None else f"{n} pairs have no interval at this level"
        return Look(blocks, n, None, critical, None, False, _message(rule, blocks, why, False))
    width = statistics.relative_half_width(compared.interval)
    if rule.half_width is not None:
        enough = width <= rule.half_width
        seen = f"half-width {percent(width, 1)}, wished {percent(rule.half_width, 1)}"
        return Look(blocks, n, width, None, None, enough, _message(rule, blocks, seen, enough))
    decided = verdict.decide(compared, compared.p, margin, *words, significance=critical or verdict.SIGNIFICANCE)
    enough = decided.verdict in CONCLUSIVE
    seen = f"{decided.verdict.value}, p {compared.p:.3g} at a critical p of {critical:.3g}"
    return Look(blocks, n, width, critical, compared.p, enough, _message(rule, blocks, seen, enough))


def stopping(rule: StopRule, measured: int, ratios_until: RatiosUntil, margin: float, words: Words) -> Stopping:
    """Look again at every look up to ``measured`` blocks, the number that the run has whole."""
    looks: list[Look] = []
    for blocks in rule.looks:
        if blocks > measured:
            break
        looks.append(look(rule, blocks, ratios_until, margin, words))
        if looks[-1].stop:
            break
    stopped_at = looks[-1].blocks if looks and looks[-1].stop else None
    missing = None
    if stopped_at is None and rule.half_width is not None and looks and looks[-1].half_width is not None:
        ratios = ratios_until(looks[-1].blocks)
        interval = verdict.compare(ratios).interval if ratios else None
        if interval is not None:
            needed = statistics.blocks_needed(looks[-1].n, interval, rule.half_width)
            # The estimate is rough: a width that is not there needs one block more at least.
            missing = max(1, needed - looks[-1].n)
    return Stopping(rule, tuple(looks), stopped_at, missing, _reason(rule, looks, stopped_at, missing))


def whole_blocks(run: RunFolder) -> int:
    """Give how many blocks, from the first one on, are recorded to their last trial."""
    count = 0
    while any(trial.block == count + 1 for trial in run.trials) and all(
        trial.id in run.records for trial in run.trials if trial.block == count + 1
    ):
        count += 1
    return count


def problems(run: RunFolder, found: Stopping | None) -> Iterator[validity.Problem]:
    """Compare the looks that ended, or did not end, the run with the same looks by its records."""
    recorded = run.stopped_at
    again = found.stopped_at if found else None
    beyond = [trial for trial in run.trials if trial.id in run.records and not run.needs(trial)]
    if beyond:
        message = f"the run ended by its rule after block {recorded}, and this trial is recorded all the same"
        yield validity.Problem(Reason.RAW_MISMATCH, message, beyond[0].id)
    last = found.rule.looks[-1] if found else None
    went_on = any(
        trial.block is not None and trial.block > (again or 0) and trial.id in run.records for trial in run.trials
    )
    if recorded is not None and recorded != again:
        message = f"a look ended the run after block {recorded}; by its records the rule "
        message += "is not met there" if again is None else f"ended it after block {again}"
        yield validity.Problem(Reason.RAW_MISMATCH, message)
    elif recorded is None and again is not None and again != last and went_on and len(run.plan["arms"]) == len(Arm):
        message = f"by its records the rule ended the run after block {again}, and it went on; no look says why"
        yield validity.Problem(Reason.RAW_MISMATCH, message)


def _critical_p(rule: StopRule, blocks: int) -> float | None:
    if rule.half_width is not None:
        return None
    return dict(zip(rule.looks, statistics.critical_p_values(rule.looks, verdict.SIGNIFICANCE), strict=True))[blocks]


def _message(rule: StopRule, blocks: int, seen: str, enough: bool) -> str:
    goes_on = "the run goes on" if blocks < rule.looks[-1] else "all blocks are measured"
    return f"Look after {blocks} blocks: {seen}; {'that is enough' if enough else goes_on}."


def _reason(rule: StopRule, looks: Sequence[Look], stopped_at: int | None, missing: int | None) -> str:
    if not looks:
        return f"stop_when {rule.text}: the run has not come to its first look, after {rule.looks[0]} blocks"
    most, made = rule.looks[-1], f"{len(looks)} {'look' if len(looks) == 1 else 'looks'}"
    width = looks[-1].half_width
    seen = "the primary metric has no interval" if width is None else f"the half-width is {percent(width, 1)}"
    if stopped_at is not None:
        why = seen if rule.half_width else "the primary metric has a verdict at this look's critical p"
        said = f"stopped after {stopped_at} of at most {most} blocks, at {made}: {why}"
    elif looks[-1].blocks < most:
        said = f"not met at {made}, and the run has not come to its last one"
    elif rule.half_width is None:
        said = f"all {most} blocks were measured, and none of {made} gave a verdict"
    else:
        more = "" if missing is None else f", and about {missing} more blocks are needed"
        said = f"not reached with {most} blocks ({made}): {seen}{more}"
    return f"stop_when {rule.text}: {said}"
