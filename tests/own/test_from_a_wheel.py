"""As a laboratory meets hpcexp: from the wheel, with their own code, on a real Slurm.

docs/results/your-own-code.md has the outcome of one such session; this repeats it.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import os
import re
import shutil
import signal
import subprocess
import sys
import sysconfig
import time
import venv
import zipfile
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import pytest
from PIL import Image

from hpcexp.store.experiment import read_plan
from hpcexp.store.find import list_experiments
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.metrics import SPLITS, read_metrics
from hpcexp.store.status import State, read_status
from tests.browser.chromium import Browser
from tests.browser.conftest import chromium
from tests.own.laboratory import FILES
from tests.slurm_cluster.cluster import SlurmCluster
from tests.store.trees import git, plain_git, write_files

__all__ = ["chromium", "plain_git"]

pytestmark = [pytest.mark.slow, pytest.mark.slurm, pytest.mark.timeout(1200)]

PROJECT_DIR = Path(__file__).parents[2]
DEADLINE_S = 600.0
SHOTS_VARIABLE = "HPCEXP_KEEP_SHOTS"


@dataclass(frozen=True)
class Way:
    """One way in: its template, where a run of it is killed, and who starts it again."""

    template: str
    options: tuple[str, ...] = ()
    kill_at_epoch: int = 5
    is_requeued: bool = True  # else somebody types `hpcexp resume`


WAYS = {
    "skeleton": Way(
        "templates/curve.yaml",
        # Long enough to be killed, with a checkpoint every second; else it is every five minutes.
        options=(
            "--set", "params.max_epoch=400", "--set", "rand_inits=2", "--set",
            "resources.mem_gb=1", "--set", 'resources.setup=["export HPCEXP_CHECKPOINT_EVERY_S=1"]',
        ),
        kill_at_epoch=150,
    ),
    "function": Way("function.yaml", is_requeued=False),
    "shell": Way("shell.yaml", is_requeued=False),
    "lightning": Way("lit.yaml"),
}  # fmt: skip


def without_checkout(env: Mapping[str, str]) -> dict[str, str]:
    """The environment of a user, who has no checkout that PYTHONPATH could name."""
    return {name: value for name, value in env.items() if name != "PYTHONPATH"}


class Laboratory:
    """Its directory, and `hpcexp` as installed there, typed on the login node of a cluster."""

    def __init__(self, directory: Path, bin_dir: Path, cluster: SlurmCluster) -> None:
        self.directory, self.bin_dir, self.cluster = directory, bin_dir, cluster

    def __call__(self, *words: str) -> str:
        env = without_checkout(self.cluster.env)
        env["PATH"] = f"{self.bin_dir}{os.pathsep}{env['PATH']}"
        done = subprocess.run(words, cwd=self.directory, env=env, capture_output=True, text=True)
        assert done.returncode == 0, f"{' '.join(words)}\n{done.stdout}{done.stderr}"
        assert "Traceback" not in done.stderr
        return done.stdout + done.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Built from a copy: setuptools leaves a directory beside the sources."""
    place = tmp_path_factory.mktemp("wheel")
    for name in ("pyproject.toml", "README.md"):
        shutil.copy(PROJECT_DIR / name, place)
    shutil.copytree(
        PROJECT_DIR / "hpcexp", place / "hpcexp", ignore=shutil.ignore_patterns("__pycache__")
    )
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check"]
    subprocess.run(
        [*pip, "wheel", "-q", "--no-deps", "--no-build-isolation", "-w", place / "dist", place],
        check=True,
    )
    (built,) = (place / "dist").glob("*.whl")
    return built


