"""The names of CuPy that our code uses, and whether CuPy has them with such arguments.

    cd tests && python -m support.cupy_names

looks up the names in the CuPy that this Python imports, which needs no GPU, and writes what it
found, under the version of CuPy, to cupy_names.json.
"""

from __future__ import annotations

import ast
import inspect
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
TABLE = Path(__file__).with_suffix(".json")
FOLDERS = ("python/cml_fast", "benchmarks")
# What code for NumPy and CuPy alike calls the module of its arrays.
NAMESPACE = "xp"

# By version and name; as between the parentheses of a definition, with "..." for each default. None
# where there is nothing to call, or CuPy does not say how.
Table = dict[str, dict[str, str | None]]


@dataclass(frozen=True)
class Use:
    name: str  # as "cupy.cuda.Device"
    place: str
    call: ast.Call | None


def uses_in(code: str, place: str) -> Iterator[Use]:
    """Where a program names something in CuPy, or calls it."""
    tree = ast.parse(code)
    calls = {id(node.func): node for node in ast.walk(tree) if isinstance(node, ast.Call)}
    inner = {id(node.value) for node in ast.walk(tree) if isinstance(node, ast.Attribute)}
    for node in ast.walk(tree):
        if isinstance(node, ast.ImportFrom) and re.match(r"cupyx?\b", node.module or ""):
            for alias in node.names:
                yield Use(f"{node.module}.{alias.name}", f"{place}:{node.lineno}", None)
        if isinstance(node, ast.Attribute) and id(node) not in inner:
            names = ast.unparse(node)
            root, _, rest = names.partition(".")
            if re.fullmatch(r"[\w.]+", names) and root in ("cupy", "cupyx", NAMESPACE):
                name = f"{'cupy' if root == NAMESPACE else root}.{rest}"
                yield Use(name, f"{place}:{node.lineno}", calls.get(id(node)))


def uses() -> list[Use]:
    return [
        use
        for folder in FOLDERS
        for path in sorted((ROOT / folder).rglob("*.py"))
        for use in uses_in(path.read_text(), str(path.relative_to(ROOT)))
    ]


def problems(use: Use, table: Table) -> Iterator[str]:
    """Why a use would fail in a version of the table."""
    for version, names in table.items():
        what = f"{use.place}: {use.name} of CuPy {version}"
        if use.name not in names:
            yield f"{what} does not exist, or was not looked up (python -m support.cupy_names)"
            continue
        if use.call is None:
            continue
        parameters = names[use.name]
        if parameters is None:
            yield f"{what} cannot be called"
            continue
        signature = inspect.signature(eval(f"lambda {parameters}: None"))
        positional = [part for part in use.call.args if not isinstance(part, ast.Starred)]
        keywords = {part.arg: None for part in use.call.keywords if part.arg is not None}
        whole = len(positional) == len(use.call.args) and len(keywords) == len(use.call.keywords)
        try:
            bind = signature.bind if whole else signature.bind_partial
            bind(*[None] * len(positional), **keywords)
        except TypeError as error:
            yield f"{what} takes ({parameters}): {error}"


# --- making the table -------------------------------------------------------------------------


def look_up(name: str) -> Any:
    """What a name means in the CuPy that is installed; AttributeError if nothing."""
    root, *rest = name.split(".")
    found = import_module(root)
    for i, part in enumerate(rest):
        try:
            found = getattr(found, part)
        except AttributeError:
            try:
                found = import_module(".".join([root, *rest[: i + 1]]))
            except ImportError:
                raise AttributeError(name) from None
    return found


def parameters_of(found: Any) -> str | None:
    if not callable(found):
        return None
    try:
        parameters = inspect.signature(found).parameters.values()
    except (TypeError, ValueError):
        return parameters_in(found.__doc__ or "")
    empty = inspect.Parameter.empty
    plain = [
        one.replace(annotation=empty, default=empty if one.default is empty else ...)
        for one in parameters
    ]
    return str(inspect.Signature(plain))[1:-1].replace("Ellipsis", "...")


def parameters_in(documentation: str) -> str | None:
    """Those of compiled functions are in the first line, with types, as in C."""
    first = documentation.partition("\n")[0].replace("\\", "")
    found = re.match(r"\w+\((.*)\)( -> \w+)?$", first)
    if found is None:
        return None
    # No default in CuPy has a comma.
    parts = (part.strip().partition("=") for part in found[1].split(",") if part.strip())
    return ", ".join(name.split()[-1] + ("=..." if equals else "") for name, equals, _ in parts)


def main() -> None:
    import cupy

    names: dict[str, str | None] = {}
    for name in sorted({use.name for use in uses()}):
        try:
            names[name] = parameters_of(look_up(name))
        except AttributeError:
            print(f"CuPy {cupy.__version__} has no {name}")
    table: Table = json.loads(TABLE.read_text()) if TABLE.exists() else {}
    # One version of each major one.
    major = cupy.__version__.partition(".")[0]
    table = {version: old for version, old in table.items() if version.partition(".")[0] != major}
    table[cupy.__version__] = names
    TABLE.write_text(json.dumps(table, indent=2, sort_keys=True) + "\n")


if __name__ == "__main__":
    main()
