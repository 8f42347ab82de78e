"""What depends on how long a run is planned to be. Imports no torch."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import BaseModel

from hpcexp.train.rates import CosineDecay


def find_budget_readers(config: BaseModel) -> tuple[str, ...]:
    """Dotted names of the schedules that read the length of the whole run.

    Those that count in fractions of the budget do, and the cosine, which ends with it.
    """
    return tuple(name for name, section in _walk(config, "") if _reads_budget(section))


def _reads_budget(section: BaseModel) -> bool:
    if isinstance(section, CosineDecay):
        return True
    # Half of no time is no time.
    return getattr(section, "unit", "") == "budget" and getattr(section, "duration", None) != 0


def _walk(section: BaseModel, prefix: str) -> Iterator[tuple[str, BaseModel]]:
    for name in type(section).model_fields:
        value = getattr(section, name)
        for item in value if isinstance(value, tuple) else (value,):
            if isinstance(item, BaseModel):
                yield f"{prefix}{name}", item
                yield from _walk(item, f"{prefix}{name}.")
