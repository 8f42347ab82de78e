"""`hpcexp report`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from hpcexp.cli.options import (
    experiment_argument,
    experiments_dir_option,
    find,
    json_option,
    print_json,
)
from hpcexp.errors import UsageError

if TYPE_CHECKING:
    from hpcexp.analysis.report.circumstances import Accounted, Circumstances, TroubledRun
    from hpcexp.launch.observe import Observation
    from hpcexp.store.layout import ExperimentDir

MAX_TROUBLED = 100
MAX_EVIDENCE = 30
MAX_PROBLEMS_SHOWN = 10
SUFFIXES = (".html", ".htm")


@click.command()
@experiment_argument
@click.option(
    "--output",
    "-o",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Where to, .html.  [default: plots/report.html in the experiment]",
)
@click.option(
    "--baselines",
    metavar="EXPERIMENT",
    help="Single-task models that gains of several tasks are over (docs/multitask.md).",
)
@click.option("--open", "open_it", is_flag=True, help="Show it in the browser of this machine.")
@json_option
@experiments_dir_option
def report(
    *,
    experiment_name: str,
    output: Path | None,
    baselines: str | None,
    open_it: bool,
    as_json: bool,
    experiments_dir: Path | None,
) -> None:
    """Write everything about an experiment as one HTML file.

    Verdicts first, then figures that can be pointed at, tables, curves, pictures of
    `hpcexp eval`, failed runs with what to type next, what was used, where it came from, notes,
    and how to do it again. The file needs no network: it can be mailed, printed and kept.
    Works while runs train. docs/report.md shows what is in it.

    Examples:

    \b
      hpcexp report latest
      hpcexp report max_epoch -o max_epoch.html
    """
    if output is not None and output.suffix not in SUFFIXES:
        raise UsageError(f"--output {output}: a report is written as .html")
    from hpcexp.analysis.report.write import write_report

    experiment = find(experiment_name, experiments_dir, quiet=as_json, archives=True)
    other = find(baselines, experiments_dir, quiet=as_json, archives=True) if baselines else None
    written = write_report(experiment, _look_around(experiment), baselines=other, output=output)
    if as_json:
        print_json(
            {
                "experiment": str(experiment.place),
                "file": str(written.path),
                "num_bytes": written.num_bytes,
                "problems": list(written.problems),
            }
        )
    else:
        click.echo(f"{written.counts}\nwrote {written.path} ({written.num_bytes / 1e6:.1f} MB)")
    for problem in written.problems[:MAX_PROBLEMS_SHOWN]:
        click.echo(f"! {problem}", err=True)
    if open_it:
        _open(written.path)


def _open(path: Path) -> None:
    """Show a file; a login node has no browser, which is no reason to fail."""
    import webbrowser

    if not webbrowser.open(path.resolve().as_uri()):
        click.echo(
            "! there is no browser here; copy the file to a machine that has one: "
            f"scp HOST:{path.resolve()} .",
            err=True,
        )


def _look_around(experiment: ExperimentDir) -> Circumstances:
    """What the queue, the logs and accounting say of an experiment's runs."""
    from hpcexp.analysis.report.circumstances import Circumstances
    from hpcexp.launch.observe import observe
    from hpcexp.launch.progress import NEEDS_SOMEBODY
    from hpcexp.store.status import State

    observation = observe(experiment)
    names = observation.names_in(*sorted(NEEDS_SOMEBODY), State.DIVERGED, State.CANCELLED)
    return Circumstances(
        statuses=observation.statuses,
        troubled=tuple(
            _describe(observation, name, with_evidence=place < MAX_EVIDENCE)
            for place, name in enumerate(names[:MAX_TROUBLED])
        ),
        num_troubled=len(names),
        accounted=_account(observation),
        is_queue_known=observation.is_queue_known,
        remarks=_remark(experiment),
    )


def _describe(observation: Observation, name: str, *, with_evidence: bool) -> TroubledRun:
    from hpcexp.analysis.report.circumstances import TroubledRun
    from hpcexp.launch.suggest import find_evidence, suggest_command
    from hpcexp.store.status import State

    status = observation.statuses[name]
    is_shown = with_evidence and status.state not in (State.DIVERGED, State.CANCELLED)
    return TroubledRun(
        name=name,
        state=status.state.words,
        reason=status.reason,
        advice="" if "hpcexp" in status.hint else status.hint,
        evidence=tuple(find_evidence(observation, name)) if is_shown else (),
        command=suggest_command(observation, name),
    )


def _account(observation: Observation) -> Accounted | None:
    """What all jobs used, as Slurm counted it; None where it did not."""
    from hpcexp.analysis.report.circumstances import Accounted
    from hpcexp.launch.slurm.accounting import ask_use

    used = ask_use(observation.submissions)
    if not used:
        return None
    joules = sum(job.joules for job in used)
    return Accounted(
        num_jobs=len(used),
        elapsed_s=sum(job.elapsed_s for job in used),
        gpu_hours=sum(job.elapsed_s * job.num_gpus for job in used) / 3600,
        cpu_hours=sum(job.elapsed_s * job.num_cpus for job in used) / 3600,
        energy_joules=joules or None,
    )


def _remark(experiment: ExperimentDir) -> tuple[str, ...]:
    if experiment.archive is None:
        return ()
    return (
        "read from an archive: its notes, pictures and template are not unpacked for that; "
        f"hpcexp archive --restore {experiment.archive.name} brings them back",
    )
