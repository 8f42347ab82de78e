import subprocess
import sys
from pathlib import Path

import pytest

from analysis.equivalent_weights import convert_to_means, parse_pairs, scale_to_images
from tests.warm.process import run_warm

SCRIPT = Path(__file__).parents[2] / "analysis" / "equivalent_weights.py"
XJ = ["self_recon=2621440", "predict.image=5242880", "predict.z=15360", "kld=1.28"]


def test_the_published_weights_give_the_notebooks_equivalent_z_weight() -> None:
    relative = scale_to_images(parse_pairs(XJ))
    assert relative["predict.z"] == pytest.approx(0.0019, abs=1e-4)
    assert relative["self_recon"] + relative["predict.image"] == pytest.approx(1)


def test_a_sum_over_n_elements_is_n_times_their_mean() -> None:
    means = convert_to_means({"self_recon": 2.0, "predict.z": 3.0}, num_summed={"predict.z": 10})
    assert means == {"self_recon": 2.0, "predict.z": 30.0}


def test_without_an_image_loss_there_is_nothing_to_relate_to() -> None:
    with pytest.raises(ValueError, match=r"no positive weight of self_recon or predict\.image"):
        scale_to_images({"predict.z": 1.0})


def run(*arguments: str) -> subprocess.CompletedProcess[str]:
    return run_warm([sys.executable, SCRIPT, *arguments])


def test_the_table_is_scaled_to_the_default_weight_of_self_reconstruction() -> None:
    done = run("--weights", *XJ)
    assert done.returncode == 0, done.stderr
    row = next(line for line in done.stdout.splitlines() if line.startswith("predict.image"))
    assert row.split()[-1] == "2.621"


def test_a_pair_that_is_none_is_refused() -> None:
    done = run("--weights", "self_recon:1")
    assert (done.returncode, done.stderr) == (
        2,
        "error: 'self_recon:1' is not NAME=NUMBER, such as predict.z=15360\n",
    )
