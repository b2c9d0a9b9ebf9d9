"""Each command is declared with the parameters of the function that does its work."""

from __future__ import annotations

import inspect
from typing import Annotated, get_args, get_origin

import pytest

import service.cli.program  # noqa: F401 - declares the commands
from service.cli.commands.declare import DECLARED, Declaration, work_of


def without_option(annotation: object) -> object:
    """The type of a parameter, without what the command line needs to know of it."""
    return get_args(annotation)[0] if get_origin(annotation) is Annotated else annotation


def parameters_of(function: Declaration) -> dict[str, object]:
    parameters = inspect.signature(function).parameters.values()
    return {parameter.name: without_option(parameter.annotation) for parameter in parameters}


@pytest.mark.parametrize(("declaration", "work"), DECLARED, ids=[work for _, work in DECLARED])
def test_the_work_of_a_command_takes_what_its_declaration_says(
    declaration: Declaration, work: str
) -> None:
    assert parameters_of(work_of(work)) == parameters_of(declaration)


def test_there_are_declarations() -> None:
    assert len(DECLARED) > 30
