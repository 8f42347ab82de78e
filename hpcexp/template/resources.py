"""What a job asks of the cluster, and the rest of a template that is no hyperparameter."""

from __future__ import annotations

import re
import shlex
from typing import Annotated, Any, Literal

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    WithJsonSchema,
    field_validator,
)

from hpcexp.template.durations import DURATION_PATTERN, explain_duration, parse_duration_s

_OPTION = re.compile(r"[a-z][a-z0-9]+([-_][a-z0-9]+)*")
_SET_ELSEWHERE = {
    "time": "resources.timeout",
    "mem": "resources.mem_gb",
    "mem-per-cpu": "resources.mem_gb",
    "mem-per-gpu": "resources.mem_gb",
    "cpus-per-task": "resources.cpus",
    "cpus-per-gpu": "resources.cpus",
    "gpus": "resources.gpus",
    "gpus-per-node": "resources.gpus",
    "gpus-per-task": "resources.gpus",
    "partition": "resources.partition",
    "account": "resources.account",
    "qos": "resources.qos",
    "constraint": "resources.constraint",
    "exclude": "resources.exclude",
}
_CUTS_ENVIRONMENT = ("-e", "--cleanenv", "-C", "--containall")
_SET_BY_HPCEXP = frozenset(
    {
        *("array", "job-name", "nodes", "ntasks", "ntasks-per-node", "signal"),
        *("chdir", "error", "input", "open-mode", "output"),
        *("parsable", "test-only", "wait", "wrap"),
    }
)


def _check_line(text: str) -> str:
    if not text.strip():
        raise ValueError("empty; write null to leave it out")
    if not text.isprintable():
        raise ValueError(f"{text!r:.40} holds a line break or a control character; write one line")
    return text


def _check_setup_line(text: str) -> str:
    if not text.replace("\t", " ").isprintable():
        raise ValueError("holds a line break; write each shell line as an item of the list")
    if text.lstrip().startswith("#SBATCH"):
        raise ValueError("an sbatch option; write it under resources.sbatch")
    return text


def _check_container_option(text: str) -> str:
    _check_line(text)
    if not text.startswith("-"):
        raise ValueError("not an option; write --NAME, or --NAME=VALUE in one piece")
    name = text.partition("=")[0]
    if name in _CUTS_ENVIRONMENT:
        raise ValueError(f"{name} hides from the job what Slurm says of it; leave it out")
    if name in ("-B", "--bind"):
        raise ValueError("write it under resources.container.bind")
    return text


def _check_command(text: str) -> str:
    _check_line(text)
    try:
        words = shlex.split(text)
    except ValueError as error:
        raise ValueError(f"no command: {error}") from None
    if not words or words[0].startswith("-"):
        raise ValueError("no command; write such as python, or uv run --project DIR python")
    return text


def _check_duration(value: Any) -> Any:
    if not isinstance(value, str):
        raise ValueError(explain_duration(value))
    parse_duration_s(value)
    return value


def _check_option_name(name: str) -> str:
    option = name.replace("_", "-")
    if option in _SET_ELSEWHERE:
        raise ValueError(f"set by {_SET_ELSEWHERE[option]}; write it there")
    if option in _SET_BY_HPCEXP:
        raise ValueError("set by hpcexp itself; leave it out")
    if not _OPTION.fullmatch(name):
        raise ValueError("not an sbatch option; write its long name without dashes in front")
    return name


Line = Annotated[str, AfterValidator(_check_line)]
SetupLine = Annotated[str, AfterValidator(_check_setup_line)]
Option = Annotated[str, AfterValidator(_check_container_option)]
OptionName = Annotated[str, AfterValidator(_check_option_name)]
Command = Annotated[str, AfterValidator(_check_command)]
Duration = Annotated[
    str,
    BeforeValidator(_check_duration),
    WithJsonSchema({"type": "string", "pattern": DURATION_PATTERN}),
]


