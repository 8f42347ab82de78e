"""An experiment as an object: its state, its results, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcexp.api.training import choose_place, train
from hpcexp.errors import UsageError
from hpcexp.launch.cancel import Cancelled
from hpcexp.launch.cancel import cancel as cancel_runs
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.extend import Change, Request, plan_change
from hpcexp.launch.extend import extend as extend_experiment
from hpcexp.launch.observe import observe
from hpcexp.launch.progress import count_runs
from hpcexp.launch.resume import Choice, choose_resumable, choose_retriable, make_chooser
from hpcexp.launch.status_json import observation_to_json
from hpcexp.launch.submit import Handed
from hpcexp.site import find_experiments_dir
from hpcexp.store import find as finding
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from hpcexp.template import parse_resource_changes

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results
    from hpcexp.analysis.plot import PlotReport
    from hpcexp.analysis.report.write import WrittenReport


class Experiment:
    """An experiment by its path, `latest`, or part of its name.

    `notices` is what the launch found worth knowing, in words. Every method reads the
    directory anew: an object never knows less than another process has written.

    Raises UsageError where there is no such experiment.
    """

    def __init__(
        self,
        name: str | Path | ExperimentDir = "latest",
        *,
        experiments_dir: str | Path | None = None,
        notices: Sequence[str] = (),
    ) -> None:
        if isinstance(name, ExperimentDir):
            self.directory = name
        else:
            place = find_experiments_dir() if experiments_dir is None else Path(experiments_dir)
            found = finding.find_experiment(str(name), experiments_dir=place, archives=True)
            self.directory = found.experiment
        self.notices = tuple(notices)

    @property
    def name(self) -> str:
        """The directory's name, with the time of launch."""
        return self.directory.name

    @property
    def path(self) -> Path:
        """Its directory, or its archive."""
        return self.directory.place

    @property
    def plan(self) -> Plan:
        """What was decided at launch, extensions included."""
        return read_plan(self.directory)

    def __repr__(self) -> str:
        counts = count_runs(list(observe(self.directory).statuses.values()))
        return (
            f"Experiment({self.name}: {counts.num_runs} runs, {counts.done} done, "
            f"{counts.running} running, {counts.waiting} waiting, {counts.failed} failed)"
        )

    # ------------------------------------------------------------------------ looking

    def status(self) -> dict[str, Any]:
        """How far it is, and every run's state, reason and next command.

        As `hpcexp status EXP --json` prints it. `experiment.frames().runs` is a table.
        """
        return observation_to_json(observe(self.directory), with_runs=True)

    def frames(self) -> Results:
        """Everything that was recorded, as two frames: `runs` and `metrics`."""
        from hpcexp.analysis.frames import load

        return load(self.directory)

    def plot(self, figures: Sequence[str] | None = None, *, medium: str = "screen") -> PlotReport:
        """Draw figures into plots/; the findings and the files. `medium` is as after `--for`."""
        from hpcexp.analysis.figures.media import MEDIA
        from hpcexp.analysis.plot import plot_experiment

        if medium not in MEDIA:
            raise UsageError(f"no such medium: {medium}; there are {', '.join(MEDIA)}")
        return plot_experiment(self.directory, figures=figures, medium=MEDIA[medium])

    def report(self, output: str | Path | None = None) -> WrittenReport:
        """Write everything about it as one HTML file."""
        from hpcexp.analysis.report.write import write_report
        from hpcexp.api.circumstances import look_around

        path = None if output is None else Path(output)
        if path is not None and path.suffix not in (".html", ".htm"):
            raise UsageError(f"{path}: a report is written as .html")
        return write_report(self.directory, look_around(self.directory), output=path)

    def export(self, kind: str, directory: str | Path | None = None) -> Path:
        """Write results for another program: csv, parquet, tensorboard, wandb, mlflow."""
        from hpcexp.analysis.export.write import check_kind, write_export

        check_kind(kind)
        place = None if directory is None else Path(directory)
        return write_export(self.frames(), kind, directory=place)

    # ------------------------------------------------------------------------ changing

    def resume(
        self,
        runs: Sequence[str] = (),
        *,
        states: Sequence[State | str] = (),
        steal: bool = False,
        resources: Mapping[str, Any] | None = None,
        executor: str | None = None,
        jobs: int | None = None,
    ) -> Handed:
        """Train what is unfinished, from the last checkpoints.

        `runs` are runs, groups or patterns; `resources` such as `{"cpus": 4}` differ from the
        plan's. On this machine it returns when the runs have ended.
        """
        choice = Choice(_as_names(runs), _as_states(states), steal)
        choose = make_chooser(self._changeable(), choice, choose=choose_resumable)
        return train(
            self.directory,
            choose,
            executor=choose_place(executor, self.directory),
            jobs=jobs,
            resources=parse_resource_changes((), options=resources),
        )

    def retry(
        self,
        runs: Sequence[str] = (),
        *,
        states: Sequence[State | str] = (),
        resources: Mapping[str, Any] | None = None,
        executor: str | None = None,
        jobs: int | None = None,
    ) -> Handed:
        """Train what failed once more, with other resources if you like."""
        choice = Choice(_as_names(runs), _as_states(states))
        choose = make_chooser(self._changeable(), choice, choose=choose_retriable)
        return train(
            self.directory,
            choose,
            executor=choose_place(executor, self.directory),
            jobs=jobs,
            resources=parse_resource_changes((), options=resources),
        )

    def cancel(self, runs: Sequence[str] = (), *, states: Sequence[State | str] = ()) -> Cancelled:
        """End runs, after a checkpoint; `resume` with their names continues them."""
        return cancel_runs(self._changeable(), _as_names(runs), states=_as_states(states))

    def extend(
        self,
        *,
        rand_inits: int | None = None,
        only: Sequence[str] = (),
        set: Mapping[str, Any] | Sequence[str] = (),
        add_groups: Sequence[str] = (),
        executor: str | None = None,
        jobs: int | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Add initialisations, length or groups, and train what was added."""
        from hpcexp.api.launching import spell_settings

        place = choose_place(executor, self.directory)
        request = Request(rand_inits, _as_names(only), spell_settings(set), _as_names(add_groups))
        if dry_run:
            return plan_change(self._changeable(), request)
        EXECUTORS[place].check(self._changeable().path.parent)
        change = extend_experiment(self.directory, request)
        if change.run_names:
            choose = make_chooser(self.directory, Choice(change.run_names))
            train(self.directory, choose, executor=place, jobs=jobs)
        return change

    def _changeable(self) -> ExperimentDir:
        if self.directory.archive is not None:
            raise UsageError(
                f"{self.directory.archive}: is archived: it can be looked at; to change it, make "
                f"its directory again: hpcexp archive --restore {self.directory.archive}"
            )
        return self.directory


def list_experiments(experiments_dir: str | Path | None = None) -> list[Experiment]:
    """All experiments of a directory, newest first."""
    directory = find_experiments_dir() if experiments_dir is None else Path(experiments_dir)
    return [Experiment(found) for found in finding.list_experiments(directory)]


def _as_names(names: Sequence[str]) -> tuple[str, ...]:
    """One name is a list of one, and not of its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def _as_states(states: Sequence[State | str]) -> list[State]:
    known = {state.words: state for state in State}
    found = []
    for state in [states] if isinstance(states, str) else states:
        words = str(state).replace("_", " ").replace("-", " ")
        if words not in known:
            raise UsageError(f"{state!r} is no state; there are {', '.join(known)}")
        found.append(known[words])
    return found
