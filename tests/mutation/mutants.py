"""The mutants of a source file: each is the file with one small change of its syntax tree."""

import ast
import copy
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import CodeType

from tests.mutation.operators import replacements
from tests.mutation.targets import ROOT

# Their arguments are names for the type checker, or they only say what cannot happen.
SKIPPED_CALLS = {"NewType", "TypeVar", "assert_never"}
# An assertion stops on a fault of the program; without it a correct program does the same.
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef, ast.Lambda)
SKIPPED_NODES = (ast.Assert, ast.Import, ast.ImportFrom)
SKIPPED_FIELDS = {"annotation", "returns", "decorator_list", "format_spec", "ctx"}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one file. `number` counts the mutants of the file in the order of its tree.

    `function_line` is the line of the `def` of its function, and None if an import runs its line.
    `occurrence`, from 1: which of the mutants with the same text of the line and the same change.
    """

    source: str  # from the root of the repository
    number: int
    line_number: int
    line: str
    operator: str
    change: str
    function_line: int | None
    occurrence: int = 1

    @property
    def name(self) -> str:
        return f"{self.source}:{self.line_number} {self.operator}: {self.change}"

    @property
    def is_in_function(self) -> bool:
        """Whether only a call runs its line, and no import does."""
        return self.function_line is not None


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a node hangs in the tree, its line, and the line of the function that has it."""

    parent: ast.AST
    field: str
    index: int | None
    line_number: int
    function_line: int | None

    def put(self, node: ast.AST) -> None:
        if self.index is None:
            setattr(self.parent, self.field, node)
        else:
            getattr(self.parent, self.field)[self.index] = node


def mutants_of(path: Path) -> list[Mutant]:
    """All mutants of a file; the same list for the same text."""
    text = path.read_text("utf-8")
    lines = text.splitlines()
    source = str(path.relative_to(ROOT))
    counts: Counter[tuple[str, str, str]] = Counter()
    mutants = []
    for number, (place, operator, before, after) in enumerate(_mutations(ast.parse(text))):
        line = lines[place.line_number - 1].strip()
        change = _change(before, after)
        counts[line, operator, change] += 1
        occurrence = counts[line, operator, change]
        mutants.append(
            Mutant(
                source,
                number,
                place.line_number,
                line,
                operator,
                change,
                place.function_line,
                occurrence,
            )
        )
    return mutants


def code_of(mutant: Mutant) -> CodeType:
    """The compiled module of the mutant's file, with its change."""
    path = ROOT / mutant.source
    tree = ast.parse(path.read_text("utf-8"))
    for number, (place, _, before, after) in enumerate(_mutations(tree)):
        if number == mutant.number:
            place.put(ast.copy_location(copy.deepcopy(after), before))
            return compile(ast.fix_missing_locations(tree), str(path), "exec")
    raise LookupError(f"{mutant.source} has no mutant {mutant.number}")


def _mutations(tree: ast.Module) -> Iterator[tuple[_Place, str, ast.AST, ast.AST]]:
    for place, node in _places(tree, 1, None):
        for operator, after in replacements(place.parent, place.field, node):
            yield place, operator, node, after


def _places(
    parent: ast.AST, line_number: int, function_line: int | None
) -> Iterator[tuple[_Place, ast.AST]]:
    for field, value in ast.iter_fields(parent):
        if field in SKIPPED_FIELDS:
            continue
        inside = function_line
        if isinstance(parent, FUNCTIONS) and field == "body":
            # A lambda is part of the function that has it.
            inside = inside if isinstance(parent, ast.Lambda) and inside else parent.lineno
        children = enumerate(value) if isinstance(value, list) else [(None, value)]
        for index, child in children:
            if not isinstance(child, ast.AST) or _is_skipped(child):
                continue
            line = getattr(child, "lineno", line_number)
            yield _Place(parent, field, index, line, inside), child
            yield from _places(child, line, inside)


def _is_skipped(node: ast.AST) -> bool:
    if isinstance(node, ast.Expr):
        is_docstring = isinstance(node.value, ast.Constant)
        return is_docstring or _is_skipped(node.value)
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Name):
        return node.func.id in SKIPPED_CALLS
    return isinstance(node, SKIPPED_NODES)


def _change(before: ast.AST, after: ast.AST) -> str:
    if isinstance(before, ast.Call) and isinstance(after, ast.Call):
        (left_out,) = (keyword for keyword in before.keywords if keyword not in after.keywords)
        return f"{_shown(left_out)} -> nothing"
    return f"{_shown(before)} -> {_shown(after)}"


def _shown(node: ast.AST) -> str:
    """On one line, as short as it can be recognised."""
    text = " ".join(ast.unparse(node).split())
    return text if len(text) <= 100 else f"{text[:60]} ... {text[-35:]}"
