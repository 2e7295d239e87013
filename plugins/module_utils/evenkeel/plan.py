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


def trial_plan(run: Mapping[str, Any], arms: Mapping[str, Mapping[str, Any]], seed: int) -> list[dict[str, Any]]:
    """Every trial of a run, in order.

    First each arm's discarded start (it brings the files into the page cache) and its trained starts; then the blocks.
    In a block each arm has its turn while the other one is stopped: a start that loads the model, an idle window, a
    load. The first ``loading_starts`` of those starts and the first ``idle_windows`` turns' idle windows are counted.

    Where the run has an open-loop part, its trials end the turns of the blocks after the first, the rates in an order
    of their own draw; from the first block on it is known what both arms can do. They come after the turn's load, so
    that this is what it is without them.

    Args:
        run: ``trained_starts``, ``loading_starts``, ``blocks`` and ``idle_windows``, each a count an arm; and
            ``open_loop``, null or not there for none.
        arms: arm name to its ``host`` and ``load_host``, and ``load_hosts`` where several send its open loop together;
            one arm, or both.
        seed: for the order; the same seed gives the same plan.

    Raises:
        ValueError: no arm, an unknown one, fewer than one block, or more open-loop blocks than come after the first.
    """
    unknown = sorted(set(arms) - set(ARMS))
    if unknown or not arms:
        raise ValueError(f"arms: got {sorted(arms)}, expected one or both of {list(ARMS)}")
    if int(run["blocks"]) < 1:
        raise ValueError(f"blocks: got {run['blocks']}, expected at least 1")
    generator = random.Random(seed)
    open_loop = run.get("open_loop")
    check_open_loop(open_loop, int(run["blocks"]))
    # Of its own, so that the order of all else is the same without an open loop.
    rates = random.Random(f"{seed} open loop")
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
        if kind == "open_loop" and arms[arm].get("load_hosts"):
            trials[-1]["load_hosts"] = list(arms[arm]["load_hosts"])

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
            for kind, mode in _open_loop_turn(open_loop, block, rates):
                name = f"{kind[0]}{block:02}-{arm}-{mode or kind}"
                add(name, arm, kind, block=block, mode=mode, counted=True)
    return trials


def _open_loop_turn(
    open_loop: Mapping[str, Any] | None, block: int, generator: random.Random
) -> list[tuple[str, str | None]]:
    """(kind, mode) of what an open-loop part adds to the end of an arm's turn in a block."""
    if open_loop is None or block > 1 + int(open_loop["blocks"]):
        return []
    if block == 1:
        # An evaluation's capacity is what the block's own load found.
        return [("capacity", None)] if open_loop["request"] == "predict" else []
    modes = [open_loop_mode(fraction) for fraction in open_loop["fractions"]]
    generator.shuffle(modes)
    # The sweep goes beyond what the service can do: nothing comes after it in the service's life.
    last = block == 1 + int(open_loop["blocks"]) and open_loop["sweep"] is not None
    return [("open_loop", mode) for mode in [*modes, *(["sweep"] if last else [])]]


def check_open_loop(open_loop: Mapping[str, Any] | None, blocks: int) -> None:
    """Raises ValueError where an open-loop part cannot be planned in so many blocks."""
    if open_loop is None:
        return
    if not 1 <= int(open_loop["blocks"]) < blocks:
        raise ValueError(
            f"open_loop.blocks: got {open_loop['blocks']}, expected from 1 to {blocks - 1}: the first of the {blocks}"
            " blocks only finds the capacity; raise blocks, or set open_loop to null"
        )
    modes = [open_loop_mode(fraction) for fraction in open_loop["fractions"]]
    if len(set(modes)) < len(modes) or not modes:
        raise ValueError(f"open_loop.fractions: got {open_loop['fractions']}, expected whole percents, each once")


def open_loop_mode(fraction: float) -> str:
    """The mode of a trial at a fraction of the capacity: ``rate30`` for 0.3. Raises ValueError outside 0.01 to 2."""
    percent = round(100 * float(fraction))
    if not 1 <= percent <= 200:
        raise ValueError(f"open_loop.fractions: got {fraction}, expected fractions from 0.01 to 2")
    return f"rate{percent:02}"


def open_loop_fraction(mode: str | None) -> float | None:
    """The fraction that a trial's mode names; None for a mode that names none."""
    digits = (mode or "").removeprefix("rate") if (mode or "").startswith("rate") else ""
    return int(digits) / 100 if digits.isdigit() else None


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
