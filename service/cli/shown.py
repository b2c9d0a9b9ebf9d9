"""What the operators' commands share: the database, who decides, tables and JSON lines."""

import contextlib
import getpass
import os
import re
import sys
import unicodedata
from collections.abc import AsyncIterator, Sequence
from typing import TextIO

import asyncpg
import typer

from ..apply.operator_actions import Action, DecisionResult, Justification
from ..core.money import format_minor
from ..database.migrate import pending
from ..database.reach import in_words
from ..database.session import Pool, create_pool
from ..export.profiles.profile import Profiles
from ..restore.guard import Guard
from ..runtime.logs import configure_logging
from ..runtime.problems import OperatorError
from ..settings import LogFormat, Settings
from ..wiring import COMMAND, new_guard
from .errors import FAILED, USAGE, complain
from .lists import Listing, Row, identifier, place, sentence, word
from .tables import show

WHY_CHARACTERS_MAX = 500
WAYS = "--institution --id (--source), --topic --partition --offset"
OUTCOMES = Listing(
    "nothing was decided",
    (
        identifier("id"),
        identifier("fine_id"),
        identifier("patron_id"),
        identifier("profile"),
        word("done", colours={"yes": "green", "no": "red"}),
        sentence("outcome"),
        identifier("institution_id"),
        identifier("source"),
        word("record"),
        word("reason"),
        *place(),
        identifier("ce_id"),
    ),
)
_AGE = re.compile(r"([1-9][0-9]{0,8})([smhd]?)", re.ASCII)
_SECONDS = {"": 1, "s": 1, "m": 60, "h": 3_600, "d": 86_400}


@contextlib.asynccontextmanager
async def database(settings: Settings) -> AsyncIterator[Pool]:
    """For one command. What is logged meanwhile goes to standard error: the other has results."""
    configure_logging(settings.log_level, log_format(settings, sys.stderr))
    url = settings.database_url.get_secret_value()
    with in_words(url):
        if await pending(url):
            raise OperatorError("the database lacks revisions: run `bursar-bridge migrate`")
        pool = await create_pool(url, settings)
    async with pool:
        yield pool


@contextlib.asynccontextmanager
async def writing(settings: Settings) -> AsyncIterator[Guard]:
    """For one command that writes: first it is asked whether the database is older than Kafka.

    Raises OlderDatabase; CannotAsk while Kafka is away, for then nobody can tell.
    """
    async with database(settings) as pool:
        guard = new_guard(settings, pool)
        await guard.open((COMMAND,))
        try:
            yield guard
        finally:
            await guard.close()


async def refuse_older_database(settings: Settings) -> None:
    """The same question alone: for a command that first shows what it would write."""
    async with database(settings) as pool:
        await new_guard(settings, pool).ask()


def log_format(settings: Settings, stream: TextIO) -> LogFormat:
    """Text for whoever sits at a terminal with the table, unless the setting says otherwise."""
    if "log_format" in settings.model_fields_set or not stream.isatty():
        return settings.log_format
    return "console"


def misuse(rule: str) -> typer.Exit:
    """To be raised: the command was called in a way that has no meaning."""
    complain(rule)
    return typer.Exit(USAGE)


def no_such_profile(profiles: Profiles) -> typer.Exit:
    """To be raised: names those that there are."""
    codes = ", ".join(sorted(profile.code for profile in profiles.profiles))
    return misuse(f"--profile: must be one of {codes or 'none'}")


def said(reason: str, operator: str | None) -> Justification:
    """Who and why, as it will be kept."""
    for name, text in (("--reason", reason), ("--operator", operator)):
        if text is not None and not _is_text(text):
            raise misuse(f"{name}: must be a text of 1 to {WHY_CHARACTERS_MAX} characters")
    return Justification(operator.strip() if operator else _user(), reason.strip())


def _is_text(text: str) -> bool:
    controls = any(unicodedata.category(one) in ("Cc", "Cs") for one in text)
    return bool(text.strip()) and len(text) <= WHY_CHARACTERS_MAX and not controls


def _user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # in a container there may be a number without a name
        return f"uid {os.getuid()}"


def seconds_of(age: str | None) -> int | None:
    """An age such as 90, 45m, 12h, 3d in seconds."""
    if age is None:
        return None
    found = _AGE.fullmatch(age.strip())
    if found is None:
        raise misuse("--older-than: must be a number with s, m, h or d, such as 12h")
    return int(found[1]) * _SECONDS[found[2]]


def one_way(identity: Sequence[object], place: Sequence[object], *, every: bool) -> None:
    """A decision names its subject by identity or by place, whole, or takes --all."""
    ways = [any(part is not None for part in way) for way in (identity, place)]
    if sum(ways) + every != 1:
        raise misuse(f"name one of {WAYS}, --all")
    for way, named in zip((identity, place), ways, strict=True):
        if named and None in way:
            raise misuse(f"{WAYS}: all of one of them")


def show_told(outcomes: Sequence[DecisionResult], as_json: bool) -> None:
    """What became of each decision; ends the command with 1 if one was not done."""
    show(OUTCOMES, [_told(one) for one in outcomes], as_json)
    if not all(one.done for one in outcomes):
        raise typer.Exit(FAILED)


def _told(one: DecisionResult) -> Row:
    return {**one.subject, "done": one.done, "outcome": one.outcome}


def require(found: Sequence[object]) -> None:
    """Nothing found is no success."""
    if not found:
        complain("nothing found")
        raise typer.Exit(FAILED)


def confirm(verb: str, count: int, *, every: bool, yes: bool) -> None:
    """Asked before several are decided at once."""
    if every and not yes and not typer.confirm(f"{verb} {count}?", err=True):
        raise typer.Exit(FAILED)


def age(seconds: int) -> str:
    """The two largest units: 3d 4h."""
    parts: list[str] = []
    for name, size in (("d", 86_400), ("h", 3_600), ("m", 60), ("s", 1)):
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def money(minor: int | None, currency: str) -> str | None:
    return None if minor is None else format_minor(minor, currency)


def printed(row: asyncpg.Record, amounts: tuple[str, ...]) -> dict[str, object]:
    """A row of a view, its amounts with the currency's decimals."""
    values = dict(row.items())
    return values | {name: money(values[name], values["currency"]) for name in amounts}


def action_rows(actions: Sequence[Action]) -> list[Row]:
    return [
        {
            "recorded_at": one.recorded_at,
            "action": one.action,
            "operator": one.operator,
            "reason": one.reason,
            "outcome": one.outcome,
        }
        for one in actions
    ]
