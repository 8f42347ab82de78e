"""What a report says beside the results: both columns, launch and analysis, are asked."""

from __future__ import annotations

from hpcexp.analysis.report.circumstances import Accounted, Circumstances, TroubledRun
from hpcexp.launch.observe import Observation, observe
from hpcexp.launch.progress import NEEDS_SOMEBODY
from hpcexp.launch.slurm.accounting import ask_use
from hpcexp.launch.suggest import find_evidence, suggest_command
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State

MAX_TROUBLED = 100
MAX_EVIDENCE = 30


def look_around(experiment: ExperimentDir) -> Circumstances:
    """What the queue, the logs and accounting say of an experiment's runs."""
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
