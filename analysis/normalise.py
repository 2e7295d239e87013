# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The starting study's table, its factor of 16, and what can honestly be said of either.

Source of the figures: Yeung and Zi Di, "Deployment and Optimization of Machine Learning Models in a Serverless
Architecture".
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

SOURCE = 'Yeung and Zi Di, "Deployment and Optimization of Machine Learning Models in a Serverless Architecture"'
STUDY_SERVERLESS_CPUS = 32
STUDY_SERVER_CPUS = 2
STUDY_FACTOR = STUDY_SERVERLESS_CPUS // STUDY_SERVER_CPUS


@dataclass(frozen=True)
class StudyRow:
    """One row of the study's table, as published, with our reading of it.

    ``honest_ratio`` is None where no ratio can be formed.
    """

    name: str
    unit: str
    serverless: float
    server: float
    honest_ratio: float | None
    reading: str

    def as_json(self) -> dict[str, Any]:
        """Give the row as it stands in ``run.json``, with the study's own multiplied figure marked as such."""
        return {
            "name": self.name,
            "unit": self.unit,
            "serverless": self.serverless,
            "serverless_times_16_by_the_study": round(self.serverless * STUDY_FACTOR, 2),
            "server": self.server,
            "ratio_times_16_by_the_study": self.serverless * STUDY_FACTOR / self.server,
            "honest_ratio": self.honest_ratio,
            "reading": self.reading,
        }


_TIME_READING = (
    "as measured, on unequal machines (32 against 2 vCPU). A duration times 16 is the CPU time granted, not a "
    "duration; it would "
    "be the duration on 2 vCPU only if all 32 had been busy"
)
_CPU_READING = (
    "no ratio: docker stats counts in hundredths of one core, the htop figure may be of one core or of the host, and "
    "the factor "
    "turns it into a share above 100 %"
)
_MEMORY_READING = (
    "shares of unequal machines turned into bytes: {serverless:.2f} GB of 64 GB against {server:.2f} GB of 4 GB"
)


def _memory_row(name: str, serverless_percent: float, server_percent: float) -> StudyRow:
    serverless, server = serverless_percent / 100 * 64, server_percent / 100 * 4
    return StudyRow(
        name,
        "% of the machine's memory",
        serverless_percent,
        server_percent,
        serverless / server,
        _MEMORY_READING.format(serverless=serverless, server=server),
    )


STUDY_TABLE = (
    StudyRow("Start-up, training included", "s", 78.30, 844.46, 78.30 / 844.46, _TIME_READING),
    StudyRow("Average response, ab -n 10 -c 2", "s", 4.6, 28.80, 4.6 / 28.80, _TIME_READING),
    StudyRow("Idle CPU", "%", 0.16, 4.9, None, _CPU_READING),
    _memory_row("Idle memory", 0.34, 26.6),
    StudyRow("Busy CPU", "%", 15.41, 99.9, None, _CPU_READING),
    _memory_row("Busy memory", 8.06, 26.49),
)


def own_break_even(row: StudyRow) -> float:
    """Give the factor at which the study's own two figures are equal: below it the serverless one is the smaller."""
    return row.server / row.serverless


def by_itself() -> list[dict[str, Any]]:
    """Say what the study's durations show without any factor, and what the factor alone decides."""
    return [
        {"name": row.name, "break_even_factor": own_break_even(row), "factor": STUDY_FACTOR}
        for row in STUDY_TABLE
        if row.unit == "s"
    ]


def scaled(seconds: float, part: float, factor: float) -> float:
    """Give what a duration would be where ``part`` of it took ``factor`` times as long and the rest as long as it did.

    ``part`` is the time in which the network computed; it cannot be more than the whole. Raises ValueError where a time
    is below 0 or the factor not above 0.
    """
    if seconds < 0 or part < 0 or not factor > 0:
        raise ValueError(f"times must be at least 0 and a factor above 0; got {seconds}, {part} and {factor}")
    computed = min(part, seconds)
    return seconds - computed + computed * factor


def evaluations_waited(requests: int, concurrency: int) -> float:
    """Give the mean number of evaluations that a request of one ``ab -n requests -c concurrency`` waits for.

    One evaluation runs at a time, in order of arrival. ab sends its first request alone, then keeps ``concurrency`` of
    them waiting: 1, then 1 to ``concurrency``, then ``concurrency`` each. For 10 and 2 that is 1.8. Raises ValueError
    where either is below 1.
    """
    if requests < 1 or concurrency < 1:
        raise ValueError(f"a load has at least one request and one connection; got {requests} and {concurrency}")
    later = requests - 1
    rising = min(later, concurrency)
    return (1 + rising * (rising + 1) / 2 + concurrency * (later - rising)) / requests


def study() -> dict[str, Any]:
    """Give the study's table as it stands in ``run.json``."""
    return {
        "source": SOURCE,
        "factor": STUDY_FACTOR,
        "factor_is": f"{STUDY_SERVERLESS_CPUS} vCPU / {STUDY_SERVER_CPUS} vCPU, applied by the study to every "
        "serverless figure",
        "rows": [row.as_json() for row in STUDY_TABLE],
        "by_itself": by_itself(),
    }


def normalisation(server_cpus: float | None, serverless_cpus: float | None) -> list[dict[str, Any]]:
    """Say which factor applies to this run's figures: the CPUs granted to each arm, as read back, decide it.

    Empty where either is not known.
    """
    if not server_cpus or not serverless_cpus:
        return []
    factor = serverless_cpus / server_cpus
    if factor == 1:
        reason = f"both arms were granted {server_cpus:g} CPUs, so the ratios stand as measured and no factor applies"
    else:
        reason = (
            f"the serverless arm was granted {serverless_cpus:g} CPUs and the server arm {server_cpus:g}; the figures "
            "stand as "
            "measured, and parity fails, because no factor turns unequal machines into equal ones"
        )
    return [{"name": "granted CPUs, serverless / server", "factor": factor, "reason": reason}]
