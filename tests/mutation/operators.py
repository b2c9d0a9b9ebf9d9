"""The kinds of changes that make a mutant. Each stands for a fault that somebody could write."""

import ast
import copy
from collections.abc import Iterator
from functools import cache
from typing import TypeVar

from tests.mutation.targets import sources

ENUMERATIONS = {"Enum", "StrEnum", "IntEnum"}
COMPARISONS: dict[type[ast.cmpop], tuple[type[ast.cmpop], ...]] = {
    ast.Lt: (ast.LtE, ast.GtE),
    ast.LtE: (ast.Lt, ast.Gt),
    ast.Gt: (ast.GtE, ast.LtE),
    ast.GtE: (ast.Gt, ast.Lt),
    ast.Eq: (ast.NotEq,),
    ast.NotEq: (ast.Eq,),
    ast.Is: (ast.IsNot,),
    ast.IsNot: (ast.Is,),
    ast.In: (ast.NotIn,),
    ast.NotIn: (ast.In,),
}
ARITHMETIC: dict[type[ast.operator], type[ast.operator]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.FloorDiv: ast.Mult,
    ast.Mod: ast.Mult,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
CONDITIONS = {"test", "guard"}

N = TypeVar("N", bound=ast.AST)
Replacements = Iterator[tuple[str, ast.AST]]


def replacements(parent: ast.AST, field: str, node: ast.AST) -> Replacements:
    """What may stand instead of `node`, which is `field` of `parent`, each with its operator."""
    if isinstance(node, ast.expr) and (field in CONDITIONS or _is_filter(parent, field)):
        yield from _condition(parent)
    if isinstance(node, ast.Constant):
        yield from _constant(parent, node)
    elif isinstance(node, ast.expr):
        yield from _expression(node)
    if isinstance(node, ast.AugAssign | ast.BinOp) and type(node.op) in ARITHMETIC:
        yield "arithmetic", _with(node, op=ARITHMETIC[type(node.op)]())
    if isinstance(node, ast.stmt):
        yield from _statement(node)


def _expression(node: ast.expr) -> Replacements:
    match node:
        case ast.Compare(ops=[operator]):
            for other in COMPARISONS[type(operator)]:
                yield "comparison", _with(node, ops=[other()])
        case ast.BoolOp():
            yield from _boolean(node)
        case ast.UnaryOp(op=ast.Not() | ast.USub(), operand=operand):
            yield "sign", operand
        case ast.Call(keywords=keywords):
            for index, keyword in enumerate(keywords):
                if keyword.arg is not None:
                    yield "argument", _with(node, keywords=_without(keywords, index))
        case ast.Attribute(value=ast.Name(id=name), attr=member) if name in _members():
            yield "member", _with(node, attr=_neighbour(name, member))


def _condition(parent: ast.AST) -> Replacements:
    if not isinstance(parent, ast.While):  # it would never end
        yield "condition", ast.Constant(True)
    yield "condition", ast.Constant(False)


def _is_filter(parent: ast.AST, field: str) -> bool:
    return isinstance(parent, ast.comprehension) and field == "ifs"


def _constant(parent: ast.AST, node: ast.Constant) -> Replacements:
    match node.value:
        case bool(value):
            yield "constant", ast.Constant(not value)
        case int(value):
            yield "constant", ast.Constant(value + 1)
            if value > 0:
                yield "constant", ast.Constant(value - 1)
        case str(value):
            yield "constant", ast.Constant(f"{value}~")
        case bytes(value):
            yield "constant", ast.Constant(value + b"~")
        case None if isinstance(parent, ast.Return):
            yield "constant", ast.Constant(0)


def _boolean(node: ast.BoolOp) -> Replacements:
    """The other connective, and each operand left out."""
    yield "boolean", _with(node, op=ast.Or() if isinstance(node.op, ast.And) else ast.And())
    for index in range(len(node.values)):
        kept = _without(node.values, index)
        yield "operand", kept[0] if len(kept) == 1 else _with(node, values=kept)


def _statement(node: ast.stmt) -> Replacements:
    match node:
        case ast.Expr() | ast.AugAssign() | ast.Raise() | ast.Continue() | ast.Delete():
            yield "statement", ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield "statement", ast.Pass()
        case ast.Return(value=ast.expr() as value) if not isinstance(value, ast.Constant):
            yield "return", ast.Return(ast.Constant(None))


@cache
def _members() -> dict[str, list[str]]:
    """The members of each enumeration in the files that are mutated, by its name."""
    trees = [ast.parse(path.read_text("utf-8")) for path in sources()]
    return {
        node.name: [
            target.id
            for statement in node.body
            if isinstance(statement, ast.Assign)
            for target in statement.targets
            if isinstance(target, ast.Name)
        ]
        for tree in trees
        for node in tree.body
        if isinstance(node, ast.ClassDef)
        and any(isinstance(base, ast.Name) and base.id in ENUMERATIONS for base in node.bases)
    }


def _neighbour(name: str, member: str) -> str:
    """The next member of an enumeration, the first after the last."""
    members = _members()[name]
    return members[(members.index(member) + 1) % len(members)]


def _without(nodes: list[N], index: int) -> list[N]:
    return nodes[:index] + nodes[index + 1 :]


def _with(node: ast.AST, **fields: object) -> ast.AST:
    changed = copy.copy(node)
    for field, value in fields.items():
        setattr(changed, field, value)
    return changed
