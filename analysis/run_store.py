# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A run on disk: reads what the benchmark left, writes what the analysis makes of it, and never touches ``raw/``."""

from __future__ import annotations

import hashlib
import json
import math
import os
import re
import sys
import tempfile
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from evenkeel import journal
from evenkeel.watch import merge_long_lists

from analysis import load_hosts, migrate
from analysis.errors import RunUnreadable
from analysis.schema import SCHEMA_VERSION, Arm, Kind, Status, first_violation

LATEST = "latest"
_SURROGATE = re.compile(r"\\u[dD][89a-fA-F]")
_EDGE = re.compile(r"before|after|b[0-9]{2,}")
WATCHERS = ("htop", "docker_stats", "pod_stats")


@dataclass(frozen=True)
class PlannedTrial:
    """One trial as the plan names it.

    ``block`` is None outside the blocks, ``order`` counts from 1 over the whole run. ``load_hosts`` are all hosts that
    send the load, of which ``load_host`` is the first.
    """

    id: str
    block: int | None
    order: int
    arm: Arm
    kind: Kind
    mode: str | None
    host: str
    load_host: str
    counted: bool
    load_hosts: tuple[str, ...]

    @property
    def discarded(self) -> bool:
        """Whether nothing of it counts.

        It only warms the machine. An uncounted start in a block still serves its load.
        """
        return not self.counted and self.block is None


@dataclass(frozen=True)
class RawFile:
    """A file under the run folder that the figures come from. ``path`` is relative to the run folder."""

    path: str
    bytes: int
    sha256: str


@dataclass(frozen=True)
class RunFolder:
    """What one run left on disk.

    ``records`` and ``unreadable`` are keyed by trial id, ``hosts`` by host name; ``calibrations`` and ``credits``,
    which only some runs have, by host name and then ``before`` or ``after``, scores also by block (``b01``: before it).
    ``prices`` are those that the run was begun with, their file and the age they may have; None where it has none.
    ``looks`` are what was seen after a number of blocks, where the plan has a rule to end the run early. ``plan`` is
    the plan as the present version has it, ``written_as`` the schema version of its file.
    """

    path: Path
    plan: Mapping[str, Any]
    trials: tuple[PlannedTrial, ...]
    records: Mapping[str, Mapping[str, Any]]
    unreadable: Mapping[str, str]
    journal: tuple[Mapping[str, Any], ...]
    hosts: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    calibrations: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    credits: Mapping[str, Mapping[str, Mapping[str, Any]]] = field(default_factory=dict)
    looks: Mapping[int, Mapping[str, Any]] = field(default_factory=dict)
    prices: Mapping[str, Any] | None = None
    files: tuple[RawFile, ...] = ()
    written_as: int = SCHEMA_VERSION

    @property
    def stopped_at(self) -> int | None:
        """The block after which a look ended the run; None where none did."""
        return min((blocks for blocks, look in self.looks.items() if look.get("stop") is True), default=None)

    def needs(self, trial: PlannedTrial) -> bool:
        """Whether the trial had to be measured: those after a look that ended the run had not."""
        return trial.block is None or self.stopped_at is None or trial.block <= self.stopped_at

    def raw_text(self, name: str) -> str | None:
        """Give the text of ``raw/<name>``, or None where there is no such file.

        Bytes that are no UTF-8 are replaced.
        """
        path = self.path / "raw" / name
        return path.read_text("utf-8", errors="replace") if path.is_file() else None


def read_run(folder: Path) -> RunFolder:
    """Read ``plan.json``, ``journal.jsonl`` and ``raw/`` of a run folder.

    A trial record that is no JSON object is listed in ``unreadable``, so that the rest of the run can still be shown;
    a broken line of the journal is passed over.

    A plan of an earlier version is read as the present one. Raises RunUnreadable when the folder or its plan cannot be
    used, or a newer toolkit made it, OSError when a file in it cannot be read.
    """
    if not folder.is_dir():
        raise RunUnreadable(f"there is no run folder {folder}; name a folder under results/ that holds a plan.json")
    plan, written_as = _read_plan(folder / "plan.json")
    trials = tuple(_planned(trial) for trial in sorted(plan["trials"], key=lambda trial: int(trial["order"])))
    records: dict[str, Mapping[str, Any]] = {}
    unreadable: dict[str, str] = {}
    for trial in trials:
        path = folder / "raw" / f"{trial.id}.json"
        if not path.is_file():
            continue
        try:
            records[trial.id] = _trial_record(path, f"raw/{path.name}")
        except RunUnreadable as error:
            unreadable[trial.id] = str(error)
    return RunFolder(
        path=folder,
        plan=plan,
        trials=trials,
        records=records,
        unreadable=unreadable,
        journal=tuple(journal.read(str(folder / "journal.jsonl"))),
        hosts={
            path.name.removeprefix("host-").removesuffix(".json"): read_object(path)
            for path in sorted(folder.glob("raw/host-*.json"))
        },
        calibrations=_of_machines(folder, "calibration"),
        credits=_of_machines(folder, "credits"),
        looks={
            int(path.stem[5:]): read_object(path) for path in sorted(folder.glob("raw/look-[0-9][0-9][0-9][0-9].json"))
        },
        prices=read_object(path) if (path := folder / "raw" / "prices.json").is_file() else None,
        files=tuple(_raw_files(folder)),
        written_as=written_as,
    )


