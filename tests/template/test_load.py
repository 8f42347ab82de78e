"""A template as a whole: what is loaded, and every fault with its line."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import FrozenInstanceError, replace
from pathlib import Path
from typing import Any

import pytest

from hpcexp.errors import TemplateError
from hpcexp.grid import Group
from hpcexp.template import apply_dotted, load_template
from hpcexp.workloads import WORKLOADS
from tests.template.conftest import Faults, Load, Write

FULL = """\
    name: predict_weight
    question: Does the latent prediction loss help?
    workload: sps
    params:
      lr: 1e-3
      loss_weights: {predict: {image: 1.0}}
    grid:
      loss_weights.predict.z: [0, 0.005]
      rnn_width: [16, 48]
    rand_inits: 3
    seed: 7
    resources: {gpus: 1, timeout: 12:30:00, exclude: [gpu07]}
    """


def test_a_full_template_is_loaded_as_written(load: Load) -> None:
    template = load(FULL)
    assert template.name == "predict_weight"
    assert template.question == "Does the latent prediction loss help?"
    assert template.workload == "sps"
    assert template.params == {"lr": 0.001, "loss_weights": {"predict": {"image": 1.0}}}
    assert template.grid == {"loss_weights.predict.z": (0, 0.005), "rnn_width": (16, 48)}
    assert (template.rand_inits, template.seed, template.profile) == (3, 7, None)
    assert (template.resources.gpus, template.resources.timeout_min) == (1, 750)
    assert template.num_runs == len(template.runs()) == 12
    assert template.groups()[1].name == "loss_weights.predict.z=0,rnn_width=48"
    assert [source.path for source in template.sources] == [Path("t.yaml")]
    assert template.sources[0].text.startswith("name: predict_weight")


def test_the_config_of_a_group_holds_every_hyperparameter_and_survives_json(load: Load) -> None:
    template = load(FULL)
    config = template.config_for(template.groups()[-1])
    assert config["loss_weights"]["predict"] == {"image": 1.0, "z": 0.005}
    assert config["rnn_width"] == 48
    assert config["optimizer"] == "adam"
    assert json.loads(json.dumps(config)) == config


def test_a_template_needs_only_a_workload(load: Load) -> None:
    template = load("workload: sps\n")
    assert (template.name, template.rand_inits, template.seed) == ("t", 1, 0)
    assert [run.name for run in template.runs()] == ["base_rand_0"]


def test_empty_sections_are_as_good_as_none(load: Load) -> None:
    assert load("workload: sps\nparams:\ngrid:\nresources:\nprofiles:\n").num_runs == 1


def test_a_template_cannot_be_changed(load: Load) -> None:
    with pytest.raises(FrozenInstanceError):
        load("workload: sps\n").name = "x"  # type: ignore[misc]


def test_an_axis_of_a_whole_section_replaces_the_section(load: Load) -> None:
    template = load("""\
        workload: sps
        params: {symmetry: {K: 2}}
        grid: {symmetry: [{rules: []}, {identity_probability: 0.5}]}
        """)
    first, second = (template.config_for(group)["symmetry"] for group in template.groups())
    assert (first["rules"], first["K"]) == ([], 1)
    assert (second["identity_probability"], second["K"]) == (0.5, 1)


def test_dotted_values_leave_the_base_as_it_was() -> None:
    base = {"a": {"b": {"c": 1, "d": 2}}, "e": 3}
    before = json.dumps(base)
    assert apply_dotted(base, {"a.b.c": 9, "f": 4}) == {
        "a": {"b": {"c": 9, "d": 2}},
        "e": 3,
        "f": 4,
    }
    assert json.dumps(base) == before


def test_all_faults_of_a_template_are_shown_together_each_with_its_line(write: Write) -> None:
    path = write("""\
        name: xj_batch
        workload: sps
        params:
          lr: fast
          channels: [64, 128]
          encoder_batch_norm: off
        grid:
          batch_sise: [16, 32]
          predict.z: [0, 1e-3]
          rnn_width: [16, 48, 16]
        rand_inits: 0
        resources:
          timeout: 45000
          partion: gpu
        """)
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    assert str(caught.value) == "\n".join(
        [
            "t.yaml: 9 problems, nothing was created",
            "  line 4   params.lr: fast is text; must be a number greater than 0",
            "  line 5   params.channels: no such hyperparameter of workload sps; did you mean "
            "vae_channels?",
            "  line 6   params.encoder_batch_norm: off is text; must be true or false "
            "(did you mean false?)",
            "  line 8   grid.batch_sise: no such hyperparameter of workload sps; did you mean "
            "batch_size?",
            "  line 9   grid.predict.z: no such hyperparameter of workload sps; did you mean "
            "loss_weights.predict.z?",
            "  line 10  grid.rnn_width: 16 is given twice; keep one",
            "  line 11  rand_inits: 0 is out of range; must be a whole number of at least 1",
            "  line 13  resources.timeout: 45000 is not a duration: it has no unit; "
            'write 12h30m (or "12:30:00")',
            "  line 14  resources.partion: no such resource; did you mean partition?",
        ]
    )


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("params: {}", f"t.yaml: workload: missing; write one of: {', '.join(WORKLOADS)}"),
        ("workload: spss", "t.yaml:1 workload: no such workload: spss; did you mean sps?"),
        ("workload: [sps]", 't.yaml:1 workload: ["sps"] is a list; must be text'),
        ("workload: sps\nparms: {}", ":2 parms: no such key of a template; did you mean params?"),
        ("workload: sps\nlr: 1", "it is a hyperparameter: write it under params or grid"),
        ("workload: sps\ngpus: 1", "it is a resource: write it under resources"),
        ("workload: sps\nparams: 3", ":2 params: must be a mapping"),
        ("workload: sps\nresources: [a]", ":2 resources: must be a mapping"),
        ("workload: sps\nprofiles: {smoke: 3}", ":2 profiles.smoke: must be a mapping"),
        ("workload: sps\nname: a/b", ":2 name: a/b cannot name a directory; must be 1 to 64"),
        ("workload: sps\nname: -rf", ":2 name: \"-rf\" cannot name a directory"),
        ("workload: sps\nname: .x", "cannot name a directory"),
        ("workload: sps\nname: " + "x" * 65, "cannot name a directory"),
        ("workload: sps\nname: ''", "cannot name a directory"),
        ("workload: sps\nname: 2022", 'name: 2022 is a whole number; must be text; write "2022"'),
        ("workload: sps\nquestion: |\n  a\n  b", "question: holds a line break; write one line"),
        ("workload: sps\nrand_inits: 2.5", "rand_inits: 2.5 is not a whole number"),
        ("workload: sps\nseed: -1", "seed: -1 is out of range; must be a whole number from 0 to"),
        ("workload: sps\ngrid: {lr: []}", ":2 grid.lr: empty; give at least one value"),
        ("workload: sps\ngrid: {lr: 0.1}", "grid.lr: must be a list of values; write [0.1]"),
        (
            "workload: sps\ngrid: {loss_weights: {kld: [0, 1]}}",
            "write a nested name with dots: loss_weights.kld: [...]",
        ),
        ("workload: sps\ngrid: {lr: [0.1, -1]}", "-1 is out of range; must be a number greater"),
        ("workload: sps\ngrid:\n  lr:\n  - 0.1\n  - x\n", ":5 grid.lr: x is text; must be"),
        ("workload: sps\ngrid: {lr: [1, 1.0]}", "1.0 is given twice (1 is the same value)"),
        ("workload: sps\ngrid: {lr: [1e-3, 0.001]}", "0.001 is given twice; keep one"),
        ("workload: sps\ngrid: {lr: null}", "grid.lr: no axis to remove with null"),
        ("workload: sps\ngrid: {lr.x: [1]}", "grid.lr.x: no such hyperparameter of workload sps"),
        (
            "workload: sps\ngrid:\n  loss_weights.predict.z: [0]\n  loss_weights: [{kld: 0}]\n",
            ":3 grid.loss_weights.predict.z: overlaps the axis loss_weights of line 4",
        ),
        (
            "workload: sps\ngrid: {symmetry: [{rules: []}, {ruls: []}]}",
            ":2 grid.symmetry.ruls: no such hyperparameter of workload sps; did you mean "
            "symmetry.rules?",
        ),
        (
            "workload: sps\nparams: {loss_weights.predict.z: 0}",
            "names with dots are for grid; write loss_weights: {predict: {z: ...}}",
        ),
        (
            "workload: unmix\nparams:\n  dataset: {kind: procedural, path: /x}",
            ":3 params.dataset.path: another kind of dataset has path, the one that is given has",
        ),
        ("workload: sps\nrand_inits: 1000001", "1000001 runs (1000001 rand_inits); at most"),
        ("workload: sps\nsuccess: {}\nparams: {lr: 010}", ":3 params.lr: 010 is 8 in YAML 1.1"),
        ("workload: sps\nparams: {max_epoch: 1, max_epoch: 2}", "max_epoch: given twice, on one"),
        ("", "t.yaml: : empty"),
        ("workload: sps: x", "t.yaml:1 : not YAML"),
    ],
)  # fmt: skip
def test_a_fault_is_told_with_its_place(faults: Faults, text: str, fault: str) -> None:
    assert any(fault in found for found in faults(text)), faults(text)


def test_a_value_that_was_misread_is_told_once(faults: Faults) -> None:
    assert len(faults("workload: sps\nparams: {rnn_width: 010}\n")) == 1


def test_a_file_that_does_not_exist_is_told_with_its_neighbours(write: Write) -> None:
    write("workload: sps\n", "quickstart.yaml")
    with pytest.raises(TemplateError, match=r"no such file; did you mean quickstart\.yaml\?"):
        load_template("quikstart.yaml")


def test_a_file_whose_name_cannot_name_an_experiment_must_give_one(write: Write) -> None:
    path = write("workload: sps\n", "my template.yaml")
    with pytest.raises(TemplateError, match=r"name .that of the file.: .my template. cannot name"):
        load_template(path)
    assert load_template(path, name="mine").name == "mine"


def test_a_rule_across_hyperparameters_is_told_at_the_axis_with_its_groups(
    faults: Faults,
) -> None:
    text = """\
        workload: sps
        grid:
          lr: [0.1, 0.01]
          batch_size:
            - 16
            - 256
        """
    assert faults(text) == [
        "t.yaml:6 grid.batch_size: batch_size (256) is larger than train_set_size (128): "
        "there would be no full batch (group lr=0.1,batch_size=256 and 1 more)"
    ]


def test_without_a_grid_such_a_rule_is_told_at_the_parameter(faults: Faults) -> None:
    (fault,) = faults("workload: sps\nparams:\n  lr: 0.1\n  batch_size: 256\n")
    assert fault.startswith("t.yaml:4 params.batch_size: batch_size (256) is larger")


def test_a_parameter_that_an_axis_replaces_need_not_fit(load: Load) -> None:
    template = load("""\
        workload: sps
        params: {batch_size: 256}
        grid: {batch_size: [16, 32]}
        """)
    assert template.num_runs == 2


def test_a_rule_says_nothing_about_a_value_that_is_faulty_itself(faults: Faults) -> None:
    text = "workload: sps\nparams: {batch_size: 256, train_set_sise: 512}\n"
    (fault,) = faults(text)
    assert "did you mean train_set_size?" in fault


def test_many_problems_are_counted_but_not_all_shown(write: Write) -> None:
    values = ", ".join(str(-number) for number in range(1, 101))
    path = write(f"workload: sps\ngrid: {{lr: [{values}]}}\n")
    with pytest.raises(TemplateError) as caught:
        load_template(path)
    lines = str(caught.value).splitlines()
    assert lines[0] == "t.yaml: 100 problems, nothing was created"
    assert lines[-1] == "  ... and 60 more"
    assert len(caught.value.problems) == 100


def test_loading_imports_nothing_heavy(write: Write) -> None:
    path = write("workload: sps\ngrid: {lr: [0.1]}\n")
    code = (
        "import sys; from hpcexp.template import load_template, build_json_schema; "
        f"load_template({str(path)!r}); build_json_schema(); "
        "print([m for m in ('torch', 'pandas', 'numpy', 'matplotlib') if m in sys.modules])"
    )
    root = str(Path(__file__).parents[2])
    result = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True, text=True, check=True, env={"PYTHONPATH": root},
    )  # fmt: skip
    assert result.stdout.strip() == "[]"


PROFILES = """\
    workload: sps
    params: {lr: 0.1, dataset: {num_frames: 10, resolution: 32}}
    grid:
      rnn_width: [16, 32, 48]
      batch_size: [16, 32]
    rand_inits: 5
    resources: {gpus: 1, timeout: 12h}
    profiles:
      smoke:
        name: quick
        params: {max_epoch: 2, dataset: {num_frames: 8}}
        grid: {rnn_width: [4], batch_size: null}
        rand_inits: 1
        seed: 3
        resources: {timeout: 5m}
    """


def test_a_profile_is_laid_over_the_template(load: Load) -> None:
    template = load(PROFILES, profile="smoke")
    assert template.profile == "smoke"
    assert (template.name, template.rand_inits, template.seed) == ("quick", 1, 3)
    assert template.params["dataset"] == {"num_frames": 8, "resolution": 32}
    assert template.params["max_epoch"] == 2
    assert template.grid == {"rnn_width": (4,)}
    assert (template.resources.gpus, template.resources.timeout_min) == (1, 5)


def test_without_a_profile_its_values_are_not_there(load: Load) -> None:
    template = load(PROFILES)
    assert template.num_runs == 30
    assert "max_epoch" not in template.params


def test_an_unknown_profile_is_answered_with_those_there_are(faults: Faults) -> None:
    assert faults(PROFILES, profile="smok") == [
        "t.yaml: --profile: no such profile: smok; did you mean smoke?"
    ]
    assert faults(PROFILES, profile="full") == [
        "t.yaml: --profile: no such profile: full; there are: smoke"
    ]
    (fault,) = faults("workload: sps\n", profile="full")
    assert fault.endswith("the template has none")


def test_a_profile_that_is_not_chosen_is_checked_too(faults: Faults) -> None:
    text = """\
        workload: sps
        profiles:
          smoke:
            params: {lr: fast}
            grid: {batch_sise: [1], lr: null}
            rand_init: 1
            workload: sps
        """
    assert faults(text) == [
        "t.yaml:4 profiles.smoke.params.lr: fast is text; must be a number greater than 0",
        "t.yaml:5 profiles.smoke.grid.lr: no axis to remove with null",
        "t.yaml:5 profiles.smoke.grid.batch_sise: no such hyperparameter of workload sps; "
        "did you mean batch_size?",
        "t.yaml:6 profiles.smoke.rand_init: no such key of a profile; did you mean rand_inits?",
        "t.yaml:7 profiles.smoke.workload: no such key of a profile; write it at the top of "
        "the file",
    ]


def test_every_group_has_a_config(load: Load) -> None:
    template = load(FULL)
    widths: list[Any] = [template.config_for(group)["rnn_width"] for group in template.groups()]
    assert widths == [16, 48, 16, 48]
    assert template.config_for(Group(name="base", values={}))["rnn_width"] == 32


def test_the_configurations_that_were_checked_are_those_that_the_template_says(
    load: Load,
) -> None:
    template = load(FULL)
    anew = replace(template, checked={})
    assert set(template.checked) == {group.name for group in template.groups()}
    for group in template.groups():
        assert template.config_for(group) == anew.config_for(group)
