# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What supervisord and the shell read, with spaces, umlauts and per cent signs in the state directory's path."""

from __future__ import annotations

import configparser
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import jinja2
import pytest

TEMPLATES = Path(__file__).resolve().parents[4] / "roles" / "platform_process" / "templates"


@pytest.fixture
def variables(tmp_path: Path) -> dict[str, Any]:
    state = tmp_path / "a 100% stäte"
    (state / "server" / "service").mkdir(parents=True)
    environment = state / "server" / "service" / "environment"
    environment.write_text(f"EVENKEEL_DATA_DIR={shlex.quote(str(state / 'data'))}\n")
    return {
        "ansible_facts": {"machine": {"user_id": 0}},
        "arm": "server",
        "platform_argv": [
            sys.executable,
            "-c",
            "import os; print(*(f'{k}={v}' for k, v in os.environ.items()), sep='\\n')",
        ],
        "platform_directory": str(state / "server"),
        "platform_process_dir": str(state / "supervisor"),
        "platform_process_socket": str(state / "supervisor" / "control.sock"),
        "platform_process_stop_seconds": 10,
        "service_port": 8081,
        "settings_arm_dir": str(state / "server"),
    }


def render(name: str, variables: dict[str, Any]) -> str:
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["quote"] = shlex.quote
    return environment.get_template(name).render(variables)


def run(variables: dict[str, Any], **around: str) -> dict[str, str]:
    """The environment of the process that run.sh becomes when it is run with ``around`` as its own."""
    done = subprocess.run(
        ["/bin/sh", "-c", render("run.sh.j2", variables)], check=True, capture_output=True, text=True, env=around
    )
    return dict(line.split("=", 1) for line in done.stdout.splitlines())


def test_the_environment_is_the_same_whoever_started_supervisord(variables: dict[str, Any]) -> None:
    environment = run(
        variables, HOME="/home/someone", PATH="/usr/bin:/bin", OMP_NUM_THREADS="1", LANG="de_DE", PYTHONPATH="/x"
    )
    state = Path(variables["settings_arm_dir"])
    assert environment == {
        "PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": "/home/someone",
        "LANG": "C.UTF-8",
        "LC_ALL": "C.UTF-8",
        "PYTHONUNBUFFERED": "1",
        "EVENKEEL_SERVICE_DIR": str(state / "service"),
        "EVENKEEL_DATA_DIR": str(state.parent / "data"),
        "EVENKEEL_BIND": "127.0.0.1",
        "EVENKEEL_PORT": "8081",
    }


def test_a_folder_for_temporary_files_is_kept(variables: dict[str, Any]) -> None:
    environment = run(variables, PATH="/usr/bin:/bin", TMPDIR="/var/tmp/a b")
    assert (environment["TMPDIR"], environment["HOME"]) == ("/var/tmp/a b", "/")


def test_the_process_keeps_its_id(variables: dict[str, Any]) -> None:
    variables["platform_argv"] = [sys.executable, "-c", "import os; print(f'pid={os.getpid()}')"]
    pid = run(variables, PATH="/usr/bin:/bin")["pid"]
    assert pid == Path(variables["settings_arm_dir"], "service.pid").read_text().strip()


def test_supervisord_finds_the_script_and_the_programs(variables: dict[str, Any]) -> None:
    # As supervisor/options.py reads it: these comment prefixes, %-expansion, shlex, and file names split at spaces.
    parser = configparser.RawConfigParser(inline_comment_prefixes=(";", "#"), strict=False)
    parser.read_string(render("program.conf.j2", variables) + render("supervisord.conf.j2", variables))
    command = shlex.split(parser["program:server"]["command"] % {})
    assert command == [f"{variables['settings_arm_dir']}/run.sh"]
    log = parser["program:server"]["stdout_logfile"] % {} % {}
    assert log == f"{variables['settings_arm_dir']}/service.log"
    assert parser["include"]["files"].split() == ["conf.d/*.conf"]
    assert parser["unix_http_server"]["file"] % {} == variables["platform_process_socket"]
