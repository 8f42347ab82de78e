"""Launching a template from Python."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcexp.analysis.design import foresee
from hpcexp.api.experiment import Experiment
from hpcexp.api.recorded import choose_experiments_dir, spell_settings
from hpcexp.api.training import choose_place, train
from hpcexp.launch.code import plan_code
from hpcexp.launch.dry_run import launch_to_json, write_planned_script
from hpcexp.launch.existing import find_existing
from hpcexp.launch.plan import make_plan
from hpcexp.launch.prepare import check_groups
from hpcexp.launch.start import choose_all, start_launch
from hpcexp.site.apply import apply_site
from hpcexp.site.check import load_site
from hpcexp.store.experiment import read_plan
from hpcexp.store.layout import TIMESTAMP, ExperimentDir
from hpcexp.template import Template, load_template
from hpcexp.workloads.own import check_own, is_own


def launch(
    template: str | Path,
    *,
    profile: str | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    rand_inits: int | None = None,
    name: str | None = None,
    only: Sequence[str] = (),
    executor: str | None = None,
    jobs: int | None = None,
    experiments_dir: str | Path | None = None,
) -> Experiment:
    """Train every run of a template; the experiment, whose `notices` say what is worth knowing.

    `set` is `{"params.lr": 0.01}` or texts as after `--set`. `executor` is `slurm`, `local` or
    `inline`; the one that fits this machine by default. On Slurm this returns once the jobs
    are submitted; on this machine when they have ended, however they ended: see
    `Experiment.status`. A search that learns from results goes on until all samples are made.

    Raises HpcexpError as the command line tells it, before anything is made.
    """
    place = choose_place(executor)
    loaded = _load(template, profile, set, rand_inits, name, only)
    if loaded.is_search:
        from hpcexp.analysis.searching import require_optuna

        require_optuna()
    if is_own(loaded.workload) and not loaded.resources.uses_other_python:
        check_own(loaded.workload)
    directory = choose_experiments_dir(experiments_dir)
    started = start_launch(loaded, experiments_dir=directory, only=only, executor=place)
    caveats = [caveat.message for caveat in foresee(read_plan(started.experiment))]
    experiment = Experiment(started.experiment, notices=[*caveats, *started.warnings])
    if loaded.is_search:
        experiment.search(executor=place, jobs=jobs)
    else:
        train(started.experiment, choose_all(started.experiment), executor=place, jobs=jobs)
    return experiment


def dry_run(
    template: str | Path,
    *,
    profile: str | None = None,
    set: Mapping[str, Any] | Sequence[str] = (),
    rand_inits: int | None = None,
    name: str | None = None,
    only: Sequence[str] = (),
    executor: str | None = None,
    experiments_dir: str | Path | None = None,
) -> dict[str, Any]:
    """What `launch` would do, as `hpcexp launch --dry-run --json` prints it; makes nothing."""
    place = choose_place(executor)
    loaded = _load(template, profile, set, rand_inits, name, only)
    directory = choose_experiments_dir(experiments_dir)
    plan = make_plan(loaded, only=only, experiments_dir=directory)
    experiment = ExperimentDir(directory / f"{datetime.now().strftime(TIMESTAMP)}_{plan.name}")
    script = write_planned_script(experiment, plan, loaded, place)
    existing = find_existing(plan, directory)
    code = plan_code(directory)
    caveats = [caveat.to_json() for caveat in foresee(plan)]
    return launch_to_json(experiment, plan, loaded, place, script, code, existing, caveats)


def _load(
    template: str | Path,
    profile: str | None,
    settings: Mapping[str, Any] | Sequence[str],
    rand_inits: int | None,
    name: str | None,
    only: Sequence[str],
) -> Template:
    loaded = load_template(
        Path(template),
        profile=profile,
        overrides=spell_settings(settings),
        rand_inits=rand_inits,
        name=name,
    )
    loaded = apply_site(loaded, load_site())
    check_groups(loaded, only)
    return loaded
