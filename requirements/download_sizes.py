# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Measures how much a lock makes this machine download: `python requirements/download_sizes.py LOCK...`

Asks the configured package index which files it would give this Python and platform, and each file's size. Run by
`make lock`, which keeps the answer in requirements/sizes.json, so that a command can say it before it starts.
"""

from __future__ import annotations

import json
import subprocess
import sys
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path


def files_of(lock: Path) -> list[str]:
    """The addresses of the files that an empty environment would fetch for ``lock``."""
    command = [sys.executable, "-m", "pip", "install", "--dry-run", "--ignore-installed", "--quiet", "--report", "-"]
    report = subprocess.run([*command, "--requirement", str(lock)], check=True, capture_output=True, text=True).stdout
    return [item["download_info"]["url"] for item in json.loads(report)["install"]]


def size_of(address: str) -> int:
    """The bytes of one file, as the index states them."""
    with urllib.request.urlopen(urllib.request.Request(address, method="HEAD"), timeout=60) as answer:
        return int(answer.headers["Content-Length"])


def main() -> None:
    """Print a JSON object: each lock's name, and the megabytes (1,000,000 bytes) it fetches."""
    with ThreadPoolExecutor(8) as pool:
        sizes = {lock.name: round(sum(pool.map(size_of, files_of(lock))) / 1e6) for lock in map(Path, sys.argv[1:])}
    python = f"{sys.version_info.major}.{sys.version_info.minor}"
    print(json.dumps({"python": python, "platform": sys.platform, "megabytes": sizes}, indent=1))


if __name__ == "__main__":
    main()
