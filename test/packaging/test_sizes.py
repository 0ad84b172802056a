"""Functions and files stay small enough to be read in one go."""

from __future__ import annotations

import ast
import statistics
from collections.abc import Iterator
from pathlib import Path

Sources = dict[Path, ast.Module]
Function = ast.FunctionDef | ast.AsyncFunctionDef


def functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, Function):
            yield node


def length(function: Function) -> int:
    """Lines from `def` to the end, without the docstring."""
    lines = (function.end_lineno or 0) - function.lineno + 1
    if ast.get_docstring(function) is not None:
        docstring = function.body[0]
        lines -= (docstring.end_lineno or 0) - docstring.lineno + 1
    return lines


def test_length_leaves_out_the_docstring() -> None:
    tree = ast.parse("def f():\n    '''One.\n\n    Two.\n    '''\n    return 1\n")
    assert [length(function) for function in functions(tree)] == [2]


def test_files_have_at_most_400_lines(repository: Path, sources: Sources) -> None:
    sizes = {path: len((repository / path).read_text().splitlines()) for path in sources}
    assert {path: size for path, size in sizes.items() if size > 400} == {}


def test_functions_are_short(sources: Sources) -> None:
    sizes = {
        f'{path}:{function.lineno} {function.name}': length(function)
        for path, tree in sources.items()
        for function in functions(tree)
    }
    assert {name: size for name, size in sizes.items() if size > 60} == {}
    assert statistics.median(sizes.values()) <= 12
    assert statistics.quantiles(sizes.values(), n=10)[-1] <= 35
