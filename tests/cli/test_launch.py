from __future__ import annotations

import json
import re
import signal
import time
from pathlib import Path

from hpcexp.store.experiment import read_plan
from hpcexp.store.metrics import read_metrics
from hpcexp.store.status import State, read_status
from tests.cli.conftest import CommandLine


def test_a_dry_run_says_everything_and_creates_nothing(hpcexp: CommandLine) -> None:
    before = sorted(hpcexp.directory.iterdir())
    shown = hpcexp("launch", "tiny.yaml", "--dry-run", "--local")
    for expected in (
        "does a wider RNN predict better?",
        "2 groups x 2 initialisations = 4 runs of sps",
        "rnn_width=4",
        "rnn_width=6",
        "would make",
        "_tiny/",
        "4 jobs on this machine",
        "nothing was created",
    ):
        assert expected in shown
    assert sorted(hpcexp.directory.iterdir()) == before


def test_a_dry_run_for_slurm_shows_the_exact_script(hpcexp: CommandLine) -> None:
    template = hpcexp.write(
        "slurm.yaml",
        "extends: tiny.yaml\nresources: {gpus: 1, cpus: 3, mem_gb: 8, timeout: 2h30m, "
        "partition: gpu, account: lab, qos: long, constraint: a100, exclude: [n1, n2], "
        "setup: [module load cuda], sbatch: {nice: 100}, max_parallel: 2}\n",
    )
    shown = hpcexp("launch", template, "--dry-run", "--slurm")
    options = re.findall(r"#SBATCH --(\S+)", shown)
    for expected in (
        "array=0-3%2",
        "gpus-per-node=1",
        "cpus-per-task=3",
        "mem=8GB",
        "time=150",
        "partition=gpu",
        "account=lab",
        "qos=long",
        "constraint=a100",
        "exclude=n1,n2",
        "nice=100",
        "requeue",
    ):
        assert expected in options
    assert "module load cuda" in shown
    assert not any(option.startswith("wckey") for option in options)


def test_unequal_numbers_of_updates_are_pointed_out(hpcexp: CommandLine) -> None:
    template = hpcexp.write(
        "batch.yaml",
        "workload: sps\nparams: {max_epoch: 10}\ngrid: {batch_size: [16, 32]}\n",
    )
    assert "differ in their number of updates (40 to 80)" in hpcexp(
        "launch", template, "--dry-run", "--local"
    )
    equal = hpcexp("launch", template, "--dry-run", "--local", "--set", "params.max_step=50")
    assert "differ in their number" not in equal


def test_what_the_runs_could_never_show_is_said_before_they_train(hpcexp: CommandLine) -> None:
    template = hpcexp.write(
        "lr.yaml",
        "workload: sps\nparams: {max_step: 10}\ngrid: {lr: [0.1, 0.01]}\nrand_inits: 3\n",
    )
    few = hpcexp("launch", template, "--dry-run", "--local")
    assert "with 3 runs per group no difference can ever be significant" in few
    enough = hpcexp("launch", template, "--dry-run", "--local", "--rand-inits", "4", "--json")
    assert json.loads(enough)["caveats"] == []


def test_a_template_with_five_mistakes_gets_five_messages_and_no_directory(
    hpcexp: CommandLine,
) -> None:
    template = hpcexp.write(
        "wrong.yaml",
        "workload: sps\n"
        "params:\n"
        "  lr: fast\n"
        "  encoder_batch_norm: off\n"
        "grid:\n"
        "  batch_sise: [16, 32]\n"
        "  rnn_width: []\n"
        "resources: {timeout: 45000}\n",
    )
    shown = hpcexp("launch", template, "--local", exit_code=2)
    assert "5 problems, nothing was created" in shown
    for line, where in {
        3: "params.lr",
        4: "params.encoder_batch_norm",
        6: "grid.batch_sise",
        7: "grid.rnn_width",
        8: "resources.timeout",
    }.items():
        assert re.search(rf"line {line}\s+{re.escape(where)}", shown), shown
    assert "did you mean batch_size?" in shown
    assert "Traceback" not in shown
    assert not (hpcexp.directory / "experiments").exists()


def test_unknown_groups_and_two_executors_are_refused(hpcexp: CommandLine) -> None:
    shown = hpcexp("launch", "tiny.yaml", "--only", "rnn_width=5", "--local", exit_code=2)
    assert "did you mean rnn_width=" in shown
    shown = hpcexp("launch", "tiny.yaml", "--local", "--inline", exit_code=2)
    assert "exclude each other" in shown
    assert not (hpcexp.directory / "experiments").exists()


