# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What is installed where this runs: the interpreter and every package, as the interpreter itself finds them.

A running service says it under `/startup`, so that what two arms truly run can be compared;
`python -m cifar_cnn.installed` prints it for a deployment's record.
"""

from __future__ import annotations

import functools
import hashlib
import json
import platform
import re
import sys
from collections.abc import Mapping
from importlib import metadata


@functools.cache
def packages() -> Mapping[str, str]:
    """Returns the version of every package on the import path, by its normalised name; read once a process."""
    found: dict[str, str] = {}
    for distribution in metadata.distributions():
        # Of two packages with one name the first on the path is imported. A damaged one has no name.
        if name := distribution.metadata["Name"]:
            found.setdefault(re.sub(r"[-_.]+", "-", name).lower(), distribution.version)
    return dict(sorted(found.items()))


def digest(versions: Mapping[str, str]) -> str:
    """Returns the SHA-256 of the lines `name==version` in the order of the names."""
    lines = (f"{name}=={version}\n" for name, version in sorted(versions.items()))
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def build() -> str:
    """Returns the interpreter's implementation and its own description: version, packager, date and compiler."""
    return f"{platform.python_implementation()} {' '.join(sys.version.split())}"


def record() -> dict[str, object]:
    """Returns everything, for the record of a deployment."""
    return {
        "implementation": platform.python_implementation(),
        "python": platform.python_version(),
        "python_build": build(),
        "packages": packages(),
        "packages_sha256": digest(packages()),
    }


if __name__ == "__main__":
    print(json.dumps(record()))
