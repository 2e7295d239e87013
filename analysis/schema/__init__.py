# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The closed lists of a run and the published JSON Schemas of ``plan.json``, a trial's record and ``run.json``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from enum import StrEnum
from functools import cache
from importlib import resources
from typing import Any

import jsonschema.exceptions

# Every version that came before is read by analysis/migrate.py.
SCHEMA_VERSION = 2


class Arm(StrEnum):
    """The two deployments under test. A ratio is always serverless / server."""

    SERVER = "server"
    SERVERLESS = "serverless"


class Kind(StrEnum):
    """What one trial measures."""

    START = "start"
    IDLE = "idle"
    LOAD = "load"
    CAPACITY = "capacity"
    OPEN_LOOP = "open_loop"


class Phase(StrEnum):
    """The named parts of a start-up, in the order they happen."""

    INTERPRETER = "interpreter"
    IMPORTS = "imports"
    DATA = "data"
    TRAIN = "train"
    LOAD = "load"
    SELF_TEST = "self_test"
    READY = "ready"
    FAILED = "failed"


class ClusterPhase(StrEnum):
    """What a cluster does in a start before the service's own phases, and beside them."""

    DELETED = "deleted"
    SCHEDULED = "scheduled"
    IMAGE = "image"
    CONTAINER_STARTED = "container_started"
    CONTAINER_READY = "container_ready"


class Part(StrEnum):
    """What the resources of an arm on a cluster are told apart by."""

    FUNCTION = "function"
    OPENFAAS = "openfaas"
    NODE = "node"
    NODE_LESS_IDLE = "node_less_idle"


class Status(StrEnum):
    """How far a run came."""

    COMPLETE = "complete"
    INTERRUPTED = "interrupted"
    ONE_ARM = "one_arm"


class Verdict(StrEnum):
    """What is said of the serverless arm, compared with the server arm, by one metric.

    ``faster`` and ``slower`` are said of durations, ``less`` and ``more`` of resources: less memory is not "faster".
    """

    FASTER = "faster"
    SLOWER = "slower"
    LESS = "less"
    MORE = "more"
    EQUIVALENT = "equivalent"
    INCONCLUSIVE = "inconclusive"
    TOO_FEW_BLOCKS = "too few blocks"
    NOT_MEASURED = "not measured"
    NOT_VALID = "not valid"


class Reason(StrEnum):
    """Why a run is INVALID."""

    RUN_INTERRUPTED = "run_interrupted"
    PLAN_MISMATCH = "plan_mismatch"
    TRIAL_MISSING = "trial_missing"
    RECORD_UNUSABLE = "record_unusable"
    TRIAL_MISMATCH = "trial_mismatch"
    FACTS_MISSING = "facts_missing"
    RAW_MISMATCH = "raw_mismatch"
    REQUESTS_FAILED = "requests_failed"
    LOAD_INVALID = "load_invalid"
    START_INVALID = "start_invalid"
    WRONG_ANSWER = "wrong_answer"
    INSTANCE_CHANGED = "instance_changed"
    HOST_REBOOTED = "host_rebooted"
    PARITY_FAILED = "parity_failed"
    NOT_COMPUTED = "not_computed"
    CLIENT_SATURATED = "client_saturated"
    CLOCK_STEPPED = "clock_stepped"
    QUOTA_CHANGED = "quota_changed"


# The code on the last line of a run that is valid and misses a threshold of its profile: no reason why it is INVALID.
THRESHOLD_MISSED = "threshold_missed"


class Caution(StrEnum):
    """What a reader must know of a run that is valid all the same."""

    CLIENT_CPU_SHARE = "client_cpu_share"
    CLIENT_SHARES_CPUS = "client_shares_cpus"
    QUEUED_REQUESTS = "queued_requests"
    TOOL_DISAGREES = "tool_disagrees"
    WATCHER_FAILED = "watcher_failed"
    HOST_BUSY_BEFORE = "host_busy_before"
    STAND_IN = "stand_in"
    UNCOMMITTED_CHANGES = "uncommitted_changes"
    NOT_INTERLEAVED = "not_interleaved"
    RESUMED = "resumed"
    NOT_COLD = "not_cold"
    PODS_CHANGED = "pods_changed"
    GRANT_UNKNOWN = "grant_unknown"
    STEAL = "steal"
    CREDITS_RAN_OUT = "credits_ran_out"
    CALIBRATION_DRIFT = "calibration_drift"
    PYTHON_BUILD = "python_build"
    THROTTLED = "throttled"
    SWAPPED = "swapped"
    CLOCK_SET = "clock_set"
    WATCH_WINDOW_OFF = "watch_window_off"
    STALLED = "stalled"
    DRIFT = "drift"
    OPEN_LOOP_NOT_VALID = "open_loop_not_valid"


# The platforms of an arm whose starts a cluster proves to be cold, and whose resources are told apart.
CLUSTERS = frozenset({"kind", "kubernetes"})

# The trials in which a load generator sends something.
LOADS = frozenset({Kind.LOAD, Kind.CAPACITY, Kind.OPEN_LOOP})

CLOSED_LISTS: Mapping[str, type[StrEnum]] = {
    "arm": Arm,
    "kind": Kind,
    "phase": Phase,
    "cluster_phase": ClusterPhase,
    "part": Part,
    "status": Status,
    "verdict": Verdict,
    "reason_code": Reason,
    "caution_code": Caution,
}


@cache
def published(name: str) -> dict[str, Any]:
    """Give the JSON Schema of ``run``, ``plan``, ``trial`` or ``comparison`` as it is published beside this module."""
    loaded: dict[str, Any] = json.loads(resources.files(__name__).joinpath(f"{name}.schema.json").read_text("utf-8"))
    return loaded


def first_violation(name: str, document: object) -> str | None:
    """Say where ``document`` breaks the schema ``name`` and how, or None when it keeps it."""
    error = jsonschema.exceptions.best_match(jsonschema.Draft202012Validator(published(name)).iter_errors(document))
    if error is None:
        return None
    place = "/".join(str(part) for part in error.absolute_path) or "the top level"
    return f"at {place}: {error.message}"
