# SPDX-FileCopyrightText: Evenkeel contributors
# SPDX-License-Identifier: Apache-2.0
"""The statistics of a run, a module for each question; scipy underneath where it gives what is asked."""

from analysis.statistics.drift import Drift, drift, inversion_counts, kendall_p
from analysis.statistics.families import holm
from analysis.statistics.paired import (
    Interval,
    doubled_midranks,
    hodges_lehmann,
    signed_rank_counts,
    signed_rank_interval,
    signed_rank_p,
    walsh_averages,
)
from analysis.statistics.precision import blocks_needed, relative_half_width
from analysis.statistics.quantiles import order_statistic, quantile_interval, smallest_sample_for_quantile
from analysis.statistics.series import Autocorrelation, WarmUp, autocorrelation, warm_up
from analysis.statistics.spending import critical_p_values, obrien_fleming_spent
from analysis.statistics.superiority import Superiority, probability_below, superiority

__all__ = [
    "Autocorrelation",
    "Drift",
    "Interval",
    "Superiority",
    "WarmUp",
    "autocorrelation",
    "blocks_needed",
    "critical_p_values",
    "doubled_midranks",
    "drift",
    "hodges_lehmann",
    "holm",
    "inversion_counts",
    "kendall_p",
    "obrien_fleming_spent",
    "order_statistic",
    "probability_below",
    "quantile_interval",
    "relative_half_width",
    "signed_rank_counts",
    "signed_rank_interval",
    "signed_rank_p",
    "smallest_sample_for_quantile",
    "superiority",
    "walsh_averages",
    "warm_up",
]