@pytest.fixture(scope="module")
def bin_dir(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An environment with hpcexp from the wheel; libraries are borrowed from that of the tests."""
    place = tmp_path_factory.mktemp("env")
    venv.create(place, with_pip=False, symlinks=True)
    python = place / "bin" / "python"
    site = Path(
        subprocess.run(
            [python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))"],
            check=True, capture_output=True, text=True,
        ).stdout.strip()
    )  # fmt: skip
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(python)]
    install = [*pip, "install", "-q", "--no-deps", "--no-index", str(wheel)]
    subprocess.run(install, check=True, env=without_checkout(os.environ))
    # After pip, which must not see the checkout there: one more place to look in, whose own .pth
    # files (the checkout's is one) are not read.
    (site / "borrowed.pth").write_text(sysconfig.get_path("purelib") + "\n")
    return python.parent


@pytest.fixture(scope="module")
def laboratory(
    bin_dir: Path, tmp_path_factory: pytest.TempPathFactory, slurm_cluster: SlurmCluster
) -> Iterator[Laboratory]:
    directory = tmp_path_factory.mktemp("laboratory")
    write_files(directory, FILES)
    lab = Laboratory(directory, bin_dir, slurm_cluster)
    lab("git", "init", "--quiet")
    lab("hpcexp", "new", "workload", "curve")
    yield lab
    slurm_cluster.reset()


def test_the_wheel_holds_every_file_of_the_package(wheel: Path) -> None:
    tracked = git(PROJECT_DIR, "ls-files", "hpcexp").split()
    assert set(tracked) <= set(zipfile.ZipFile(wheel).namelist())


def test_what_is_installed_is_the_wheel(laboratory: Laboratory) -> None:
    place = laboratory("python", "-c", "import hpcexp; print(hpcexp.__file__)").strip()
    assert Path(place).is_relative_to(laboratory.bin_dir.parent)
    assert not Path(place).is_relative_to(PROJECT_DIR)
    assert "4 passed" in laboratory("python", "-m", "pytest", "-q", "curve")


@pytest.mark.parametrize("name", WAYS)
def test_a_grid_is_launched_a_run_killed_and_resumed_and_all_is_plotted_and_reported(
    laboratory: Laboratory, chromium: Browser, name: str
) -> None:
    way = WAYS[name]
    if name == "lightning" and importlib.util.find_spec("lightning") is None:
        pytest.skip("Lightning is an optional extra")
    laboratory("hpcexp", "launch", way.template, "--slurm", *way.options)
    experiment = list_experiments(laboratory.directory / "experiments")[0]
    plan = read_plan(experiment)
    assert (len(plan.groups), len(plan.runs)) == (4, 8)

    killed = kill_one(experiment, at_epoch=way.kill_at_epoch)
    if way.is_requeued:
        start_again_now(laboratory.cluster, experiment, killed)
    else:
        wait_until_given_up(laboratory.cluster, experiment, killed)
        assert killed in laboratory("hpcexp", "status", experiment.name)
        laboratory("hpcexp", "resume", experiment.name)
    wait_for_the_end(experiment)

    status = read_status(experiment.run(killed))
    assert (status.state, status.attempt) == (State.COMPLETED, 2)
    assert status.begun_step > 0  # from its checkpoint
    table = read_metrics(experiment.run(killed).path)
    validated = table.epoch[table.split == SPLITS.index("validate")].tolist()
    assert validated == sorted(set(validated))  # no epoch twice, although some were trained twice
    assert validated[-1] == status.num_epochs > way.kill_at_epoch
    # Trained once more without a disturbance it has the same numbers.
    assert "identical: " in laboratory("hpcexp", "reproduce", experiment.name, killed)

    said = laboratory("hpcexp", "plot", experiment.name)
    assert "8 of 8 runs (8 completed)" in said
    pictures = list(experiment.plots_dir.glob("*.png"))
    assert len(pictures) >= 2
    assert all(count_colours(path) > 20 for path in pictures)
    laboratory("hpcexp", "report", experiment.name)
    look_at_report(chromium, experiment, plan.question or "", keep_as=name)


def kill_one(experiment: ExperimentDir, *, at_epoch: int) -> str:
    """Kill the worker of a run that has come so far, as the kernel would; the run's name."""
    deadline = time.monotonic() + DEADLINE_S
    names = [run.name for run in read_plan(experiment).runs]
    while time.monotonic() < deadline:
        for name in names:
            status = read_status(experiment.run(name))
            if status.state == State.RUNNING and at_epoch <= status.epoch:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(status.pid, signal.SIGKILL)
                    return name
        time.sleep(0.05)
    raise AssertionError(f"no run came to epoch {at_epoch}")


def start_again_now(cluster: SlurmCluster, experiment: ExperimentDir, name: str) -> None:
    """Skip the minutes that Slurm makes a requeued job wait."""
    job_id = read_status(experiment.run(name)).job_id
    deadline = time.monotonic() + DEADLINE_S
    while read_status(experiment.run(name)).attempt == 1:
        assert time.monotonic() < deadline
        cluster.run("scontrol", "update", f"JobId={job_id}", "StartTime=now", check=False)
        time.sleep(1)


def wait_until_given_up(cluster: SlurmCluster, experiment: ExperimentDir, name: str) -> None:
    job_id = read_status(experiment.run(name)).job_id
    deadline = time.monotonic() + DEADLINE_S
    while any(job["JobID"] == job_id for job in cluster.squeue()):
        assert time.monotonic() < deadline
        time.sleep(0.3)


def wait_for_the_end(experiment: ExperimentDir) -> None:
    deadline = time.monotonic() + DEADLINE_S
    while True:
        statuses = {r.name: read_status(experiment.run(r.name)) for r in read_plan(experiment).runs}
        if all(status.state == State.COMPLETED for status in statuses.values()):
            return
        failed = {n: s.reason for n, s in statuses.items() if s.state == State.FAILED}
        assert not failed
        assert time.monotonic() < deadline, {n: s.state for n, s in statuses.items()}
        time.sleep(0.5)


def count_colours(path: Path) -> int:
    with Image.open(path) as image:
        colours = image.convert("RGB").getcolors(maxcolors=1 << 24)
    return len(colours or ())


def look_at_report(
    browser: Browser, experiment: ExperimentDir, question: str, *, keep_as: str
) -> None:
    """In the browser: it complains of nothing, asks nobody, and shows boxes and curves."""
    page = browser.open_page()
    page.open(experiment.plots_dir / "report.html")
    page.resize(1200)
    assert page.complaints == []
    assert [url for url in page.requests if not url.startswith(("file:", "data:"))] == []
    assert page.run("document.querySelector('h1').textContent").strip() == question
    assert page.run("document.querySelectorAll('svg').length") >= 2
    text = page.run("document.body.innerText")
    assert "8 of 8 runs" in text
    assert not re.search(r"\b(NaN|undefined|None)\b", text)
    picture = page.take_picture(whole=True)
    with Image.open(io.BytesIO(picture)) as image:
        assert image.width >= 1200
    if place := os.environ.get(SHOTS_VARIABLE):
        (Path(place) / f"{keep_as}.png").write_bytes(picture)


def test_the_notebook_of_all_and_a_schema_are_made_from_what_the_wheel_holds(
    laboratory: Laboratory,
) -> None:
    """After the launches: pages and templates of the package are files beside its modules."""
    shown = laboratory("hpcexp", "status")
    names = [e.name for e in list_experiments(laboratory.directory / "experiments")]
    assert all(name in shown for name in names)
    laboratory("hpcexp", "notebook")
    laboratory("hpcexp", "schema", "--workload", "curve.workload:Curve")
