"""Sampled axes: distributions, sequences of points, conditions. Pure: no YAML, no files, no numpy.

Point k of a sequence is the same however many points are asked for (but for a Latin hypercube,
which is made for one number of them) and in whatever order the axes are written.
"""

from hpcexp.sampling.conditions import is_equal
from hpcexp.sampling.parse import Flaw, parse_space
from hpcexp.sampling.points import (
    Points,
    draw_described,
    draw_points,
    find_sample_number,
    name_sample,
)
from hpcexp.sampling.space import ADAPTIVE, METHODS, Axis, Space

__all__ = [
    "ADAPTIVE",
    "Axis",
    "Flaw",
    "METHODS",
    "Points",
    "Space",
    "draw_described",
    "draw_points",
    "find_sample_number",
    "is_equal",
    "name_sample",
    "parse_space",
]
