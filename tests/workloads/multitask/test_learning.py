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
from hpcexp.workloads.multitask.metrics import measure_task
from hpcexp.workloads.multitask.strategy.order import find_convergence
from hpcexp.workloads.multitask.workload import MultitaskWorkload

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]
STREAMS = RandomStreams(0, 0)
BALANCED: dict[str, Any] = {"weights": {"scaled": 1e-4}}
RUNS: dict[str, dict[str, Any]] = {
    "balanced": {**BALANCED, "eval_every": 1},
    "raw": {},
    "video": {**BALANCED, "modalities": {"phases": [["video"]]}},
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


def measure_with(name: str, modality: str) -> dict[str, dict[str, float]]:
    """Metrics of each task where the trained model reads one modality only."""
    workload, sink = train(name)
    checkpoint = sink.load_checkpoint()
    assert checkpoint is not None
    model = workload.build_model().eval()
    model.load_state_dict({**checkpoint["state"]["parameters"], **checkpoint["state"]["buffers"]})
    data = workload.load_data()["validate"]
    kept_M = torch.tensor([float(modality == m) for m in MODALITIES])
    with torch.no_grad():
        outputs_BL = model.predict(data, modalities_M=kept_M)
    found = {}
    for index, task in enumerate(workload.config.tasks):
        measured = measure_task(
            outputs_BL[:, index], data["labels"][:, index], is_binary=task != "scaled"
        )
        found[task] = {name: float(value) for name, value in measured.items()}
    return found


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


def test_masking_in_evaluation_takes_away_what_that_modality_alone_holds() -> None:
    """Of one model that was trained on all three."""
    by_video, by_audio = measure_with("balanced", "video"), measure_with("balanced", "audio")
    assert by_video["easy"]["accuracy"] > 0.88
    assert by_audio["easy"]["accuracy"] == pytest.approx(0.5, abs=0.06)
    assert by_audio["rare"]["auc"] > 0.9
    assert by_video["rare"]["auc"] == pytest.approx(0.5, abs=0.1)
    assert by_audio["scaled"]["r2"] > 0.4 > 0.05 > by_video["scaled"]["r2"]
    for alone in (by_video, by_audio):
        assert alone["xor"]["accuracy"] == pytest.approx(0.5, abs=0.06)


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
