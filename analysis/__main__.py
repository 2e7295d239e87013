# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""``python -m analysis report RUN_DIR`` and ``python -m analysis latest RESULTS_DIR``.

Exit codes: 0 for a valid run, ``inconclusive`` included; 2 where the run is INVALID or cannot be used.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from analysis import report, run_store
from analysis.errors import RunUnreadable
from analysis.render.terminal import terminal

VALID = 0
NOT_VALID = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; give the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m analysis", description="Evaluate a run of Evenkeel from its files."
    )
    commands = parser.add_subparsers(dest="command", required=True)
    build = commands.add_parser("report", help="write run.json and every report of a run, and print its verdict")
    build.add_argument("run_dir", type=Path, help="a folder under results/ that holds a plan.json")
    latest = commands.add_parser("latest", help="let results/latest name the newest complete, valid run of both arms")
    latest.add_argument("results_dir", type=Path, help="the folder that holds the runs")
    options = parser.parse_args(arguments)
    try:
        return _report(options.run_dir) if options.command == "report" else _latest(options.results_dir)
    except RunUnreadable as error:
        print(f"error: {error}", file=sys.stderr)
    except OSError as error:
        print(f"error: cannot write the report: {error.filename}: {error.strerror}", file=sys.stderr)
    return NOT_VALID


def _report(folder: Path) -> int:
    run = report.build(folder)
    sys.stdout.write(terminal(run, str(folder)))
    run_store.point_latest(folder.resolve().parent)
    return VALID if run["valid"] else NOT_VALID


def _latest(results: Path) -> int:
    newest = run_store.point_latest(results)
    if newest is None:
        print(
            f"error: no complete, valid run of both arms under {results}; make one with benchmark.yml", file=sys.stderr
        )
        return NOT_VALID
    print(newest)
    return VALID


if __name__ == "__main__":
    sys.exit(main())
