# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Action plugin of htop_facts: the module records on the target, this draws the recorded screens on the controller.

The target needs Python's standard library only, the terminal emulator is the controller's.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

try:
    import pyte
except ImportError:
    pyte = None

# Ansible ships module_utils to targets; on the controller the package is found beside this plugin.
_MODULE_UTILS = str(Path(__file__).resolve().parents[1] / "module_utils")
if _MODULE_UTILS not in sys.path:
    sys.path.append(_MODULE_UTILS)

from evenkeel import htop_facts, htop_recording, watch  # noqa: E402

ARTIFACT_NAME = "htop.frames.json"


def draw(recording: Mapping[str, Any]) -> list[list[str]]:
    """Each frame of a recording as rows of text. A frame only writes what changed, so they are drawn one on the other.

    Raises ValueError where the recording is damaged, AnsibleActionFail where pyte is missing.
    """
    if pyte is None:
        raise AnsibleActionFail(
            "htop_facts needs the Python package pyte on the controller to draw htop's screen; "
            f"install it: {sys.executable} -m pip install pyte"
        )
    screen = pyte.Screen(recording["columns"], recording["rows"])
    stream = pyte.ByteStream(screen)
    drawn = []
    for data in htop_recording.decode_screens(recording["screens"]):
        stream.feed(data)
        drawn.append([row.rstrip() for row in screen.display])
    return drawn


class ActionModule(ActionBase):
    """Record (synchronously or asynchronously), or turn an earlier recording into facts."""

    _supports_check_mode = True
    _supports_async = True

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Returns the module's result, with facts in place of the recording."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        try:
            result.update(self._answer(task_vars))
        except AnsibleActionFail as error:
            # A result, since the task's failed_when does not see an exception: what ran beside the watcher may be kept.
            result.update(failed=True, msg=str(error))
        return result

    def _answer(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        job = self._task.args.get("recording")
        if job is None:
            answer = self._record(task_vars)
        elif isinstance(job, Mapping):
            answer = self._finished(job, task_vars)
        else:
            raise AnsibleActionFail(
                f"recording must be the registered result of an htop_facts task, not {type(job).__name__}: {job!r:.200}"
            )
        recording = answer.pop("recording", None)
        if recording is not None and not answer.get("failed"):
            answer.update(self._facts(recording))
        return answer

    def _record(self, task_vars: dict[str, Any] | None) -> dict[str, Any]:
        wrap_async = bool(self._task.async_val) and not self._connection.has_native_async
        answer: dict[str, Any] = self._execute_module(task_vars=task_vars, wrap_async=wrap_async)
        if not wrap_async:
            self._remove_tmp_path(self._connection._shell.tmpdir)
        # An asynchronous start is reported as a change by Ansible itself; nothing is changed by watching.
        return {**answer, "changed": False}

    def _finished(self, job: Mapping[str, Any], task_vars: dict[str, Any] | None) -> dict[str, Any]:
        """The result of the recording task."""
        if "recording" in job or job.get("failed"):
            return dict(job)
        if "plan" in job or self._task.check_mode:
            return {"changed": False, "plan": job.get("plan")}
        # The job's result is on the target: the module of this name waits for it there.
        answer: dict[str, Any] = self._execute_module(task_vars=task_vars)
        self._remove_tmp_path(self._connection._shell.tmpdir)
        return answer

    def _write(self, path: str, content: bytes) -> None:
        """Lays a file on the target with the rights of the task, which may be another user's than the connection's."""
        written = self._low_level_execute_command(f"cat >{shlex.quote(path)}", in_data=content)
        if written["rc"] != 0:
            raise AnsibleActionFail(f"the recorded screens cannot be written to {path}: {written['stderr'].strip()}")

    def _facts(self, recording: Mapping[str, Any]) -> dict[str, Any]:
        try:
            facts = htop_facts.facts(recording, draw(recording))
        except (ValueError, KeyError) as error:
            raise AnsibleActionFail(f"the htop recording cannot be read: {error!r}") from error
        directory = self._task.args.get("artifact_dir")
        content = None
        if directory:
            facts, content = watch.separate_long_lists(facts)
        answer: dict[str, Any] = {"changed": False, "ansible_facts": {"htop": facts}}
        if content is not None:
            path = self._connection._shell.join_path(directory, ARTIFACT_NAME)
            self._write(path, content)
            answer["artifacts"] = [watch.describe_artifact(path, content)]
        return answer
