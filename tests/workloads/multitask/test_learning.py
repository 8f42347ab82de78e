"""What models of the default size learn of the synthetic tasks in 400 steps: minutes.

Only large gaps are asserted: of one initialisation each.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch

from hpcexp.train.fit import fit
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.workloads.multitask.config import Config
from hpcexp.workloads.multitask.config.datasets import MODALITIES
from hpcexp.workloads.multitask.config.strategy import Curriculum
from hpcexp.workloads.multitask.metrics import measure_r2
from hpcexp.workloads.multitask.strategy.order import find_convergence
from hpcexp.workloads.multitask.workload import MultitaskWorkload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STREAMS = RandomStreams(0, 0)
BALANCED: dict[str, Any] = {"weights": {"scaled": 1e-4}}
RUNS: dict[str, dict[str, Any]] = {
    "balanced": {**BALANCED, "eval_every": 1},
    "raw": {},
    "video": {**BALANCED, "modalities": {"phases": [["video"]]}},
    "audio": {**BALANCED, "modalities": {"phases": [["audio"]]}},
    "pcgrad": {"combine": "pcgrad"},
    "affinity": {
        **BALANCED, "optimizer": "sgd", "lr": 0.1, "max_step": 250,
        "affinity": {"measure": True, "num_batches": 4},
    },
}  # fmt: skip


@cache
def train(name: str) -> tuple[MultitaskWorkload, MemorySink]:
    workload = MultitaskWorkload(Config.model_validate({"max_step": 400, **RUNS[name]}))
    sink = MemorySink()
    assert fit(workload, streams=STREAMS, sink=sink).outcome == "completed"
    return workload, sink


def get_final(name: str) -> dict[str, float]:
    rows = [row for row in train(name)[1].rows if row.split == "validate"]
    return dict(rows[-1].values)


def test_all_tasks_but_junk_are_learned_from_a_balanced_sum() -> None:
    final = get_final("balanced")
    assert final["accuracy.easy"] > 0.88
    assert final["accuracy.related"] > 0.88
    assert final["accuracy.noisy"] == pytest.approx(0.7, abs=0.05)
    assert final["accuracy.xor"] > 0.65
    assert final["auc.rare"] > 0.9
    assert final["r2.scaled"] > 0.5
    assert final["accuracy.junk"] == pytest.approx(0.5, abs=0.05)


def test_a_badly_scaled_task_drowns_the_hard_one_in_a_raw_sum() -> None:
    final = get_final("raw")
    assert final["accuracy.xor"] < 0.6
    assert final["r2.scaled"] > 0.6
    assert final["accuracy.easy"] < get_final("balanced")["accuracy.easy"]


def test_with_video_alone_what_needs_text_or_audio_stays_at_chance() -> None:
    final = get_final("video")
    assert final["accuracy.easy"] > 0.88
    assert final["accuracy.xor"] == pytest.approx(0.5, abs=0.06)
    assert final["auc.rare"] == pytest.approx(0.5, abs=0.1)
    assert final["r2.scaled"] == pytest.approx(0, abs=0.05)


def test_a_modality_that_is_masked_in_evaluation_alone_is_another_thing() -> None:
    """A model that was trained on all three cannot do with audio what one of audio can."""
    assert get_final("audio")["r2.scaled"] > 0.6
    workload, sink = train("balanced")
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    model = workload.build_model().eval()
    state = checkpoint["state"]
    model.load_state_dict({**state["parameters"], **state["buffers"]})
    data = workload.load_data()["validate"]
    column = workload.config.tasks.index("scaled")
    target = data["labels"][:, column]
    kept = torch.tensor([float(modality == "audio") for modality in MODALITIES])
    with torch.no_grad():
        predicted = model.predict(data, modalities_M=kept)[:, column]
    assert measure_r2(predicted, target) < get_final("audio")["r2.scaled"] - 0.3


def test_projected_gradients_keep_the_hard_task_alive_in_a_raw_sum() -> None:
    assert get_final("pcgrad")["accuracy.xor"] > get_final("raw")["accuracy.xor"] + 0.05


def test_easy_converges_before_xor() -> None:
    rows = [row.values for row in train("balanced")[1].rows if row.split == "validate"]
    curve = torch.tensor([[row["loss.easy"], row["loss.xor"]] for row in rows])
    easy, xor = find_convergence(curve, Curriculum()).tolist()
    assert easy < xor


def test_easy_and_related_help_each_other_and_junk_nobody() -> None:
    workload, sink = train("affinity")
    rows = [row.values for row in sink.rows if row.split == "validate"]

    def mean(source: str, target: str) -> float:
        return sum(row[f"affinity.{source}.{target}"] for row in rows) / len(rows)

    # `rare` is left out: with few positives its column is noise.
    others = [task for task in workload.config.tasks if task not in ("junk", "rare")]
    between = min(mean("easy", "related"), mean("related", "easy"))
    junk = [abs(mean(*pair)) for t in others for pair in (("junk", t), (t, "junk"))]
    assert between > 5 * max(junk)
    onto_easy = {task: mean(task, "easy") for task in others if task != "easy"}
    assert max(onto_easy, key=lambda task: onto_easy[task]) == "related"
