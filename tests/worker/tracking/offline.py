"""Reading what Weights & Biases keeps offline."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any


def read_wandb(path: Path) -> Iterator[Any]:
    """The records of an offline run: after a header, blocks of 32 KiB as LevelDB's log has them."""
    internal: Any = import_module("wandb.proto.wandb_internal_pb2")
    content, place, text = path.read_bytes(), 7, b""
    assert content[:4] == b":W&B"
    while place + 7 <= len(content):
        if 32768 - place % 32768 < 7:  # no room for another head in this block
            place += 32768 - place % 32768
            continue
        length, kind = int.from_bytes(content[place + 4 : place + 6], "little"), content[place + 6]
        text += content[place + 7 : place + 7 + length]
        place += 7 + length
        if kind in (1, 4):  # whole, or the last part
            yield internal.Record.FromString(text)
            text = b""


def read_history(path: Path) -> list[dict[str, Any]]:
    """The entries of an offline run, by name."""
    return [
        {"/".join(item.nested_key) or item.key: json.loads(item.value_json) for item in row}
        for row in (r.history.item for r in read_wandb(path) if r.HasField("history"))
    ]
