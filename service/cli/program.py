"""Puts the program `bursar-bridge` together from its commands, and adds `--version` and completion
by the tab key.
"""

from collections.abc import Callable
from enum import StrEnum
from typing import Annotated

import typer
from typer.completion import get_completion_inspect_parameters, install_callback, show_callback

from ..runtime.process import program_version
from .commands import export, files, intake, ledger, process, records, recovered

application = typer.Typer(
    name="bursar-bridge",
    help="Library fines to the bursar and back. Settings come from the environment "
    "(DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, BURSAR_...).",
    epilog="Exit codes: 0 done; 1 a check found faults or the command failed; 2 usage or settings; "
    "3 the database is older than Kafka, so nothing was written; 4 an import that is not complete; "
    "5 another session was in the way: try again later.",
    no_args_is_help=True,
    add_completion=False,  # see Shell
    pretty_exceptions_enable=False,
)
for module in (process, export, files, intake, ledger, records, recovered):
    application.add_typer(module.application)


class Shell(StrEnum):
    """The shells for which the program offers completion of commands and options by the tab key.

    The operator names the shell in the option. typer would guess the shell from the parent
    processes; in a container there are none, and under `sudo` they may be those of another shell.
    """

    BASH = "bash"
    ZSH = "zsh"


Answer = Callable[[typer.Context, typer.CallbackParam, Shell | None], None]


def _completion(callback: Callable[..., object]) -> Answer:
    def answer(context: typer.Context, option: typer.CallbackParam, shell: Shell | None) -> None:
        # A shell completes a program by its name; `python -m service` is not the name of one.
        if shell is not None and " " in (context.find_root().info_name or ""):
            raise typer.BadParameter("is for the installed program, bursar-bridge", context)
        callback(context, option, shell and shell.value)

    return answer


ShowCompletionOption = Annotated[
    Shell | None,
    typer.Option(
        "--show-completion",
        callback=_completion(show_callback),
        is_eager=True,
        help="Print the script that completes commands and options by the tab key.",
    ),
]
InstallCompletionOption = Annotated[
    Shell | None,
    typer.Option(
        "--install-completion",
        callback=_completion(install_callback),
        is_eager=True,
        help="Install that script for this user, in the shell's start file.",
    ),
]


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"bursar-bridge {program_version()}")
        raise typer.Exit


@application.callback()
def _common(
    _version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and end."
        ),
    ] = False,
    _show_completion: ShowCompletionOption = None,
    _install_completion: InstallCompletionOption = None,
) -> None:
    """Nothing to do before a command."""


def run() -> None:
    """Runs the command that the program's arguments name, and ends the process with the command's
    exit code.
    """
    # The script sets a variable and calls the program, which then prints the completions.
    get_completion_inspect_parameters()
    application()
