"""The command line within the test's own process, in an environment without servers."""

from __future__ import annotations

import pytest
from typer.testing import CliRunner, Result

from service.cli.program import application
from service.settings import Settings, variable_of

# Nobody listens on port 1.
NOWHERE = {
    "DATABASE_URL": "postgresql://library:Geheim-1@127.0.0.1:1/bursar",
    "KAFKA_BOOTSTRAP_SERVERS": "127.0.0.1:1",
}


def use_no_servers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Leaves the servers' addresses alone in the environment, and nobody listens at them."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    for name, value in NOWHERE.items():
        monkeypatch.setenv(name, value)


def call(*arguments: str) -> Result:
    """What a command says and how it ends."""
    return CliRunner().invoke(application, list(arguments))
