"""`python -m hpcexp.worker.torch_report`: what torch sees on this machine, as a line of JSON.

In a process of its own, since a broken driver can hang or end the process that asks.
"""

from __future__ import annotations

import json
import sys
import time
import warnings
from typing import Any

from hpcexp.cpus import count_cpus


def describe_torch() -> dict[str, Any]:
    """Import torch, and let each GPU that it sees compute something."""
    start = time.perf_counter()
    import torch

    import_s = time.perf_counter() - start
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        has_cuda = torch.cuda.is_available()
    return {
        "version": torch.__version__,
        "import_s": import_s,
        "num_threads": torch.get_num_threads(),
        "num_cpus": count_cpus(),
        "cuda_build": torch.version.cuda or torch.version.hip,
        "problems": [str(w.message).splitlines()[0] for w in caught],
        "gpus": [_try_gpu(index) for index in range(torch.cuda.device_count() * has_cuda)],
    }


def _try_gpu(index: int) -> dict[str, Any]:
    import torch

    gpu = {"name": torch.cuda.get_device_name(index), "memory_gb": 0.0, "problem": ""}
    try:
        gpu["memory_gb"] = torch.cuda.get_device_properties(index).total_memory / 1e9
        total = torch.ones(1000, device=f"cuda:{index}").sum().item()
        if total != 1000.0:
            gpu["problem"] = f"it adds a thousand ones up to {total}"
    except RuntimeError as error:  # such as no kernels for this GPU, or no memory left
        gpu["problem"] = str(error).splitlines()[0]
    return gpu


if __name__ == "__main__":
    sys.stdout.write(json.dumps(describe_torch()) + "\n")
