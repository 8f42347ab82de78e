"""Giving a directory its name, in one step also where another one has it."""

from __future__ import annotations

import ctypes
import errno
import os
import shutil
import uuid
from pathlib import Path

from hpcexp.store.layout import REMOVED_PREFIX

_AT_FDCWD, _RENAME_EXCHANGE = -100, 2


def put_in_place(aside: Path, final: Path) -> None:
    """Rename a directory; what had the name before is deleted.

    Readers see the old one or the new one. Where the system cannot exchange two names (not
    Linux, some network file systems) there is a moment in which there is none; a copy that is
    killed then is put in its place by the next one.
    """
    if not final.exists():
        aside.rename(final)
        return
    old = final.with_name(f"{REMOVED_PREFIX}{uuid.uuid4().hex[:12]}")
    if _exchange(aside, final):
        aside.rename(old)
    else:
        final.rename(old)
        aside.rename(final)
    shutil.rmtree(old, ignore_errors=True)


def _exchange(first: Path, second: Path) -> bool:
    """Whether the two names were exchanged."""
    try:
        rename = ctypes.CDLL(None, use_errno=True).renameat2
    except (OSError, AttributeError):
        return False
    names = (os.fsencode(first), os.fsencode(second))
    if rename(_AT_FDCWD, names[0], _AT_FDCWD, names[1], _RENAME_EXCHANGE) == 0:
        return True
    code = ctypes.get_errno()
    if code in (errno.ENOSYS, errno.EINVAL, errno.EOPNOTSUPP):
        return False
    raise OSError(code, os.strerror(code), str(second))
