"""`hpcexp foretell` as a user types it, and its rule in a template."""

from __future__ import annotations

import json
from pathlib import Path

from hpcexp.store.status import State, read_status
from tests.analysis.builder import Fate, build_experiment
from tests.cli.conftest import CommandLine


def build(hpcexp: CommandLine, *, rand_inits: int) -> Path:
    def meet(run: object) -> Fate:
        good = getattr(run, "rand_init", 0) % 2 == 0
        return Fate(mse=0.1 if good else 0.8, loss=0.001 if good else 0.5)

    directory = hpcexp.directory / "experiments"
    grid = {"lr": [0.1, 0.01]}
    return build_experiment(directory, grid, rand_inits=rand_inits, num_epochs=6, fate=meet).path


def test_a_rule_is_learnt_drawn_and_stops_the_runs_of_a_template(hpcexp: CommandLine) -> None:
    path = build(hpcexp, rand_inits=8)
    shown = hpcexp("foretell", "xj_test")
    assert "16 runs with an outcome: 8 successes" in shown
    assert "rule      doomed: loss" in shown
    assert "wrong     and 0 of 8 successes [0 %, 32 %]" in shown
    for name in ("foretell.pdf", "foretell.png", "foretell.csv", "foretell_rule.yaml"):
        assert (path / "plots" / name).is_file()
    stdout, _ = hpcexp.start("foretell", "xj_test", "--json", "--audit", "0").communicate()
    rule = json.loads(stdout)["rule"]
    assert (rule["kind"], rule["epoch"], rule["audit"]) == ("foretold", 1, 0)
    rule["above"] = 0.0  # such as no run of the tiny template has
    hpcexp("launch", "tiny.yaml", "--inline", "--set", f"params.stop=[{json.dumps(rule)}]")
    (tiny,) = [e for e in hpcexp.experiments if e.short_name == "tiny"]
    statuses = [
        read_status(run) for run in map(tiny.run, (p.name for p in tiny.runs_dir.iterdir()))
    ]
    assert {status.state for status in statuses} == {State.STOPPED}
    assert all(status.is_censored for status in statuses)
    plotted = hpcexp("plot", "tiny")
    assert "foretold      4 of 4 runs were foretold to fail: 4 stopped" in plotted
    assert "whether the rule holds is not known" in plotted


def test_what_cannot_be_learnt_is_refused(hpcexp: CommandLine) -> None:
    build(hpcexp, rand_inits=3)
    shown = hpcexp("foretell", "xj_test", exit_code=2)
    assert "at least 4 successes and 4 failures are needed" in shown
    assert not (hpcexp.experiments[0].plots_dir).exists()
