"""Names of experiments are recognised where a line says nothing else."""

from __future__ import annotations

from datetime import date

import pytest

from hpcexp.store.notebook.names import find_launch_day, read_name


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("  2022_m12_d13@16_26_35_xj_batch_size", "2022_m12_d13@16_26_35_xj_batch_size"),
        ("2022_m11_d04@00_27_53_self_recon:", "2022_m11_d04@00_27_53_self_recon"),
        ("2022_m11_d04@00_27_53_self_recon/ ", "2022_m11_d04@00_27_53_self_recon"),
        ("faster_2022_Oct_20@15_28_39", "2022_m10_d20@15_28_39_faster"),
        ("no_z_loss_2022_Oct_19_15;40;28", "2022_m10_d19@15_40_28_no_z_loss"),
        ("see 2022_m12_d13@16_26_35_xj_batch_size", None),
        ("2022_m13_d13@16_26_35_no_such_month", None),
        ("faster_2022_Abc_20@15_28_39", None),
        ("xj_batch_size", None),
        ("", None),
    ],
)
def test_a_line_names_an_experiment_as_its_directory_is_called(line: str, name: str | None) -> None:
    assert read_name(line) == name


def test_the_day_of_the_launch_is_in_the_name() -> None:
    assert find_launch_day("2022_m12_d13@16_26_35_tr") == date(2022, 12, 13)
    assert find_launch_day("tr") is None
