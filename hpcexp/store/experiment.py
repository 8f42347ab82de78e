"""Making an experiment directory, and reading what was planned in it."""

from __future__ import annotations

import dataclasses
import errno
import hashlib
import json
import re
import shutil
import time
import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any

from hpcexp.errors import HpcexpError, UsageError
from hpcexp.store.extension import Extension, build_extension
from hpcexp.store.files import build_record, read_json, read_record, write_json, write_text
from hpcexp.store.layout import (
    FORMAT,
    TIMESTAMP,
    UNFINISHED_PREFIX,
    ExperimentDir,
    RunDir,
)
from hpcexp.store.provenance import Provenance, write_provenance
from hpcexp.store.status import RunStatus
from hpcexp.store.summary import start_summary

# What the system answers where a directory's new name is in use.
_CONTROL_CHARACTER = re.compile(r"[\x00-\x1f\x7f]")
_SORTED_JSON = json.JSONEncoder(sort_keys=True, ensure_ascii=False)
TAKEN = frozenset({errno.EEXIST, errno.ENOTEMPTY, errno.ENOTDIR})


@dataclass(frozen=True)
class PlannedGroup:
    """One combination of the grid: the hyperparameters that vary, by dotted name."""

    name: str
    values: Mapping[str, Any]


@dataclass(frozen=True)
class PlannedRun:
    """One group with one random initialisation."""

    name: str
    group: str
    rand_init: int


@dataclass(frozen=True)
class Plan:
    """Everything that was decided at launch.

    `params` are the resolved hyperparameters that all groups share, `resources` those of
    one job, `comparison` says which groups are held against each other, `notify` whom to tell
    at the end, `track` which trackers follow the runs. `primary_metric` is what runs are judged by,
    as the workload declared it at launch: a later change of mind must not judge old
    experiments anew. `is_imported`: the runs were trained elsewhere, and nothing here trains
    them. `site` is the site of the launch, and what of `resources` it gave.
    `grid`, `zips`, `named` groups, `exclude`, `derive` and `sample` are the template's, for those
    who add groups; `sample` says how many samples there are now. What `extensions` added is part
    of all the other fields. `config_hashes` tell, by group, whether two configurations are equal.
    """

    name: str
    question: str
    workload: str
    seed: int
    rand_inits: int
    params: Mapping[str, Any]
    grid: Mapping[str, Sequence[Any]]
    groups: tuple[PlannedGroup, ...]
    runs: tuple[PlannedRun, ...]
    resources: Mapping[str, Any]
    primary_metric: Mapping[str, Any]
    comparison: Mapping[str, Any] = field(default_factory=dict)
    notify: Mapping[str, Any] = field(default_factory=dict)
    track: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    profile: str | None = None
    overrides: tuple[str, ...] = ()
    zips: Sequence[Mapping[str, Sequence[Any]]] = ()
    named: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    derive: Mapping[str, str] = field(default_factory=dict)
    exclude: Sequence[Mapping[str, Any]] = ()
    sample: Mapping[str, Any] = field(default_factory=dict)
    extensions: tuple[Extension, ...] = ()
    is_imported: bool = False
    site: Mapping[str, Any] = field(default_factory=dict)
    config_hashes: Mapping[str, str] = field(default_factory=dict)
    configs: Mapping[str, Mapping[str, Any]] = field(default_factory=dict, repr=False)

    def list_members(self) -> dict[str, list[PlannedRun]]:
        """The runs of each group, in the plan's order."""
        members: dict[str, list[PlannedRun]] = {group.name: [] for group in self.groups}
        for run in self.runs:
            members[run.group].append(run)
        return members


def create_experiment(
    experiments_dir: Path,
    plan: Plan,
    *,
    sources: Sequence[tuple[Path, str]],
    provenance: Provenance,
    created: datetime | None = None,
    add: Callable[[ExperimentDir], object] = lambda _: None,
) -> ExperimentDir:
    """Make the directory of a new experiment, all at once.

    It is written aside and renamed, so that it exists whole or not at all. A name that is
    taken (two launches within a second) is never shared: the second waits for the next one.
    `plan.configs` maps each group's name to its full configuration. `created` names another
    time than now, of results from elsewhere; `add` puts more into the directory before it has
    its name.

    Raises UsageError where the directory cannot be written or one of that time and name exists,
    HpcexpError where that fails
    half-way (a full disk): nothing is kept then.
    """
    if _CONTROL_CHARACTER.search(str(experiments_dir.absolute())):
        raise UsageError(
            f"{str(experiments_dir.absolute())!r}: a line break or another control character in "
            "the path; choose a directory without with --experiments-dir"
        )
    aside = ExperimentDir(experiments_dir / f"{UNFINISHED_PREFIX}{uuid.uuid4().hex[:12]}")
    try:
        aside.runs_dir.mkdir(parents=True)
    except OSError as error:
        raise UsageError(
            f"{experiments_dir}: cannot make an experiment here ({error.strerror}); "
            "choose a directory with --experiments-dir"
        ) from error
    try:
        write_plan(aside, plan)
        _write_sources(aside, sources)
        write_provenance(aside, provenance)
        start_summary(aside)
        for run in plan.runs:
            write_run(aside.run(run.name), plan, run)
        add(aside)
        return _rename_exclusively(aside, experiments_dir, plan.name, created)
    except BaseException as error:
        shutil.rmtree(aside.path, ignore_errors=True)
        if isinstance(error, OSError):
            name = f" ({Path(error.filename).name})" if error.filename else ""
            raise HpcexpError(
                f"{experiments_dir}: cannot write the experiment: {error.strerror}{name}; "
                "nothing was kept"
            ) from error
        raise


