"""Odd names: refused in words, or spelled so that no shell and no file system minds."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

from hpcexp.errors import TemplateError, UsageError
from hpcexp.grid import MAX_RUN_NAME_BYTES, expand_groups, expand_runs
from hpcexp.launch.slurm.script import write_script
from hpcexp.store.find import find_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.submissions import make_submission
from hpcexp.template import Resources, load_template
from tests.hostile.conftest import TEMPLATE, Terminal, copy_experiment
from tests.hostile.test_commands import list_all

ODD = (
    "a b", "größe", "日本", "a'b", 'a"b', "a/b", "../a", "..", ".", "", "-rf", "--help", "a\nb",
    "a\x00b", "a\tb", "a;b", "a&b", "$(touch pwned)", "`touch pwned`", "*", "~", "a%jb", "a\\b",
    "\u202eabc", "x" * 300,
)  # fmt: skip
PATHS = tuple(n for n in ODD if n and "\x00" not in n and "/" not in n and len(n) < 250)[2:]
# Directories of which Slurm's scripts cannot be told, whatever is done.
UNTOLD = ("a\nb", "a\tb", "a\\b", "\u202eabc")


def write_template(directory: Path, *, file: str = "t.yaml") -> Path:
    path = directory / file
    path.write_text(TEMPLATE.replace("name: tiny\n", ""))
    return path


@pytest.mark.parametrize("name", ODD, ids=ascii)
def test_a_name_that_is_no_safe_directory_is_refused(name: str, tmp_path: Path) -> None:
    path = write_template(tmp_path)
    with pytest.raises(TemplateError, match=r"cannot name a directory; must be 1 to 64 of"):
        load_template(path, name=name)
    assert list_all(tmp_path) == ["t.yaml"]


@pytest.mark.parametrize("name", [n for n in PATHS if n not in (".", "..")], ids=ascii)
def test_the_name_of_a_file_names_an_experiment_only_if_it_is_safe(
    name: str, tmp_path: Path
) -> None:
    path = write_template(tmp_path, file=f"{name}.yaml")
    with pytest.raises(TemplateError, match=r"name \(that of the file\): .* cannot name"):
        load_template(path)
    assert load_template(path, name="safe").name == "safe"


@pytest.mark.parametrize("name", ["x" * 300 + ".yaml", ""], ids=["long", "empty"])
def test_a_template_that_no_file_can_be_is_an_error_in_words(name: str) -> None:
    with pytest.raises(TemplateError, match=r"nothing was created"):
        load_template(Path(name))


def test_a_template_cannot_extend_a_path_with_a_null_character(tmp_path: Path) -> None:
    path = tmp_path / "t.yaml"
    path.write_text('extends: "a\\0b.yaml"\nworkload: sps\n')
    with pytest.raises(TemplateError, match="extends: must be a path"):
        load_template(path)


def test_values_of_a_grid_become_names_that_neither_shell_nor_file_system_minds(
    tmp_path: Path,
) -> None:
    runs = expand_runs(expand_groups({"text": ODD}), rand_inits=1)
    assert len({run.name.lower() for run in runs}) == len(ODD)
    for run in runs:
        assert len(run.name) <= MAX_RUN_NAME_BYTES
        assert not set(run.name) - set(map(chr, range(33, 127)))
        assert not set(run.name) & set("/\\'\"`$;&|<>*?()[]{}! \n")
        assert not run.name.startswith((".", "-", "~"))
        (tmp_path / run.name).mkdir()
    told = subprocess.run(
        ["bash", "-c", f"printf '%s\\n' {' '.join(run.name for run in runs)}"],
        capture_output=True, text=True, check=True, cwd=tmp_path,
    )  # fmt: skip
    assert told.stdout.splitlines() == [run.name for run in runs]


@pytest.mark.parametrize("text", [n for n in ODD if n], ids=ascii)
def test_an_experiment_that_nobody_made_is_an_error_in_words(
    text: str, terminal: Terminal, trained: ExperimentDir
) -> None:
    copied = copy_experiment(trained, terminal)
    with pytest.raises(UsageError, match=r"no experiment in .* has .* in its name"):
        find_experiment(text, experiments_dir=copied.path.parent)


def test_an_empty_name_means_no_experiment(tmp_path: Path) -> None:
    """`hpcexp cancel "$EXPERIMENT"`, of a variable that is not set, must not cancel the newest."""
    with pytest.raises(UsageError, match="name is empty"):
        find_experiment("", experiments_dir=tmp_path)


# ----------------------------------------------------------------- odd working directories

FAKE = '#!/bin/sh\nfor a; do printf "%s\\0" "$a"; done > "$TOLD"\n'


def run_batch(script: str, place: Path) -> list[str]:
    """Run a script in bash, as Slurm does; the arguments that srun gets."""
    folder = place / "bin"
    folder.mkdir()
    for name in ("srun", "squeue", "scontrol", "scancel"):
        (folder / name).write_text(FAKE if name == "srun" else "#!/bin/sh\n")
        (folder / name).chmod(0o755)
    path = place / "script.sh"
    path.write_text(script)
    environment = {
        "PATH": f"{folder}:{os.environ['PATH']}",
        "TOLD": str(place / "told"),
        "SLURM_ARRAY_JOB_ID": "7",
        "SLURM_ARRAY_TASK_ID": "0",
    }
    subprocess.run(["bash", str(path)], cwd=place, env=environment, check=True)
    return (place / "told").read_text().split("\0")[:-1]


@pytest.mark.parametrize("name", [n for n in PATHS if n not in UNTOLD], ids=ascii)
def test_an_odd_directory_reaches_the_worker_as_it_is_and_nothing_in_it_runs(
    name: str, tmp_path: Path
) -> None:
    experiment = ExperimentDir(tmp_path / f"in {name}" / "2022_m12_d14@14_58_06_tiny")
    submission = make_submission(experiment, number=1, executor="slurm", bundles=[["run_0"]])
    experiment.submission_dir(submission.id).mkdir(parents=True)
    script = write_script(experiment, submission, Resources())
    place = tmp_path / "place"
    place.mkdir()
    told = run_batch(script, place)
    assert told[-2:] == [str(experiment.path), submission.id]
    outputs = [argument for argument in told if argument.startswith("--output=")]
    folder = str(experiment.submission_dir(submission.id))
    assert outputs == [f"--output={folder.replace('%', '%%')}/job_%a.log"]
    assert sorted(p.name for p in place.iterdir()) == ["bin", "script.sh", "told"]


@pytest.mark.parametrize("name", UNTOLD, ids=ascii)
def test_a_directory_that_a_script_cannot_spell_is_refused(name: str, tmp_path: Path) -> None:
    experiment = ExperimentDir(tmp_path / name / "2022_m12_d14@14_58_06_tiny")
    submission = make_submission(experiment, number=1, executor="slurm", bundles=[["run_0"]])
    with pytest.raises(UsageError, match=r"cannot be given to Slurm; choose a directory"):
        write_script(experiment, submission, Resources())


def test_a_line_break_in_the_path_is_refused_before_anything_is_made(terminal: Terminal) -> None:
    said = terminal.type("launch", "tiny.yaml", "--inline", "--experiments-dir", "a\nb")
    said.check_error(exit_code=2, words="a line break or another control character")
    assert list_all(terminal.directory) == ["tiny.yaml"]


def test_an_experiment_in_an_odd_directory_trains_is_shown_and_drawn(tmp_path: Path) -> None:
    place = tmp_path / "-a 'b' \"c\" $(touch pwned) größe; %j"
    place.mkdir()
    (place / "tiny.yaml").write_text(TEMPLATE)
    terminal = Terminal(place)
    said = terminal.type("launch", "tiny.yaml", "--local", "--jobs", "2")
    assert said.exit_code == 0, said
    for command in (["status", "latest"], ["plot", "latest"], ["logs", "latest", "base_rand_0"]):
        assert terminal.type(*command).exit_code == 0
    assert list(tmp_path.rglob("pwned")) == []


# ------------------------------------------------------------------------------------- YAML

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n"
    for old, new in zip("abcdefgh", "bcdefghi", strict=True)
)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (BOMB, "values once its aliases are followed"),
        ("[" * 5000, "nested more than 50 deep"),
        ("workload: !!python/object/apply:os.mkdir [pwned]\n", "the tag .* is not allowed"),
        ("workload: !!python/name:os.system\n", "the tag .* is not allowed"),
        ("workload: !include /etc/passwd\n", "the tag !include is not allowed"),
        ("params: &p {lr: *p}\nworkload: sps\n", "alias"),
        ("x" * (5 << 20), "larger than 4 MiB"),
    ],
    ids=["bomb", "depth", "apply", "name", "include", "cycle", "size"],
)
def test_yaml_that_would_do_harm_is_refused(
    text: str, words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    path = tmp_path / "t.yaml"
    path.write_text(text)
    with pytest.raises(TemplateError, match=words):
        load_template(path)
    assert list_all(tmp_path) == ["t.yaml"]
