"""What an experiment has recorded: looked at, drawn and written for others."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from hpcexp.errors import UsageError
from hpcexp.launch.observe import observe
from hpcexp.launch.progress import count_runs
from hpcexp.launch.selection import select_runs
from hpcexp.launch.status_json import observation_to_json
from hpcexp.site import find_experiments_dir
from hpcexp.store import find as finding
from hpcexp.store.experiment import Plan, read_plan
from hpcexp.store.layout import ExperimentDir

if TYPE_CHECKING:
    from hpcexp.analysis.frames import Results
    from hpcexp.analysis.plot import PlotReport
    from hpcexp.analysis.report.write import WrittenReport
    from hpcexp.store.notebook.notes import Note
    from hpcexp.worker.inspection.evaluate import EvalReport
    from hpcexp.worker.replay import Replay


class RecordedExperiment:
    """The part of `Experiment` that changes no run."""

    def __init__(
        self,
        name: str | Path | ExperimentDir = "latest",
        *,
        experiments_dir: str | Path | None = None,
        notices: Sequence[str] = (),
    ) -> None:
        self.directory = find_directory(name, experiments_dir)
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

    def status(self) -> dict[str, Any]:
        """How far it is, and every run's state, reason and next command.

        As `hpcexp status EXP --json` prints it. `experiment.frames().runs` is a table.
        """
        return observation_to_json(observe(self.directory), with_runs=True)

    def frames(self) -> Results:
        """Everything that was recorded, as two frames: `runs` and `metrics`."""
        from hpcexp.analysis.frames import load

        return load(self.directory)

    def plot(
        self,
        figures: Sequence[str] | None = None,
        *,
        medium: str = "screen",
        baselines: str | Path | None = None,
    ) -> PlotReport:
        """Draw figures into plots/; the findings and the files.

        `medium` is as after `--for`, `baselines` an experiment of single-task models.
        """
        from hpcexp.analysis.figures.media import MEDIA
        from hpcexp.analysis.plot import plot_experiment

        if medium not in MEDIA:
            raise UsageError(f"no such medium: {medium}; there are {', '.join(MEDIA)}")
        return plot_experiment(
            self.directory,
            figures=figures,
            medium=MEDIA[medium],
            baselines=self._find_beside(baselines),
        )

    def report(
        self, output: str | Path | None = None, *, baselines: str | Path | None = None
    ) -> WrittenReport:
        """Write everything about it as one HTML file; `baselines` as for `plot`."""
        from hpcexp.analysis.report.write import write_report
        from hpcexp.api.circumstances import look_around

        path = None if output is None else Path(output)
        if path is not None and path.suffix not in (".html", ".htm"):
            raise UsageError(f"{path}: a report is written as .html")
        other = self._find_beside(baselines)
        return write_report(
            self.directory, look_around(self.directory), baselines=other, output=path
        )

    def history(
        self, runs: Sequence[str] = (), *, metrics: Sequence[str] = ()
    ) -> dict[str, Path | None]:
        """Draw every metric of single runs over epochs; None for a run without any yet."""
        from hpcexp.analysis.history import draw_history

        names = select_runs(observe(self._unpacked()), as_names(runs))
        wanted = as_names(metrics)
        return {name: draw_history(self.directory, name, metrics=wanted) for name in names}

    def export(self, kind: str, directory: str | Path | None = None) -> Path:
        """Write results for another program: csv, parquet, tensorboard, wandb, mlflow."""
        from hpcexp.analysis.export.write import check_kind, write_export

        check_kind(kind)
        place = None if directory is None else Path(directory)
        return write_export(self.frames(), kind, directory=place)

    def evaluate(
        self,
        runs: Sequence[str] = (),
        *,
        kinds: Sequence[str] = (),
        at: Literal["last", "best"] | int = "last",
        metric: str | None = None,
        split: str | None = None,
        sequences: Sequence[int] = (0, 1, 2, 3),
        output: str | Path | None = None,
        device: str | None = None,
    ) -> EvalReport:
        """Look into trained models: pictures and numbers of each run, tables of all.

        `runs` are runs, groups or patterns; `at` an epoch whose parameters were kept, or the best
        by `metric`; `sequences` the samples that are drawn, by their place.
        """
        from hpcexp.analysis.eval_tables import save_eval_tables
        from hpcexp.train.inspection import Request
        from hpcexp.worker.inspection.evaluate import evaluate_runs
        from hpcexp.worker.inspection.parameters import Choice

        if metric is not None and at != "best":
            raise UsageError(f"metric={metric!r} is for at='best', not for at={at!r}")
        report = evaluate_runs(
            self._unpacked(),
            select_runs(observe(self.directory), as_names(runs)),
            request=Request(as_names(kinds), split, tuple(sequences)),
            choice=Choice(at, metric),
            device=device,
            output_dir=None if output is None else Path(output),
        )
        save_eval_tables(report)
        return report

    def replay(self, run: str | None = None, *, device: str | None = None) -> Replay:
        """Run the step at which a run diverged once more, with every module watched."""
        from hpcexp.api.replaying import choose_recorded
        from hpcexp.worker.replay import replay_run

        name = choose_recorded(self._unpacked(), run)
        return replay_run(self.directory.run(name), device=device)

    def notes(self) -> tuple[Note, ...]:
        """What was written about it, the oldest first."""
        from hpcexp.store.notebook.gather import read_all_notes

        return tuple(read_all_notes(self.directory).notes)

    def _find_beside(self, name: str | Path | None) -> ExperimentDir | None:
        """Another experiment by its name, of the same directory."""
        return None if name is None else find_directory(name, self.path.parent)

    def _unpacked(self) -> ExperimentDir:
        """The directory.

        Raises UsageError where it is in an archive.
        """
        if self.directory.archive is not None:
            raise UsageError(
                f"{self.directory.archive}: is archived: it can be looked at; to change it, make "
                f"its directory again: hpcexp archive --restore {self.directory.archive}"
            )
        return self.directory


def find_directory(
    name: str | Path | ExperimentDir, experiments_dir: str | Path | None
) -> ExperimentDir:
    """The experiment that is meant.

    Raises UsageError where there is none.
    """
    if isinstance(name, ExperimentDir):
        return name
    place = choose_experiments_dir(experiments_dir)
    return finding.find_experiment(str(name), experiments_dir=place, archives=True).experiment


def choose_experiments_dir(given: str | Path | None) -> Path:
    """The directory of experiments: the given one, else the site's."""
    return find_experiments_dir() if given is None else Path(given)


def as_names(names: Sequence[str]) -> tuple[str, ...]:
    """One name is a list of one, and not of its letters."""
    return (names,) if isinstance(names, str) else tuple(names)


def spell_settings(settings: Mapping[str, Any] | Sequence[str]) -> list[str]:
    """Texts such as `params.lr=0.01`; values become JSON, which is YAML."""
    import json

    if isinstance(settings, Mapping):
        return [f"{name}={json.dumps(value)}" for name, value in settings.items()]
    return [settings] if isinstance(settings, str) else list(settings)
