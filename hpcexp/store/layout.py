"""Names and places of files: the only module that spells a file name of an experiment.

2022_m12_d14@14_58_06_max_epoch/
  experiment.json          what was launched, when; carries the format version
  plan.json                groups, runs, hyperparameters that vary, resources
  copied_from.json         where a copy comes from (`hpcexp pull`)
  deciding.json            plan and results of several looks (`extend --until-decided`)
  summary.jsonl            the statuses of all runs, so that nobody has to open them one by one
  template/                the template as it was, with those that it extends
  provenance/              commit, uncommitted changes, packages, command, machine
  code/                    the code that its jobs run, as it was at launch
  jobs/                    one record per submission, submitit's files, job logs
  runs/rnn_width=48_rand_1/
    config.json            all hyperparameters of the run, defaults included
    status.json            state, progress, reason
    owner.json             which attempt may write (the fencing token)
    metrics.<attempt>.bin  rows of the newest attempt, older ones carried over
    checkpoints/           the last two
    logs/attempt_1.log
    kept/epoch_000500.pt   parameters of an epoch (keep_every)
    own/                   of a workload that trains by itself: what it was told and reports
    divergence.json        where the first value was not finite, for people
    forensics.pt           what `hpcexp replay` runs that step again from
    inspection/            what the run showed of itself while it trained
    tracking.wandb.json    how far a tracker has followed the run
  tracking/wandb/          what trackers write while the runs train (tensorboard, mlflow)
  notes/                   what people wrote about the experiment, a file each
  plots/                   figures, and the table beside each; report.html
  eval/last/               what `hpcexp eval` found in the last (best, ...) parameters
    encoder.csv            a row for each run; encoder.pdf and encoder.png draw it
    decoder/rnn_width=48_rand_1_grid.png
  export/csv/              tables for other programs (parquet, tensorboard, ...)

notebook/                  beside the experiments, once somebody asks for it
  imported/NAME.json       a notebook that was kept as text, line by line
  figures/                 a figure of each experiment, drawn once
  notebook.html            and notebook.md: all experiments and notes by date
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FORMAT = 1
TIMESTAMP = "%Y_m%m_d%d@%H_%M_%S"
TIMESTAMP_LENGTH = len("2022_m12_d14@14_58_06")
UNFINISHED_PREFIX = ".making-"
REMOVED_PREFIX = ".removing-"
PULLING_NAME = ".pulling"
PUSHING_NAME = ".pushing"
TRASH_NAME = ".trash"
STATISTICS_FILE = "statistics.json"
"""What `hpcexp plot` finds, among the figures; its `words` are lines such as `supported ...`."""
METRICS_PATTERN = re.compile(r"metrics\.([1-9][0-9]*)\.bin")
"""Names that `RunDir.metrics_path` gives; its group is the attempt."""


@dataclass(frozen=True)
class RunDir:
    """Files of one run."""

    path: Path

    @property
    def name(self) -> str:
        """The run's name, such as `rnn_width=48_rand_1`."""
        return self.path.name

    @property
    def experiment(self) -> ExperimentDir:
        """The experiment that the run belongs to."""
        return ExperimentDir(self.path.parent.parent)

    @property
    def config_path(self) -> Path:
        """All hyperparameters, defaults included."""
        return self.path / "config.json"

    @property
    def status_path(self) -> Path:
        """State, progress and reason."""
        return self.path / "status.json"

    @property
    def owner_path(self) -> Path:
        """The attempt that may write, with its fencing token."""
        return self.path / "owner.json"

    @property
    def lock_path(self) -> Path:
        """Held for the moment in which an owner changes or a file is replaced."""
        return self.path / ".lock"

    def claim_path(self, token: int) -> Path:
        """There for the moment in which a token is given out."""
        return self.path / f".claim.{token}"

    @property
    def cancel_path(self) -> Path:
        """There when the user wants the run to end; the worker looks for it."""
        return self.path / "cancel"

    def metrics_path(self, attempt: int) -> Path:
        """What an attempt writes its metrics to."""
        return self.path / f"metrics.{attempt}.bin"

    @property
    def checkpoints_dir(self) -> Path:
        """The last checkpoints."""
        return self.path / "checkpoints"

    def checkpoint_path(self, *, attempt: int, step: int) -> Path:
        """A checkpoint; its name orders it by attempt, then step."""
        return self.checkpoints_dir / f"attempt_{attempt:04d}_step_{step:010d}.pt"

    @property
    def kept_dir(self) -> Path:
        """Parameters of single epochs."""
        return self.path / "kept"

    def kept_path(self, *, epoch: int) -> Path:
        """The parameters after an epoch; its name orders it."""
        return self.kept_dir / f"epoch_{epoch:06d}.pt"

    def list_kept(self) -> dict[int, Path]:
        """Kept parameters by epoch, the first epoch first."""
        paths = sorted(self.kept_dir.glob("epoch_*.pt"))
        return {int(path.stem.removeprefix("epoch_")): path for path in paths}

    @property
    def own_dir(self) -> Path:
        """What a workload that trains by itself is told, and what it reports."""
        return self.path / "own"

    def told_path(self, attempt: int) -> Path:
        """What the training of an attempt is told."""
        return self.own_dir / f"attempt_{attempt}.json"

    def reports_path(self, attempt: int) -> Path:
        """What the training of an attempt reports, a line for each row of metrics."""
        return self.own_dir / f"attempt_{attempt}.jsonl"

    def stop_path(self, attempt: int) -> Path:
        """There when the training of an attempt is to save a checkpoint and end."""
        return self.own_dir / f"attempt_{attempt}.stop"

    def list_reports(self) -> dict[int, Path]:
        """Reports by attempt, the first attempt first."""
        found = {}
        for path in self.own_dir.glob("attempt_*.jsonl"):
            found[int(path.stem.removeprefix("attempt_"))] = path
        return dict(sorted(found.items()))

    @property
    def tensorboard_dir(self) -> Path:
        """TensorBoard files that the training writes to be read."""
        return self.own_dir / "tensorboard"

    def list_own_checkpoints_dirs(self) -> list[Path]:
        """Those of all attempts that there are, the earliest first."""
        return sorted(self.checkpoints_dir.glob("own_attempt_*"))

    def own_checkpoints_dir(self, attempt: int) -> Path:
        """Checkpoints that the training of an attempt writes itself."""
        return self.checkpoints_dir / f"own_attempt_{attempt:04d}"

    @property
    def divergence_path(self) -> Path:
        """What is known of a step that diverged, for people."""
        return self.path / "divergence.json"

    @property
    def forensics_path(self) -> Path:
        """The state before that step, and what it read."""
        return self.path / "forensics.pt"

    @property
    def inspection_dir(self) -> Path:
        """Pictures and tables that the run makes while it trains."""
        return self.path / "inspection"

    def inspection_path(self, kind: str, *, epoch: int, part: str, suffix: str) -> Path:
        """One picture or table; its name orders it by kind, then epoch."""
        return self.inspection_dir / f"{kind}_epoch_{epoch:06d}_{part}.{suffix}"

    def list_inspections(self, kind: str) -> dict[int, list[Path]]:
        """Files of one kind by epoch, the first epoch first."""
        found: dict[int, list[Path]] = {}
        for path in sorted(self.inspection_dir.glob(f"{kind}_epoch_*")):
            match = re.fullmatch(rf"{re.escape(kind)}_epoch_([0-9]+)_.*", path.name)
            if match is not None:
                found.setdefault(int(match[1]), []).append(path)
        return dict(sorted(found.items()))

    def tracked_path(self, tracker: str) -> Path:
        """How far a tracker has followed the run."""
        return self.path / f"tracking.{tracker}.json"

    def tracking_lock_path(self, tracker: str) -> Path:
        """Held by the process that follows the run for a tracker."""
        return self.path / f".tracking.{tracker}.lock"

    @property
    def logs_dir(self) -> Path:
        """One log for each attempt."""
        return self.path / "logs"

    def log_path(self, attempt: int) -> Path:
        """The log of one attempt."""
        return self.logs_dir / f"attempt_{attempt}.log"

    def ranks_log_dir(self, attempt: int) -> Path:
        """The logs of the processes of an attempt, where it is several."""
        return self.logs_dir / f"attempt_{attempt}_ranks"


