# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The result of a task that Ansible started asynchronously on this host, for a module that collects it.

What the file of a job holds is ansible-core's (2.19.14, ``modules/async_wrapper.py``): while the module runs
``started`` with ``finished`` false, then the module's own result; where the wrapper killed it or could not read what it
printed, the wrapper's report. The file is replaced as a whole, so that it is never read half written.
"""

from __future__ import annotations

import contextlib
import json
import os
import time
from collections.abc import Mapping
from typing import Any

from . import procfs
from .clock import Deadline, monotonic

POLL_SECONDS = 0.05

# How often the job's processes are looked for while its file says that it runs.
LOOK_SECONDS = 1.0

TAIL_CHARACTERS = 2000

# What Ansible, not the module, writes into the result of a job.
ASYNC_KEYS = ("ansible_job_id", "results_file", "started", "finished", "child_pid")
# Of the task that ran, and wrong in the result of the one that collects it.
OTHER_TASKS_KEYS = ("invocation", "deprecations")
# One of these is in every result of a task that ran without async, or in check mode.
RESULT_KEYS = ("failed", "plan", "ansible_facts")


class AsyncJobError(Exception):
    """A job whose result cannot be had; the message says which job, why, and what to do."""


def finished(job: Mapping[str, Any], deadline_seconds: float) -> dict[str, Any]:
    """The result of the module that ``job``, a registered asynchronous task, runs; waits for its end.

    A module that failed gives its failure as its result. The job's file is removed, as ``async_status`` does with
    ``mode: cleanup``. What async_status registered, and a task that ran without async, is its own result. ``warnings``
    are plain texts, for ``AnsibleModule.warn``. Raises AsyncJobError where there is no such job, it did not end within
    ``deadline_seconds``, it was killed, or what it left is no result.
    """
    if not deadline_seconds > 0:
        raise AsyncJobError(f"deadline_seconds must be a positive number of seconds, not {deadline_seconds:g}")
    job_id, path = job.get("ansible_job_id"), job.get("results_file")
    if job_id is None and any(job.get(key) for key in RESULT_KEYS):
        return _own_result(job)
    if not isinstance(job_id, str) or not isinstance(path, str) or os.path.basename(path) != job_id:
        raise AsyncJobError(
            "recording is not the registered result of a task with async and poll: 0, which has an ansible_job_id and "
            f"its results_file (it holds: {', '.join(sorted(job)) or 'nothing'}); register the task that started it"
        )
    result = dict(job) if job.get("finished") else _wait(job_id, path, deadline_seconds)
    _remove(path)
    if "child_pid" in result:
        raise AsyncJobError(
            f"job {job_id} was killed by Ansible when the time given by async was over ({result.get('msg')}); "
            "give its task more with async, or its module a deadline_seconds below it"
        )
    if "ansible_job_id" in result and "cmd" in result and result.get("failed"):
        printed = result.get("stderr") or result.get("data") or result.get("outdata") or result.get("msg")
        raise AsyncJobError(f"the module of job {job_id} ended without a result: {str(printed)[-TAIL_CHARACTERS:]}")
    return _own_result(result)


def _own_result(result: Mapping[str, Any]) -> dict[str, Any]:
    """What the module itself said."""
    own = {key: value for key, value in result.items() if key not in ASYNC_KEYS + OTHER_TASKS_KEYS}
    if "warnings" in own:
        own["warnings"] = [_text(warning) for warning in own["warnings"]]
    return own


def _text(warning: Any) -> str:
    """A warning's text; ansible-core from 2.19 on writes ``{"event": {"msg": TEXT}}``, before that the text."""
    event = warning.get("event") if isinstance(warning, Mapping) else None
    return str(event["msg"]) if isinstance(event, Mapping) and "msg" in event else str(warning)


def _wait(job_id: str, path: str, deadline_seconds: float) -> dict[str, Any]:
    """What the job's file holds when the job has ended."""
    deadline = Deadline(deadline_seconds)
    look_at = monotonic() + LOOK_SECONDS
    while True:
        content = _read(job_id, path)
        if content is not None and "started" not in content:
            return content
        if monotonic() >= look_at:
            look_at = monotonic() + LOOK_SECONDS
            if not _runs(job_id):
                return _left_by_the_dead(job_id, path)
        if deadline.expired():
            raise AsyncJobError(
                f"job {job_id} did not end within {deadline_seconds:g} s; has its stop_file been made? "
                "raise deadline_seconds to wait longer"
            )
        time.sleep(POLL_SECONDS)


def _read(job_id: str, path: str) -> dict[str, Any] | None:
    """The content of the job's file; None where there is no file, as in a job's first moments."""
    try:
        with open(path, encoding="utf-8") as stream:
            text = stream.read()
    except FileNotFoundError:
        return None
    except (OSError, ValueError) as error:
        raise AsyncJobError(
            f"the result of job {job_id} cannot be read: {error}; run the collecting task as the user that started it"
        ) from error
    try:
        content = json.loads(text)
    except ValueError as error:
        raise AsyncJobError(
            f"the result of job {job_id} in {path} is not JSON ({error}): {text[:200]!r}; is the disk full?"
        ) from error
    if not isinstance(content, dict):
        raise AsyncJobError(f"the result of job {job_id} in {path} is no object: {text[:200]!r}")
    return content


def _runs(job_id: str) -> bool:
    """Whether a process of this host runs the job: each has the id's first part among its arguments."""
    name = job_id.rpartition(".")[0]
    return any(
        f" {name} " in f" {procfs.command_line(int(entry))} " for entry in os.listdir("/proc") if entry.isdigit()
    )


def _left_by_the_dead(job_id: str, path: str) -> dict[str, Any]:
    """What a job that no process runs any more wrote at its end, read after that was seen."""
    content = _read(job_id, path)
    if content is None:
        raise AsyncJobError(
            f"there is no job {job_id} on this host: {path} does not exist and no process runs it; collect a job once, "
            "on the host and as the user of the task that started it"
        )
    if "started" in content:
        _remove(path)
        raise AsyncJobError(
            f"job {job_id} was killed: no process runs it any more and it left no result; "
            "look for an out-of-memory kill (dmesg) and start it again"
        )
    return content


def _remove(path: str) -> None:
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
