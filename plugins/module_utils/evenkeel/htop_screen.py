# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""htop's screen as rows of text -> one frame of figures. Pure; for htop 3.0 to 3.5 under ``htop_recording.HTOPRC``.

Meters are read as ``name:value`` pairs, because versions differ in their order and number, and process rows by the
names in the column header, with the sort mark (``-`` or ``+``) that stands glued to one of them taken off.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

_NUMBER = r"\d+(?:\.\d+)?"
_PAIR = re.compile(rf"([a-z]+):\s*({_NUMBER})([A-Za-z%]*)")
_UNITS = {"K": 1, "M": 2, "G": 3, "T": 4, "P": 5}
_CPU_NAMES = {
    "sy": "system",
    "ni": "nice",
    "hi": "hardware_interrupt",
    "si": "software_interrupt",
    "st": "steal",
    "gu": "guest",
    "wa": "io_wait",
}
_NEEDED_COLUMNS = ("PID", "CPU%", "RES")


class ScreenError(ValueError):
    """A screen that is not the one asked for; the message says what is missing."""


def parse_size(text: str) -> int:
    """A size as htop prints it, in bytes: ``67784`` (KiB in process rows), ``213M``, ``1.21G``; units of 1024."""
    match = re.fullmatch(rf"({_NUMBER})([KMGTP]?)", text)
    if not match:
        raise ScreenError(f"{text!r} is not a size as htop prints it, such as 67784, 213M or 1.21G")
    return round(float(match.group(1)) * (1 << 10 * _UNITS[match.group(2) or "K"]))


def _pairs(row: str) -> dict[str, str]:
    return {name: value + unit for name, value, unit in _PAIR.findall(row)}


def _meter(rows: Sequence[str], name: str) -> str | None:
    """What follows ``name`` on the row that begins with it; None where no row does."""
    for row in rows:
        if row.lstrip().startswith(name):
            return row.lstrip()[len(name) :]
    return None


def _host_cpu(rows: Sequence[str]) -> dict[str, float]:
    """Percent of all CPUs by kind; ``busy`` is all of them but waiting for input and output and stolen time.

    With detailed times htop writes the user share first, without a name.
    """
    text = _meter(rows, "Avg:")
    if text is None:
        raise ScreenError("htop's screen has no 'Avg:' meter (all CPUs); is another program called htop?")
    user = re.match(rf"\s*({_NUMBER})%", text)
    shares = {_CPU_NAMES[name]: float(value.rstrip("%")) for name, value in _pairs(text).items() if name in _CPU_NAMES}
    if not user or "system" not in shares:
        raise ScreenError(f"htop's 'Avg:' meter cannot be read: {text.strip()!r}")
    shares["user"] = float(user.group(1))
    # Guest time is shown beside the user time it was taken from, so that it is added; stolen time was not ours.
    busy = sum(share for name, share in shares.items() if name not in ("io_wait", "steal"))
    return {**shares, "busy": round(busy, 3)}


def _host_memory(rows: Sequence[str]) -> dict[str, int | None]:
    text = _meter(rows, "Mem:")
    if text is None:
        raise ScreenError("htop's screen has no 'Mem:' meter")
    total = re.match(rf"\s*({_NUMBER}[KMGTP]?)", text)
    sizes = _pairs(text)
    if not total or "used" not in sizes:
        raise ScreenError(f"htop's 'Mem:' meter cannot be read: {text.strip()!r}")
    # htop 3.0 does not show the available memory.
    available = sizes.get("available")
    return {
        "total": parse_size(total.group(1)),
        "used": parse_size(sizes["used"]),
        "available": None if available is None else parse_size(available),
    }


def _load_one(rows: Sequence[str]) -> float:
    text = _meter(rows, "Load average:")
    match = re.match(r"\s*([0-9]+\.[0-9]+)", text or "")
    if not match:
        raise ScreenError("htop's screen has no 'Load average:' meter")
    return float(match.group(1))


def _column_names(row: str) -> list[str]:
    """``PID S NLWP  CPU%-MEM%  VIRT ...``: the sort mark stands where the space after its column would."""
    return re.sub(r"(?<=[%A-Za-z+])[-+△▽](?=[A-Za-z\s])", " ", row).split()


def _header_index(rows: Sequence[str]) -> int:
    for index, row in enumerate(rows):
        names = _column_names(row)
        if names[:1] == ["PID"] and all(name in names for name in _NEEDED_COLUMNS):
            return index
    raise ScreenError("htop's screen has no process header with PID, CPU% and RES")


def _process(row: str, names: Sequence[str]) -> dict[str, Any] | None:
    fields = row.split(None, len(names) - 1)
    if len(fields) < len(names) - 1 or not fields[0].isdigit():
        return None
    values = dict(zip(names, fields))
    if not re.fullmatch(_NUMBER, values["CPU%"]):
        raise ScreenError(f"htop's row of a process cannot be read: {row.strip()!r}")
    return {
        "pid": int(values["PID"]),
        "command": values.get("Command", "").rstrip(),
        "cpu_percent_of_core": float(values["CPU%"]),
        "resident_bytes": parse_size(values["RES"]),
    }


def parse_screen(rows: Sequence[str]) -> dict[str, Any]:
    """One drawn screen -> host figures and one entry for each process row.

    Returns ``{"cpu_percent_of_host", "cpu_percent_of_host_by_kind", "memory_total_bytes", "memory_used_bytes",
    "memory_available_bytes", "memory_percent", "load1", "processes": [{"pid", "command", "cpu_percent_of_core",
    "resident_bytes"}]}``. Host CPU is a percentage of all CPUs, a process's one of a single core. Raises ScreenError
    where a meter or the process header is missing.
    """
    cpu, host_memory = _host_cpu(rows), _host_memory(rows)
    header = _header_index(rows)
    names = _column_names(rows[header])
    processes = [process for row in rows[header + 1 :] for process in [_process(row, names)] if process]
    total, used = host_memory["total"], host_memory["used"]
    return {
        "cpu_percent_of_host": cpu.pop("busy"),
        "cpu_percent_of_host_by_kind": cpu,
        "memory_total_bytes": total,
        "memory_used_bytes": used,
        "memory_available_bytes": host_memory["available"],
        "memory_percent": 100 * used / total if total and used is not None else None,
        "load1": _load_one(rows),
        "processes": processes,
    }
