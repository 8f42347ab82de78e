"""The partitions, and whether a job like this user's would be taken."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass

from hpcexp.launch.doctor.findings import Finding, error, passed, warn
from hpcexp.launch.doctor.slurm_answers import ASK_TIMEOUT_S
from hpcexp.launch.doctor.target import Target
from hpcexp.launch.slurm.commands import run_command

_FIELDS = "%P|%a|%l|%F|%G"


@dataclass(frozen=True)
class Partition:
    """A part of the cluster; of its `num_nodes`, `num_away` are down or drained."""

    name: str
    is_default: bool
    is_up: bool
    time_limit: str
    num_nodes: int
    num_away: int
    gpus: tuple[str, ...] = ()

    def describe(self) -> str:
        """A line, such as `gpu: 12 nodes (2 away), gpu:a100:4, at most 1-00:00:00`."""
        nodes = f"{self.num_nodes} node" if self.num_nodes == 1 else f"{self.num_nodes} nodes"
        away = f" ({self.num_away} away)" if self.num_away else ""
        limit = "no time limit" if self.time_limit == "infinite" else f"at most {self.time_limit}"
        closed = "" if self.is_up else ", closed"
        gpus = " ".join(self.gpus) or "no GPUs"
        return f"{self.name}: {nodes}{away}, {gpus}, {limit}{closed}"


def check_partitions(target: Target) -> Finding:
    """Which partitions there are; whether the one that is used takes jobs."""
    told = run_command("sinfo", "--noheader", f"--format={_FIELDS}", timeout_s=ASK_TIMEOUT_S)
    if not told.is_ok:
        return warn("partitions", f"sinfo: {told.problem}", todo="ask sinfo yourself what there is")
    return judge_partitions(parse_sinfo(told.stdout), wanted=target.partition)


def parse_sinfo(text: str) -> list[Partition]:
    """Partitions in sinfo's order; it has a line for each kind of node in each."""
    found: dict[str, Partition] = {}
    for line in text.splitlines():
        fields = line.strip().split("|")
        if len(fields) != 5:
            continue
        name, available, limit, counts, gres = fields
        # Allocated, idle, other (down, drained), total.
        numbers = [int(n) if n.isdecimal() else 0 for n in counts.split("/")]
        _, _, num_away, num_nodes = numbers if len(numbers) == 4 else [0] * 4
        line_of = Partition(
            name.rstrip("*"), name.endswith("*"), available == "up", limit, num_nodes, num_away,
            tuple(g for g in gres.split(",") if g.startswith("gpu")),
        )  # fmt: skip
        before = found.get(line_of.name)
        found[line_of.name] = line_of if before is None else _add(before, line_of)
    return list(found.values())


def _add(first: Partition, second: Partition) -> Partition:
    return dataclasses.replace(
        first,
        num_nodes=first.num_nodes + second.num_nodes,
        num_away=first.num_away + second.num_away,
        gpus=tuple(dict.fromkeys((*first.gpus, *second.gpus))),
    )


def judge_partitions(partitions: Sequence[Partition], *, wanted: str | None) -> Finding:
    """`wanted` is the partition that was named; without it the default counts."""
    details = [p.describe() for p in partitions]
    names = ", ".join(p.name for p in partitions) or "none"
    used = [p for p in partitions if (p.name == wanted if wanted else p.is_default)]
    if not used and wanted:
        return error(
            "partitions", f"no partition {wanted}; there are: {names}", todo="--partition NAME"
        )
    if not used:
        return warn(
            "partitions",
            f"{names}; none is the default",
            todo="templates must name one: resources.partition",
            details=details,
        )
    partition = used[0]
    role = "asked for" if wanted else "default"
    if not partition.is_up or partition.num_nodes == partition.num_away:
        why = "is closed" if not partition.is_up else "has no node that takes jobs"
        return warn(
            "partitions",
            f"{partition.name} ({role}) {why}",
            todo="jobs wait until that changes: name another one (resources.partition), or ask "
            "your administrators",
            details=details,
        )
    return passed("partitions", f"{len(partitions)}; {role}: {partition.name}", details=details)


def check_acceptance(target: Target) -> Finding:
    """Whether Slurm would take a small job. Nothing is submitted."""
    told = run_command(
        *("sbatch", "--test-only", "--time=1", "--nodes=1", "--ntasks=1", "--mem=100M"),
        *target.list_sbatch_options(),
        "--wrap=true",
        timeout_s=ASK_TIMEOUT_S,
    )
    said = [line for line in told.stderr.splitlines() if " to start at " in line]
    if told.is_ok:
        when = said[0].partition(" to start at ")[2].split()[0] if said else "some time"
        return passed("acceptance", f"a small job would be taken, and start at {when}")
    return error(
        "acceptance", f"a small job would be refused: {told.problem}", todo=advise(told.stderr)
    )


def advise(said: str) -> str:
    """What to do about the words with which sbatch refuses a job."""
    words = said.lower()
    for cause, advice in ADVICE.items():
        if cause in words:
            return advice
    return "the message is Slurm's: ask your cluster's administrators what it wants"


# The first that fits counts.
ADVICE = {
    "submit limit": "you have as many jobs in the queue as you may: wait until some have ended",
    "account": "name an account that you are in: `hpcexp doctor --account NAME`, and "
    "resources.account in templates (`sacctmgr show assoc user=$USER` lists them)",
    "partition": "name a partition that `sinfo` lists: `hpcexp doctor --partition NAME`, and "
    "resources.partition in templates",
    "qos": "name a QOS that you may use: `hpcexp doctor --qos NAME`, and resources.qos in "
    "templates",
    "feature": "`sinfo --format='%P %f'` lists what a constraint may name",
    "node configuration": "no node of this partition has that much (GPUs, CPUs, memory): "
    "`sinfo --format='%P %G %c %m'` lists what they have",
    "time limit": "ask for less time: resources.timeout",
}
