"""
Which module of the templates builds a resource.

A stack is built by the module of its name, which leaves some of its resources
to others: the alarms of `observability` stand in `watches`, the deployer's
grants in `deploy_grants`. Logical ids are never put together, so whoever
builds a resource has written its id: the module is found by reading, and no
list of them grows old.
"""

from __future__ import annotations

import ast
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Final

_TEMPLATES: Final = Path(__file__).parents[1] / "templates"
_WHERE: Final = "stacks/templates"


@cache
def built_by(stack: str, logical_id: str) -> str:
    """
    Say which file builds a resource, to be opened by whoever mends it.

    Returns:
        The file that makes something under this id; the stack's own where it does, where nobody does, and for no id.
    """
    modules = list(_reached_from(stack))
    builder = next((module for module in modules if logical_id in _made_in(module)), stack)
    return f"{_WHERE}/{builder}.py"


def _reached_from(stack: str) -> Iterator[str]:
    """Give a module of the templates and those it imports, the nearest first."""
    known, waiting = set[str](), [stack]
    while waiting:
        module = waiting.pop(0)
        if module not in known and (_TEMPLATES / f"{module}.py").is_file():
            known.add(module)
            yield module
            waiting += _imported_by(module)


def _imported_by(module: str) -> list[str]:
    found: list[str] = []
    for node in ast.walk(_tree(module)):
        match node:
            case ast.ImportFrom(module="stacks.templates"):
                found += [each.name for each in node.names]
            case ast.ImportFrom(module=str(name)) if name.startswith("stacks.templates."):
                found.append(name.rpartition(".")[2])
    return found


@cache
def _made_in(module: str) -> frozenset[str]:
    """Give every text a module hands to a call, or gives things by: resources' ids are among them."""
    constants = dict(_constants(module))
    named: set[str] = set()
    for node in ast.walk(_tree(module)):
        match node:
            case ast.Call():
                handed = [*node.args, *(keyword.value for keyword in node.keywords)]
            case ast.Dict():
                handed = [key for key in node.keys if key]
            case _:
                continue
        texts = (constants.get(each.id, each) if isinstance(each, ast.Name) else each for each in handed)
        named |= {each.value for each in texts if isinstance(each, ast.Constant) and isinstance(each.value, str)}
    return frozenset(named)


def _constants(module: str) -> Iterator[tuple[str, ast.expr]]:
    for node in _tree(module).body:
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value:
            yield node.target.id, node.value


@cache
def _tree(module: str) -> ast.Module:
    return ast.parse((_TEMPLATES / f"{module}.py").read_text(encoding="utf-8"))