def run_text(run: Mapping[str, Any]) -> str:
    """Give the text of ``run.json``. Raises ValueError, a program error, where it does not keep the schema."""
    violation = first_violation("run", run)
    if violation is not None:
        raise ValueError(f"the run to write does not keep its schema {violation}")
    return json.dumps(run, indent=1, ensure_ascii=False, allow_nan=False) + "\n"


def write_atomically(path: Path, text: str) -> Path:
    """Replace ``path`` by ``text`` in one step, so that a reader or a crash never meets half a file."""
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "w", encoding="utf-8", newline="\n") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        Path(temporary).chmod(0o644)
        Path(temporary).replace(path)
    except BaseException:
        Path(temporary).unlink(missing_ok=True)
        raise
    return path


def newest_valid_run(results: Path) -> Path | None:
    """Find the newest complete, valid run of both arms; a run id begins with its time, so names sort by age."""
    for run_json in sorted(results.glob("*/run.json"), reverse=True):
        if run_json.parent.is_symlink():
            continue
        try:
            run = migrate.migrated("run", read_object(run_json), str(run_json))
        except RunUnreadable:
            continue
        if run.get("valid") is not True or run.get("status") != Status.COMPLETE:
            continue
        # One that this toolkit cannot read is not its latest run, whatever it says of itself.
        if first_violation("run", run) is None and len(run["arms"]) == len(Arm):
            return run_json.parent
    return None


def point_latest(results: Path) -> Path | None:
    """Let ``results/latest`` name the newest complete, valid run of both arms; give that run, or None when there is
    none.

    With none, a link made before stays away too. Raises RunUnreadable when something that is no link stands in its
    place.
    """
    link = results / LATEST
    if link.exists() and not link.is_symlink():
        raise RunUnreadable(f"{link} is not a symbolic link, so it was not made by a run; move it away and try again")
    newest = newest_valid_run(results)
    if newest is None:
        link.unlink(missing_ok=True)
        return None
    with tempfile.TemporaryDirectory(dir=results, prefix=".latest.") as scratch:
        fresh = Path(scratch) / LATEST
        fresh.symlink_to(newest.name, target_is_directory=True)
        fresh.replace(link)
    return newest


def _read_plan(path: Path) -> tuple[dict[str, Any], int]:
    """Give the plan as the present version has it, and the version that its file is of."""
    written = read_object(path)
    plan = migrate.migrated("plan", written, str(path))
    violation = first_violation("plan", plan)
    if violation is not None:
        raise RunUnreadable(f"{path} is not a plan of this version of the toolkit, {violation}")
    names = [trial["id"] for trial in plan["trials"]]
    repeated = sorted({name for name in names if names.count(name) > 1})
    if repeated:
        raise RunUnreadable(f"{path} names the trial {repeated[0]} more than once; a plan is never edited by hand")
    strangers = sorted({trial["arm"] for trial in plan["trials"]} - set(plan["arms"]))
    if strangers:
        raise RunUnreadable(f"{path} plans trials of the arm {strangers[0]}, which its arms do not describe")
    alone = next(iter(plan["arms"])) if len(plan["arms"]) == 1 else None
    if plan["only_arm"] != alone:
        raise RunUnreadable(
            f"{path} says only_arm {plan['only_arm']} and describes {' and '.join(sorted(plan['arms']))}; "
            "a plan is never edited by hand"
        )
    return plan, int(written["schema_version"])


