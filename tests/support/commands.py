"""The program's commands as an operator calls them, on a database of a test's own."""

import asyncio
import json
from collections.abc import Callable, Mapping
from hashlib import sha256
from typing import Any

from typer.testing import CliRunner, Result

from service.cli.program import application
from tests.support.logs import logging_kept


class Commands:
    """Calls in a thread: a command has an event loop of its own."""

    def __init__(self, database_url: str, servers: str, **settings: str) -> None:
        self.database_url = database_url
        self.servers = servers
        self.environment = {
            "DATABASE_URL": database_url,
            "KAFKA_BOOTSTRAP_SERVERS": servers,
            # No such topics, so that nothing is compared; always the same for a database, which
            # belongs to one prefix.
            "BURSAR_TOPIC_PREFIX": f"c{sha256(database_url.encode()).hexdigest()[:8]}.",
            "COLUMNS": "300",
            **settings,
        }

    @property
    def topic_prefix(self) -> str:
        return self.environment["BURSAR_TOPIC_PREFIX"]

    async def call(self, *arguments: str, answer: str | None = None) -> Result:
        with logging_kept():
            return await asyncio.to_thread(
                CliRunner().invoke,
                application,
                list(arguments),
                input=answer,
                env=self.environment,
            )

    async def lines(self, *arguments: str, code: int = 0) -> list[Mapping[str, Any]]:
        """The objects of a call with --json."""
        ended = await self.call(*arguments, "--json")
        assert ended.exit_code == code, ended.output
        return [json.loads(line) for line in ended.stdout.splitlines()]


MakeCommands = Callable[..., Commands]
