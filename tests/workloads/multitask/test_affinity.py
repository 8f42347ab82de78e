from __future__ import annotations

from collections.abc import Mapping

import pytest
import torch
from torch import Tensor

from hpcexp.errors import UsageError
from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.multitask.affinity import measure_affinity
from hpcexp.workloads.multitask.grouping import find_best_grouping, score_in_group
from hpcexp.workloads.multitask.losses import measure_losses
from tests.workloads.multitask.conftest import MakeWorkload

ALL = torch.ones(3)


def test_affinity_is_the_part_of_a_loss_that_a_step_on_another_takes_away(
    make_workload: MakeWorkload,
) -> None:
    """By hand: one step of plain gradient descent on the shared parameters."""
    workload = make_workload(tasks=["easy", "xor"], model={"head_norm": "batch"})
    torch.manual_seed(0)
    model = workload.build_model().eval()
    batch = workload.load_data()["validate"]
    before = {k: v.clone() for k, v in model.state_dict().items()}
    found = measure_affinity(model, [batch], modalities_M=ALL, lr=0.2, factors=[0.5, 1.0])
    assert all(torch.equal(before[k], v) for k, v in model.state_dict().items())

    def compute_losses() -> Tensor:
        outputs = model.predict(batch, modalities_M=ALL)
        return measure_losses(outputs, batch["labels"], is_binary=[True, True]).mean(dim=0)

    first = compute_losses()
    torch.autograd.backward(first[0])
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if not name.startswith("heads.") and parameter.grad is not None:
                parameter.sub_(0.1 * parameter.grad)
    expected = 1 - compute_losses() / first
    torch.testing.assert_close(found[0], expected.detach(), rtol=1e-4, atol=1e-6)
    assert found[0, 0] > 0


def test_opposed_tasks_harm_each_other_as_much_as_they_help_themselves(
    make_workload: MakeWorkload,
) -> None:
    workload = make_workload(tasks=["easy", "anti"])
    torch.manual_seed(0)
    model = workload.build_model().eval()
    found = measure_affinity(
        model, [workload.load_data()["validate"]], modalities_M=ALL, lr=0.05, factors=[1.0, 1.0]
    )  # fmt: skip
    assert found[0, 0] > 0 > found[0, 1]
    assert found[1, 1] > 0 > found[1, 0]


def test_related_tasks_help_each_other_and_junk_helps_nobody(make_workload: MakeWorkload) -> None:
    """Affinities of all evaluations of a short run; ranks are compared, not sizes."""
    tasks = ["easy", "related", "junk"]
    workload = make_workload(
        tasks=tasks, affinity={"measure": True, "num_batches": 4, "lr": 0.05}, optimizer="sgd",
        dataset={"max_lengths": [5, 8, 4], "min_lengths": [2, 8, 2], "feature_widths": [6, 5]},
        train_set_size=512, validate_set_size=256, batch_size=32, max_epoch=5, lr=0.3,
    )  # fmt: skip
    sink = MemorySink()
    fit(workload, streams=RandomStreams(0, 0), sink=sink)
    rows = [r.values for r in sink.rows if r.split == "validate"]
    mean = {
        (i, j): sum(r[f"affinity.{i}.{j}"] for r in rows) / len(rows) for i in tasks for j in tasks
    }
    between = min(mean["easy", "related"], mean["related", "easy"])
    with_junk = [abs(mean[pair]) for pair in mean if "junk" in pair and pair != ("junk", "junk")]
    assert between > 3 * max(with_junk)


# Groupings

HAND_MADE: Mapping[tuple[str, str], float] = {
    **{(i, j): -1.0 for i in "abcd" for j in "abcd"},
    **{("a", "b"): 2.0, ("b", "a"): 1.0, ("c", "d"): 3.0, ("d", "c"): 1.0},
}


def test_a_hand_made_matrix_of_four_tasks_is_grouped_as_it_asks() -> None:
    best = find_best_grouping("abcd", HAND_MADE, num_models=2)
    assert set(best.groups) == {("a", "b"), ("c", "d")}
    assert best.score == pytest.approx((1 + 2 + 1 + 3) / 4)
    assert best.served_by["a"] == ("a", "b")
    together = find_best_grouping("abcd", HAND_MADE, num_models=1)
    assert together.groups == (("a", "b", "c", "d"),)
    assert together.score == pytest.approx((-1 + 0 - 1 + 1) / 3 / 4)


def test_groups_may_overlap_where_a_task_helps_and_is_not_helped() -> None:
    """c helps a and b, is itself harmed by both, and stays alone."""
    affinities = {(i, j): -1.0 for i in "abc" for j in "abc"}
    affinities |= {("c", "a"): 2.0, ("c", "b"): 2.0, ("a", "b"): 2.0, ("b", "a"): 2.0}
    best = find_best_grouping("abc", affinities, num_models=2)
    assert best.served_by == {"a": best.served_by["a"], "b": best.served_by["b"], "c": ("c",)}
    assert best.score == pytest.approx(4 / 3)


def test_a_task_alone_neither_gains_nor_loses() -> None:
    assert score_in_group("a", ("a",), HAND_MADE) == 0
    assert score_in_group("a", ("a", "b", "c"), HAND_MADE) == 0  # (1 - 1) / 2


@pytest.mark.parametrize("num_models", [1, 2, 3, 4])
def test_more_models_are_never_worse_and_all_tasks_are_served(num_models: int) -> None:
    tasks = "abcde"
    generator = torch.Generator().manual_seed(0)
    values = torch.randn(5, 5, generator=generator).tolist()
    affinities = {(i, j): values[a][b] for a, i in enumerate(tasks) for b, j in enumerate(tasks)}
    best = find_best_grouping(tasks, affinities, num_models=num_models)
    assert set(best.served_by) == set(tasks)
    assert len(best.groups) <= num_models
    if num_models > 1:
        fewer = find_best_grouping(tasks, affinities, num_models=num_models - 1)
        assert best.score >= fewer.score


def test_what_cannot_be_tried_is_refused() -> None:
    for tasks, num_models in (("abcdefghi", 2), ("abc", 0), ("abc", 5)):
        with pytest.raises(UsageError, match="at most 8 tasks, and 1 to 4 models"):
            find_best_grouping(tasks, {}, num_models=num_models)
