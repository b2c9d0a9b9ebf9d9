"""`bursar-bridge migrate`."""

import asyncio

import typer

from service.cli.errors import operator_errors, settings_or_exit
from service.database import migrate as migrations
from service.database.reach import in_words


def migrate() -> None:
    settings = settings_or_exit()
    url = settings.database_url.get_secret_value()
    with operator_errors(), in_words(url):
        applied = asyncio.run(migrations.migrate(url))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")