class Container(BaseModel):
    """An image that a job's Python runs in, by Apptainer or Singularity."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True)

    image: Line = Field(description="Path or URI of the image, such as /images/lab.sif.")
    runtime: Literal["apptainer", "singularity"] = Field(
        default="apptainer", description="The command, after `setup`."
    )
    bind: list[Line] = Field(
        default=[],
        description="Further directories to be seen inside, as SOURCE or SOURCE:TARGET; those of "
        "the experiments and of the launch are.",
    )
    options: list[Option] = Field(
        default=[], description="Further options, such as --writable-tmpfs."
    )


class Resources(BaseModel):
    """What one job asks of Slurm. Names and units are ours; `sbatch` holds any other option."""

    model_config = ConfigDict(extra="forbid", strict=True, frozen=True, allow_inf_nan=False)

    gpus: int = Field(default=0, ge=0, description="GPUs of one job.")
    cpus: int = Field(default=1, ge=1, description="CPU cores of one job.")
    mem_gb: int = Field(default=4, ge=1, description="Memory of one job, in GB.")
    nodes: int = Field(
        default=1,
        ge=1,
        description="Nodes of one job, each with the gpus, cpus and mem_gb; for a training of "
        "several processes.",
    )
    processes_per_node: int = Field(
        default=1, ge=1, description="Processes of one run on each node, started by torchrun."
    )
    timeout: Duration = Field(
        default="1h",
        description="Longest time of one job: 12h30m, 90m, 2d, 45s, 12:30:00 or 2-00:00:00.",
    )
    partition: Line | None = Field(default=None, description="Slurm partition.")
    account: Line | None = Field(default=None, description="Slurm account that is charged.")
    qos: Line | None = Field(default=None, description="Slurm quality of service.")
    constraint: Line | None = Field(
        default=None, description="Features that a node must have, such as a100."
    )
    exclude: list[Line] = Field(
        default=[], description="Nodes not to use, such as gpu07 or gpu[01-04]."
    )
    setup: list[SetupLine] = Field(
        default=[], description="Shell lines that run before the job, such as module load cuda."
    )
    python: Command | None = Field(
        default=None,
        description="Python of the jobs, found after `setup`: python, or a command that runs it, "
        "such as `uv run python`; null is the one that launches.",
    )
    container: Container | None = Field(
        default=None, description="Image that the jobs' Python runs in; null: none."
    )
    code: list[Line] = Field(
        default=[],
        description="Further directories that jobs import from, whose git trees are copied at "
        "launch.",
    )
    sbatch: dict[OptionName, Line | int | bool] = Field(
        default={},
        description="Any other sbatch option: true gives the bare option, false leaves it out.",
    )
    max_parallel: int | None = Field(
        default=None, ge=1, description="Most jobs of the experiment that run at the same time."
    )
    max_jobs: int = Field(
        default=1000,
        ge=1,
        description="Most jobs of one launch; where there are more runs, a job trains several, "
        "one after another.",
    )
    packing: Literal["none", "lanes", "processes", "auto"] = Field(
        default="none",
        description="Runs of one job at the same time: as lanes of one program (runs of one "
        "shape), in processes of their own, auto (what a probe on the node finds best), or none: "
        "one after another.",
    )
    runs_per_job: int = Field(
        default=16,
        ge=1,
        description="Most runs at the same time in one job, where they are packed.",
    )
    max_restarts: int = Field(
        default=100,
        ge=0,
        description="How often one job is started again after a time limit or a crash.",
    )

    @field_validator("sbatch")
    @classmethod
    def _check_spelling(cls, options: dict[str, str | int | bool]) -> dict[str, str | int | bool]:
        spelled = [name.replace("_", "-") for name, value in options.items() if value is not False]
        twice = sorted({name for name in spelled if spelled.count(name) > 1})
        if twice:
            raise ValueError(f"{twice[0]} is given twice, with - and with _; keep one")
        return options

    @property
    def uses_other_python(self) -> bool:
        """Whether jobs run another Python than the one that launches."""
        return self.python is not None or self.container is not None

    @property
    def timeout_min(self) -> int:
        """The time-out in whole minutes, rounded up, as Slurm counts."""
        return -(-parse_duration_s(self.timeout) // 60)
