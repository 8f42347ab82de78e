"""Which runs of a job are trained at the same time."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from itertools import pairwise

from hpcexp.errors import HpcexpError
from hpcexp.store.experiment import read_run_config
from hpcexp.store.layout import ExperimentDir
from hpcexp.workloads import load_config_class

KeyOf = Callable[[str], str]
AS_LANES = ("lanes", "auto")


def make_packs(names: Sequence[str], *, packing: str, size: int, key_of: KeyOf) -> list[list[str]]:
    """Runs that are trained together, at most `size`; each alone without packing.

    As lanes, and where the node chooses, only runs with the same `key_of` go together. Packs of
    one key are of about the same length.
    """
    if packing == "none":
        return [[name] for name in names]
    alike: dict[str, list[str]] = {}
    for name in names:
        alike.setdefault(key_of(name) if packing in AS_LANES else "", []).append(name)
    return [pack for same in alike.values() for pack in split_evenly(same, size)]


def split_evenly(names: Sequence[str], size: int) -> list[list[str]]:
    """Parts of about one length, of at most `size`, in order."""
    count = -(-len(names) // size)
    cuts = [len(names) * i // count for i in range(count + 1)]
    return [list(names[a:b]) for a, b in pairwise(cuts)]


def find_lane_keys(experiment: ExperimentDir) -> KeyOf:
    """What is equal for runs of an experiment that can be lanes of one program.

    A run whose configuration cannot be read is like no other: it fails alone.
    """

    @cache
    def find(name: str) -> str:
        try:
            config = read_run_config(experiment.run(name))
            return load_config_class(config.workload).model_validate(config.params).lane_key
        except (HpcexpError, OSError, ValueError):
            return name

    return find


def find_lane_obstacle(experiment: ExperimentDir, name: str) -> str:
    """Why a run cannot be a lane of one program; empty where it can, or cannot be read."""
    try:
        config = read_run_config(experiment.run(name))
        return load_config_class(config.workload).model_validate(config.params).lane_obstacle
    except (HpcexpError, OSError, ValueError):
        return ""
