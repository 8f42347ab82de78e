"""What `hpcexp eval` shows of several tasks."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from hpcexp.errors import UsageError
from hpcexp.train.inspection import Curves, Findings, ImageGrid, Inspectable, Request, Table
from hpcexp.train.seeding import RandomStreams
from hpcexp.workloads.multitask.inspection import trace_roc
from tests.workloads.multitask.conftest import MakeWorkload

NAN = float("nan")


def look(make_workload: MakeWorkload, **options: object) -> dict[str, Findings]:
    workload = make_workload()
    model = workload.build_model().eval()
    request = Request(kinds=("tasks", "samples"), **options)  # type: ignore[arg-type]
    return {findings.kind: findings for findings in workload.inspect(model, request)}


def test_numbers_are_those_of_the_evaluation(make_workload: MakeWorkload) -> None:
    workload = make_workload()
    assert isinstance(workload, Inspectable)
    model = workload.build_model().eval()
    (tasks,) = workload.inspect(model, Request(kinds=("tasks",)))
    data = workload.load_data()["validate"]
    with torch.no_grad():
        evaluated = workload.evaluate(model, data, RandomStreams(0, 0))
    expected = {k: v.item() for k, v in evaluated.items() if k not in workload.loss_names}
    assert tasks.numbers == pytest.approx(expected, abs=1e-6)


def test_a_roc_curve_of_a_case_worked_by_hand() -> None:
    logits = torch.tensor([2.0, 1.0, 1.0, -1.0, 9.0])
    labels = torch.tensor([1.0, 1.0, 0.0, 0.0, NAN])
    line = trace_roc(logits, labels)
    # The tie of a positive and a negative row is one step across.
    assert line.x_S.tolist() == [0, 0, 0.5, 1]
    assert line.y_S.tolist() == [0, 0.5, 1, 1]
    area = np.trapezoid(line.y_S, line.x_S)
    assert area == pytest.approx(0.875)


def test_where_one_class_lacks_the_curve_is_the_diagonal() -> None:
    line = trace_roc(torch.tensor([1.0, 2.0]), torch.tensor([1.0, 1.0]))
    assert line.x_S.tolist() == line.y_S.tolist() == [0, 1]


def test_samples_are_pictures_and_rows_with_labels_and_predictions(
    make_workload: MakeWorkload,
) -> None:
    found = look(make_workload, sequences=(2, 0))
    roc, grid = found["tasks"].parts["roc"], found["samples"].parts["grid"]
    table = found["samples"].parts["predictions"]
    assert isinstance(roc, Curves)
    assert isinstance(grid, ImageGrid)
    assert isinstance(table, Table)
    assert roc.column_labels == ["easy", "xor"]
    assert grid.images_RCHW3.shape[:2] == (2, 3)
    assert [label.split(":")[0] for label in grid.row_labels] == ["2", "0"]
    assert list(table.columns["sample"]) == [2, 0]
    labels = make_workload().load_data()["validate"]["labels"]
    assert list(table.columns["label.scaled"]) == pytest.approx(labels[[2, 0], 2].tolist())
    assert all(0 < float(p) < 1 for p in table.columns["predicted.easy"])


def test_what_lies_behind_the_end_of_a_sequence_is_white(make_workload: MakeWorkload) -> None:
    workload = make_workload()
    lengths = workload.load_data()["validate"]["video_length"]
    shortest = int(lengths.argmin())
    grid = look(make_workload, sequences=(shortest,))["samples"].parts["grid"]
    assert isinstance(grid, ImageGrid)
    picture = grid.images_RCHW3[0, 1]
    scale = picture.shape[0] // 5  # the longest text has 5 tokens
    end = scale * int(lengths[shortest])
    assert (picture[end:] == 255).all()
    assert (picture[:end] != 255).any()


@pytest.mark.parametrize(
    ("request_", "said"),
    [
        (Request(kinds=("boxes",)), "no such kind: boxes; there are: tasks, samples"),
        (Request(kinds=("tasks",), split="evaluate"), "no such split: evaluate"),
        (Request(kinds=("samples",), sequences=(24,)), r"no sample 24 .* it has 24 \(0 to 23\)"),
    ],
)
def test_what_there_is_not_is_refused(
    make_workload: MakeWorkload, request_: Request, said: str
) -> None:
    with pytest.raises(UsageError, match=said):
        make_workload().check_request(request_)
