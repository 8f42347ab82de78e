"""Experiments whose axes were sampled: trends along axes, importance, and the best samples.

Pairs of 64 groups of one run each say nothing; what 64 samples say is along their axes.
"""

from hpcexp.analysis.sampled.best import BestSample, find_best
from hpcexp.analysis.sampled.findings import (
    SampledFindings,
    describe_sampled,
    find_out_sampled,
    make_best_table,
)
from hpcexp.analysis.sampled.scales import Scale, make_scales
from hpcexp.analysis.sampled.table import SampleTable, is_sampled, make_sample_table
from hpcexp.analysis.sampled.trends import AxisTrend, find_trends

__all__ = [
    "AxisTrend",
    "BestSample",
    "SampleTable",
    "SampledFindings",
    "Scale",
    "describe_sampled",
    "find_best",
    "find_out_sampled",
    "find_trends",
    "is_sampled",
    "make_best_table",
    "make_sample_table",
    "make_scales",
]
