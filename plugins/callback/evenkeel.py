# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: GPL-3.0-or-later
"""The screen output of a run: what changes, where the measurement is, and last what came of it."""

from __future__ import annotations

import atexit
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ansible import constants as C
from ansible import context
from ansible.plugins.callback.default import CallbackModule as DefaultCallback

if TYPE_CHECKING:
    from ansible.executor.stats import AggregateStats
    from ansible.executor.task_result import CallbackTaskResult
    from ansible.playbook import Playbook
    from ansible.playbook.included_file import IncludedFile
    from ansible.playbook.play import Play
    from ansible.playbook.task import Task

DOCUMENTATION = r"""
name: evenkeel
type: stdout
short_description: Ansible's default output, with a run's progress in place of its bookkeeping
description:
  - Tasks that only keep the books (facts, assertions, includes, and those of the roles C(machine) and C(settings)), and
    the tasks of a measurement, are not shown unless they fail; C(-v) shows them.
  - A measurement prints one line a step, and after the recap the verdict.
  - A run that ends early, by Ctrl-C too, says what was left running and how to go on.
extends_documentation_fragment:
  - default_callback
  - result_format_callback
author: Evenkeel contributors (@evenkeel)
"""

# Playbooks that go on where they were when they are run again.
DEPLOYING = frozenset({"site.yml", "reset.yml"})
QUIET_ROLES = frozenset({"machine", "settings"})
# A play with one of these roles is told by its progress and its closing words alone.
TOLD_ROLES = frozenset({"benchmark", "compare", "report"})
QUIET_ACTIONS = frozenset(
    f"ansible.builtin.{name}"
    for name in ("assert", "include_role", "include_tasks", "set_fact", "validate_argument_spec")
)


def _command(playbook: str, limited: bool = False, **variables: str) -> str:
    """A command line for ``playbook`` with this one's inventory and variables, and with ``variables``.

    ``limited``: with this one's hosts too. A report has none of them, and to stop is to stop both arms.
    """
    chosen = context.CLIARGS
    words = ["ansible-playbook"]
    for inventory in chosen.get("inventory") or ():
        if inventory not in C.DEFAULT_HOST_LIST:
            words += ["-i", inventory]
    words.append(playbook)
    if limited and chosen.get("subset"):
        words += ["--limit", chosen["subset"]]
    for given in chosen.get("extra_vars") or ():
        if not given.startswith("resume="):
            words += ["-e", given]
    for name, value in variables.items():
        words += ["-e", f"{name}={value}"]
    return shlex.join(words)


def _left(run: dict[str, Any]) -> str:
    """Which arms an interrupted run leaves running."""
    if run["event"] == "run_closing":
        return "Its trials were over, and the arms that ran before it were being started again: some may be stopped."
    if run["arm"] is None:
        return "It had started no arm; those that ran before it are stopped, or were about to be."
    return f"The {run['arm']} arm may still be running; the other one is stopped."


class CallbackModule(DefaultCallback):
    """Ansible's default callback with the differences that DOCUMENTATION names."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "stdout"
    CALLBACK_NAME = "evenkeel"

    def __init__(self) -> None:
        super().__init__()
        self._told = False
        self._deploying = ""
        self._run: dict[str, Any] | None = None
        self._closing: list[str] = []
        # Ctrl-C runs no `always:` section of a play; what is registered here does run.
        atexit.register(self._say_what_was_left)

    def _quiet(self, task: Task) -> bool:
        role = task._role.get_name() if task._role else ""
        return self._display.verbosity == 0 and (self._told or role in QUIET_ROLES or task.action in QUIET_ACTIONS)

    def v2_playbook_on_start(self, playbook: Playbook) -> None:
        """Remember a deployment: one that is interrupted says how it goes on."""
        name = Path(playbook._file_name).name
        self._deploying = name if name in DEPLOYING and not context.CLIARGS.get("check") else ""
        super().v2_playbook_on_start(playbook)

    def v2_playbook_on_play_start(self, play: Play) -> None:
        """Show which play begins."""
        self._told = any(role.get_name() in TOLD_ROLES for role in play.get_roles())
        super().v2_playbook_on_play_start(play)

    def v2_playbook_on_include(self, included_file: IncludedFile) -> None:
        """Show an include, but not the bookkeeping ones."""
        if self._display.verbosity > 0:
            super().v2_playbook_on_include(included_file)

    def v2_runner_on_ok(self, result: CallbackTaskResult) -> None:
        """Show a task's result, or the progress that it stands for."""
        self._follow(result)
        if "progress" in result.result and "run" in result.result:
            self._display.display(result.result["progress"])
        if not self._quiet(result.task):
            super().v2_runner_on_ok(result)

    def v2_runner_item_on_ok(self, result: CallbackTaskResult) -> None:
        """Show an item's result."""
        if not self._quiet(result.task):
            super().v2_runner_item_on_ok(result)

    def v2_playbook_on_stats(self, stats: AggregateStats) -> None:
        """Show the recap, and last what came of the run."""
        super().v2_playbook_on_stats(stats)
        self._deploying = ""
        for text in self._closing:
            self._display.display(text)
        if self._closing:
            self._run = None

    def _follow(self, result: CallbackTaskResult) -> None:
        if "closing" in result.result:
            self._closing.append(result.result["closing"])
        run = result.result.get("run")
        if isinstance(run, dict) and "event" in run:
            self._run = None if run["event"] == "run_finished" else run

    def _say_what_was_left(self) -> None:
        if self._deploying:
            self._display.display(
                f"\n{self._deploying} was interrupted. What it made until then is written down.\n"
                f"  to go on:              {_command(self._deploying, limited=True)}\n"
                f"  to remove it all:      {_command('reset.yml')}"
            )
        if self._run is None:
            return
        identity = self._run["id"]
        self._display.display(
            f"\nThe run {identity} was interrupted at step {self._run['step']}. {_left(self._run)}\n"
            f"What was measured is kept in {self._run['dir']}.\n"
            f"  to go on:              {_command('benchmark.yml', limited=True, resume=identity)}\n"
            f"  to see what is there:  {_command('report.yml', run=identity)}\n"
            f"  to stop both arms:     {_command('stop.yml')}\n"
            f"  to start both again:   {_command('site.yml')}"
        )
