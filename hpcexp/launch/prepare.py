"""Making the experiment directory of a template."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from pathlib import Path

from hpcexp.errors import UsageError
from hpcexp.launch.code import list_further_trees, plan_code
from hpcexp.launch.plan import make_plan
from hpcexp.store.experiment import create_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.provenance import collect_provenance
from hpcexp.store.snapshot import write_snapshot
from hpcexp.template import Template


def check_groups(template: Template, only: Sequence[str]) -> None:
    """Raise UsageError where `only` names a group that the template has not."""
    known = [group.name for group in template.groups()] if only else []
    for name in only:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1) or known[:3]
            raise UsageError(
                f"{template.name} has no group {name!r}; did you mean {' or '.join(near)}?"
            )


def prepare(
    template: Template,
    *,
    experiments_dir: Path,
    only: Sequence[str] = (),
    copy_code: bool = True,
) -> ExperimentDir:
    """Make the experiment directory of a template; nothing is submitted yet.

    Without `copy_code` its jobs run the code as it is when they begin.
    """
    code = plan_code(experiments_dir) if copy_code else None
    return create_experiment(
        experiments_dir,
        make_plan(template, only=only, experiments_dir=experiments_dir),
        sources=[(source.path, source.text) for source in template.sources],
        provenance=collect_provenance(exclude=[experiments_dir], further=list_further_trees()),
        add=lambda experiment: code and write_snapshot(experiment, code),
    )
