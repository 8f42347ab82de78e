"""Python, the packages that hpcexp needs, and torch."""

from __future__ import annotations

import json
import os
import platform
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

from hpcexp.launch.doctor.findings import Finding, error, passed, warn

TORCH_TIMEOUT_S = 90.0
SLOW_IMPORT_S = 15.0
PACKAGE_DIR = Path(__file__).parents[2]


def check_python(_: object) -> Finding:
    """Whether this Python is new enough."""
    from packaging.specifiers import SpecifierSet

    version = platform.python_version()
    wanted = SpecifierSet(str(_read_project().get("requires-python", "")))
    facts = {"version": version, "hpcexp": str(PACKAGE_DIR)}
    if version not in wanted:
        return error(
            "python",
            f"{version} ({sys.executable}), but hpcexp needs {wanted}",
            todo="make an environment with another Python and install hpcexp there",
        )
    return passed("python", f"{version} ({sys.executable})", facts=facts)


def check_packages(_: object) -> Finding:
    """Whether every package is there that hpcexp's requirements name."""
    requirements: Sequence[str] = _read_project().get("dependencies", [])
    if not requirements:
        return warn(
            "packages",
            "what hpcexp requires is not known: it is imported from a directory, not installed",
            todo=f"{sys.executable} -m pip install hpcexp",
        )
    problems = [problem for text in requirements for problem in find_requirement_problem(text)]
    if problems:
        return error(
            "packages",
            "; ".join(problems),
            todo=f"install them: {sys.executable} -m pip install --upgrade {_name_source()}",
        )
    return passed("packages", f"all {len(requirements)} that hpcexp requires")


def find_requirement_problem(text: str) -> Iterator[str]:
    """Why a requirement such as `click>=8.2` is not met here; nothing where it is."""
    from packaging.requirements import Requirement

    requirement = Requirement(text)
    if requirement.marker is not None and not requirement.marker.evaluate({"extra": ""}):
        return
    try:
        version = metadata.version(requirement.name)
    except metadata.PackageNotFoundError:
        yield f"{requirement.name} is missing"
        return
    if not requirement.specifier.contains(version, prereleases=True):
        yield f"{requirement.name} is {version}, needed is {requirement.specifier}"


def check_torch(_: object) -> list[Finding]:
    """Whether torch can be imported, how many threads it takes, and which GPUs it sees."""
    try:
        done = subprocess.run(
            [sys.executable, "-m", "hpcexp.worker.torch_report"],
            stdin=subprocess.DEVNULL, capture_output=True, text=True, errors="replace",
            timeout=TORCH_TIMEOUT_S,
        )  # fmt: skip
    except subprocess.TimeoutExpired:
        return [
            _explain_slow_import(f"not imported within {TORCH_TIMEOUT_S:.0f} s", is_usable=False)
        ]
    try:
        report = json.loads(done.stdout.splitlines()[-1])
    except (ValueError, IndexError):
        return [_explain_broken_torch(done)]
    return [_judge_import(report), _judge_threads(report), judge_gpus(report)]


def _explain_broken_torch(done: subprocess.CompletedProcess[str]) -> Finding:
    ended = f"signal {-done.returncode}" if done.returncode < 0 else f"exit code {done.returncode}"
    said = [line.strip() for line in done.stderr.splitlines() if line.strip()]
    return error(
        "torch",
        f"cannot be used: {said[-1] if said else ended}",
        todo=f"see what `{sys.executable} -c 'import torch'` says; often another library on "
        "LD_LIBRARY_PATH or PYTHONPATH is in the way, or a module must be loaded",
    )


def _judge_import(report: dict[str, Any]) -> Finding:
    found = f"{report['version']}, imported in {report['import_s']:.1f} s"
    if report["import_s"] > SLOW_IMPORT_S:
        return _explain_slow_import(found, is_usable=True)
    return passed("torch", found, facts={"version": report["version"]})


def _explain_slow_import(found: str, *, is_usable: bool) -> Finding:
    make = warn if is_usable else error
    return make(
        "torch",
        found,
        todo="every job waits that long: try once more (files may be cached now), and if it stays "
        "slow, move the environment to a faster file system",
    )


def _judge_threads(report: dict[str, Any]) -> Finding:
    threads, cpus = report["num_threads"], report["num_cpus"]
    found = f"torch uses {threads} of {_count(cpus, 'CPU')}"
    if threads > cpus:
        return warn(
            "threads", found, todo="unset OMP_NUM_THREADS and MKL_NUM_THREADS, or make them smaller"
        )
    return passed("threads", found)


def judge_gpus(report: dict[str, Any], *, devices: Sequence[Path] | None = None) -> Finding:
    """Whether torch can use the GPUs whose device files are there."""
    there = list(Path("/dev").glob("nvidia[0-9]*")) if devices is None else devices
    gpus, build = report["gpus"], report["cuda_build"]
    broken = [f"GPU {n} ({g['name']}): {g['problem']}" for n, g in enumerate(gpus) if g["problem"]]
    if broken:
        return error(
            "gpus",
            "; ".join(broken),
            todo="see whether another process fills it (nvidia-smi), and whether this build of "
            f"torch ({report['version']}) knows this GPU",
        )
    if gpus:
        names = ", ".join(f"{g['name']} ({g['memory_gb']:.0f} GB)" for g in gpus)
        return passed("gpus", f"{names}; CUDA {build}", facts={"gpus": str(len(gpus))})
    facts = {"gpus": "0"}
    hidden = os.environ.get("CUDA_VISIBLE_DEVICES")
    if there and build is None:
        return warn(
            "gpus",
            f"{_count(len(there), 'GPU')} here, but torch {report['version']} is built without "
            "CUDA",
            todo="install a build of torch with CUDA: https://pytorch.org/get-started/locally",
        )
    if there and hidden != "":
        problem = report["problems"][0] if report["problems"] else "torch sees none"
        return warn(
            "gpus",
            f"{_count(len(there), 'GPU')} here, but {problem}",
            todo="compare the driver (nvidia-smi) with the CUDA that torch was built for "
            f"({build}); in a job, ask for GPUs",
        )
    return passed("gpus", "none here: runs train on the CPU", facts=facts)


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _read_project() -> dict[str, Any]:
    """The requirements as a checkout states them, else as they were installed.

    A checkout comes first: an editable install keeps the requirements of the day it was made.
    """
    path = PACKAGE_DIR.parent / "pyproject.toml"
    if path.is_file():
        project: dict[str, Any] = tomllib.loads(path.read_text()).get("project", {})
        if project.get("name") == "hpcexp":
            return project
    try:
        installed = metadata.metadata("hpcexp")
    except metadata.PackageNotFoundError:
        return {}
    wanted = [text for text in metadata.requires("hpcexp") or () if "extra ==" not in text]
    return {"requires-python": installed["Requires-Python"] or "", "dependencies": wanted}


def _name_source() -> str:
    source = PACKAGE_DIR.parent
    return f"-e {source}" if (source / "pyproject.toml").is_file() else "hpcexp"
