"""Templates that extend others: what wins, and where a fault is told."""

from __future__ import annotations

from pathlib import Path

import pytest

from hpcexp.errors import TemplateError
from hpcexp.template import load_template
from tests.template.conftest import Faults, Load, Write

BASE = """\
    name: base
    question: What is it?
    workload: sps
    params:
      lr: 0.1
      loss_weights: {kld: 1.0, predict: {z: 2.0}}
    grid:
      rnn_width: [16, 32]
      batch_size: [16, 32]
    rand_inits: 5
    seed: 3
    resources: {gpus: 1, timeout: 12h, sbatch: {nice: 5}}
    profiles:
      smoke: {params: {max_epoch: 2}, rand_inits: 1}
    """


def test_a_child_changes_only_what_it_names(write: Write, load: Load) -> None:
    write(BASE, "base.yaml")
    template = load("""\
        extends: base.yaml
        params: {loss_weights: {predict: {z: 9.0}}}
        resources: {timeout: 1h, sbatch: {comment: x}}
        """)
    assert template.params == {"lr": 0.1, "loss_weights": {"kld": 1.0, "predict": {"z": 9.0}}}
    assert (template.workload, template.rand_inits, template.seed) == ("sps", 5, 3)
    assert (template.resources.gpus, template.resources.timeout) == (1, "1h")
    assert template.resources.sbatch == {"nice": 5, "comment": "x"}


def test_an_axis_of_the_child_replaces_adds_or_removes(write: Write, load: Load) -> None:
    write(BASE, "base.yaml")
    template = load("extends: base.yaml\ngrid: {rnn_width: [8], batch_size: null, lr: [0.1, 0.2]}")
    assert template.grid == {"rnn_width": (8,), "lr": (0.1, 0.2)}


def test_name_and_question_are_not_inherited(write: Write, load: Load) -> None:
    write(BASE, "base.yaml")
    template = load("extends: base.yaml\n")
    assert (template.name, template.question) == ("t", None)


def test_profiles_are_inherited_and_merged(write: Write, load: Load) -> None:
    write(BASE, "base.yaml")
    child = "extends: base.yaml\nprofiles: {smoke: {params: {lr: 0.5}}}\n"
    template = load(child, profile="smoke")
    assert (template.params["max_epoch"], template.params["lr"]) == (2, 0.5)
    assert template.rand_inits == 1


def test_of_several_the_later_wins_and_all_are_sources(write: Write, load: Load) -> None:
    write("workload: sps\nparams: {lr: 0.1, rnn_width: 8}\n", "a.yaml")
    write("params: {lr: 0.2}\n", "b.yaml")
    template = load("extends: [a.yaml, b.yaml]\n")
    assert template.params == {"lr": 0.2, "rnn_width": 8}
    assert [str(source.path) for source in template.sources] == ["t.yaml", "a.yaml", "b.yaml"]


def test_paths_are_relative_to_the_file_that_names_them(write: Write) -> None:
    write("workload: sps\n", "shared/root.yaml")
    write("extends: root.yaml\n", "shared/base.yaml")
    path = write("extends: ../shared/base.yaml\n", "templates/t.yaml")
    sources = load_template(path).sources
    assert [source.path for source in sources] == [
        Path("templates/t.yaml"),
        Path("shared/base.yaml"),
        Path("shared/root.yaml"),
    ]


def test_a_file_that_is_extended_twice_is_read_once(write: Write, load: Load) -> None:
    write("workload: sps\n", "root.yaml")
    write("extends: root.yaml\n", "a.yaml")
    write("extends: root.yaml\n", "b.yaml")
    assert len(load("extends: [a.yaml, b.yaml]\n").sources) == 4


def test_a_fault_of_an_extended_file_is_told_with_that_file_and_line(
    write: Write, faults: Faults
) -> None:
    write("workload: sps\nparams:\n  lr: fast\ngrid:\n  rnn_width: [0]\n", "base.yaml")
    assert faults("extends: base.yaml\nparams: {latent_dim: 0}\n") == [
        "t.yaml:2 params.latent_dim: 0 is out of range; must be a whole number of at least 1",
        "base.yaml:3 params.lr: fast is text; must be a number greater than 0",
        "base.yaml:5 grid.rnn_width: 0 is out of range; must be a whole number of at least 1",
    ]


