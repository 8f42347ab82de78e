"""What a configuration file must not say: each fault with file and line, all at once."""

from __future__ import annotations

import pytest

from hpcexp.errors import TemplateError
from hpcexp.site.check import load_site
from tests.site.conftest import Place


def fail() -> str:
    with pytest.raises(TemplateError) as caught:
        load_site()
    return str(caught.value)


def test_what_is_good_is_accepted(place: Place) -> None:
    assert load_site("garching").name == "garching"


def test_every_fault_of_both_files_is_told_with_its_line(place: Place) -> None:
    place.write_user(
        'experiment_dir = "/a"\n'
        "[sites.garching]\n"
        'hosts = "login*"\n'
        "[sites.garching.resources]\n"
        'partion = "gpu"\n'
        "timeout = 45000\n"
    )
    place.write_project("[resources]\n\nmax_jobs = 0\n")
    said = fail().splitlines()
    assert said[0] == f"{place.user_path}: 4 problems, nothing was created"
    assert "line 1" in said[1]
    assert "did you mean experiments_dir?" in said[1]
    assert "line 3" in said[2]
    assert 'write ["login*"]' in said[2] or "a list of texts" in said[2]
    assert "line 5" in said[3]
    assert "sites.garching.resources.partion" in said[3]
    assert "did you mean resources.partition?" in said[3]
    assert "line 6" in said[4]
    assert said[5] == f"{place.project_path}: 1 problem, nothing was created"
    assert "line 3" in said[6]
    assert "of at least 1" in said[6]


def test_what_is_no_toml_is_told_with_its_line(place: Place) -> None:
    place.write_user("[resources]\npartition = gpu\n")
    assert "line 2" in fail()
    assert "texts stand in quotes" in fail()


def test_what_is_no_text_at_all_is_told(place: Place) -> None:
    place.user_path.write_bytes(b"\xff\xfe\x00")
    assert "is not UTF-8 text" in fail()


def test_a_users_directory_must_not_depend_on_where_one_is(place: Place) -> None:
    place.write_user('experiments_dir = "experiments"\n')
    assert "depends on where you are; write a whole path" in fail()


def test_a_variable_that_is_not_set_is_told(place: Place) -> None:
    place.write_user('cache_dir = "/scratch/$NOT_SET_HERE"\n')
    assert "names a variable that is not set here" in fail()


def test_variables_of_another_site_are_that_ones(place: Place) -> None:
    place.write_user('[sites.far]\nexperiments_dir = "$SCRATCH_THERE/experiments"\n')
    assert load_site().name == ""


def test_faults_of_variables_are_told_by_their_names(place: Place) -> None:
    place.monkeypatch.setenv("HPCEXP_MAX_PARALLEL", "many")
    assert "HPCEXP_MAX_PARALLEL: many is text; must be a whole number" in fail()


def test_sites_that_are_no_tables_are_told(place: Place) -> None:
    place.write_user("sites = 3\n")
    assert "write [sites.NAME]" in fail()
    place.write_user("[sites]\ngarching = 3\n")
    assert "write [sites.garching]" in fail()
