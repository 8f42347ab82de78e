"""Files that are written whole or not at all, and read with an eye for damage."""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import uuid
from contextlib import suppress
from pathlib import Path
from typing import Any, TypeVar

from hpcexp.errors import HpcexpError, StorageError

_T = TypeVar("_T")


def write_text(path: Path, text: str) -> None:
    """Write beside and rename, so that a reader sees the old text or the new one.

    Bytes of a file name or an argument that are no UTF-8 (lone surrogates in Python) become
    `\\udc..`, which is also how JSON spells them.
    """
    write_bytes(path, text.encode("utf-8", errors="backslashreplace"))


def write_bytes(path: Path, content: bytes) -> None:
    """Write beside and rename, so that a reader sees the old bytes or the new ones.

    Raises OSError, with the path, where the file system refuses.
    """
    aside = path.with_name(f".{path.name}.{uuid.uuid4().hex[:8]}.tmp")
    try:
        with aside.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        aside.replace(path)
    except OSError as error:
        error.filename, error.filename2 = str(path), None  # nobody knows the hidden name
        raise
    finally:
        with suppress(OSError):  # a file system that is away: what counts is the error above
            aside.unlink(missing_ok=True)


def write_json(path: Path, value: Any) -> None:
    """Write a JSON file whole or not at all, readable by people."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False) + "\n")


def read_json(path: Path) -> Any:
    """Read a JSON file.

    Raises HpcexpError where it is missing or damaged, StorageError where it cannot be read.
    """
    try:
        return json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise HpcexpError(f"{path}: no such file; is this an experiment directory?") from error
    except ValueError as error:
        raise HpcexpError(f"{path}: damaged ({error})") from error
    except OSError as error:
        raise StorageError(f"{path}: cannot be read ({error.strerror})") from error


def read_record(path: Path, record_type: type[_T]) -> _T:
    """Read a JSON file into a dataclass; fields that this version does not know are ignored.

    Raises HpcexpError where it is missing, damaged, or lacks a field.
    """
    return build_record(read_json(path), record_type, path=path)


def build_record(values: Any, record_type: type[_T], *, path: Path) -> _T:
    """A dataclass from the values that `path` holds for it.

    Raises HpcexpError for something else than an object, or one that lacks a field.
    """
    if not isinstance(values, dict):
        raise HpcexpError(f"{path}: damaged (no {record_type.__name__}, but {values!r:.40})")
    names, required = _list_fields(record_type)  # type: ignore[arg-type]
    missing = [name for name in required if name not in values]
    if missing:
        raise HpcexpError(f"{path}: damaged (without {', '.join(missing)})")
    return record_type(**{name: values[name] for name in names if name in values})


@functools.cache
def _list_fields(record_type: type) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Names of all fields, and of those without a default; ten thousand records ask for them."""
    fields = dataclasses.fields(record_type)
    missing = dataclasses.MISSING
    required = [f for f in fields if f.default is missing and f.default_factory is missing]
    return tuple(f.name for f in fields), tuple(f.name for f in required)
