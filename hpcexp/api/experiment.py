"""An experiment as an object: its state, its results, and what can be done with it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hpcexp.api.recorded import (
    RecordedExperiment,
    as_names,
    choose_experiments_dir,
    spell_settings,
)
from hpcexp.api.training import choose_place, train
from hpcexp.errors import UsageError
from hpcexp.launch.cancel import Cancelled
from hpcexp.launch.cancel import cancel as cancel_runs
from hpcexp.launch.executors import EXECUTORS
from hpcexp.launch.extend import Change, Request, plan_change
from hpcexp.launch.extend import extend as extend_experiment
from hpcexp.launch.resume import Choice, choose_resumable, choose_retriable, make_chooser
from hpcexp.launch.submit import Handed
from hpcexp.store import find as finding
from hpcexp.store.status import State
from hpcexp.template import parse_resource_changes

if TYPE_CHECKING:
    from hpcexp.launch.archive import Archived
    from hpcexp.launch.clean import Freeable
    from hpcexp.launch.disk_use import DiskUse
    from hpcexp.launch.reproduce import Verdict
    from hpcexp.launch.searching import SearchStep
    from hpcexp.launch.slurm.change import Changed
    from hpcexp.store.notebook.notes import Note


class Experiment(RecordedExperiment):
    """An experiment by its path, `latest`, or part of its name.

    `notices` is what the launch found worth knowing, in words. Every method reads the
    directory anew: an object never knows less than another process has written.

    Raises UsageError where there is no such experiment.
    """

    # ------------------------------------------------------------------------ training

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
        choice = Choice(as_names(runs), _as_states(states), steal)
        choose = make_chooser(self._unpacked(), choice, choose=choose_resumable)
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
        choice = Choice(as_names(runs), _as_states(states))
        choose = make_chooser(self._unpacked(), choice, choose=choose_retriable)
        return train(
            self.directory,
            choose,
            executor=choose_place(executor, self.directory),
            jobs=jobs,
            resources=parse_resource_changes((), options=resources),
        )

    def cancel(self, runs: Sequence[str] = (), *, states: Sequence[State | str] = ()) -> Cancelled:
        """End runs, after a checkpoint; `resume` with their names continues them."""
        return cancel_runs(self._unpacked(), as_names(runs), states=_as_states(states))

    def extend(
        self,
        *,
        rand_inits: int | None = None,
        only: Sequence[str] = (),
        set: Mapping[str, Any] | Sequence[str] = (),
        add_groups: Sequence[str] = (),
        samples: int | None = None,
        executor: str | None = None,
        jobs: int | None = None,
        dry_run: bool = False,
    ) -> Change:
        """Add initialisations, length, groups or samples, and train what was added.

        `rand_inits` and `samples` are numbers in all.
        """
        place = choose_place(executor, self.directory)
        request = Request(
            rand_inits, as_names(only), spell_settings(set), as_names(add_groups), samples
        )
        if dry_run:
            return plan_change(self._unpacked(), request)
        EXECUTORS[place].check(self._unpacked().path.parent)
        change = extend_experiment(self.directory, request)
        if change.run_names:
            choose = make_chooser(self.directory, Choice(change.run_names))
            train(self.directory, choose, executor=place, jobs=jobs)
        return change

    def extend_until_decided(
        self,
        *,
        max_rand_inits: int = 64,
        looks: int = 4,
        spending: str = "quadratic",
        futility: float = 0.1,
        executor: str | None = None,
        jobs: int | None = None,
        dry_run: bool = False,
    ) -> dict[str, Any]:
        """Add initialisations by a plan of looks, until every comparison is decided.

        On this machine it returns when that is so, on Slurm once the runs of the next look are
        submitted. With `dry_run`: the plan with the level of each look; else where it stands, as
        `hpcexp extend --until-decided --json` prints it.
        """
        from hpcexp.api.rounds import begin_looks, go_on_looking

        place = choose_place(executor, self._unpacked())
        EXECUTORS[place].check(self.path.parent)
        made = begin_looks(
            self.directory,
            dry_run=dry_run,
            max_rand_inits=max_rand_inits,
            num_looks=looks,
            spending=spending,
            futility=futility,
        )
        return made if dry_run else go_on_looking(self.directory, executor=place, jobs=jobs)

    def look(
        self, *, without: Sequence[str] = (), executor: str | None = None, jobs: int | None = None
    ) -> dict[str, Any]:
        """Take the look that is due, and train what it asks for; where the plan stands then.

        `without` are failed or cancelled runs that the look goes on without.
        """
        from hpcexp.api.rounds import go_on_looking

        place = choose_place(executor, self._unpacked())
        return go_on_looking(self.directory, without=as_names(without), executor=place, jobs=jobs)

    def search(
        self, *, samples: int | None = None, executor: str | None = None, jobs: int | None = None
    ) -> SearchStep:
        """Go on with a search that learns from results; `samples` is another number in all."""
        from hpcexp.api.rounds import go_on_searching

        place = choose_place(executor, self._unpacked())
        return go_on_searching(self.directory, samples=samples, executor=place, jobs=jobs)

    def reproduce(self, run: str, *, to: str | Path | None = None) -> Verdict:
        """Train a run again here, with the code of its launch, and compare every number."""
        from hpcexp.launch.reproduce import find_original, judge, rebuild

        original = find_original(self._unpacked(), run)
        made = rebuild(original, directory=original.default_dir if to is None else Path(to))
        train(made, lambda: [run], executor="local", jobs=None)
        return judge(original.run_dir, made.run(run))

    # ------------------------------------------------------------------------ the queue

    def set_jobs(
        self,
        *,
        max_parallel: int | None = None,
        partition: str | None = None,
        timeout: str | None = None,
    ) -> Changed:
        """Change what jobs ask for that wait in the queue."""
        from hpcexp.launch.slurm.change import change_jobs

        options = {"partition": partition, "timeout": timeout}
        changes = parse_resource_changes((), options=options)
        if max_parallel is not None:
            changes["max_parallel"] = max_parallel
        if not changes:
            raise UsageError("nothing to change: give max_parallel, partition or timeout")
        return change_jobs(self._unpacked(), changes)

    def hold(self) -> Changed:
        """Keep jobs that wait in the queue from beginning, until `release`."""
        from hpcexp.launch.slurm.change import hold_jobs

        return hold_jobs(self._unpacked())

    def release(self) -> Changed:
        """Let jobs begin that `hold` keeps waiting."""
        from hpcexp.launch.slurm.change import release_jobs

        return release_jobs(self._unpacked())

    # ------------------------------------------------------------------------ keeping

    def note(
        self, text: str, *, tags: Sequence[str] = (), run: str | None = None, next_step: str = ""
    ) -> Note:
        """Write down what you think of it, or of a run or group of it."""
        from hpcexp.store.notebook.notes import add_note, check_run, make_note

        if run is not None:
            check_run(self.plan, run, experiment_name=self.name)
        written = make_note(text, tags=as_names(tags), run=run, next_step=next_step)
        add_note(self._unpacked(), written)
        return written

    def archive(
        self,
        to: str | Path | None = None,
        *,
        without_checkpoints: bool = False,
        remove: bool = False,
        force: bool = False,
    ) -> Archived:
        """Put it into one file; with `remove` its directory goes once that was read back."""
        from hpcexp.launch.archive import Wanted, archive_experiment

        place = None if to is None else Path(to)
        wanted = Wanted(place, without_checkpoints, remove, force)
        return archive_experiment(self._unpacked(), wanted)

    def unpack(self, to: str | Path | None = None) -> Experiment:
        """Make the directory of an archive again, beside it by default.

        Raises UsageError where this is no archive, or the directory is there.
        """
        from hpcexp.store.archive.restoring import restore_archive

        archive = self.directory.archive
        if archive is None:
            raise UsageError(f"{self.path}: is a directory, and no archive")
        place = archive.parent if to is None else Path(to)
        return Experiment(restore_archive(archive, directory=place).experiment)

    def remove(self, *, force: bool = False) -> None:
        """Put it into the trash; `hpcexp.restore` takes it back."""
        from hpcexp.launch.trash import throw_away

        throw_away(self._unpacked(), force=force)

    def clean(self, *, kept: bool = False, force: bool = False, dry_run: bool = False) -> Freeable:
        """Free the checkpoints of finished runs; what could be freed, and was without `dry_run`."""
        from hpcexp.launch.clean import find_freeable, free

        freeable = find_freeable([self._unpacked()], kept=kept, force=force)
        if not dry_run:
            free(freeable)
        return freeable

    def disk_use(self) -> DiskUse:
        """What it weighs, in bytes: checkpoints, metrics, logs, code."""
        from hpcexp.launch.disk_use import measure

        return measure(self._unpacked())


def list_experiments(experiments_dir: str | Path | None = None) -> list[Experiment]:
    """All experiments of a directory, newest first."""
    directory = choose_experiments_dir(experiments_dir)
    return [Experiment(found) for found in finding.list_experiments(directory)]


def restore(name: str = "latest", *, experiments_dir: str | Path | None = None) -> Experiment:
    """Take an experiment back that was removed; of several, the one removed last.

    Raises UsageError where the trash has none of that name.
    """
    from hpcexp.launch.trash import restore as take_back

    return Experiment(take_back(name, experiments_dir=choose_experiments_dir(experiments_dir)))


def _as_states(states: Sequence[State | str]) -> list[State]:
    known = {state.words: state for state in State}
    found = []
    for state in [states] if isinstance(states, str) else states:
        words = str(state).replace("_", " ").replace("-", " ")
        if words not in known:
            raise UsageError(f"{state!r} is no state; there are {', '.join(known)}")
        found.append(known[words])
    return found
