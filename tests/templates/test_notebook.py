"""Every experiment of the laboratory's notebook is a template that says the same."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from functools import cache
from typing import Any

import pytest

from hpcexp.template import Template, load_template
from tests.templates.catalogue import (
    TEMPLATES_DIR,
    Fact,
    get_path,
    list_facts,
    list_notebook,
    list_open,
    list_templates,
    read_remark,
)

FACTS = list_facts()
TEMPLATES = list_templates()

# Where a template varies something else than the experiment did, and why.
DEVIATIONS: Mapping[str, frozenset[str]] = {
    # A batch larger than the training set is refused: the smaller sets get smaller batches.
    "dataset_size_2022_m10_d25": frozenset({"batch_size"}),
    # Which groups had the other weights is not recorded: none has.
    "two_body_seq": frozenset({"loss_weights.predict.image", "loss_weights.predict.z"}),
}
WHOLE_SECTIONS = ("scheduled_sampling", "loss_weights.sequence_energy", "lr_schedule")


@cache
def load(name: str, profile: str | None = None) -> Template:
    return load_template(get_path(name), profile=profile)


def flatten(config: Mapping[str, Any], *, inside: str = "") -> Iterator[tuple[str, str]]:
    """Dotted names and values, but for sections that vary as a whole."""
    for key, value in config.items():
        name = f"{inside}{key}"
        if isinstance(value, Mapping) and name not in WHOLE_SECTIONS:
            yield from flatten(value, inside=f"{name}.")
        else:
            yield name, json.dumps(value, sort_keys=True)


def find_varied(name: str) -> set[str]:
    template = load(name)
    configs = [dict(flatten(template.config_for(group))) for group in template.groups()]
    return {key for config in configs for key in config if config[key] != configs[0].get(key)}


def test_the_notebook_has_87_experiments_of_48_names() -> None:
    assert len(FACTS) == 87
    assert len({fact.name for fact in FACTS}) == 48


@pytest.mark.parametrize("name", sorted({fact.name for fact in FACTS}))
def test_a_name_of_the_notebook_has_a_template_of_that_name(name: str) -> None:
    assert get_path(name).is_file()


def test_every_template_at_the_top_is_of_an_experiment() -> None:
    assert sorted({fact.template for fact in FACTS}) == sorted(list_notebook())


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.experiment)
def test_a_template_has_the_groups_and_initialisations_of_the_experiment(fact: Fact) -> None:
    template = load(fact.template)
    assert (len(template.groups()), template.rand_inits) == (fact.num_groups, fact.rand_inits)


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.experiment)
def test_a_template_varies_what_the_experiment_varied(fact: Fact) -> None:
    deviation = DEVIATIONS.get(fact.template, frozenset())
    assert find_varied(fact.template) == fact.varied ^ deviation


@pytest.mark.parametrize("fact", FACTS, ids=lambda fact: fact.experiment)
def test_a_template_says_when_it_was_run(fact: Fact) -> None:
    year, month, day = fact.experiment.partition("@")[0].split("_")
    date = f"{year}-{month.removeprefix('m')}-{day.removeprefix('d')}"
    assert date in read_remark(fact.template, about="Run on")


@pytest.mark.parametrize("name", TEMPLATES)
def test_a_template_asks_its_question_in_one_line(name: str) -> None:
    template = load(name)
    assert template.question is not None
    assert template.question.endswith("?")
    assert len(template.question) <= 100


@pytest.mark.parametrize("name", list_notebook())
def test_a_template_of_the_notebook_says_what_was_concluded(name: str) -> None:
    assert len(read_remark(name, about="Concluded:").split()) > 1


@pytest.mark.parametrize("name", list_open())
def test_an_open_question_says_since_when(name: str) -> None:
    assert read_remark(name, about="Open on 2022-")


def test_no_two_questions_are_the_same() -> None:
    questions = [load(name).question for name in TEMPLATES]
    assert len(set(questions)) == len(questions)


def test_experiments_of_two_templates_cannot_be_confused() -> None:
    stems = [name.rpartition("/")[2] for name in TEMPLATES]
    assert len(set(stems)) == len(stems)


@pytest.mark.parametrize("name", TEMPLATES)
def test_every_profile_of_a_template_is_valid_and_smoke_keeps_its_groups(name: str) -> None:
    whole = load(name)
    smoke = load(name, "smoke")
    assert len(smoke.groups()) == len(whole.groups())
    assert smoke.resources.gpus == 0
    if name == "supvise_vae":
        load(name, "cpu")


def test_every_base_is_extended_by_a_template() -> None:
    bases = {path.name for path in (TEMPLATES_DIR / "base").glob("*.yaml")}
    extended = {source.path.name for name in TEMPLATES for source in load(name).sources}
    assert bases <= extended
