"""Source files as texts and syntax trees, which several tests of the source share."""

from __future__ import annotations

import ast
from functools import cache, lru_cache
from pathlib import Path

# As many as the service has. More trees would slow the garbage collector in all other tests.
TREES_MAX = 300


@cache
def text_of(path: Path) -> str:
    """The content of a file."""
    return path.read_text("utf-8")


@lru_cache(TREES_MAX)
def nodes_of(path: Path) -> tuple[ast.AST, ...]:
    """Every node of the syntax tree of a file of Python, in the order of `ast.walk`."""
    return tuple(ast.walk(ast.parse(text_of(path))))


def tree_of(path: Path) -> ast.Module:
    """The syntax tree of a file of Python."""
    root = nodes_of(path)[0]
    assert isinstance(root, ast.Module)
    return root
