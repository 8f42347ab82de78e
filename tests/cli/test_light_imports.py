"""A login node is slow to import: the light commands load nothing heavy."""

from __future__ import annotations

import subprocess
import sys

import pytest

from tests.cli.conftest import CommandLine

HEAVY = ("torch", "pandas", "matplotlib", "seaborn", "pyarrow", "scipy", "sklearn", "numpy")

PROBE = """
import sys
sys.argv = ["hpcexp", *{arguments!r}]
from hpcexp.cli import main
try:
    main()
except SystemExit as ended:
    assert not ended.code, ended.code
{extra}
print("loaded:", *[name for name in {heavy!r} if name in sys.modules])
"""


def find_heavy(hpcexp: CommandLine, *arguments: str, extra: str = "") -> list[str]:
    probe = PROBE.format(arguments=arguments, heavy=HEAVY, extra=extra)
    done = subprocess.run(
        [sys.executable, "-c", probe],
        cwd=hpcexp.directory,
        capture_output=True,
        text=True,
        check=True,
    )
    return done.stdout.splitlines()[-1].split()[1:]


@pytest.mark.parametrize(
    "arguments",
    [
        ("--help",),
        ("launch", "--help"),
        ("eval", "--help"),
        ("debug", "--help"),
        ("launch", "tiny.yaml", "--dry-run", "--local"),
        ("status",),
        ("list", "--where", "lr=1", "--tag", "paper"),
        ("notebook", "--help"),
        ("report", "--help"),
    ],
    ids=" ".join,
)
def test_light_commands_load_no_heavy_library(
    hpcexp: CommandLine, arguments: tuple[str, ...]
) -> None:
    assert find_heavy(hpcexp, *arguments) == []


def test_a_dry_run_for_slurm_loads_neither_torch_nor_pandas_nor_matplotlib(
    hpcexp: CommandLine,
) -> None:
    assert find_heavy(hpcexp, "launch", "tiny.yaml", "--dry-run", "--slurm") == []


def test_the_probe_sees_a_heavy_library_that_is_loaded(hpcexp: CommandLine) -> None:
    assert "numpy" in find_heavy(hpcexp, "--help", extra="import numpy")


def test_status_does_not_load_what_reads_templates(hpcexp: CommandLine) -> None:
    """It is typed most often of all."""
    extra = 'assert "pydantic" not in sys.modules and "hpcexp.template" not in sys.modules'
    assert find_heavy(hpcexp, "status", extra=extra) == []
