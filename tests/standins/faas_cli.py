# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for faas-cli: it puts a build context together as `faas-cli build --shrinkwrap` does, and builds nothing.

openfaas/faas-cli 0.17.8, builder/build.go: build/NAME is the template, build/NAME/function the handler with what
``configuration.copy`` of stack.yaml lists. Every call is written down, one JSON list a line, in ``faas-cli.argv.jsonl``
beside the program.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import sys
from pathlib import Path

import yaml


def install(directory: Path) -> Path:
    """Write an executable stand-in called ``faas-cli`` into ``directory`` and return its path."""
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "faas-cli"
    program.write_text(
        f"#!{sys.executable}\n"
        f"import runpy, sys\nrunpy.run_path({__file__!r})['main']({str(directory)!r}, sys.argv[1:])\n"
    )
    program.chmod(0o755)
    return program


def calls(directory: Path) -> list[list[str]]:
    """What the program was called with, in order."""
    path = directory / "faas-cli.argv.jsonl"
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def main(directory: str, argv: list[str]) -> None:
    """What the installed program does."""
    with Path(directory, "faas-cli.argv.jsonl").open("a") as stream:
        stream.write(json.dumps(argv) + "\n")
    match argv:
        case ["version", *_]:
            print("CLI:\n commit:  stand-in\n version: 0.17.8")
        case ["build", "--yaml", name, "--shrinkwrap"]:
            shrinkwrap(Path(name))
        case _:
            sys.exit(f"the stand-in of faas-cli knows no {argv}")


def shrinkwrap(stack: Path) -> None:
    """Lay build/NAME for every function of the file."""

    def environment(found: re.Match[str]) -> str:
        return os.environ.get(found[1]) or found[2]

    document = yaml.safe_load(re.sub(r"\$\{(\w+):-([^}]*)\}", environment, stack.read_text()))
    for name, function in document["functions"].items():
        context = Path("build", name)
        shutil.rmtree(context, ignore_errors=True)
        shutil.copytree(Path("template", function["lang"]), context)
        shutil.copytree(function["handler"], context / "function", dirs_exist_ok=True)
        for extra in document.get("configuration", {}).get("copy", []):
            if Path(extra).is_dir():
                shutil.copytree(extra, context / "function" / Path(extra).name)
        print(f"{name} shrink-wrapped to ./{context} (stand-in)")
