"""The hyperparameters of a function or class of the user's, read from its source.

The source is read and not run: a module that imports torch costs nothing here, and one that
does something when it is imported does nothing.
"""

from __future__ import annotations

import ast
import difflib
import functools
import operator
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hpcexp.workloads.own_loop.config import Value

HANDLE, CONFIG = "run", "config"
_TYPES: dict[str, Any] = {"int": int, "float": float, "str": str, "bool": bool}
_Function = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Parameter:
    """A hyperparameter: the type that its values must have, and its default, if it has one."""

    name: str
    type: Any
    has_default: bool = False
    default: Any = None


@dataclass(frozen=True)
class Signature:
    """What can be given; `is_open`: and anything else besides."""

    parameters: tuple[Parameter, ...]
    is_open: bool


def read_function(reference: str, *, project_dir: Path) -> Signature:
    """The signature of `package.module:function`.

    Its parameter `run` is the handle; one called `config` is given all hyperparameters, those
    of the dataclass that it is annotated with or any; all others are hyperparameters.
    Raises ValueError where it cannot be found, with its file and line where that helps.
    """
    path, body, name = _find(reference, project_dir=project_dir)
    found = _find_named(body, name, (ast.FunctionDef,))
    if found is None:
        raise _missing(reference, path, body, name, what="function")
    assert isinstance(found, ast.FunctionDef)
    return _read_arguments(found, body, skip=(HANDLE,))


def read_class(reference: str, *, project_dir: Path) -> Signature:
    """The signature of the `__init__` of `package.module:Class`; raises as `read_function`."""
    path, body, name = _find(reference, project_dir=project_dir)
    found = _find_named(body, name, (ast.ClassDef,))
    if found is None:
        raise _missing(reference, path, body, name, what="class")
    assert isinstance(found, ast.ClassDef)
    if _is_dataclass(found):
        return Signature(tuple(_read_fields(found)), is_open=False)
    init = next(
        (i for i in found.body if isinstance(i, ast.FunctionDef) and i.name == "__init__"), None
    )
    if init is not None:
        return _read_arguments(init, body, skip=("self",))
    for base in found.bases:  # of one in the same module; another's is not looked for
        if isinstance(base, ast.Name) and _find_named(body, base.id, (ast.ClassDef,)):
            module = reference.partition(":")[0]
            return read_class(f"{module}:{base.id}", project_dir=project_dir)
    return Signature((), is_open=True)


def find_module(module: str, *, project_dir: Path) -> Path | None:
    """The source of a module of the project, or of what is installed; nothing is imported."""
    place = Path(*module.split("."))
    entries = [project_dir, *(Path(entry) for entry in sys.path if entry)]
    for entry in entries:
        for path in (entry / place.with_suffix(".py"), entry / place / "__init__.py"):
            if path.is_file():
                return path
    return None


def _find(reference: str, *, project_dir: Path) -> tuple[Path, list[ast.stmt], str]:
    module, colon, name = reference.partition(":")
    if not colon or not name.isidentifier() or not all(p.isidentifier() for p in module.split(".")):
        raise ValueError(f"{reference!r} is not of the form package.module:name")
    path = find_module(module, project_dir=project_dir)
    if path is None:
        raise ValueError(
            f"no module {module} in {project_dir} or among what is installed; launch from the "
            "directory that holds it"
        )
    try:
        return path, ast.parse(path.read_text(encoding="utf-8")).body, name
    except SyntaxError as error:
        raise ValueError(f"{path}, line {error.lineno}: {error.msg}") from None
    except (OSError, ValueError) as error:
        raise ValueError(f"{path} cannot be read: {error}") from None


def _find_named(
    body: Sequence[ast.stmt], name: str, kinds: tuple[type[ast.stmt], ...]
) -> ast.stmt | None:
    found = [s for s in body if isinstance(s, kinds) and getattr(s, "name", "") == name]
    return found[-1] if found else None


def _missing(
    reference: str, path: Path, body: Sequence[ast.stmt], name: str, *, what: str
) -> ValueError:
    kind: type[ast.stmt] = ast.FunctionDef if what == "function" else ast.ClassDef
    names = [str(getattr(s, "name", "")) for s in body if isinstance(s, kind)]
    near = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {near[0]}?" if near else f"there are: {', '.join(names) or 'none'}"
    plural = "classes" if what == "class" else f"{what}s"
    return ValueError(f"{reference}: {path} defines no {what} {name}; of {plural}, {hint}")


def _read_arguments(
    function: _Function, body: Sequence[ast.stmt], *, skip: tuple[str, ...]
) -> Signature:
    given = function.args
    positional = [*given.posonlyargs, *given.args]
    defaults: list[ast.expr | None] = [None] * (len(positional) - len(given.defaults))
    pairs = [*zip(positional, [*defaults, *given.defaults], strict=True)]
    pairs += [*zip(given.kwonlyargs, given.kw_defaults, strict=True)]
    parameters: list[Parameter] = []
    is_open = given.kwarg is not None
    for argument, default in pairs:
        if argument.arg in skip:
            continue
        if argument.arg != CONFIG:
            parameters.append(_make_parameter(argument.arg, argument.annotation, default))
            continue
        declared = argument.annotation
        found = (
            _find_named(body, declared.id, (ast.ClassDef,))
            if isinstance(declared, ast.Name)
            else None
        )
        if isinstance(found, ast.ClassDef) and _is_dataclass(found):
            parameters += _read_fields(found)
        else:
            is_open = True
    return Signature(tuple(parameters), is_open)


def _is_dataclass(node: ast.ClassDef) -> bool:
    names = [d.func if isinstance(d, ast.Call) else d for d in node.decorator_list]
    return any(getattr(name, "id", getattr(name, "attr", "")) == "dataclass" for name in names)


def _read_fields(node: ast.ClassDef) -> Iterator[Parameter]:
    for statement in node.body:
        if isinstance(statement, ast.AnnAssign) and isinstance(statement.target, ast.Name):
            yield _make_parameter(statement.target.id, statement.annotation, statement.value)


def _make_parameter(name: str, annotation: ast.expr | None, default: ast.expr | None) -> Parameter:
    if default is None:
        return Parameter(name, _read_type(annotation, None))
    try:
        value = ast.literal_eval(default)
    except ValueError:  # an expression: whoever leaves it out gets what it gives
        return Parameter(name, Value, has_default=True, default=_Unknown)
    if isinstance(value, tuple):
        value = list(value)
    if not isinstance(value, bool | int | float | str | list | dict | None):
        return Parameter(name, Value, has_default=True, default=_Unknown)
    return Parameter(name, _read_type(annotation, value), has_default=True, default=value)


class _Unknown:
    """Stands for a default that only running the code would tell."""


def is_known(parameter: Parameter) -> bool:
    """Whether it has a default whose value can be told."""
    return parameter.has_default and parameter.default is not _Unknown


def _read_type(annotation: ast.expr | None, default: Any) -> Any:
    """The type of a simple annotation, else of the default, else anything."""
    if annotation is None:
        by_default = {bool: bool, int: int | float, float: float, str: str}
        return by_default.get(type(default), Value)
    text = ast.unparse(annotation).strip("'\"").replace(" ", "")
    if text.startswith("Optional[") and text.endswith("]"):
        text = f"{text[len('Optional[') : -1]}|None"
    names = text.split("|")
    if not all(name in _TYPES or name == "None" for name in names):
        return Value
    return functools.reduce(operator.or_, (_TYPES.get(name) for name in names))
