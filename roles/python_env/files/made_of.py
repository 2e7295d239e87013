# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Says whether a virtual environment is of the interpreter that runs this: `of this one`, `of another`, or `none`.

A folder that is no whole environment is of another: it was left by what was cut short.
"""

import os
import platform
import sys


def settings(folder):
    """What `pyvenv.cfg` says; empty where there is none."""
    try:
        with open(os.path.join(folder, "pyvenv.cfg"), encoding="utf-8") as stream:
            pairs = (line.partition("=") for line in stream)
            return {name.strip().lower(): value.strip() for name, _, value in pairs}
    except OSError:
        return {}


def made_of(folder):
    """An environment's own interpreter is a link to the one that it was made of; it notes that one's version."""
    if not os.path.isdir(folder):
        return "none"
    known = settings(folder)
    version = known.get("version_info", known.get("version"))
    program = os.path.realpath(os.path.join(folder, "bin", "python"))
    same = program == os.path.realpath(sys.executable) and version == platform.python_version()
    return "of this one" if same else "of another"


if __name__ == "__main__":
    print(made_of(sys.argv[1]))
