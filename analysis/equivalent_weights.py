"""What weights on mean losses equal another code's weights on summed losses?

    python analysis/equivalent_weights.py --weights self_recon=2621440 predict.image=5242880 \
        predict.z=15360 kld=1.28

hpcexp averages every loss over all its elements. A code that sums over some of them, and
folds the counts into its weights, differs by a factor for each term; as Adam does not care
for a common factor, only the ratios matter. Given weights are for means unless --sums says
by how many elements of each term they were summed. The result is scaled so that the image
losses together have weight 1, and so that self_recon has its default here.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

IMAGE_TERMS = ("self_recon", "predict.image")
REFERENCE = {"self_recon": 1.31072}
"""hpcexp's default weight, to which the last column is scaled."""


def convert_to_means(
    weights: Mapping[str, float], *, num_summed: Mapping[str, float]
) -> dict[str, float]:
    """Weights of means: a sum over n elements is n times their mean."""
    return {name: weight * num_summed.get(name, 1.0) for name, weight in weights.items()}


def scale_to_images(weights: Mapping[str, float]) -> dict[str, float]:
    """The weights divided by the total of the image losses.

    Raises ValueError where there is no image loss of positive weight.
    """
    total = sum(weights.get(name, 0.0) for name in IMAGE_TERMS)
    if total <= 0:
        raise ValueError(f"there is no positive weight of {' or '.join(IMAGE_TERMS)}")
    return {name: weight / total for name, weight in weights.items()}


def parse_pairs(texts: Sequence[str]) -> dict[str, float]:
    """`name=number` texts.

    Raises ValueError for anything else.
    """
    pairs = {}
    for text in texts:
        name, _, number = text.partition("=")
        try:
            pairs[name] = float(number)
        except ValueError:
            raise ValueError(f"{text!r} is not NAME=NUMBER, such as predict.z=15360") from None
    return pairs


def main() -> int:
    """Print a table of the weights."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--weights", nargs="+", required=True, metavar="NAME=WEIGHT")
    parser.add_argument("--sums", nargs="*", default=[], metavar="NAME=NUM_ELEMENTS")
    options = parser.parse_args()
    try:
        means = convert_to_means(parse_pairs(options.weights), num_summed=parse_pairs(options.sums))
        relative = scale_to_images(means)
    except ValueError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    scale = REFERENCE["self_recon"] / means["self_recon"] if means.get("self_recon") else None
    print(f"{'term':16s} {'of means':>12s} {'images = 1':>12s} {'as hpcexp':>12s}")
    for name, weight in means.items():
        ours = f"{weight * scale:12.4g}" if scale else f"{'':>12s}"
        print(f"{name:16s} {weight:12.4g} {relative[name]:12.4g} {ours}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
