# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""evenkeel.async_job, against jobs that ansible-core's own wrapper runs, and against what it may leave."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from evenkeel import async_job, procfs
from evenkeel.async_job import AsyncJobError, finished

RESULT = {"changed": False, "ansible_facts": {"seen": 5}, "invocation": {"module_args": {"a": 1}}}


def start(folder: Path, code: str, name: str, limit: int = 30) -> dict[str, Any]:
    """Have the wrapper run a module of this code, and give what a task registers of it."""
    module = folder / "module.py"
    module.write_text(f"#!{sys.executable}\n{code}\n")
    argv = [sys.executable, "-m", "ansible.modules.async_wrapper", name, str(limit), str(module), "_"]
    environment = {**os.environ, "ANSIBLE_ASYNC_DIR": str(folder / "jobs")}
    completed = subprocess.run(argv, env=environment, capture_output=True, text=True, check=True, timeout=20)
    registered: dict[str, Any] = json.loads(completed.stdout)
    return {**registered, "changed": True}


def processes(name: str) -> list[int]:
    return [int(one) for one in os.listdir("/proc") if one.isdigit() and f" {name} " in procfs.command_line(int(one))]


def kill(name: str) -> None:
    """Kill a job's processes and what they run; each is in a group of the wrapper's own."""
    for pid in processes(name):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(os.getpgid(pid), signal.SIGKILL)


def test_the_end_of_a_real_job_is_waited_for_and_its_file_removed(tmp_path: Path) -> None:
    job = start(tmp_path, f"import time; time.sleep(0.4)\nprint({json.dumps(RESULT)!r})", "j71000001")
    assert json.loads(Path(job["results_file"]).read_text())["started"]
    assert finished(job, 10) == {"changed": False, "ansible_facts": {"seen": 5}}
    assert not Path(job["results_file"]).exists()
    # The wrapper's own watcher outlives the job by some seconds; until then the job might still begin.
    kill("j71000001")
    with pytest.raises(AsyncJobError, match="there is no job j71000001"):
        finished(job, 10)


def test_a_failure_is_a_result(tmp_path: Path) -> None:
    said = {"failed": True, "msg": "container web stopped while it was watched", "operation": "watch"}
    job = start(tmp_path, f"print({json.dumps(said)!r}); raise SystemExit(1)", "j71000002")
    assert finished(job, 10) == said


def test_a_module_that_ends_without_a_result_says_why(tmp_path: Path) -> None:
    job = start(tmp_path, "raise OSError('no space')", "j71000003")
    with pytest.raises(AsyncJobError, match=r"j71000003.*ended without a result(.|\n)*OSError: no space"):
        finished(job, 10)


def test_a_job_whose_time_is_over_was_killed(tmp_path: Path) -> None:
    job = start(tmp_path, "import time; time.sleep(60)", "j71000004", limit=1)
    with pytest.raises(AsyncJobError, match="was killed by Ansible when the time given by async was over"):
        finished(job, 10)


def test_a_job_that_somebody_killed_is_not_waited_for(tmp_path: Path) -> None:
    job = start(tmp_path, "import time; time.sleep(60)", "j71000005")
    kill("j71000005")
    begun = time.monotonic()
    with pytest.raises(AsyncJobError, match=r"j71000005.* was killed: no process runs it any more"):
        finished(job, 30)
    assert time.monotonic() - begun < 10
    assert not Path(job["results_file"]).exists()


def test_a_job_that_goes_on_is_left_in_time_with_its_file(tmp_path: Path) -> None:
    job = start(tmp_path, "import time; time.sleep(60)", "j71000006")
    try:
        with pytest.raises(AsyncJobError, match=r"did not end within 0\.2 s; has its stop_file been made"):
            finished(job, 0.2)
        assert Path(job["results_file"]).exists()
    finally:
        kill("j71000006")


def left(folder: Path, content: str) -> dict[str, Any]:
    """A job of which only this content is left."""
    path = folder / "j1.2"
    path.write_text(content)
    return {"ansible_job_id": "j1.2", "results_file": str(path), "started": 1, "finished": 0}


@pytest.mark.parametrize(
    ("content", "said"), [("", "is not JSON"), ('{"a": 1', "is not JSON"), ("[1]", "is no object")]
)
def test_a_garbled_result_is_kept_for_who_looks(tmp_path: Path, content: str, said: str) -> None:
    job = left(tmp_path, content)
    with pytest.raises(AsyncJobError, match=f"job j1.2.* {said}"):
        finished(job, 5)
    assert Path(job["results_file"]).exists()


def test_warnings_are_texts_whatever_wrote_them(tmp_path: Path) -> None:
    """ansible-core 2.19 writes messages with their origin, earlier ones the text alone."""
    written = {"__ansible_type": "WarningSummary", "event": {"__ansible_type": "Event", "msg": "by its deadline"}}
    job = left(tmp_path, json.dumps({"changed": False, "warnings": [written, "plain"]}))
    assert finished(job, 5)["warnings"] == ["by its deadline", "plain"]


def test_what_async_status_registered_is_its_own_result(tmp_path: Path) -> None:
    job = {**left(tmp_path, "{}"), "finished": True, "ansible_facts": {"seen": 1}, "changed": False}
    assert finished(job, 5) == {"ansible_facts": {"seen": 1}, "changed": False}
    assert not (tmp_path / "j1.2").exists()


@pytest.mark.parametrize("job", [{"failed": True, "msg": "x"}, {"ansible_facts": {"seen": 1}}, {"plan": {"a": 1}}])
def test_a_task_that_ran_without_async_is_its_own_result(job: dict[str, Any]) -> None:
    assert finished(job, 5) == job


@pytest.mark.parametrize(
    "job",
    [
        {},
        {"stdout": "", "rc": 0},
        {"ansible_job_id": "j1.2"},
        {"ansible_job_id": 5, "results_file": "/tmp/5"},
        {"ansible_job_id": "j1.2", "results_file": "/etc/passwd"},
    ],
)
def test_what_is_no_job_is_refused_and_named(job: dict[str, Any]) -> None:
    with pytest.raises(AsyncJobError, match="not the registered result of a task with async"):
        finished(job, 5)


@pytest.mark.parametrize("seconds", [0.0, -1.0, float("nan")])
def test_a_deadline_is_positive(seconds: float, tmp_path: Path) -> None:
    with pytest.raises(AsyncJobError, match="deadline_seconds must be a positive number"):
        finished(left(tmp_path, "{}"), seconds)


def test_an_unreadable_result_names_the_user(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    job = left(tmp_path, "{}")

    def refuse(*_: Any, **__: Any) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(async_job, "open", refuse, raising=False)
    with pytest.raises(AsyncJobError, match="run the collecting task as the user that started it"):
        finished(job, 5)
