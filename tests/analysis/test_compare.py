from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from hpcexp.analysis.compare import compare_experiments
from hpcexp.errors import HpcexpError, UsageError
from hpcexp.launch.import_results import ImportOptions, import_results
from hpcexp.store.find import find_experiment
from hpcexp.store.layout import ExperimentDir
from hpcexp.store.status import State
from tests.analysis import notebook
from tests.analysis.builder import Fate, build_experiment


@pytest.fixture(scope="module")
def experiments_dir(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("notebook")
    import_results(notebook.PATH, experiments_dir=directory)
    return directory


def find(directory: Path, *names: str) -> list[ExperimentDir]:
    return [find_experiment(name, experiments_dir=directory).experiment for name in names]


def test_groups_of_one_name_are_held_against_each_other(experiments_dir: Path) -> None:
    found = compare_experiments(find(experiments_dir, "d12@14_31_16_xj_b", "d13@16_26_35_xj_b"))
    assert found.labels == ("2022_m12_d12@14_31_16", "2022_m12_d13@16_26_35")
    assert found.findings.family.words == "4 pairs of equal groups"
    labels = {group.name: group.label for group in found.findings.groups}
    assert [labels[p.first].split(" ")[0] for p in found.findings.pairs] == [
        "16",
        "32",
        "64",
        "128",
    ]
    assert len(found.results.runs) == 48


def test_the_settings_that_differ_stand_side_by_side(experiments_dir: Path) -> None:
    found = compare_experiments(find(experiments_dir, "xj_k", "neg_residual"))
    rows = found.differences.set_index("setting")
    assert list(rows.loc["symmetry.K"]) == ["2, 1", "1"]
    assert list(rows.loc["rnn_residual"]) == ["null", "null, -1.0"]
    assert "lr" not in rows.index
    written = {path.name for path in found.written}
    assert {"settings.csv", "statistics.json", "linear_projection_mse.pdf"} <= written
    assert all(path.exists() for path in found.written)


def test_experiments_that_differ_in_one_setting_show_a_cause(tmp_path: Path) -> None:
    entry = '{{"params": {{"lr": {lr}, "rnn_width": 4}}, "metric": {{"name": "mse"}}, ' \
        '"groups": [{{"values": {values}}}]}}'  # fmt: skip
    for name, lr, values in (("low", 0.1, [1, 2, 3, 4, 5]), ("high", 0.2, [6, 7, 8, 9, 10])):
        path = tmp_path / f"{name}.json"
        path.write_text(entry.format(lr=lr, values=values))
        import_results(path, experiments_dir=tmp_path / "e", options=ImportOptions())
    output_dir = tmp_path / "out" / "deep"
    found = compare_experiments(find(tmp_path / "e", "low", "high"), output_dir=output_dir)
    assert found.findings.pairs[0].varied == ("lr",)
    assert found.findings.pairs[0].shows_cause
    table = pd.read_csv(output_dir / "mse.csv")
    assert table["group"].unique().tolist() == ["low: base", "high: base"]


def test_what_cannot_be_compared_is_refused(experiments_dir: Path, tmp_path: Path) -> None:
    (one,) = find(experiments_dir, "xj_k")
    with pytest.raises(UsageError, match="name two experiments or more"):
        compare_experiments([one])
    with pytest.raises(UsageError, match="name two experiments or more"):
        compare_experiments([one, one])
    path = tmp_path / "other.csv"
    path.write_text("params.a,value\n1,0.2\n")
    (other,) = import_results(
        path, experiments_dir=tmp_path / "e", options=ImportOptions(metric="accuracy")
    )
    with pytest.raises(UsageError, match=r"different metrics.*other by accuracy"):
        compare_experiments([one, other])
    empty = build_experiment(tmp_path, {}, fate=lambda _: Fate(state=State.PENDING))
    with pytest.raises(HpcexpError, match="no run has recorded anything"):
        compare_experiments([one, empty])
    assert not one.plots_dir.joinpath("compare_").exists()