def test_overrides_are_applied_and_recorded(hpcexp: CommandLine) -> None:
    hpcexp(
        "launch", "tiny.yaml", "--inline", "--rand-inits", "1", "--name", "other",
        "--set", "params.lr=0.01", "--only", "rnn_width=6",
    )  # fmt: skip
    plan = read_plan(hpcexp.experiments[0])
    assert hpcexp.experiments[0].short_name == "other"
    assert [run.name for run in plan.runs] == ["rnn_width=6_rand_0"]
    assert plan.params["lr"] == 0.01
    assert "params.lr=0.01" in plan.overrides
    config = json.loads(hpcexp.experiments[0].run("rnn_width=6_rand_0").config_path.read_text())
    assert config["params"]["lr"] == 0.01


def test_a_local_launch_trains_all_runs_and_can_be_looked_at(hpcexp: CommandLine) -> None:
    shown = hpcexp("launch", "tiny.yaml", "--local", "--jobs", "2")
    assert "4 completed" in shown
    overview = hpcexp("status")
    assert "_tiny" in overview
    assert "done" in overview
    assert "2   2" in re.sub(r" +", "   ", hpcexp("status", "latest"))
    as_json = json.loads(hpcexp.start("status", "tiny", "--json").communicate()[0])
    assert as_json["states"] == {"completed": 4}
    log = hpcexp("logs", "tiny", "rnn_width=4_rand_0")
    assert "attempt 1" in log
    assert "completed" in log
    assert "4 of 4 runs" in hpcexp("plot", "tiny")
    experiment = hpcexp.experiments[0]
    assert len(list(experiment.plots_dir.glob("*.pdf"))) >= 3
    assert "nothing to do" in hpcexp("resume", "tiny", "--local")


def test_ctrl_c_leaves_runs_that_resume_continues_to_the_same_numbers(
    hpcexp: CommandLine,
) -> None:
    hpcexp(
        "launch", "tiny.yaml", "--profile", "long", "--inline", "--only", "rnn_width=4",
        "--rand-inits", "1", "--set", "params.max_step=600", "--name", "undisturbed",
    )  # fmt: skip
    process = hpcexp.start(
        "launch", "tiny.yaml", "--profile", "long", "--local", "--jobs", "1",
        "--rand-inits", "1", "--set", "params.max_step=600", "--name", "disturbed",
    )  # fmt: skip
    name = "rnn_width=4_rand_0"
    deadline = time.monotonic() + 60
    while not (found := [e for e in hpcexp.experiments if e.short_name == "disturbed"]) or (
        read_status(found[0].run(name)).step == 0
    ):
        assert time.monotonic() < deadline
        assert process.poll() is None
        time.sleep(0.05)
    process.send_signal(signal.SIGINT)
    stdout, stderr = process.communicate(timeout=60)
    assert process.returncode == 130, stdout + stderr
    assert "1 job saves a checkpoint and stops" in stdout
    assert "hpcexp resume" in stdout
    assert "Traceback" not in stdout + stderr
    interrupted = read_status(found[0].run(name))
    assert interrupted.state == State.INTERRUPTED
    assert 0 < interrupted.step < 600
    assert read_status(found[0].run("rnn_width=6_rand_0")).state == State.PENDING
    hpcexp("resume", "disturbed", "--local")
    assert_same_metrics(hpcexp, name)


def assert_same_metrics(hpcexp: CommandLine, run: str) -> None:
    by_name = {e.short_name: e for e in hpcexp.experiments}
    tables = [read_metrics(by_name[n].run(run).path) for n in ("undisturbed", "disturbed")]
    assert len(tables[0]) == len(tables[1]) > 3
    assert tables[0].values.tobytes() == tables[1].values.tobytes()
    assert (tables[0].step == tables[1].step).all()


def test_a_run_that_fails_gives_exit_code_1_and_says_why_and_the_others_finish(
    hpcexp: CommandLine,
) -> None:
    shown = hpcexp(
        "launch", "tiny.yaml", "--local", "--rand-inits", "1",
        "--set", "grid.rnn_width=[4, 10000000]", exit_code=1,
    )  # fmt: skip
    assert "1 completed, 1 out of memory" in shown or "1 out of memory, 1 completed" in shown
    assert "out of memory" in shown
    assert "--mem-gb" in shown


def test_a_name_that_no_experiment_has_is_a_clear_error(hpcexp: CommandLine) -> None:
    assert "there are no experiments" in hpcexp("plot", "latest", exit_code=2)
    hpcexp("launch", "tiny.yaml", "--inline", "--rand-inits", "1", "--only", "rnn_width=4")
    assert "did you mean tiny?" in hpcexp("status", "tyni", exit_code=2)
    assert "did you mean rnn_width=4" in hpcexp("logs", "tiny", "rnn_width=5", exit_code=2)


def test_the_schema_is_printed_and_the_committed_one_is_current(hpcexp: CommandLine) -> None:
    committed = Path(__file__).parents[2] / "templates" / "schema.json"
    assert json.loads(hpcexp("schema")) == json.loads(committed.read_text())
