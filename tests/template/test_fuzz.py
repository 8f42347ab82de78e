"""Whatever a template or an option holds, the answer is a template or a TemplateError."""

from __future__ import annotations

import contextlib
import json
import tempfile
from pathlib import Path
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from hpcexp.errors import TemplateError
from hpcexp.template import load_template
from hpcexp.template.document import TEMPLATE_KEYS

NAMES = st.sampled_from(
    [*TEMPLATE_KEYS, "lr", "batch_size", "dataset", "loss_weights", "predict", "z", "kind",
     "loss_weights.predict.z", "symmetry", "vae_channels", "smoke", "timeout", "sbatch", "a.b",
     "..", "", "dataset.kind", "exclude", "lr.x", "vae_channels.0"]
)  # fmt: skip
SCALARS = st.sampled_from(
    [None, True, 0, 1, -1, 1.5, 1e300, float("inf"), 10**30, "", "sps", "off", "12h", "t.yaml",
     "\0", "a\nb", "bounce", "x" * 5000, "\ud800", "../t.yaml", "1_000"]
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=8,
)


@settings(max_examples=400, deadline=None)
@given(
    document=st.dictionaries(st.sampled_from(TEMPLATE_KEYS), VALUES, max_size=6),
    knows_workload=st.booleans(),
    overrides=st.lists(st.tuples(NAMES, NAMES, VALUES), max_size=2),
    profile=st.sampled_from([None, "smoke", ""]),
)
def test_loading_never_fails_in_another_way(
    document: dict[str, Any],
    knows_workload: bool,
    overrides: list[tuple[str, str, Any]],
    profile: str | None,
) -> None:
    if knows_workload:
        document = {**document, "workload": "sps"}
    options = [f"{top}.{rest}={json.dumps(value)}" for top, rest, value in overrides]
    with tempfile.TemporaryDirectory() as folder, contextlib.suppress(TemplateError):
        path = Path(folder) / "t.yaml"
        path.write_text(json.dumps(document))
        template = load_template(path, profile=profile, overrides=options)
        assert len(template.runs()) == template.num_runs
        json.dumps([template.config_for(group) for group in template.groups()], allow_nan=False)
