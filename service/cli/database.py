"""`bursar-bridge migrate`."""

import asyncio

import typer

from ..database import migrate as migrations
from ..database.reach import in_words
from .errors import operator_errors, settings_or_exit


def migrate() -> None:
    settings = settings_or_exit()
    url = settings.database_url.get_secret_value()
    with operator_errors(), in_words(url):
        applied = asyncio.run(migrations.migrate(url))
    typer.echo(f"{applied} applied" if applied else "nothing to apply")
