# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""Chromium without a window, driven over its own DevTools protocol through a pipe: no port, no other package."""

from __future__ import annotations

import base64
import json
import os
import select
import shutil
import subprocess
import time
from pathlib import Path
from types import TracebackType
from typing import Any

PROGRAM = next(
    (found for name in ("chromium", "chromium-browser", "google-chrome") if (found := shutil.which(name))), None
)
FLAGS = (
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--remote-debugging-pipe",
)
DEADLINE_SECONDS = 60.0


class Browser:
    """A running browser with one page. Use it as a context manager.

    Raises AssertionError where the browser answers a command with an error, and TimeoutError where it does not answer.
    """

    def __init__(self, profile: Path) -> None:
        assert PROGRAM is not None
        to_browser, self._commands = os.pipe()
        self._answers, from_browser = os.pipe()

        def take_pipes() -> None:
            # High numbers first, so that neither copy overwrites the other's source.
            incoming, outgoing = os.dup(to_browser), os.dup(from_browser)
            os.dup2(incoming, 3)
            os.dup2(outgoing, 4)

        self._process = subprocess.Popen(
            [PROGRAM, *FLAGS, f"--user-data-dir={profile}", "about:blank"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            pass_fds=(3, 4, to_browser, from_browser),
            preexec_fn=take_pipes,  # noqa: PLW1509 - no thread runs here yet; only a child can have descriptors 3 and 4
        )
        os.close(to_browser)
        os.close(from_browser)
        self._buffer = b""
        self._sent = 0
        self._session: str | None = None
        self.events: list[dict[str, Any]] = []
        targets = self.command("Target.getTargets")["targetInfos"]
        page = next(target["targetId"] for target in targets if target["type"] == "page")
        self._session = self.command("Target.attachToTarget", targetId=page, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.command(f"{domain}.enable")

    def __enter__(self) -> Browser:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._process.terminate()
        self._process.wait(DEADLINE_SECONDS)
        os.close(self._commands)
        os.close(self._answers)

    def command(self, method: str, **params: Any) -> dict[str, Any]:
        """Send a command and give its result; events that come meanwhile are kept in ``events``."""
        self._sent += 1
        message: dict[str, Any] = {"id": self._sent, "method": method, "params": params}
        if self._session is not None:
            message["sessionId"] = self._session
        os.write(self._commands, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + DEADLINE_SECONDS
        while True:
            answer = self._next(deadline, method)
            if answer.get("id") != self._sent:
                self.events.append(answer)
                continue
            assert "error" not in answer, f"{method}: {answer['error']}"
            found: dict[str, Any] = answer["result"]
            return found

    def _next(self, deadline: float, what: str) -> dict[str, Any]:
        while b"\0" not in self._buffer:
            if not select.select([self._answers], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise TimeoutError(f"the browser did not answer {what} within {DEADLINE_SECONDS:g} s")
            read = os.read(self._answers, 1 << 16)
            if not read:
                raise TimeoutError(f"the browser ended before it answered {what}")
            self._buffer += read
        message, self._buffer = self._buffer.split(b"\0", 1)
        found: dict[str, Any] = json.loads(message)
        return found

    def open(
        self, page: Path, width: int, *, scheme: str = "light", media: str = "screen", script: bool = True
    ) -> None:
        """Open a file in a window of this width and wait until it has loaded."""
        self.command("Emulation.setScriptExecutionDisabled", value=not script)
        self.command("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=False)
        self.command(
            "Emulation.setEmulatedMedia", media=media, features=[{"name": "prefers-color-scheme", "value": scheme}]
        )
        self.events.clear()
        self.command("Page.navigate", url=page.as_uri())
        deadline = time.monotonic() + DEADLINE_SECONDS
        while not any(event.get("method") == "Page.loadEventFired" for event in self.events):
            self.events.append(self._next(deadline, f"that {page.name} has loaded"))

    def run(self, expression: str) -> Any:
        """Evaluate an expression in the page; the page's own policy and its scripts being off do not matter."""
        answer = self.command("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer["exceptionDetails"]
        return answer["result"].get("value")

    def press(self, key: str, code: int) -> None:
        """Press and release a key, such as Tab (9) or Enter (13)."""
        text = {"text": "\r"} if key == "Enter" else {}
        for kind in ("keyDown", "keyUp"):
            self.command("Input.dispatchKeyEvent", type=kind, key=key, code=key, windowsVirtualKeyCode=code, **text)

    def move(self, x: float, y: float) -> None:
        """Move the pointer to a place in the window."""
        self.command("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)

    def screenshot(self, to: Path) -> None:
        """Write the whole page as PNG."""
        taken = self.command("Page.captureScreenshot", format="png", captureBeyondViewport=True)
        to.write_bytes(base64.b64decode(taken["data"]))

    def pdf(self, to: Path) -> None:
        """Print the page to a file."""
        to.write_bytes(base64.b64decode(self.command("Page.printToPDF", printBackground=False)["data"]))
