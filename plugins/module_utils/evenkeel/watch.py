# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the watchers have in common: when to begin and end, and how often, and where long lists go."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any, Callable

from . import async_job, procfs
from .clock import Deadline, monotonic, wall_clock_offset

# Counters are read this often between two frames.
COUNTER_INTERVAL_SECONDS = 0.1

# More values than this go to a file (design 4.2).
MOST_VALUES_IN_FACTS = 1000

# What a watch of a known duration may take longer: the tool's start and its first frames.
DURATION_GRACE_SECONDS = 30.0
STOP_FILE_DEADLINE_SECONDS = 3600.0

# How long to wait for a watch that was started asynchronously and should have ended.
RECORDING_WAIT_SECONDS = 60.0

ARGUMENTS: dict[str, dict[str, Any]] = {
    "duration_seconds": {"type": "float"},
    "stop_file": {"type": "path"},
    "ready_file": {"type": "path"},
    "interval_seconds": {"type": "float", "default": 1.0},
    "deadline_seconds": {"type": "float"},
    "artifact_dir": {"type": "path"},
}


class WatchError(Exception):
    """A watch that cannot be made; the message says what, where, why and what to do."""


def check_options(options: Mapping[str, Any], least_interval: float, most_interval: float) -> None:
    """Refuse options that name no possible watch; raises WatchError naming the option and the value."""
    if (options["duration_seconds"] is None) == (options["stop_file"] is None):
        raise WatchError("give either duration_seconds or stop_file: one of them ends the watch")
    for name in ("duration_seconds", "deadline_seconds"):
        value = options[name]
        if value is not None and not 0 < value < float("inf"):
            raise WatchError(f"{name} must be a positive number of seconds, not {value}")
    interval = options["interval_seconds"]
    if not least_interval <= interval <= most_interval:
        raise WatchError(f"interval_seconds must be between {least_interval:g} and {most_interval:g}, not {interval:g}")
    if options["duration_seconds"] is not None and options["duration_seconds"] < interval:
        raise WatchError(
            f"duration_seconds ({options['duration_seconds']:g}) is shorter than interval_seconds ({interval:g}): "
            "not one frame would be whole"
        )
    directory = options["artifact_dir"]
    if directory is not None and not os.path.isdir(directory):
        raise WatchError(f"artifact_dir {directory} is not a directory; create it first")
    for name in ("stop_file", "ready_file"):
        path = options[name]
        if path is None:
            continue
        if os.path.exists(path):
            raise WatchError(f"{name} {path} exists already: remove what an earlier watch left, or name another")
        if not os.path.isdir(os.path.dirname(path) or "."):
            raise WatchError(f"the directory of {name} {path} does not exist; create it first")


def own_deadline_seconds(options: Mapping[str, Any]) -> float:
    """The time after which the watch ends whatever happens."""
    if options["deadline_seconds"] is not None:
        return float(options["deadline_seconds"])
    if options["duration_seconds"] is not None:
        return float(options["duration_seconds"]) + DURATION_GRACE_SECONDS
    return STOP_FILE_DEADLINE_SECONDS


class Watch:
    """The course of one watch: not ready until ``ready`` is called, over by duration, stop file or own deadline.

    ``ended_by`` says by which of them, and is None while it goes on.
    """

    def __init__(self, options: Mapping[str, Any]) -> None:
        self._deadline = Deadline(own_deadline_seconds(options))
        self._duration = options["duration_seconds"]
        self._stop_file = options["stop_file"]
        self._ready_file = options["ready_file"]
        self.began_monotonic_seconds = monotonic()
        self.ready_monotonic_seconds: float | None = None
        self.ended_by: str | None = None
        self._host_at_ready: tuple[float | None, float | None] = (None, None)
        self._swapped_at_ready: int | None = None
        self._clock_at_ready: float | None = None

    def ready(self) -> None:
        """Say that what is watched is seen from now on: the duration runs from here, and the ready file is made."""
        if self.ready_monotonic_seconds is not None:
            return
        self.ready_monotonic_seconds = monotonic()
        self._host_at_ready = procfs.host_steal_seconds()
        self._swapped_at_ready = procfs.host_swapped_bytes()
        self._clock_at_ready = wall_clock_offset()
        if self._ready_file is not None:
            with open(self._ready_file, "w", encoding="utf-8"):
                pass

    def expired(self) -> bool:
        """Whether its own deadline has passed."""
        return self._deadline.expired()

    def over(self) -> bool:
        """Whether the watch has ended."""
        if self.ended_by is None:
            if self.expired():
                self.ended_by = "deadline"
            elif self._stop_file is not None and os.path.exists(self._stop_file):
                self.ended_by = "stop_file"
            elif self._stop_file is not None and not os.path.isdir(os.path.dirname(self._stop_file)):
                # Whoever made the folder has cleared it away: nobody is left to make the file.
                self.ended_by = "folder_gone"
            elif (
                self._duration is not None
                and self.ready_monotonic_seconds is not None
                and monotonic() - self.ready_monotonic_seconds >= self._duration
            ):
                self.ended_by = "duration"
        return self.ended_by is not None

    def window(self) -> dict[str, Any]:
        """``{start_monotonic_seconds, end_monotonic_seconds, ended_by}`` and the host's CPU time, from ready until now.

        ``host_steal_seconds`` of ``host_cpu_seconds``, all CPUs and what they did together, went to other virtual
        machines in the window; either is None where the kernel does not count it, or the watch was never ready.
        ``host_swapped_bytes`` went to and from swap, and by ``wall_clock_step_seconds`` somebody set the wall clock;
        None likewise.
        """
        swapped = procfs.host_swapped_bytes()
        stolen, total = (
            None if before is None or after is None else after - before
            for before, after in zip(self._host_at_ready, procfs.host_steal_seconds())
        )
        return {
            "start_monotonic_seconds": self.ready_monotonic_seconds,
            "end_monotonic_seconds": monotonic(),
            "ended_by": self.ended_by,
            "host_steal_seconds": stolen,
            "host_cpu_seconds": total,
            "host_swapped_bytes": (
                None if swapped is None or self._swapped_at_ready is None else swapped - self._swapped_at_ready
            ),
            "wall_clock_step_seconds": (
                None if self._clock_at_ready is None else wall_clock_offset() - self._clock_at_ready
            ),
        }


