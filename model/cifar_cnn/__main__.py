# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""`python -m cifar_cnn`: prepare a data set, train and save a model, or score this machine, without a service."""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from cifar_cnn.datasets import SOURCES
from cifar_cnn.errors import ModelError

BAD_INPUT = 2


def _options(text: str) -> Mapping[str, object]:
    try:
        value = json.loads(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(f"not valid JSON: {error}") from error
    if not isinstance(value, dict):
        raise argparse.ArgumentTypeError(f"expected a JSON object, got {text}")
    return value


def _at_least_1(text: str) -> int:
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number of at least 1, got {text}")
    return int(text)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m cifar_cnn", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    prepare = commands.add_parser("prepare", help="make the arrays of a data set; changes nothing where they are right")
    prepare.add_argument("--dataset", required=True, choices=sorted(SOURCES))
    prepare.add_argument("--options", type=_options, default={}, metavar="JSON", help="options of the data set")
    prepare.add_argument("--out", required=True, type=Path, metavar="DIR")
    train = commands.add_parser("train", help="train as service.json says and save the model beside it")
    train.add_argument("--service-dir", required=True, type=Path, metavar="DIR")
    train.add_argument("--data-dir", required=True, type=Path, metavar="DIR")
    calibrate = commands.add_parser("calibrate", help="say how many images a second this machine trains and evaluates")
    calibrate.add_argument(
        "--threads", type=_at_least_1, metavar="N", help="threads that compute; by default as many as CPUs are granted"
    )
    return parser


# The commands import what they need themselves: --help and wrong arguments must not wait for PyTorch.
def _prepare(dataset: str, options: Mapping[str, object], out: Path) -> dict[str, object]:
    from cifar_cnn.datasets.prepared import prepare  # noqa: PLC0415

    prepared, changed = prepare(dataset, options, out)
    arrays = prepared.arrays
    return {
        "changed": changed,
        "dataset": prepared.name,
        "sha256": prepared.sha256,
        "train": len(arrays.train_labels),
        "test": len(arrays.test_labels),
        "classes": len(arrays.classes),
        "bytes": arrays.nbytes(),
    }


def _train(service_dir: Path, data_dir: Path) -> dict[str, object]:
    from cifar_cnn.startup import train_and_save  # noqa: PLC0415

    return {"model_sha256": train_and_save(service_dir, data_dir, _show_progress)}


def _calibrate(threads: int | None) -> dict[str, object]:
    from cifar_cnn.calibration import calibrate  # noqa: PLC0415
    from cifar_cnn.resources import granted_cpus  # noqa: PLC0415

    return calibrate(threads or granted_cpus())


def _show_progress(done: int, total: int) -> None:
    if done % max(1, total // 20) == 0 or done == total:
        print(f"trained {done} of {total} batches", file=sys.stderr, flush=True)


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs one command; its result is one line of JSON on stdout. Returns the exit code: 0, or 2 for bad input."""
    options = _parser().parse_args(arguments)
    try:
        if options.command == "prepare":
            result = _prepare(options.dataset, options.options, options.out)
        elif options.command == "calibrate":
            result = _calibrate(options.threads)
        else:
            result = _train(options.service_dir, options.data_dir)
    except ModelError as error:
        print(f"cifar_cnn {options.command}: {error}", file=sys.stderr)
        return BAD_INPUT
    print(json.dumps(result))
    return 0


if __name__ == "__main__":
    sys.exit(main())
