# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis report RUN_DIR``, ``... read RUN_DIR``, ``... look RUN_DIR --blocks N``,
``... compare RESULTS_DIR RUN RUN``, ``... latest RESULTS_DIR``, ``... cost RUN_DIR``, ``... prices FILE``, and
``... base RUN_DIR`` and ``... thresholds``, which read standard input.

Exit codes: 0 for a valid run, ``inconclusive`` included; 2 for a run that is INVALID, 4 for a valid one, or a
comparison, that misses a threshold, with the verdict on standard output; 3 where the command could not do its work: a
wrong command line, a folder or a base run that cannot be used, runs that are unlike, a rule that cannot be read or ever
be met, a failing disk, no run for ``latest``, prices that are unusable or older than the run allows. Then standard
error says why.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path
from typing import NoReturn, TextIO

from analysis import comparison, costing, prices, report, run_store, thresholds
from analysis.base_run import Ground
from analysis.errors import RunUnreadable
from analysis.evaluate import check_base, look_at
from analysis.render.comparison import comparison_markdown, comparison_terminal
from analysis.render.document import document
from analysis.render.markdown import markdown
from analysis.render.terminal import terminal

VALID = 0
NOT_VALID = 2
NOT_USABLE = 3
MISSED = 4


class _Parser(argparse.ArgumentParser):
    """A parser that leaves argparse's own exit code, 2, to INVALID runs."""

    def error(self, message: str) -> NoReturn:
        self.print_usage(sys.stderr)
        self.exit(NOT_USABLE, f"{self.prog}: error: {message}\n")


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    parser = _Parser(prog="python -m analysis", description="Evaluate a run of Evenkeel from its files.")
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("report", help="write run.json and every report of a run, and print its verdict")
    build.add_argument("folder", metavar="RUN_DIR", type=Path, help="a folder under results/ that holds a plan.json")
    read = commands.add_parser("read", help="say of which schema version a run is, or why it cannot be read")
    read.add_argument("folder", metavar="RUN_DIR", type=Path, help="a folder under results/ that holds a plan.json")
    base = commands.add_parser(
        "base",
        help='check that a run may stand beside the one that {"profile": ..., "arms": ..., "hosts": ...} on standard'
        " input describes",
    )
    base.add_argument("folder", metavar="RUN_DIR", type=Path, help="a folder under results/ that holds a plan.json")
    commands.add_parser(
        "thresholds",
        help='check the rules in {"thresholds": [...], "trials": [...]} on standard input; without trials, their form',
    )
    compare = commands.add_parser("compare", help="compare runs with the first one, and write what came of it")
    compare.add_argument("folder", metavar="RESULTS_DIR", type=Path, help="the folder that holds the runs")
    compare.add_argument("runs", metavar="RUN", nargs="+", help="a run's id or folder, or a run.json that was stored")
    compare.add_argument("--force", action="store_true", help="compare unlike runs, and stamp the result so")
    compare.add_argument("--max-slowdown", metavar="PERCENT", help="how much slower the primary metric may be: 10%%")
    compare.add_argument("--threshold", metavar="RULE", action="append", default=[], help="METRIC.PART <= RATIO")
    latest = commands.add_parser("latest", help="let results/latest name the newest complete, valid run of both arms")
    latest.add_argument("folder", metavar="RESULTS_DIR", type=Path, help="the folder that holds the runs")
    look = commands.add_parser("look", help="say as JSON whether a run may end after a number of blocks")
    look.add_argument("folder", metavar="RUN_DIR", type=Path, help="a run whose plan has stop_when")
    look.add_argument("--blocks", required=True, type=int, help="how many blocks to look at")
    priced = commands.add_parser("prices", help="check a price file and print it as JSON")
    priced.add_argument("folder", metavar="FILE", type=Path, help="a price file in YAML, such as those in prices/")
    cost = commands.add_parser("cost", help="print what a run's arms cost, with the prices it was begun with")
    cost.add_argument("folder", metavar="RUN_DIR", type=Path, help="a folder under results/ that holds a plan.json")
    options = parser.parse_args(arguments)
    try:
        if options.command == "thresholds":
            return _thresholds(sys.stdin)
        if options.command == "base":
            return _base(options.folder, sys.stdin)
        if options.command == "look":
            return _look(options.folder, options.blocks)
        return _compare(options) if options.command == "compare" else _COMMANDS[options.command](options.folder)
    except (RunUnreadable, thresholds.ThresholdInvalid) as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: {options.folder} cannot be read or written: {error}", file=sys.stderr)
    return NOT_USABLE


def _report(folder: Path) -> int:
    run = report.build(folder)
    sys.stdout.write(terminal(run, str(folder)))
    run_store.point_latest(folder.resolve().parent)
    if not run["valid"]:
        return NOT_VALID
    return MISSED if thresholds.missed(run["thresholds"]) else VALID


def _base(folder: Path, stream: TextIO) -> int:
    check_base(Ground(**json.load(stream)), run_store.read_run(folder))
    return VALID


def _thresholds(stream: TextIO) -> int:
    asked = json.load(stream)
    rules = thresholds.parse(asked["thresholds"])
    if "trials" in asked:
        thresholds.fit(rules, asked["trials"])
    return VALID


def _compare(options: argparse.Namespace) -> int:
    results: Path = options.folder
    sources = [comparison.read(results, name) for name in options.runs]
    rules = [*options.threshold]
    if options.max_slowdown is not None:
        first = sources[0].run
        rules += comparison.slowdown_rules(options.max_slowdown, first["platform"], first["profile"]["run"]["primary"])
    found = comparison.compare(sources, force=options.force, rules=rules)
    written = comparison.write(results, found, comparison_markdown(found))
    sys.stdout.write(comparison_terminal(found, str(written.with_suffix(""))))
    return MISSED if thresholds.missed(found["thresholds"]) else VALID


def _read(folder: Path) -> int:
    print(f"schema_version {run_store.read_run(folder).written_as}")
    return VALID


def _look(folder: Path, blocks: int) -> int:
    print(json.dumps(asdict(look_at(run_store.read_run(folder), blocks)), allow_nan=False))
    return VALID


def _latest(results: Path) -> int:
    newest = run_store.point_latest(results)
    if newest is None:
        print(
            f"error: no complete, valid run of both arms under {results}; make one with benchmark.yml", file=sys.stderr
        )
        return NOT_USABLE
    print(newest)
    return VALID


def _prices(file: Path) -> int:
    print(json.dumps(prices.read_file(file), ensure_ascii=False))
    return VALID


def _cost(folder: Path) -> int:
    run = report.evaluated(folder)
    if run["cost"]["state"] != costing.PRICED:
        raise RunUnreadable(f"the cost of {folder} is {run['cost']['state']}: {run['cost']['reason']}")
    whole = document(run)
    sys.stdout.write(markdown(replace(whole, sections=tuple(one for one in whole.sections if one.id == "cost"))))
    return VALID


_COMMANDS: Mapping[str, Callable[[Path], int]] = {
    "report": _report,
    "read": _read,
    "latest": _latest,
    "prices": _prices,
    "cost": _cost,
}


if __name__ == "__main__":
    sys.exit(main())
