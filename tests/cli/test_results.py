"""Results from elsewhere, by the commands alone."""

from __future__ import annotations

import json

from tests.analysis import notebook
from tests.cli.conftest import CommandLine


def test_results_are_imported_plotted_and_compared(hpcexp: CommandLine) -> None:
    made = hpcexp("import-results", str(notebook.PATH))
    assert made.count("made      experiments") == 8
    shown = hpcexp("plot", "13@16_26_35_xj_batch_size", "--figure", "success_rate")
    assert "supported     the groups differ: 16 and 32 are lower than 128" in shown
    assert "batch_size=16                       6    0.21  [0.13, 0.36]  3/6" in shown
    answer = hpcexp("plot", "xj_k", "--figure", "success_rate", "--json")
    statistics = json.loads(answer[answer.index("{") :])["statistics"]
    assert round(statistics["pairs"][0]["p"], 4) == 0.2345
    compared = hpcexp("compare", "xj_k", "neg_residual", "--output", "out")
    assert "symmetry.K" in compared
    assert "wrote out/linear_projection_mse.pdf, .png" in compared
    assert (hpcexp.directory / "out" / "settings.csv").exists()
    assert "100 %" in hpcexp("status", "xj_k")
    for command in ("resume", "retry"):
        assert "its results were imported" in hpcexp(command, "xj_k", "--local", exit_code=2)


def test_a_mistake_is_two_without_a_traceback(hpcexp: CommandLine) -> None:
    hpcexp.write("bad.csv", "params.a,value\n1,x\n")
    said = hpcexp("import-results", "bad.csv", "--metric", "mse", exit_code=2)
    assert "line 2  value: 'x' is no number" in said
    assert "Traceback" not in said
    assert not hpcexp.experiments
    hpcexp.write("good.csv", "params.a,value\n1,0.5\n2,0.6\n")
    hpcexp("import-results", "good.csv", "--metric", "mse", "--name", "mine")
    assert "name two experiments" in hpcexp("compare", "mine", exit_code=2)
    assert "no experiment" in hpcexp("compare", "mine", "yours", exit_code=2)