def warn_of_deadline(warn: Callable[[str], None], window: Mapping[str, Any]) -> None:
    """Warn where the watch was ended by its own deadline: what should have ended it did not come."""
    if window["ended_by"] == "deadline":
        warn("the watch was ended by its deadline_seconds: neither its stop_file nor its duration ended it in time")


def count_values(tree: Any) -> int:
    """How many single values a nested structure holds."""
    if isinstance(tree, Mapping):
        return sum(count_values(value) for value in tree.values())
    if isinstance(tree, (list, tuple)):
        return sum(count_values(value) for value in tree)
    return 1


LONG_LISTS = ("frames", "samples")


def _split(tree: Any) -> tuple[Any, Any]:
    """(the tree with its long lists replaced by None, those lists alone under the same keys)."""
    if isinstance(tree, Mapping):
        short: dict[str, Any] = {}
        lists: dict[str, Any] = {}
        for key, value in tree.items():
            if key in LONG_LISTS:
                short[key], lists[key] = None, value
            else:
                short[key], inner = _split(value)
                if inner:
                    lists[key] = inner
        return short, lists
    if isinstance(tree, list):
        pairs = [_split(value) for value in tree]
        if any(inner for _, inner in pairs):
            return [kept for kept, _ in pairs], [inner for _, inner in pairs]
    return tree, None


def separate_long_lists(facts: Mapping[str, Any]) -> tuple[dict[str, Any], bytes | None]:
    """(facts, file content): beyond MOST_VALUES_IN_FACTS values the lists ``frames`` and ``samples`` become null.

    The content is JSON: the same tree with nothing but those lists, for ``merge_long_lists``. ``facts`` is the value of
    one watcher's fact, without the fact's name.
    """
    if count_values(facts) <= MOST_VALUES_IN_FACTS:
        return dict(facts), None
    short, lists = _split(facts)
    return short, json.dumps(lists, separators=(",", ":")).encode()


def merge_long_lists(facts: Any, lists: Any) -> Any:
    """The facts whole again, from what ``separate_long_lists`` gave."""
    if isinstance(facts, Mapping) and isinstance(lists, Mapping):
        return {key: merge_long_lists(value, lists.get(key)) for key, value in facts.items()}
    if isinstance(facts, list) and isinstance(lists, list):
        return [merge_long_lists(value, inner) for value, inner in zip(facts, lists)]
    return facts if lists is None else lists


def describe_artifact(path: str, content: bytes) -> dict[str, Any]:
    """``{"path", "sha256", "bytes"}`` of a file with this content."""
    return {"path": path, "sha256": hashlib.sha256(content).hexdigest(), "bytes": len(content)}


def with_artifact(name: str, facts: Mapping[str, Any], directory: str | None) -> dict[str, Any]:
    """A module's result with the fact ``name``, its long lists in a file of ``directory`` where that is given.

    Raises OSError where the file cannot be written.
    """
    content = None
    if directory is not None:
        facts, content = separate_long_lists(facts)
    result: dict[str, Any] = {"ansible_facts": {name: facts}}
    if directory is None or content is None:
        return result
    path = os.path.join(directory, f"{name}.frames.json")
    with open(path, "wb") as stream:
        stream.write(content)
    return {**result, "artifacts": [describe_artifact(path, content)]}


def collect(module: Any, name: str) -> None:
    """End a module that was given the option ``recording`` with what that job found: the fact ``name``, or its failure.

    In check mode, and where the job itself was a rehearsal, there is a plan and no fact.
    """
    job = module.params["recording"]
    if module.check_mode or "plan" in job:
        module.exit_json(changed=False, plan=job.get("plan"))
    try:
        result = async_job.finished(job, module.params["deadline_seconds"] or RECORDING_WAIT_SECONDS)
        if not result.get("failed") and name not in (result.get("ansible_facts") or {}):
            held = ", ".join(sorted(result)) or "nothing"
            raise async_job.AsyncJobError(f"recording is a job of another module: it gave no fact {name} ({held})")
    except async_job.AsyncJobError as error:
        module.fail_json(
            msg=str(error),
            operation=f"take the {name} of a watch that ran beside",
            next_step="give the result that the watching task registered, once",
        )
    for warning in result.pop("warnings", []):
        module.warn(warning)
    result.pop("exception", None)
    if result.pop("failed", False):
        module.fail_json(**{"msg": "the watch failed without a message", **result})
    module.exit_json(**{**result, "changed": False})
