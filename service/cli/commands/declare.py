"""Declares commands: their names, options and help; the work of a command is in another module.

The module with the work is imported only when the command runs. The module with a command's work
may import the database driver, the Kafka client and parsers; the modules with declarations import
none of them, so that `--help` and tab completion are quick.
"""

import inspect
from collections.abc import Callable, Iterator, Mapping
from contextvars import ContextVar
from dataclasses import fields, is_dataclass
from importlib import import_module
from itertools import chain
from typing import Final

import typer

Declaration = Callable[..., None]

# Every declaration, with the function that does its work, as "parked.release".
DECLARED: Final[list[tuple[Declaration, str]]] = []
# Options that select nothing: they say how something is shown, or why something is done.
NOT_SELECTING: Final = frozenset(
    {"as_json", "wide", "limit", "value", "yes", "reason", "operator", "out"}
)
_selection: ContextVar[str] = ContextVar("selection", default="")


def group(parent: typer.Typer, name: str, text: str) -> typer.Typer:
    """Adds a group of commands to `parent`; a call of the group without a command prints its help,
    `text`.
    """
    application = typer.Typer(help=text, no_args_is_help=True)
    parent.add_typer(application, name=name)
    return application


def command(
    application: typer.Typer, name: str, *, work: str
) -> Callable[[Declaration], Declaration]:
    """Returns a decorator that declares a command: the parameters of the decorated function are the
    command's options, its docstring is the help, and it has no body.

    `work` names the function that runs when the command is called, with the same parameters:
    "parked.release" means `release` of the module `parked` in the package service.cli. The fields
    of a parameter whose type is a dataclass become options of the command; the function gets an
    instance of the class.
    """

    def declare(declaration: Declaration) -> Declaration:
        parameters = inspect.signature(declaration).parameters.values()
        context_parameter = inspect.Parameter("context", _KEYWORD, annotation=typer.Context)
        options = [context_parameter, *chain.from_iterable(map(_options, parameters))]

        def run(context: typer.Context, **values: object) -> None:
            _selection.set(_selection_of(context))
            function = work_of(work)
            function(**{parameter.name: _argument(parameter, values) for parameter in parameters})

        vars(run)["__signature__"] = inspect.Signature(options)
        run.__annotations__ = {option.name: option.annotation for option in options}
        # A line of the source is no line of the help, which is as wide as the terminal.
        paragraphs = (inspect.getdoc(declaration) or "").split("\n\n")
        text = "\n\n".join(" ".join(paragraph.split()) for paragraph in paragraphs)
        application.command(name, help=text)(run)
        DECLARED.append((declaration, work))
        return declaration

    return declare


def work_of(name: str) -> Callable[..., None]:
    """Returns the function that does the work of a command, such as "parked.release"; imports its
    module.
    """
    module, _, function = name.partition(".")
    work: Callable[..., None] = getattr(import_module(f"..{module}", __package__), function)
    return work


def selection() -> str:
    """Returns the options with which the operator has selected records for the running command, as
    a text for messages such as "no batch matches --state refused".
    """
    return _selection.get()


_KEYWORD: Final = inspect.Parameter.KEYWORD_ONLY


def _options(parameter: inspect.Parameter) -> Iterator[inspect.Parameter]:
    group = parameter.annotation
    is_group = isinstance(group, type) and is_dataclass(group)
    options = inspect.signature(group).parameters.values() if is_group else [parameter]
    return (option.replace(kind=_KEYWORD) for option in options)


def _argument(parameter: inspect.Parameter, values: Mapping[str, object]) -> object:
    group = parameter.annotation
    if isinstance(group, type) and is_dataclass(group):
        return group(**{field.name: values[field.name] for field in fields(group)})
    return values[parameter.name]


def _selection_of(context: typer.Context) -> str:
    parts: list[str] = []
    for parameter in context.command.params:
        name, value = parameter.name, context.params.get(parameter.name or "")
        is_option = parameter.opts[0].startswith("-")
        if not is_option or name in NOT_SELECTING or value in (None, parameter.default):
            continue
        parts.append(parameter.opts[0])
        if not isinstance(value, bool):
            parts += map(str, value if isinstance(value, list | tuple) else [value])
    return " ".join(parts)
