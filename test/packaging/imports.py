"""What a module imports, read from its syntax tree."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path


def module_name(path: Path) -> str:
    """`tracker_core/siamfc/__init__.py` -> `tracker_core.siamfc`."""
    parts = path.with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


def _absolute(path: Path, node: ast.ImportFrom) -> str:
    if not node.level:
        return node.module or ''
    package = path.parent.parts[: len(path.parent.parts) - node.level + 1]
    return '.'.join((*package, *([node.module] if node.module else [])))


def _names(path: Path, node: ast.Import | ast.ImportFrom) -> list[str]:
    """Full names, `from a import b` as `a.b`: b may be a module."""
    if isinstance(node, ast.Import):
        return [alias.name for alias in node.names]
    return [f'{_absolute(path, node)}.{alias.name}' for alias in node.names]


def imports(path: Path, tree: ast.Module) -> list[str]:
    """Full names of everything imported anywhere in a module."""
    found = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import | ast.ImportFrom):
            found += _names(path, node)
    return found


def unconditional_imports(path: Path, tree: ast.Module) -> Iterator[str]:
    """Names whose absence keeps the module from loading: not in a function or a `try`."""
    waiting: list[ast.stmt] = list(tree.body)
    while waiting:
        node = waiting.pop()
        if isinstance(node, ast.Import | ast.ImportFrom):
            yield from _names(path, node)
        elif isinstance(node, ast.ClassDef | ast.With):
            waiting += node.body
        elif isinstance(node, ast.If) and 'TYPE_CHECKING' not in ast.unparse(node.test):
            waiting += node.body + node.orelse


def inside(name: str, package: str) -> bool:
    """Whether a full name lies in a package or is it."""
    return name == package or name.startswith(package + '.')
