# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""A stand-in for htop: a program that answers and draws as a given version of it does, or misbehaves as told.

It draws recorded text frames, with the numbers as recorded; nothing it shows is measured.
"""

from __future__ import annotations

import signal
import sys
import time
from pathlib import Path

FRAME_MARK = "Avg:"


def split_frames(text: str) -> list[list[str]]:
    """The rows of each screen in a file of screens one after the other; each begins with the meter of all CPUs."""
    frames: list[list[str]] = []
    for row in text.splitlines():
        if row.startswith(FRAME_MARK):
            frames.append([])
        frames[-1].append(row)
    return frames


def install(
    directory: Path,
    *,
    version: str = "htop 3.2.2",
    screens: Path | None = None,
    behaviour: str = "draw",
    readonly: bool = True,
    interval_seconds: float | None = None,
) -> Path:
    """Write an executable stand-in called ``htop`` into ``directory`` and return its path.

    ``behaviour``: ``draw`` for ever; ``end`` after the first frame; ``silent``: draw nothing; ``stubborn``: as draw,
    but stay on SIGTERM; ``gush``: write without ever being silent. ``interval_seconds`` overrides ``-d``.
    """
    directory.mkdir(parents=True, exist_ok=True)
    program = directory / "htop"
    arguments = {
        "version": version,
        "screens": str(screens or ""),
        "behaviour": behaviour,
        "readonly": readonly,
        "interval_seconds": interval_seconds,
    }
    program.write_text(
        f"#!{sys.executable}\nimport runpy, sys\nrunpy.run_path({__file__!r})['main'](sys.argv[1:], **{arguments!r})\n"
    )
    program.chmod(0o755)
    return program


def main(
    argv: list[str], *, version: str, screens: str, behaviour: str, readonly: bool, interval_seconds: float | None
) -> None:
    """What the installed program does."""
    if "--version" in argv:
        print(version)
    elif "--help" in argv:
        print("-d --delay=DELAY\n-p --pid=PID[,PID...]" + ("\n   --readonly  Disable changes" if readonly else ""))
    elif "--readonly" in argv and not readonly:
        sys.exit("htop: unrecognized option '--readonly'")
    else:
        delay = int(argv[argv.index("-d") + 1]) / 10 if interval_seconds is None else interval_seconds
        draw(split_frames(Path(screens).read_text()) if screens else [], behaviour, delay)


def draw(frames: list[list[str]], behaviour: str, delay_seconds: float) -> None:
    """Draw the frames one after the other and over again, each a whole screen."""
    if behaviour == "stubborn":
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
    number = 0
    while True:
        if behaviour == "gush":
            sys.stdout.write("x")
            sys.stdout.flush()
            time.sleep(0.01)
            continue
        if behaviour != "silent":
            screen = frames[number % len(frames)]
            rows = "".join(f"\x1b[{row};1H{text}\x1b[K" for row, text in enumerate(screen, start=1))
            sys.stdout.write("\x1b[H" + rows + "\x1b[J")
            sys.stdout.flush()
            number += 1
            if behaviour == "end":
                sys.exit(3)
        time.sleep(delay_seconds)
