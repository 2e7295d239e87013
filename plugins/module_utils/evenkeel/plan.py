# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The order of a run's trials: which arm, when, and what is measured."""

from __future__ import annotations

import random
from collections.abc import Container, Iterable, Mapping
from typing import Any

ARMS = ("server", "serverless")


def block_orders(arms: list[str], blocks: int, generator: random.Random) -> list[list[str]]:
    """The order of the arms in each block: permuted pairs of AB and BA, an odd last block by a toss.

    Within each pair of blocks either arm goes first once, so that a drift of the machine falls on both alike; which of
    the two orders comes first is drawn, so that no period of the machine can keep step with it.
    """
    forward, backward = list(arms), list(reversed(arms))
    orders: list[list[str]] = []
    while len(orders) < blocks:
        pair = [forward, backward]
        generator.shuffle(pair)
        orders.extend(pair)
    return orders[:blocks]


def trial_plan(run: Mapping[str, Any], arms: Mapping[str, Mapping[str, str]], seed: int) -> list[dict[str, Any]]:
    """Every trial of a run, in order.

    First each arm's discarded start (it brings the files into the page cache) and its trained starts; then the blocks.
    In a block each arm has its turn while the other one is stopped: a start that loads the model, an idle window, a
    load. The first ``loading_starts`` of those starts and the first ``idle_windows`` turns' idle windows are counted.

    Args:
        run: ``trained_starts``, ``loading_starts``, ``blocks`` and ``idle_windows``, each a count an arm.
        arms: arm name to its ``host`` and ``load_host``; one arm, or both.
        seed: for the order; the same seed gives the same plan.

    Raises:
        ValueError: no arm, an unknown one, or fewer than one block.
    """
    unknown = sorted(set(arms) - set(ARMS))
    if unknown or not arms:
        raise ValueError(f"arms: got {sorted(arms)}, expected one or both of {list(ARMS)}")
    if int(run["blocks"]) < 1:
        raise ValueError(f"blocks: got {run['blocks']}, expected at least 1")
    generator = random.Random(seed)
    names = sorted(arms)
    trials: list[dict[str, Any]] = []

    def add(identity: str, arm: str, kind: str, *, block: int | None, mode: str | None, counted: bool) -> None:
        trials.append(
            {
                "id": identity,
                "block": block,
                "order": len(trials) + 1,
                "arm": arm,
                "kind": kind,
                "mode": mode,
                "host": arms[arm]["host"],
                "load_host": arms[arm]["load_host"],
                "counted": counted,
            }
        )

    for arm in block_orders(names, 1, generator)[0]:
        add(f"w01-{arm}-imports", arm, "start", block=None, mode="imports", counted=False)
    for number, order in enumerate(block_orders(names, int(run["trained_starts"]), generator), 1):
        for arm in order:
            add(f"s{number:02}-{arm}-train", arm, "start", block=None, mode="train", counted=True)
    for block, order in enumerate(block_orders(names, int(run["blocks"]), generator), 1):
        for arm in order:
            counted = block <= int(run["loading_starts"])
            add(f"b{block:02}-{arm}-start", arm, "start", block=block, mode="load", counted=counted)
            if block <= int(run["idle_windows"]):
                add(f"i{block:02}-{arm}-idle", arm, "idle", block=block, mode=None, counted=True)
            add(f"b{block:02}-{arm}-load", arm, "load", block=block, mode=None, counted=True)
    return trials


def turns(trials: Iterable[Mapping[str, Any]]) -> list[list[Mapping[str, Any]]]:
    """The trials that belong to one life of a service: a start outside the blocks, or an arm's turn in a block."""
    grouped: dict[tuple[Any, ...], list[Mapping[str, Any]]] = {}
    for trial in trials:
        key = (trial["block"], trial["arm"]) if trial["block"] else (trial["id"],)
        grouped.setdefault(key, []).append(trial)
    return list(grouped.values())


def finished(trials: Iterable[Mapping[str, Any]], recorded: Container[str]) -> list[str]:
    """The ids of the trials that a resumed run need not repeat: those of turns that are recorded to the last trial.

    The rest of a broken turn cannot be measured on its own: the service that its start began is gone.
    """
    done = [turn for turn in turns(trials) if all(trial["id"] in recorded for trial in turn)]
    return [trial["id"] for turn in done for trial in turn]