def _rename_exclusively(
    aside: ExperimentDir, experiments_dir: Path, name: str, given: datetime | None
) -> ExperimentDir:
    while True:
        created = given or datetime.now().astimezone()
        final = ExperimentDir(experiments_dir / f"{created.strftime(TIMESTAMP)}_{name}")
        write_json(aside.record_path, {"format": FORMAT, "created": created.isoformat()})
        try:
            # Renaming a directory onto one that holds files is refused by the system:
            # of two launches in one second exactly one gets the name.
            aside.path.rename(final.path)
        except OSError as error:
            if error.errno not in TAKEN:
                raise
            if given is not None:
                raise UsageError(f"{final.path} exists already; nothing was made") from error
            time.sleep(0.1)
        else:
            return final


def write_plan(experiment: ExperimentDir, plan: Plan) -> None:
    """Write or replace the plan; configurations have their place in the runs."""
    values = dataclasses.asdict(plan)
    del values["configs"]
    hashes = {name: hash_config(plan.workload, c) for name, c in plan.configs.items()}
    values["config_hashes"] = {**plan.config_hashes, **hashes}
    write_json(experiment.plan_path, values)


def hash_config(workload: str, config: Mapping[str, Any]) -> str:
    """Equal for equal configurations of a workload, in whatever order they are written."""
    text = _SORTED_JSON.encode([workload, config])
    return hashlib.sha256(text.encode("utf-8", errors="surrogatepass")).hexdigest()[:32]


def _write_sources(experiment: ExperimentDir, sources: Sequence[tuple[Path, str]]) -> None:
    """The main template keeps its name; a number keeps two extended ones of one name apart."""
    experiment.template_dir.mkdir()
    for number, (path, text) in enumerate(sources):
        name = path.name if number == 0 else f"extends_{number}_{path.name}"
        write_text(experiment.template_dir / name, text)


def write_run(run_dir: RunDir, plan: Plan, run: PlannedRun) -> None:
    """A run's first files; plain writes, since the directory is not in its place yet."""
    run_dir.path.mkdir()
    config = {
        "workload": plan.workload,
        "group": run.group,
        "rand_init": run.rand_init,
        "seed": plan.seed,
        "params": plan.configs[run.group],
    }
    run_dir.config_path.write_text(json.dumps(config, indent=2) + "\n")
    status = dataclasses.asdict(RunStatus(updated=time.time()))
    run_dir.status_path.write_text(json.dumps(status, indent=2) + "\n")


def read_plan(experiment: ExperimentDir) -> Plan:
    """What was planned.

    Raises HpcexpError for a directory that is no experiment, or of a newer format.
    """
    record = read_json(experiment.record_path)
    version = record.get("format") if isinstance(record, dict) else None
    if version != FORMAT:
        raise HpcexpError(
            f"{experiment.path}: format {version} is not known to this version "
            f"(it reads {FORMAT}): use the hpcexp that made it, or a newer one"
        )
    path = experiment.plan_path
    plan = read_record(path, Plan)
    return dataclasses.replace(
        plan,
        groups=tuple(build_record(group, PlannedGroup, path=path) for group in plan.groups),
        runs=tuple(build_record(run, PlannedRun, path=path) for run in plan.runs),
        overrides=tuple(plan.overrides),
        extensions=tuple(build_extension(e, path=path) for e in plan.extensions),
    )


@dataclass(frozen=True)
class RunConfig:
    """What a worker must know to train a run."""

    workload: str
    group: str
    rand_init: int
    seed: int
    params: Mapping[str, Any]


def read_run_config(run_dir: RunDir) -> RunConfig:
    """A run's configuration.

    Raises HpcexpError where the file is missing or damaged.
    """
    return read_record(run_dir.config_path, RunConfig)
