# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""plugins/callback/evenkeel.py, through ansible-playbook: what a person sees, also of a run that ends early."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[4]
BOOKKEEPING = """
- name: Keep the books
  ansible.builtin.assert: {that: true, quiet: true}
- name: Do something
  ansible.builtin.debug: {msg: done}
"""
RUN = """
- name: Begin
  run_step: {run_dir: "RUN_DIR", event: run_begun, step: run}
- name: Begin a trial
  run_step: {run_dir: "RUN_DIR", event: step_begun, step: b01-server-load}
"""
END = """
- name: End
  run_step: {run_dir: "RUN_DIR", event: run_finished, step: run, closing: VALID the-run}
"""
WAIT = """
- name: Wait
  ansible.builtin.pause: {seconds: 60}
"""


@pytest.fixture
def playbook(tmp_path: Path) -> Path:
    (tmp_path / "raw").mkdir()
    trial = {
        "id": "b01-server-load",
        "block": 1,
        "order": 1,
        "arm": "server",
        "kind": "load",
        "mode": None,
        "counted": True,
    }
    (tmp_path / "plan.json").write_text(json.dumps({"trials": [trial]}))
    return tmp_path / "play.yml"


def write(playbook: Path, tasks: str) -> list[str]:
    lines = tasks.replace("RUN_DIR", str(playbook.parent)).strip("\n").splitlines()
    head = "- name: A play\n  hosts: localhost\n  gather_facts: false\n  tasks:\n"
    playbook.write_text(head + "\n".join(f"    {line}" for line in lines) + "\n")
    return [str(Path(sys.executable).with_name("ansible-playbook")), "-i", "localhost,", "-c", "local", str(playbook)]


def run(playbook: Path, tasks: str, *options: str) -> str:
    command = [*write(playbook, tasks), *options]
    return subprocess.run(command, cwd=ROOT, check=False, capture_output=True, text=True, timeout=60).stdout


def test_bookkeeping_is_shown_only_when_asked_for(playbook: Path) -> None:
    quiet, verbose = run(playbook, BOOKKEEPING), run(playbook, BOOKKEEPING, "-v")
    assert "Do something" in quiet and "Do something" in verbose
    assert "Keep the books" not in quiet and "Keep the books" in verbose


def test_a_run_is_told_by_its_progress_and_the_verdict_comes_last(playbook: Path) -> None:
    shown = run(playbook, RUN + END)
    assert "[1/1] block  1 of 1  server      load" in shown
    assert shown.rstrip().endswith("VALID the-run")
    assert "interrupted" not in shown


def test_a_run_that_fails_says_how_to_go_on(playbook: Path) -> None:
    shown = run(playbook, RUN + "- name: Fail\n  ansible.builtin.fail: {msg: no}\n")
    assert "interrupted at step b01-server-load" in shown
    # The command takes along what this one was given.
    assert f"ansible-playbook -i localhost, benchmark.yml -e resume={playbook.parent.name}" in shown


def interrupted(command: list[str], after: str) -> str:
    """What a playbook shows that gets Ctrl-C half a second after it has shown a text."""
    process = subprocess.Popen(
        command,
        cwd=ROOT,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    shown = ""
    deadline = time.monotonic() + 60
    while after not in shown and time.monotonic() < deadline:
        shown += process.stdout.readline()
    time.sleep(0.5)
    os.killpg(process.pid, signal.SIGINT)
    shown += process.communicate(timeout=30)[0]
    assert process.returncode != 0
    return shown


def test_ctrl_c_says_what_was_left_and_how_to_go_on(playbook: Path) -> None:
    shown = interrupted([*write(playbook, RUN + WAIT), "--limit", "localhost"], "[1/1]")
    assert "The server arm may still be running" in shown
    assert f"benchmark.yml --limit localhost -e resume={playbook.parent.name}" in shown
    # A report has no hosts, and both arms are stopped.
    assert f"report.yml -e run={playbook.parent.name}" in shown
    assert "ansible-playbook -i localhost, stop.yml\n" in shown


@pytest.mark.parametrize(
    ("event", "left"),
    [
        ("run_begun", "It had started no arm; those that ran before it are stopped"),
        ("run_closing", "some may be stopped"),
    ],
)
def test_ctrl_c_beside_the_trials(playbook: Path, event: str, left: str) -> None:
    tasks = f'- name: Record\n  run_step: {{run_dir: "RUN_DIR", event: {event}, step: run}}\n'
    assert left in interrupted(write(playbook, tasks + BOOKKEEPING + WAIT), "Do something")


def test_ctrl_c_in_a_deployment_says_how_it_goes_on(playbook: Path) -> None:
    shown = interrupted(write(playbook.with_name("site.yml"), BOOKKEEPING + WAIT), "Do something")
    assert "site.yml was interrupted. What it made until then is written down." in shown
    assert "to go on:              ansible-playbook -i localhost, site.yml" in shown
    assert "interrupted" not in run(playbook.with_name("site.yml"), BOOKKEEPING)