def test_the_message_shows_a_block_for_each_file(write: Write) -> None:
    write("workload: sps\nparams:\n  lr: fast\n", "base.yaml")
    path = write("extends: base.yaml\nrand_inits: 0\n")
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    assert str(caught.value) == (
        "t.yaml: 1 problem, nothing was created\n"
        "  line 2  rand_inits: 0 is out of range; must be a whole number of at least 1\n"
        "base.yaml: 1 problem, nothing was created\n"
        "  line 3  params.lr: fast is text; must be a number greater than 0"
    )


def test_a_faulty_value_that_the_child_replaces_does_no_harm(write: Write, load: Load) -> None:
    write("workload: sps\nparams: {lr: fast}\n", "base.yaml")
    assert load("extends: base.yaml\nparams: {lr: 0.1}\n").params == {"lr": 0.1}


def test_a_cycle_is_refused_with_its_chain(write: Write, faults: Faults) -> None:
    write("extends: b.yaml\n", "a.yaml")
    write("workload: sps\nextends: a.yaml\n", "b.yaml")
    assert faults("extends: a.yaml\n") == ["b.yaml:2 extends: a cycle: a.yaml -> b.yaml -> a.yaml"]


def test_a_template_that_extends_itself_is_a_cycle(faults: Faults) -> None:
    assert faults("extends: t.yaml\n") == ["t.yaml:1 extends: a cycle: t.yaml -> t.yaml"]


def test_a_missing_file_is_told_at_the_line_that_names_it(write: Write, faults: Faults) -> None:
    write("workload: sps\n", "base.yaml")
    assert faults("extends:\n  - base.yaml\n  - bsae.yaml\n") == [
        "t.yaml:3 extends: no such file: bsae.yaml; did you mean base.yaml?"
    ]


def test_an_extended_file_that_is_no_yaml_is_told_with_its_line(
    write: Write, faults: Faults
) -> None:
    write("workload: sps\nparams: [\n", "base.yaml")
    (fault,) = faults("extends: base.yaml\nrand_inits: 0\n")
    assert fault.startswith("base.yaml:3 : not YAML: ")


@pytest.mark.parametrize("value", ["3", "{a: 1}", "/etc/base.yaml", "[[a]]"])
def test_extends_is_a_relative_path_or_a_list_of_such(faults: Faults, value: str) -> None:
    (fault,) = faults(f"extends: {value}\nworkload: sps\n")
    assert "must be a path relative to this file, or a list of such paths" in fault


def test_a_lattice_of_files_is_refused_before_it_grows_without_bound(
    write: Write, faults: Faults
) -> None:
    write("workload: sps\n", "f0.yaml")
    for level in range(1, 30):
        write(f"extends: [f{level - 1}.yaml, f{level - 1}.yaml]\n", f"f{level}.yaml")
    assert any("more than 100 files are extended" in f for f in faults("extends: f29.yaml\n"))


# Sections of a kind


DATASET = "workload: sps\nparams: {dataset: {kind: bounce, resolution: 16, max_speed: 2.0}}\n"


def test_a_section_of_another_kind_replaces_the_one_it_inherits(write: Write, load: Load) -> None:
    write(DATASET, "base.yaml")
    template = load("extends: base.yaml\nparams: {dataset: {kind: two_body, num_frames: 9}}\n")
    assert template.params["dataset"] == {"kind": "two_body", "num_frames": 9}


@pytest.mark.parametrize("kind", ["", "kind: bounce, "])
def test_a_section_of_the_same_kind_or_of_none_merges(write: Write, load: Load, kind: str) -> None:
    write(DATASET, "base.yaml")
    template = load(f"extends: base.yaml\nparams: {{dataset: {{{kind}resolution: 8}}}}\n")
    assert template.params["dataset"] == {"kind": "bounce", "resolution": 8, "max_speed": 2.0}


def test_a_rule_replaces_the_list_of_rules(write: Write, load: Load) -> None:
    write("workload: sps\nparams: {stop: [{metric: loss, below: 0.1}]}\n", "base.yaml")
    template = load("extends: base.yaml\nparams: {stop: []}\n")
    assert template.params["stop"] == []


def test_an_axis_may_run_over_kinds(load: Load) -> None:
    template = load("workload: sps\ngrid: {dataset.kind: [bounce, xj_bounce, one_dim]}\n")
    kinds = [template.config_for(group)["dataset"]["kind"] for group in template.groups()]
    assert kinds == ["bounce", "xj_bounce", "one_dim"]
