# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for a mirror of Conda, on loopback: the stand-in installer, and a channel with nothing in it."""

from __future__ import annotations

import contextlib
import functools
import hashlib
import http.server
import platform
import sys
import threading
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

INSTALLER = Path(__file__).with_name("miniconda_installer.sh")


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_args: Any) -> None:
        """Say nothing; what was asked for is in ``asked``."""

    def do_GET(self) -> None:
        """Serve a file."""
        self.server.asked.append(self.path)  # type: ignore[attr-defined]
        super().do_GET()


@dataclass
class Mirror:
    """A running stand-in: its address, its folder, and the paths that were asked for."""

    url: str
    folder: Path
    asked: list[str]

    def add(self, version: str, content: bytes | None = None) -> dict[str, Any]:
        """Publish an installer; what the role's variable says of it."""
        content = INSTALLER.read_bytes() + f"# {version}\n".encode() if content is None else content
        path = self.folder / "conda" / f"{version}-Linux-{platform.machine()}.sh"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        entry = {"url": f"https://a.example/conda/{path.name}", "sha256": hashlib.sha256(content).hexdigest()}
        return {version: {platform.machine(): entry}}


@contextlib.contextmanager
def conda_mirror(folder: Path) -> Iterator[Mirror]:
    """Serve ``folder``, with a channel in it, for the length of the ``with`` block."""
    index = folder / "conda-forge" / "noarch" / "repodata.json"
    index.parent.mkdir(parents=True)
    index.write_text("{}")
    handler = functools.partial(_Quiet, directory=str(folder))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.asked = []  # type: ignore[attr-defined]
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield Mirror(f"http://127.0.0.1:{server.server_address[1]}", folder, server.asked)  # type: ignore[attr-defined]
    finally:
        server.shutdown()
        server.server_close()
        thread.join(timeout=5)


def environment() -> dict[str, str]:
    """What the stand-ins read: the Python that stands for Conda's, and no way around loopback."""
    return {"EVENKEEL_STANDIN_PYTHON": sys.executable, "no_proxy": "127.0.0.1", "NO_PROXY": "127.0.0.1"}
