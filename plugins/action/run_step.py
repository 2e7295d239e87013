# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""Keeps a run's journal and raw records on the controller."""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from typing import Any

from ansible.errors import AnsibleActionFail
from ansible.plugins.action import ActionBase

# Ansible ships module_utils to targets; on the controller the package is found beside this plugin.
_MODULE_UTILS = str(Path(__file__).resolve().parents[1] / "module_utils")
if _MODULE_UTILS not in sys.path:
    sys.path.append(_MODULE_UTILS)

from evenkeel import journal, plan  # noqa: E402


def write_whole(path: Path, text: str) -> None:
    """Writes a file in one step: it is there whole, or not at all.

    Raises:
        OSError: it could not be written; nothing of it stays behind.
    """
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}-")
    try:
        with os.fdopen(handle, "w", encoding="utf-8") as stream:
            stream.write(text)
            stream.flush()
            os.fsync(stream.fileno())
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise


def set_aside(raw: Path, trials: list[str]) -> None:
    """Moves what is recorded of ``trials`` into a new folder under ``raw/superseded/``; nothing is overwritten.

    Raises:
        OSError: it could not be moved.
    """
    files = [file for trial in trials for file in raw.glob(f"{trial}.*")]
    if not files:
        return
    past = raw / "superseded"
    past.mkdir(exist_ok=True)
    attempt = past / str(len(list(past.iterdir())) + 1)
    attempt.mkdir()
    for file in files:
        file.rename(attempt / file.name)


def check_alone(results: Path) -> None:
    """Raises AnsibleActionFail where a run in ``results`` is under way: each would disturb, and restart, the other."""
    for other in sorted(results.glob("*/journal.jsonl")):
        pid = journal.at_work(journal.read(str(other)))
        if pid is not None and pid != os.getppid():
            raise AnsibleActionFail(
                f"The run {other.parent.name} is under way (ansible-playbook, process {pid}), and two runs at a time "
                f"disturb each other. Wait for its end, or end it (kill -INT {pid}), and begin again."
            )


class ActionModule(ActionBase):
    """The action of run_step."""

    TRANSFERS_FILES = False

    def run(self, tmp: str | None = None, task_vars: dict[str, Any] | None = None) -> dict[str, Any]:
        """Carry out the task."""
        result: dict[str, Any] = super().run(tmp, task_vars)
        _validation, arguments = self.validate_argument_spec(
            argument_spec={
                "run_dir": {"type": "path", "required": True},
                "event": {"type": "str", "required": True, "choices": [*journal.EVENTS, "alone", "reported"]},
                "step": {"type": "str", "required": True},
                "facts": {"type": "dict"},
                "artifacts": {"type": "list", "elements": "dict"},
                "texts": {"type": "dict"},
                "expected_seconds": {"type": "dict"},
                "message": {"type": "str"},
                "closing": {"type": "str"},
            }
        )
        result["changed"] = False
        if self._task.check_mode:
            return result
        try:
            self._record(arguments, result)
        except OSError as error:
            raise AnsibleActionFail(
                f"The run's record could not be written: {error}. What was measured before is kept in "
                f"{arguments['run_dir']}; make room or give write permission, then resume the run."
            ) from error
        return result

    def _record(self, arguments: dict[str, Any], result: dict[str, Any]) -> None:
        if arguments["closing"]:
            result["closing"] = arguments["closing"]
        if arguments["event"] == "reported":
            if arguments["message"]:
                result["progress"], result["run"] = arguments["message"], {"id": Path(arguments["run_dir"]).name}
            return
        if arguments["event"] == "alone":
            check_alone(Path(arguments["run_dir"]))
            return
        folder, event, step = Path(arguments["run_dir"]), arguments["event"], arguments["step"]
        path = str(folder / "journal.jsonl")
        details: dict[str, Any] = {"message": arguments["message"]} if arguments["message"] else {}
        trials = json.loads((folder / "plan.json").read_text(encoding="utf-8"))["trials"]
        trial = next((each for each in trials if each["id"] == step), None)
        if event == "step_done" and trial is not None:
            begun = journal.last_begun(journal.read(path), step)
            for ending, text in (arguments["texts"] or {}).items():
                if text:
                    write_whole(folder / "raw" / f"{step}.{ending}", text)
            record = {
                "trial": trial,
                "begun_utc": begun["utc"] if begun else None,
                "ended_utc": journal.utc_now(),
                "facts": arguments["facts"] or {},
                "artifacts": arguments["artifacts"] or [],
            }
            write_whole(folder / "raw" / f"{step}.json", json.dumps(record, indent=1, sort_keys=True) + "\n")
        if event in ("run_begun", "run_resumed"):
            # The worker's parent is ansible-playbook itself.
            details["controller"] = journal.controller(os.getppid())
        if event == "run_resumed":
            recorded = {file.stem for file in (folder / "raw").glob("*.json")}
            result["done"] = plan.finished(trials, recorded)
            set_aside(folder / "raw", [each["id"] for each in trials if each["id"] not in result["done"]])
        journal.append(path, event, step, **details)
        records = journal.read(path)
        # Which arm may be running is known from the trial begun last, also between two trials.
        begun = {record["step"] for record in records if record["event"] == "step_begun"}
        last = max((each for each in trials if each["id"] in begun), key=lambda each: each["order"], default=None)
        result["run"] = {"dir": str(folder), "id": folder.name, "event": event, "step": step}
        result["run"]["arm"] = last["arm"] if last else None
        if event == "step_begun" and trial is not None:
            taken = journal.durations(records)
            remaining = journal.remaining_seconds(trials, taken, arguments["expected_seconds"] or {})
            elapsed = records[-1]["monotonic_seconds"] - self._begun(records)
            result["progress"] = journal.progress_line(trial, trials, elapsed, remaining)

    @staticmethod
    def _begun(records: list[dict[str, Any]]) -> float:
        """When this sitting began: the monotonic clock does not go on over a reboot, nor over a night between two."""
        begins = [record for record in records if record["event"] in ("run_begun", "run_resumed")]
        return float(begins[-1]["monotonic_seconds"])