def _trial_record(path: Path, called: str) -> dict[str, Any]:
    """Read a trial's record. Raises RunUnreadable, whose message is part of the report and names the file ``called``
    so: the report is the same wherever its run lies.
    """
    record = _with_long_lists(read_object(path, called), path)
    violation = first_violation("trial", record)
    if violation is not None:
        raise RunUnreadable(f"{called} is not a trial's record, {violation}")
    return _with_one_load(record, path)


def _with_one_load(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Give an open loop judged by its own requests; one that several hosts sent has the facts of one beside each
    host's own.
    """

    def text_of(name: str) -> str | None:
        file = path.with_name(name)
        return file.read_text("utf-8", errors="replace") if file.is_file() else None

    facts = load_hosts.judged(path.stem, record["facts"], text_of)
    if load_hosts.HOSTS in facts:
        facts[load_hosts.MODULE] = load_hosts.merged(path.stem, facts, text_of)
    return {**record, "facts": facts}


def _with_long_lists(record: dict[str, Any], path: Path) -> dict[str, Any]:
    """Put back the long lists that a watcher's facts keep in ``<trial id>.<watcher>.frames.json``."""
    if not isinstance(record.get("facts"), dict):
        return record  # the schema will say so
    facts = dict(record["facts"])
    for name in WATCHERS:
        lists = path.with_suffix(f".{name}.frames.json")
        if name in facts and lists.is_file():
            facts[name] = merge_long_lists(facts[name], read_object(lists, f"raw/{lists.name}"))
    return {**record, "facts": facts}


def _of_machines(folder: Path, what: str) -> dict[str, dict[str, dict[str, Any]]]:
    """Read ``raw/<what>-<host>-<edge>.json``, by host and edge: before or after the run, or ``b01``, before a block."""
    found: dict[str, dict[str, dict[str, Any]]] = {}
    for path in sorted(folder.glob(f"raw/{what}-*.json")):
        host, _, edge = path.stem.removeprefix(f"{what}-").rpartition("-")
        if host and _EDGE.fullmatch(edge):
            found.setdefault(host, {})[edge] = read_object(path)
    return found


def read_object(path: Path, called: str | None = None) -> dict[str, Any]:
    """Read a file that holds one JSON object, whose numbers are finite and whose texts can be written again.

    Raises RunUnreadable where it does not; ``called`` is its name in the message, else its path.
    """
    name = called or str(path)
    try:
        text = path.read_text("utf-8")
        loaded = json.loads(text, parse_constant=_refuse_constant, parse_float=_finite, parse_int=_in_range)
        # Half of a surrogate pair is a text for JSON and for Python, and for no file.
        if _SURROGATE.search(text):
            json.dumps(loaded, ensure_ascii=False).encode("utf-8")
    except OSError as error:
        raise RunUnreadable(f"cannot read {name}: {error.strerror or error}") from error
    except RecursionError as error:
        raise RunUnreadable(f"{name} is nested too deeply for a file of this toolkit") from error
    except ValueError as error:
        raise RunUnreadable(f"{name} is not JSON ({error}); it may have been cut short") from error
    if not isinstance(loaded, dict):
        raise RunUnreadable(f"{name} must hold a JSON object; got {type(loaded).__name__}")
    return loaded


def _refuse_constant(name: str) -> None:
    """Refuse NaN and Infinity, which Python writes and no other reader of JSON takes."""
    raise ValueError(f"{name} is no JSON value")


def _finite(digits: str) -> float:
    value = float(digits)
    if not math.isfinite(value):
        raise ValueError(f"{digits[:40]} is beyond the largest number")
    return value


def _in_range(digits: str) -> int:
    """Read an integer that arithmetic can go on with: every one that a double can hold."""
    value = int(digits)
    if abs(value) > sys.float_info.max:
        raise ValueError(f"{digits[:40]}... is beyond the largest number")
    return value


def _raw_files(folder: Path) -> Iterable[RawFile]:
    # Not the journal: it grows when the run is closed, after its report, and no figure comes from it.
    paths = [folder / "plan.json", *sorted((folder / "raw").rglob("*"))]
    for path in paths:
        if path.is_file():
            content = path.read_bytes()
            yield RawFile(path.relative_to(folder).as_posix(), len(content), hashlib.sha256(content).hexdigest())


def _planned(trial: Mapping[str, Any]) -> PlannedTrial:
    return PlannedTrial(
        **{name: trial[name] for name in ("id", "block", "order", "mode", "host", "load_host", "counted")},
        arm=Arm(trial["arm"]),
        kind=Kind(trial["kind"]),
        load_hosts=tuple(trial.get("load_hosts") or [trial["load_host"]]),
    )
