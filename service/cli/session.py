"""Gives a command what it works with: the profiles of the profiles file, and connections to the
database.
"""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Awaitable, Callable, Collection
from typing import TextIO, TypeVar

from ..apply.applier import Applier
from ..database.migrate import pending
from ..database.reach import in_words
from ..database.session import Connection, Pool, create_pool
from ..export.profiles.profile import NO_PROFILES, Profile, Profiles
from ..export.profiles.reading import read_profiles
from ..restore.guard import Writer
from ..runtime.logs import configure_logging
from ..runtime.problems import OperatorError
from ..settings import Settings
from ..settings.values import LogFormat
from ..wiring import COMMAND, new_applier, new_guard
from .errors import settings_or_exit, usage_error
from .problems import operator_errors

Result = TypeVar("Result")


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Pool]:
    """Opens the database connections of one command. Log lines go to standard error, because
    standard output is for the command's results.

    Raises OperatorError if the database lacks migrations of this release, and the errors of the
    database driver.
    """
    configure_logging(settings.log_level, log_format(settings, sys.stderr))
    url = settings.database_url.get_secret_value()
    with in_words(url):
        if await pending(url):
            raise OperatorError("the database lacks revisions: run `bursar-bridge migrate`")
        pool = await create_pool(url, settings)
    async with pool:
        yield pool


Question = Callable[[Connection], Awaitable[Result]]


def read_database(question: Question[Result], *, snapshot: bool = False) -> Result:
    """Does the work of a command that only reads: calls `question` with a database connection, and
    returns its result.

    With `snapshot`, everything that `question` reads is read in one transaction, from one snapshot
    of the database. Ends the command if the settings are faulty or the database cannot be read.
    """
    settings = settings_or_exit()
    with operator_errors():
        return asyncio.run(ask_database(settings, question, snapshot=snapshot))


async def ask_database(
    settings: Settings, question: Question[Result], *, snapshot: bool = False
) -> Result:
    """Calls `question` with a database connection, as `read_database` does, but leaves errors to
    the caller, which may also write. Raises what `database` raises.
    """
    async with database(settings) as pool, pool.acquire() as connection:
        if not snapshot:
            return await question(connection)
        async with connection.transaction(isolation="repeatable_read", readonly=True):
            return await question(connection)


@contextlib.asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[Writer]:
    """Opens the database for a command that writes, after comparing it with Kafka.

    Raises OlderDatabase if the database is older than the records in Kafka, and CannotAsk if Kafka
    does not answer.
    """
    async with database(settings) as pool:
        guard = new_guard(settings, pool)
        await guard.open((COMMAND,))
        try:
            yield guard.writer(COMMAND)
        finally:
            await guard.close()


def applier_of(settings: Settings, writer: Writer) -> Applier:
    """Returns the object through which a command writes to the ledger. Raises InvalidProfile."""
    file = settings.profiles_file
    profiles = NO_PROFILES if file is None else read_profiles(file)
    return new_applier(settings, writer, lambda: None, profiles=profiles)


async def raise_if_older(settings: Settings) -> None:
    """Raises OlderDatabase if the database is older than the records in Kafka; a command calls this
    before it shows what it would write.
    """
    async with database(settings) as pool:
        await new_guard(settings, pool).ask()


def log_format(settings: Settings, stream: TextIO) -> LogFormat:
    """Returns the format of log lines: readable text if the log goes to a terminal, unless
    BURSAR_LOG_FORMAT is set.
    """
    is_set = "log_format" in settings.model_fields_set
    return settings.log_format if is_set or not stream.isatty() else "console"


def required_profiles(settings: Settings, purpose: str) -> Profiles:
    """Reads the profiles. Raises OperatorError if no profiles file is configured; its text says for
    what `purpose` the file is required.
    """
    if settings.profiles_file is None:
        raise OperatorError(f"BURSAR_PROFILES_FILE: is required to {purpose}")
    return read_profiles(settings.profiles_file)


def profiles_named(profiles: Profiles, codes: Collection[str]) -> list[Profile]:
    """Returns the profiles that have these codes, in the order of the profiles file.

    If one of the codes is unknown, prints the codes that exist and ends the command with exit code
    2.
    """
    known = [profile.code for profile in profiles.profiles]
    if not set(codes) <= set(known):
        raise usage_error(f"--profile: must be one of {', '.join(sorted(known)) or 'none'}")
    return [profile for profile in profiles.profiles if profile.code in codes]
