"""The command line. Exit codes: 0 done, 1 failed, 2 usage, 3 older database, 4 import cut off."""

from typing import Annotated

import typer

from ..runtime.collector import look_for_cycles_seldom
from ..runtime.version import program_version
from .commands import (
    batches,
    check,
    database,
    deliver,
    erase,
    export,
    held,
    import_file,
    parked,
    payments,
    quarantined,
    reconcile,
    rejected,
    reports,
    restore_check,
    run,
    topics,
)
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
application.command("run")(run.run)
application.command("migrate")(database.migrate)
application.add_typer(export.application, name="export")
application.command("deliver")(deliver.deliver)
application.command("import")(import_file.import_file)
application.command("check")(check.check)
application.add_typer(topics.application, name="topics")
application.command("reconcile")(reconcile.reconcile_books)
application.add_typer(restore_check.application, name="restore-check")
application.command("balance")(reports.balance)
application.command("history")(reports.show_history)
application.add_typer(payments.application, name="payments")
application.add_typer(batches.batches, name="batches")
application.command("erase")(erase.erase_patron)
application.add_typer(parked.application, name="parked")
application.add_typer(held.application, name="held")
application.add_typer(rejected.application, name="rejected")
application.add_typer(quarantined.application, name="quarantined")


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
    look_for_cycles_seldom()
    answer_the_shell()
    application()
