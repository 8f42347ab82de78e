"""What a job asks of the cluster."""

from __future__ import annotations

from typing import Any

import pytest

from hpcexp.template.faults import find_faults
from hpcexp.template.resources import Resources


def refuse(**values: Any) -> str:
    (fault,) = find_faults(Resources, values, noun="resource")
    return f"{'.'.join(str(name) for name in fault.names)}: {fault.message}"


def test_the_defaults_are_a_small_job_of_one_hour() -> None:
    resources = Resources()
    assert (resources.gpus, resources.cpus, resources.mem_gb) == (0, 1, 4)
    assert resources.timeout_min == 60


@pytest.mark.parametrize(
    ("timeout", "minutes"), [("12h30m", 750), ("12:30:00", 750), ("45s", 1), ("61s", 2)]
)
def test_the_time_out_is_rounded_up_to_minutes(timeout: str, minutes: int) -> None:
    assert Resources(timeout=timeout).timeout_min == minutes


def test_resources_survive_a_round_trip_through_json() -> None:
    resources = Resources(timeout="2d", exclude=["gpu07"], sbatch={"mail-type": "END", "nice": 5})
    assert Resources.model_validate_json(resources.model_dump_json()) == resources


def test_a_bare_number_is_no_time_out() -> None:
    assert refuse(timeout=45000) == (
        'timeout: 45000 is not a duration: it has no unit; write 12h30m (or "12:30:00")'
    )


@pytest.mark.parametrize(
    ("option", "advice"),
    [
        ("time", "set by resources.timeout; write it there"),
        ("mem", "set by resources.mem_gb; write it there"),
        ("mem_per_cpu", "set by resources.mem_gb; write it there"),
        ("partition", "set by resources.partition; write it there"),
        ("gpus-per-node", "set by resources.gpus; write it there"),
        ("array", "set by hpcexp itself; leave it out"),
        ("output", "set by hpcexp itself; leave it out"),
        ("open-mode", "set by hpcexp itself; leave it out"),
        ("open_mode", "set by hpcexp itself; leave it out"),
        ("job-name", "set by hpcexp itself; leave it out"),
        ("signal", "set by hpcexp itself; leave it out"),
        ("--nice", "not an sbatch option; write its long name without dashes in front"),
        ("p", "not an sbatch option; write its long name without dashes in front"),
        ("a=b\nc", "not an sbatch option; write its long name without dashes in front"),
    ],
)
def test_an_sbatch_option_that_is_not_free_is_refused_with_advice(option: str, advice: str) -> None:
    assert refuse(sbatch={option: 1}).endswith(advice)


def test_a_true_option_is_kept_and_a_false_one_is_left_out() -> None:
    resources = Resources(sbatch={"exclusive": True, "requeue": False})
    assert resources.sbatch == {"exclusive": True, "requeue": False}


def test_an_option_in_two_spellings_is_refused() -> None:
    message = refuse(sbatch={"mail-type": "END", "mail_type": "FAIL"})
    assert message == "sbatch: mail-type is given twice, with - and with _; keep one"


@pytest.mark.parametrize(
    "values",
    [
        {"partition": "gpu\n#SBATCH --uid=0"},
        {"exclude": ["gpu01", "gpu02\n"]},
        {"sbatch": {"comment": "a\nb"}},
        {"constraint": "a\x00b"},
        {"setup": ["module load cuda\nrm -r x"]},
    ],
)
def test_a_line_break_cannot_enter_the_batch_script(values: dict[str, Any]) -> None:
    assert "line break" in refuse(**values)


def test_a_setup_line_is_no_sbatch_directive() -> None:
    assert "resources.sbatch" in refuse(setup=["#SBATCH --nice"])


def test_setup_lines_may_hold_tabs_and_quotes() -> None:
    assert Resources(setup=["\texport A='b c'"]).setup == ["\texport A='b c'"]


def test_an_empty_partition_is_refused() -> None:
    assert refuse(partition="") == "partition: empty; write null to leave it out"


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"gpus": -1}, "gpus: -1 is out of range; must be a whole number of at least 0"),
        ({"cpus": 0}, "cpus: 0 is out of range; must be a whole number of at least 1"),
        ({"mem_gb": "4G"}, "mem_gb: 4G is text; must be a whole number of at least 1"),
        ({"mem_gb": 16.0}, "must be a whole number of at least 1; write 16"),
        ({"exclude": "gpu07"}, "exclude: gpu07 is text; must be a list of texts; write [gpu07]"),
        ({"account": 12}, 'account: 12 is a whole number; must be text or null; write "12"'),
        ({"max_parallel": 0}, "must be a whole number of at least 1 or null"),
        ({"memory": 4}, "memory: no such resource; did you mean mem_gb?"),
        ({"sbatch": {"nice": [1]}}, "sbatch.nice: [1] is a list; must be text, a whole number"),
    ],
)
def test_a_wrong_value_is_refused_with_what_is_allowed(
    values: dict[str, Any], message: str
) -> None:
    assert message in refuse(**values)


# ------------------------------------------------------------------- the Python of the jobs


def test_a_python_and_a_container_are_read() -> None:
    resources = Resources.model_validate(
        {"python": "uv run python", "container": {"image": "lab.sif", "options": ["--nv"]}}
    )
    assert resources.container is not None
    assert (resources.container.runtime, resources.uses_other_python) == ("apptainer", True)
    assert not Resources().uses_other_python


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ({"python": "python 'x"}, "python: no command: No closing quotation"),
        ({"python": "-m x"}, "python: no command; write such as python"),
        ({"python": ""}, "python: empty; write null to leave it out"),
        ({"container": "lab.sif"}, "container: lab.sif is text; must be"),
        ({"container": {}}, "container.image: missing"),
        ({"container": {"image": "x", "runtime": "docker"}}, "must be apptainer or singularity"),
        ({"container": {"image": "x", "options": ["nv"]}}, "not an option; write --NAME"),
        ({"container": {"image": "x", "options": ["--cleanenv"]}}, "hides from the job what Slurm"),
        ({"container": {"image": "x", "options": ["--bind=/a"]}}, "under resources.container.bind"),
        ({"container": {"image": "x\ny"}}, "line break"),
        ({"code": "../lib"}, "code: ../lib is text; must be a list of texts; write [../lib]"),
    ],
)
def test_another_python_that_cannot_be_is_refused(values: dict[str, Any], message: str) -> None:
    assert message in refuse(**values)
