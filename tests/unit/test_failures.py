"""The table of failures: which of them may end, and whose they are."""

from __future__ import annotations

import asyncpg
import pytest
from aiokafka.errors import KafkaConnectionError
from asyncpg import exceptions as postgres

from service.runtime import failures
from service.runtime.failures import Fenced, StaleRead
from service.runtime.problems import OperatorError, Unavailable

GROUPS = (
    "DATABASE_FAILURES",
    "TRANSIENT",
    "LOGIN_FAILED",
    "RETRYABLE",
    "TIME_LIMITS",
    "BAD_CONTENT",
    "SURROUNDINGS",
    "INTAKE_RETRIES",
    "RELAY_RETRIES",
)
DATABASE = {"DATABASE_FAILURES", "SURROUNDINGS", "RELAY_RETRIES"}
PASSING = DATABASE | {"TRANSIENT", "INTAKE_RETRIES"}


@pytest.mark.parametrize(
    ("error", "groups"),
    [
        (postgres.DeadlockDetectedError(), PASSING | {"RETRYABLE"}),
        (postgres.LockNotAvailableError(), PASSING | {"RETRYABLE", "TIME_LIMITS"}),
        (postgres.QueryCanceledError(), PASSING | {"TIME_LIMITS"}),
        (postgres.DiskFullError(), PASSING),
        (postgres.InvalidCachedStatementError(), PASSING | {"RETRYABLE"}),
        (asyncpg.OutdatedSchemaCacheError("a column"), PASSING | {"RETRYABLE"}),
        (postgres.UniqueViolationError(), DATABASE | {"RETRYABLE", "BAD_CONTENT"}),
        (postgres.CheckViolationError(), DATABASE | {"BAD_CONTENT"}),
        (postgres.UndefinedTableError(), DATABASE),
        (postgres.InvalidPasswordError(), DATABASE | {"LOGIN_FAILED"}),
        (postgres.InvalidCatalogNameError(), PASSING | {"LOGIN_FAILED"}),
        (TimeoutError(), PASSING | {"TIME_LIMITS"}),
        (ConnectionResetError(), PASSING),
        (StaleRead(), {"RETRYABLE", "BAD_CONTENT"}),
        (Fenced(), {"SURROUNDINGS", "INTAKE_RETRIES", "RELAY_RETRIES"}),
        (Unavailable(), {"SURROUNDINGS", "INTAKE_RETRIES", "RELAY_RETRIES"}),
        (OperatorError(), {"SURROUNDINGS"}),
        (KafkaConnectionError(), {"INTAKE_RETRIES", "RELAY_RETRIES"}),
        (KeyError(), set()),
    ],
    ids=lambda value: type(value).__name__,
)
def test_an_error_is_of_these_groups(error: Exception, groups: set[str]) -> None:
    assert {name for name in GROUPS if isinstance(error, getattr(failures, name))} == groups
