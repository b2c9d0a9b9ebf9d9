"""`bursar-bridge migrate`."""

import asyncio

import typer

from service.cli.errors import operator_errors, settings_or_exit
from service.database import migrate as migrations


def migrate() -> None:
    settings = settings_or_exit()
    with operator_errors():
        applied = asyncio.run(migrations.migrate(settings.database_url.get_secret_value()))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")
