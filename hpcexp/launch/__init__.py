"""From a template to running jobs: planning, submission, and what becomes of the jobs.

Called, it is `hpcexp.api.launch`: what people type as `hpcexp.launch("template.yaml")` is the
name of this package as well, and Python gives a module and a function of one name one place.
"""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import Any


class _CallablePackage(ModuleType):
    def __call__(self, *args: Any, **options: Any) -> Any:
        # By its name, since the interface stands above this package, and imports it.
        return import_module("hpcexp.api").launch(*args, **options)


sys.modules[__name__].__class__ = _CallablePackage
