# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""What the machines under the arms were like during a run, arm by arm, beside what the services did on them."""

from __future__ import annotations

from typing import Any

from analysis import burst_credits, calibration, round_trip, steal
from analysis.run_store import RunFolder


def machines(run: RunFolder) -> dict[str, Any]:
    """Give steal, round trips, calibration scores and CPU credits as they stand in ``run.json``."""
    shares = steal.stolen(run)
    arms: dict[str, dict[str, Any]] = {
        arm: {
            "host": described["host"],
            "steal": steal.as_json([one for one in shares if one.arm == arm]),
            "round_trip": round_trip.of_arm(run, arm),
            "calibration": calibration.of_arm(run, described["host"]),
            "credits": burst_credits.of_arm(run, described["host"]),
        }
        for arm, described in sorted(run.plan["arms"].items())
    }
    return {"arms": arms, "calibration_ratio": calibration.ratio(arms)}