@dataclass(frozen=True)
class EvalDir:
    """Files of the calls of `hpcexp eval` that look at the same parameters."""

    path: Path

    def table_path(self, kind: str) -> Path:
        """The table of all runs; its figures have the same stem."""
        return self.path / f"{kind}.csv"

    @property
    def lock_path(self) -> Path:
        """Held while a table takes up what a call has found."""
        return self.path / ".lock"

    def part_path(self, kind: str, *, run: str, part: str, suffix: str) -> Path:
        """One picture or table of one run; pictures of all runs lie side by side."""
        return self.path / kind / f"{run}_{part}.{suffix}"


@dataclass(frozen=True)
class ExperimentDir:
    """Files of one experiment.

    `archive` is the file that they were unpacked from, for as long as they are read, if any.
    """

    path: Path
    archive: Path | None = None

    @property
    def place(self) -> Path:
        """Where people find it: its directory, or its archive."""
        return self.archive or self.path

    def locate(self, path: Path) -> str:
        """Where people find a file of it: its path, or the archive and its place in that."""
        if self.archive is None:
            return str(path)
        return f"{self.archive}: {path.relative_to(self.path)}"

    @property
    def name(self) -> str:
        """The directory's name, with the time of launch."""
        return self.path.name

    @property
    def timestamp(self) -> str:
        """When it was launched, such as `2022_m12_d14@14_58_06`."""
        return self.name[:TIMESTAMP_LENGTH]

    @property
    def short_name(self) -> str:
        """The name that the template gave it, such as `max_epoch`."""
        return self.name[TIMESTAMP_LENGTH + 1 :]

    @property
    def record_path(self) -> Path:
        """What was launched; carries the format version."""
        return self.path / "experiment.json"

    @property
    def copy_record_path(self) -> Path:
        """There in a copy of an experiment that lives elsewhere: where it comes from."""
        return self.path / "copied_from.json"

    @property
    def summary_path(self) -> Path:
        """The newest status of every run that has begun, a line each; see store/summary.py."""
        return self.path / "summary.jsonl"

    @property
    def summary_lock_path(self) -> Path:
        """Held while a line is added to the summary, or it is made again."""
        return self.path / ".summary.lock"

    @property
    def plan_path(self) -> Path:
        """The resolved plan."""
        return self.path / "plan.json"

    @property
    def deciding_path(self) -> Path:
        """How the experiment is to be decided by several looks, and what they found."""
        return self.path / "deciding.json"

    @property
    def template_dir(self) -> Path:
        """The template as it was."""
        return self.path / "template"

    @property
    def provenance_dir(self) -> Path:
        """Where the experiment came from."""
        return self.path / "provenance"

    @property
    def code_dir(self) -> Path:
        """The code that its jobs run, as it was at launch."""
        return self.path / "code"

    @property
    def snapshot_path(self) -> Path:
        """What `code_dir` holds, and what was left out."""
        return self.provenance_dir / "snapshot.json"

    def extension_provenance_dir(self, number: int) -> Path:
        """Where an extension came from."""
        return self.provenance_dir / f"extension_{number:03d}"

    @property
    def runs_dir(self) -> Path:
        """One directory for each run."""
        return self.path / "runs"

    def run(self, name: str) -> RunDir:
        """The directory of one run."""
        return RunDir(self.runs_dir / name)

    @property
    def jobs_dir(self) -> Path:
        """Submissions, submitit's files and the jobs' logs."""
        return self.path / "jobs"

    def submission_path(self, submission_id: str) -> Path:
        """The record of one submission."""
        return self.jobs_dir / f"{submission_id}.json"

    def iter_submission_paths(self) -> Iterator[Path]:
        """Records of all submissions, oldest first."""
        yield from sorted(self.jobs_dir.glob("*.json"))

    @property
    def submission_lock_path(self) -> Path:
        """Held while runs are chosen and submitted, so that two commands can't submit one twice."""
        return self.jobs_dir / ".lock"

    @property
    def held_path(self) -> Path:
        """There while bundles wait for room under the cluster's limits; jobs look for it."""
        return self.jobs_dir / "held"

    @property
    def notified_path(self) -> Path:
        """There once somebody was told that the experiment has ended."""
        return self.jobs_dir / "notified"

    @property
    def held_lock_path(self) -> Path:
        """Held by the one job that waits to submit what is held."""
        return self.jobs_dir / ".held.lock"

    def submission_dir(self, submission_id: str) -> Path:
        """The script and the logs of one submission."""
        return self.jobs_dir / submission_id

    def script_path(self, submission_id: str) -> Path:
        """What sbatch was given."""
        return self.submission_dir(submission_id) / "submission.sh"

    def job_log_path(self, submission_id: str, index: int) -> Path:
        """What a job printed, all starts of it."""
        return self.submission_dir(submission_id) / f"job_{index}.log"

    def packing_path(self, submission_id: str, index: int) -> Path:
        """How a job chose to pack its runs, where that was left to the node."""
        return self.submission_dir(submission_id) / f"packing_{index}.json"

    def iter_packing_paths(self) -> Iterator[Path]:
        """What all jobs chose, those of the oldest submission first."""
        yield from sorted(self.jobs_dir.glob("*/packing_*.json"))

    def search_dir(self, number: int) -> Path:
        """The script and the log of the job that goes on with a search after so many samples."""
        return self.jobs_dir / f"search_{number}"

    def search_job_path(self, number: int) -> Path:
        """Which job that is."""
        return self.search_dir(number) / "job.json"

    def search_cancelled_path(self, number: int) -> Path:
        """There while nobody is to go on with the search by itself."""
        return self.search_dir(number) / "cancelled"

    def usage_path(self, submission_id: str, index: int) -> Path:
        """What a job used of its GPU, CPUs and memory, all starts of it."""
        return self.submission_dir(submission_id) / f"usage_{index}.json"

    def look_dir(self, number: int) -> Path:
        """The script and the log of the job that takes a look."""
        return self.jobs_dir / f"look_{number}"

    def not_requeued_path(self, submission_id: str, index: int) -> Path:
        """How the worker of a job ended, and why the job was not started again; a line each."""
        return self.submission_dir(submission_id) / f"not_requeued_{index}"

    @property
    def plots_dir(self) -> Path:
        """Figures and their tables; those of an archive lie beside it."""
        if self.archive is not None:
            return self.archive.with_name(f"{self.name}.plots")
        return self.path / "plots"

    @property
    def plots_cache_dir(self) -> Path:
        """What a second look at the plots need not compute again; may be deleted at any time."""
        return self.plots_dir / ".cache"

    @property
    def rows_cache_path(self) -> Path:
        """What all rows of metrics came to when they were drawn."""
        return self.plots_cache_dir / "rows.npz"

    def drawn_path(self, medium: str) -> Path:
        """What the figures for a medium were drawn of."""
        return self.plots_cache_dir / f"drawn{'_' if medium else ''}{medium}.json"

    @property
    def report_path(self) -> Path:
        """The report: one HTML file, among the figures."""
        return self.plots_dir / "report.html"

    @property
    def notes_dir(self) -> Path:
        """What people wrote about the experiment, a file for each note."""
        return self.path / "notes"

    def note_path(self, stem: str) -> Path:
        """One note; its name orders it by time."""
        return self.notes_dir / f"{stem}.json"

    def tracking_dir(self, tracker: str) -> Path:
        """What a tracker writes while the runs train, such as TensorBoard's event files."""
        return self.path / "tracking" / tracker

    def export_dir(self, kind: str) -> Path:
        """The results for another program, such as `csv` or `tensorboard`."""
        return self.path / "export" / kind

    def eval_dir(self, label: str) -> EvalDir:
        """What was found in the parameters of one choice, such as `last` or `epoch_000500`."""
        return EvalDir(self.path / "eval" / label)


@dataclass(frozen=True)
class NotebookDir:
    """Files of the notebook of all experiments of a directory; made when they are needed."""

    path: Path

    @property
    def imported_dir(self) -> Path:
        """Notebooks that were kept as text."""
        return self.path / "imported"

    def imported_path(self, name: str) -> Path:
        """One of them."""
        return self.imported_dir / f"{name}.json"

    def figure_path(self, experiment: str) -> Path:
        """The figure of an experiment."""
        return self.path / "figures" / f"{experiment}.png"

    def page_path(self, suffix: str) -> Path:
        """The notebook as a page: `html` or `md`."""
        return self.path / f"notebook.{suffix}"

    def slides_path(self, tag: str, suffix: str) -> Path:
        """The experiments with a tag as slides: `html` or `pdf`."""
        return self.path / f"{tag}.{suffix}"


def notebook_dir(experiments_dir: Path) -> NotebookDir:
    """The notebook of a directory of experiments."""
    return NotebookDir(experiments_dir / "notebook")
