"""Completion by the tab key: `--show-completion` and `--install-completion`, for bash and zsh.

typer guesses the shell from the processes above, which in an image or under `sudo` is none or
another one. Here the shell is named.
"""

from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_inspect_parameters, install_callback, show_callback


class Shell(StrEnum):
    BASH = "bash"
    ZSH = "zsh"


def _require_program(context: typer.Context, shell: Shell | None) -> None:
    """A shell completes a program by its name, and `python -m service` is not the name of one."""
    if shell is not None and " " in (context.find_root().info_name or ""):
        raise typer.BadParameter("is for the installed program, bursar-bridge", context)


def _show(context: typer.Context, option: typer.CallbackParam, shell: Shell | None) -> None:
    _require_program(context, shell)
    show_callback(context, option, shell and shell.value)


def _install(context: typer.Context, option: typer.CallbackParam, shell: Shell | None) -> None:
    _require_program(context, shell)
    install_callback(context, option, shell and shell.value)


ShowCompletionOption = Annotated[
    Shell | None,
    typer.Option(
        "--show-completion",
        callback=_show,
        is_eager=True,
        help="Print the script that completes commands and options by the tab key.",
    ),
]
InstallCompletionOption = Annotated[
    Shell | None,
    typer.Option(
        "--install-completion",
        callback=_install,
        is_eager=True,
        help="Install that script for this user, in the shell's start file.",
    ),
]


def answer_the_shell() -> None:
    """Lets the program answer the script: it then sets `_BURSAR_BRIDGE_COMPLETE`, and is called."""
    get_completion_inspect_parameters()
