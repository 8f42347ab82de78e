"""A laboratory's own workloads: named in a template by where their code is, kept where it is.

`package.module:Class` is a class that follows the protocol of `hpcexp.train.workload`, and
`package` a package with the two doors of the built-in workloads, `config` and `workload`.
"""

from __future__ import annotations

from hpcexp.workloads.own.load import Declared, build_own, check_own, find_own
from hpcexp.workloads.own.reference import is_own

__all__ = ["Declared", "build_own", "check_own", "find_own", "is_own"]
