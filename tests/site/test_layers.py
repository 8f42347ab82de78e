"""Which site this is, and which of the values that are given for something counts."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from hpcexp.errors import UsageError
from hpcexp.site import choose_site, find_experiments_dir
from tests.site.conftest import Place


def test_without_any_file_experiments_are_in_the_working_directory(place: Place) -> None:
    place.user_path.unlink()
    assert find_experiments_dir() == Path("experiments")
    assert choose_site().name == ""


def test_a_site_is_chosen_by_the_hosts_name_with_or_without_its_domain(place: Place) -> None:
    for host in ("login1", "login03.cluster.example"):
        place.set_host(host)
        assert choose_site().name == "garching"
    assert "login[0-9]*" in choose_site().why


def test_where_no_host_is_like_it_the_file_names_the_site(place: Place) -> None:
    assert choose_site().name == "laptop"
    assert f"{place.user_path}:1" in choose_site().why
    assert find_experiments_dir() == place.root / "home" / "experiments"


def test_the_option_goes_before_the_variable_and_that_before_the_host(place: Place) -> None:
    place.set_host("login1")
    place.monkeypatch.setenv("HPCEXP_SITE", "laptop")
    assert choose_site().name == "laptop"
    assert choose_site("garching").name == "garching"


def test_a_site_that_there_is_not_is_refused_with_the_nearest_name(place: Place) -> None:
    with pytest.raises(UsageError, match="--site: no such site: garchin; did you mean garching"):
        choose_site("garchin")


def test_the_project_goes_before_the_user_and_the_environment_before_both(place: Place) -> None:
    partitions = ["gpu"]
    assert choose_site("garching").resources["partition"] == "gpu"
    place.write_project('[sites.garching.resources]\npartition = "fast"\n')
    partitions.append(choose_site("garching").resources["partition"])
    place.monkeypatch.setenv("HPCEXP_PARTITION", "urgent")
    site = choose_site("garching")
    assert (*partitions, site.resources["partition"]) == ("gpu", "fast", "urgent")
    assert site.sources["resources.partition"] == "$HPCEXP_PARTITION"
    assert site.resources["account"] == "proj42"


def test_a_site_goes_before_what_its_file_says_for_all_sites(place: Place) -> None:
    place.write_user('[resources]\nqos = "all"\ngpus = 1\n[sites.a.resources]\nqos = "one"\n')
    assert choose_site("a").resources == {"qos": "one", "gpus": 1}


def test_setup_lines_add_up_and_every_place_is_named(place: Place) -> None:
    site = choose_site("garching")
    assert site.resources["setup"] == ["module load git", "module load cuda"]
    source = site.sources["resources.setup"]
    assert source == f"{place.user_path}:4 and {place.user_path}:17"


def test_directories_are_filled_in_and_a_projects_count_from_its_file(place: Place) -> None:
    assert choose_site("garching").get("experiments_dir") == "/scratch/ada/experiments"
    place.write_project('experiments_dir = "results"\n')
    assert find_experiments_dir() == place.root / "project" / "results"


def test_a_jobs_own_variables_are_left_to_the_job(place: Place) -> None:
    assert choose_site("garching").get("scratch_dir") == "/local/$SLURM_JOB_ID"


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_a_file_that_somebody_else_left_in_a_directory_of_all_is_passed_over(place: Place) -> None:
    place.write_project('experiments_dir = "theirs"\n')
    os.chown(place.project_path, 12345, 12345)
    assert find_experiments_dir().name == "theirs"  # a colleague's project
    place.project_path.parent.chmod(0o777)
    assert find_experiments_dir().name == "experiments"


def test_a_number_in_the_environment_is_one(place: Place) -> None:
    place.monkeypatch.setenv("HPCEXP_MAX_PARALLEL", "8")
    assert choose_site().resources["max_parallel"] == 8


def test_an_experiments_directory_is_found_without_a_look_at_what_jobs_ask_for(
    place: Place,
) -> None:
    place.write_project("resources = 3\n")
    assert find_experiments_dir() == place.root / "home" / "experiments"
