"""What holds for every workload of the table, and for the one that the guide adds."""

from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from hpcexp import workloads
from hpcexp.errors import UsageError
from hpcexp.train.config import TrainConfig
from hpcexp.train.fit import fit
from hpcexp.train.metric import Metric
from hpcexp.train.seeding import RandomStreams
from hpcexp.train.sink import MemorySink
from hpcexp.train.workload import Workload
from hpcexp.workloads import (
    WORKLOADS,
    list_workloads,
    load_config_class,
    load_primary_metric,
    load_workload,
)

GUIDE_PATH = Path(__file__).parents[2] / "docs" / "adding-a-workload.md"
HEAVY = ("torch", "numpy", "scipy", "pandas", "matplotlib", "seaborn", "pyarrow")
STREAMS = RandomStreams(0, 0)

each_workload = pytest.mark.parametrize("name", WORKLOADS)


def load_with_defaults(name: str) -> Workload:
    return load_workload(name, load_config_class(name)())


# Looking up


@pytest.mark.parametrize(
    "look_up",
    [load_config_class, load_primary_metric, lambda name: load_workload(name, TrainConfig())],
    ids=["config", "metric", "workload"],
)
def test_an_unknown_workload_is_answered_with_those_there_are(
    look_up: Callable[[str], object], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(WORKLOADS, "another", "hpcexp.workloads.another")
    with pytest.raises(UsageError) as caught:
        look_up("spss")
    there = ", ".join(sorted(list_workloads()))
    assert str(caught.value) == f"no such workload: spss; there are: {there}"


def list_heavy_imports(statements: str) -> list[str]:
    """The heavy packages that a fresh Python has loaded after some statements."""
    code = f"{statements}\nimport sys\nprint(*[m for m in {HEAVY!r} if m in sys.modules])"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    return run.stdout.split()


@each_workload
def test_neither_the_table_nor_a_config_nor_a_primary_metric_loads_torch(name: str) -> None:
    statements = (
        "from hpcexp.workloads import load_config_class, load_primary_metric\n"
        f"load_config_class({name!r})().model_dump_json()\n"
        f"load_primary_metric({name!r})"
    )
    assert list_heavy_imports(statements) == []


def test_the_guard_of_the_imports_sees_torch_when_a_workload_is_loaded() -> None:
    assert "torch" in list_heavy_imports("import hpcexp.workloads.sps.objective")


# What every workload must fulfil


@each_workload
def test_a_config_class_is_one_of_the_training_core_s(name: str) -> None:
    assert issubclass(load_config_class(name), TrainConfig)


@each_workload
def test_a_workload_keeps_the_config_it_was_built_from(name: str) -> None:
    config = load_config_class(name)(lr=0.25)
    assert load_workload(name, config).config is config


@each_workload
def test_names_are_unique_and_the_primary_metric_is_one_of_them(name: str) -> None:
    workload, metric = load_with_defaults(name), load_primary_metric(name)
    names = [*workload.loss_names, *workload.metric_names]
    assert len(set(names)) == len(names)
    assert isinstance(metric, Metric)
    assert metric.name in workload.metric_names


@each_workload
def test_every_loss_term_has_a_weight_at_every_step(name: str) -> None:
    workload = load_with_defaults(name)
    for step in (0, 1, workload.config.num_steps, workload.config.num_steps + 64):
        weights = workload.schedule(step)["loss_weights"]
        assert isinstance(weights, list)
        assert len(weights) == len(workload.loss_names)


@each_workload
def test_a_schedule_names_the_same_values_at_every_step(name: str) -> None:
    workload = load_with_defaults(name)
    assert workload.schedule(0).keys() == workload.schedule(10**6).keys()


@each_workload
def test_draws_are_for_each_step_and_repeat(name: str) -> None:
    workload = load_with_defaults(name)
    first, again = (workload.draw(STREAMS, block=3, num_steps=2) for _ in range(2))
    assert all(len(tensor) == 2 for tensor in first.values())
    assert all(torch.equal(first[k], again[k]) for k in first)


@each_workload
def test_a_model_is_initialised_by_the_core_s_seed_alone(name: str) -> None:
    workload = load_with_defaults(name)

    def initialise(streams: RandomStreams) -> torch.Tensor:
        with streams.initialising():
            parameters = workload.build_model().parameters()
        return torch.cat([p.detach().flatten() for p in parameters])

    reference = initialise(STREAMS)
    assert torch.equal(initialise(STREAMS), reference)
    assert not torch.equal(initialise(RandomStreams(0, 1)), reference)


# The guide's own workload


@pytest.fixture
def line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    """The workload of the guide, written where the guide says and added to the table."""
    text = GUIDE_PATH.read_text(encoding="utf-8")
    files = re.findall(r"```python\n# hpcexp/workloads/(line/\S+)\n(.*?)```", text, re.DOTALL)
    assert [name for name, _ in files] == ["line/config.py", "line/workload.py"]
    (tmp_path / "line").mkdir()
    (tmp_path / "line" / "__init__.py").touch()
    for name, source in files:
        (tmp_path / name).write_text(source, encoding="utf-8")
    (entry,) = re.findall(r'```python\n    "(\S+)": "(\S+)",\n```', text)
    monkeypatch.setattr(workloads, "__path__", [*workloads.__path__, str(tmp_path)])
    monkeypatch.setitem(WORKLOADS, *entry)
    for module in [m for m in sys.modules if m.startswith("hpcexp.workloads.line")]:
        monkeypatch.delitem(sys.modules, module)
    return str(entry[0])


def train(name: str, **params: object) -> MemorySink:
    sink = MemorySink()
    config = load_config_class(name).model_validate(params)
    assert fit(load_workload(name, config), streams=STREAMS, sink=sink).outcome == "completed"
    return sink


def test_the_workload_of_the_guide_trains_to_success(line: str) -> None:
    metric = load_primary_metric(line)
    sink = train(line, max_epoch=50, lr=0.05)
    errors = [r.values[metric.name] for r in sink.rows if r.split == "validate"]
    assert metric.success_below is not None
    assert errors[-1] < metric.success_below < errors[0]


def test_the_workload_of_the_guide_pairs_its_groups(line: str) -> None:
    quiet, loud = train(line, max_epoch=2, noise_std=0.0), train(line, max_epoch=2, noise_std=1.0)
    assert quiet.rows[0] == loud.rows[0]
    assert quiet.rows[-1] != loud.rows[-1]
    assert loud.rows[1].values["schedule.noise_std"] == pytest.approx(1 - 7 / 16)


def test_the_template_of_the_guide_is_one_of_its_workload(line: str, tmp_path: Path) -> None:
    from hpcexp.template import load_template

    text = GUIDE_PATH.read_text(encoding="utf-8")
    (source,) = re.findall(r"```yaml\n(.*?)```", text, re.DOTALL)
    path = tmp_path / "line.yaml"
    path.write_text(source, encoding="utf-8")
    template = load_template(path)
    assert template.workload == line
    assert template.rand_inits == 3
