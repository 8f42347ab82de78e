"""How a run ended: as a state, in words, and what to do about it."""

from __future__ import annotations

from hpcexp.errors import HpcexpError, OwnLoopError, is_out_of_memory
from hpcexp.store.status import State


def choose_failure(error: Exception) -> State:
    """Failed, or out of memory."""
    return State.OUT_OF_MEMORY if is_out_of_memory(error) else State.FAILED


def explain(error: Exception) -> tuple[str, str]:
    """What went wrong in words, and what to do about it."""
    text = str(error).strip().splitlines()
    first = text[0] if text else ""
    if is_out_of_memory(error):
        where = "on the GPU" if "CUDA" in str(error) else "of the host"
        return (
            f"out of memory {where}: {first}" if first else f"out of memory {where}",
            "hpcexp retry --mem-gb asks for more, or make the model or batch smaller",
        )
    if isinstance(error, OSError) and error.strerror:
        name = f" ({error.filename})" if error.filename else ""
        return f"{error.strerror}{name}", "make room or mend the file system, then hpcexp resume"
    if isinstance(error, HpcexpError):
        return first, "hpcexp logs shows what it printed" if isinstance(error, OwnLoopError) else ""
    return f"{type(error).__name__}: {first}", "hpcexp logs shows the traceback"
