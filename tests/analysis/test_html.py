"""What Jupyter shows of an experiment."""

from __future__ import annotations

from pathlib import Path

from hpcexp.analysis import Results, load
from hpcexp.analysis.html import MAX_GROUPS
from hpcexp.store.status import State
from tests.analysis.builder import Fate, build_experiment
from tests.analysis.lab_notebook.text_of import read_html


def test_the_groups_are_a_table_with_medians_and_successes(mixed_results: Results) -> None:
    shown = read_html(mixed_results._repr_html_())
    assert shown[0].startswith(mixed_results.experiment.name)
    assert "5 completed" not in shown[0]
    place = shown.index("16")
    # 0.05 diverged, so the ranks are 0.1, 0.15, 0.3 and the worst.
    assert shown[place : place + 5] == ["16", "4", "0.225", "[0.1, diverged]", "2/4"]
    place = shown.index("256")
    assert shown[place : place + 5] == ["256", "2 of 4", "0.95", "[0.5, 1.4]", "0/2"]


def test_groups_without_a_final_value_have_empty_cells(mixed_results: Results) -> None:
    assert "0 of 4" in read_html(mixed_results._repr_html_())


def test_what_a_user_wrote_is_escaped(tmp_path: Path) -> None:
    made = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=1, question="a <b>?</b>")
    assert "a &lt;b&gt;?&lt;/b&gt;" in load(made)._repr_html_()


def test_a_problem_is_named(tmp_path: Path) -> None:
    made = build_experiment(tmp_path, {"lr": [0.1]}, rand_inits=1)
    made.run("lr=0.1_rand_0").status_path.write_text("{")
    assert "! lr=0.1_rand_0: " in load(made)._repr_html_()


def test_many_groups_are_cut(tmp_path: Path) -> None:
    grid = {"lr": [i / 100 for i in range(1, MAX_GROUPS + 3)]}
    made = build_experiment(tmp_path, grid, rand_inits=1, fate=lambda _: Fate(state=State.PENDING))
    assert "... and 2 more groups" in load(made)._repr_html_()


def test_the_public_names_are_those_of_the_analysis() -> None:
    import hpcexp

    assert hpcexp.load is load
    assert hpcexp.Results is Results
