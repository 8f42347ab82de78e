"""Did you mean ...: the known names that are nearest to one that is unknown."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher

from hpcexp.template.nodes import join_choices

_MAX_SUGGESTIONS = 3
_MIN_SCORE = 0.72
_MAX_LISTED = 12


def suggest(
    name: str, known: Iterable[str], *, meanings: Mapping[str, str] | None = None
) -> list[str]:
    """The known dotted names that `name` may stand for, nearest first, at most three.

    `z` finds `loss_weights.predict.z`, `channels` finds `vae_channels`, and where
    `meanings` are given, `learning_rate` finds `lr`, described as "Learning rate.".
    """
    wanted = _simplify(name)
    scores = {candidate: _score(wanted, _simplify(candidate)) for candidate in known}
    for candidate in scores:
        if _is_described_by(wanted, (meanings or {}).get(candidate, "")):
            scores[candidate] = max(scores[candidate], 0.9)
    best = max(scores.values(), default=0.0)
    near = [c for c, score in scores.items() if score >= max(_MIN_SCORE, best - 0.08)]
    return sorted(near, key=lambda c: (-scores[c], c))[:_MAX_SUGGESTIONS]


def describe_alternatives(
    name: str, known: Iterable[str], *, meanings: Mapping[str, str] | None = None
) -> str:
    """`; did you mean lr?`, or where nothing is near, `; there are: ...`."""
    names = list(known)
    near = suggest(name, names, meanings=meanings)
    if near:
        return f"; did you mean {join_choices(near)}?"
    if not names:
        return ""
    listed = ", ".join(names[:_MAX_LISTED])
    return f"; there are: {listed}" + (", ..." if len(names) > _MAX_LISTED else "")


def _simplify(name: str) -> str:
    return name.lower().replace("-", "_").strip()


def _score(wanted: str, candidate: str) -> float:
    if wanted == candidate:
        return 1.0
    if candidate.endswith(f".{wanted}"):
        return 0.95
    wanted_leaf, candidate_leaf = wanted.rpartition(".")[2], candidate.rpartition(".")[2]
    if wanted_leaf == candidate_leaf:
        return 0.85 + 0.1 * _ratio(wanted, candidate)
    scores = [_ratio(wanted, candidate), 0.95 * _ratio(wanted_leaf, candidate_leaf)]
    if len(wanted_leaf) >= 3 and wanted_leaf in candidate_leaf.split("_"):
        scores.append(0.8)
    return max(scores)


def _ratio(first: str, second: str) -> float:
    return SequenceMatcher(None, first, second).ratio()


def _is_described_by(wanted: str, meaning: str) -> bool:
    """Whether a description begins with the words of the name."""
    words = wanted.rpartition(".")[2].replace("_", " ")
    return len(words) >= 4 and meaning.lower().startswith(words)
