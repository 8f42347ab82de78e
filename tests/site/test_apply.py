"""What a template leaves out comes from the site; what it says wins."""

from __future__ import annotations

from pathlib import Path

from hpcexp.launch.plan import make_plan
from hpcexp.site.apply import apply_site, resources_elsewhere
from hpcexp.site.check import load_site
from hpcexp.template import Template, load_template
from tests.site.conftest import Place

GARCHING_LINES = [
    "export HPCEXP_CACHE_DIR=/scratch/cache",
    'export TMPDIR="/local/$SLURM_JOB_ID"',
    'mkdir -p "$TMPDIR"',
    "module load git",
    "module load cuda",
]


def load(place: Place, resources: str = "{}") -> Template:
    path = place.root / "tiny.yaml"
    path.write_text(f"workload: sps\nresources: {resources}\n")
    return load_template(path)


def test_one_template_asks_each_site_for_what_it_needs(place: Place) -> None:
    template = load(place, "{gpus: 1}")
    garching = apply_site(template, load_site("garching")).resources
    laptop = apply_site(template, load_site("laptop")).resources
    assert (garching.partition, garching.account, garching.gpus) == ("gpu", "proj42", 1)
    assert garching.setup == GARCHING_LINES
    assert (laptop.partition, laptop.account, laptop.gpus) == (None, None, 1)
    assert laptop.setup == ["module load git"]


def test_what_the_template_says_wins_also_where_it_says_nothing_on_purpose(place: Place) -> None:
    resources = apply_site(
        load(place, "{partition: null, cpus: 1}"), load_site("garching")
    ).resources
    assert resources.partition is None
    assert resources.account == "proj42"


def test_setup_of_the_site_comes_before_the_templates(place: Place) -> None:
    applied = apply_site(load(place, "{setup: [ulimit -n 4096]}"), load_site("garching"))
    assert applied.resources.setup == [*GARCHING_LINES, "ulimit -n 4096"]


def test_sbatch_options_are_laid_over_the_sites_one_by_one(place: Place) -> None:
    applied = apply_site(
        load(place, "{sbatch: {mail_type: false, reservation: 1}}"), load_site("garching")
    )
    assert applied.resources.sbatch == {"nice": 100, "mail_type": False, "reservation": 1}


def test_the_site_says_whom_to_tell_where_the_template_does_not(place: Place) -> None:
    place.write_project('notify = {command = "tell", webhook = "https://a.example"}\n')
    path: Path = place.root / "tiny.yaml"
    path.write_text("workload: sps\nnotify: {command: shout}\n")
    notify = apply_site(load_template(path), load_site()).notify
    assert (notify.command, notify.webhook) == ("shout", "https://a.example")


def test_a_directory_from_the_environment_needs_no_line_in_jobs(place: Place) -> None:
    place.monkeypatch.setenv("HPCEXP_CACHE_DIR", "/mine")
    setup = apply_site(load(place), load_site("garching")).resources.setup
    assert setup == GARCHING_LINES[1:]


def test_the_plan_keeps_what_the_site_gave_and_from_where(place: Place) -> None:
    plan = make_plan(apply_site(load(place, "{cpus: 2}"), load_site("garching")))
    assert plan.site["name"] == "garching"
    assert plan.site["given"] == {"cpus": 2}
    assert plan.site["resources"]["partition"] == "gpu"
    assert plan.site["sources"]["resources.partition"] == f"{place.user_path}:15"
    assert plan.resources["partition"] == "gpu"


def test_an_experiment_can_ask_another_site_for_what_that_one_needs(place: Place) -> None:
    plan = make_plan(apply_site(load(place, "{cpus: 2}"), load_site("garching")))
    elsewhere = resources_elsewhere(plan.site, load_site("laptop"))
    assert (elsewhere["partition"], elsewhere["cpus"]) == (None, 2)
    assert elsewhere["setup"] == ["module load git"]
