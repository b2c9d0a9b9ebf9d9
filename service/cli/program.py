"""The program `bursar-bridge`: its commands, its version, and completion by the tab key."""

from typing import Annotated

import typer

from ..runtime.process import collect_garbage_seldom, program_version
from .commands import export, files, ledger, process, records, restore_check
from .completion import (
    InstallCompletionOption,
    ShowCompletionOption,
    answer_the_shell,
)

application = typer.Typer(
    name="bursar-bridge",
    help="Library fines to the bursar and back. Settings come from the environment "
    "(DATABASE_URL, KAFKA_BOOTSTRAP_SERVERS, BURSAR_...).",
    epilog="Exit codes: 0 done; 1 a check found faults or the command failed; 2 usage or settings; "
    "3 the database is older than Kafka, so nothing was written; 4 an import that is not complete; "
    "5 another session was in the way: try again later.",
    no_args_is_help=True,
    add_completion=False,  # typer would guess the shell: service/cli/completion.py
    pretty_exceptions_enable=False,
)
for module in (process, export, files, ledger, records, restore_check):
    application.add_typer(module.application)


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


def main() -> None:
    """The entry point of the program `bursar-bridge`."""
    collect_garbage_seldom()
    answer_the_shell()
    application()
