"""Converts instants, ages and amounts between values of the program and texts that operators write
and read.
"""

import re
from collections.abc import Iterable
from datetime import datetime

import asyncpg

from ..core.money import format_minor
from ..messages import values
from .errors import usage_error

_AGE = re.compile(r"([1-9][0-9]{0,8})([smhd]?)", re.ASCII)
_SECONDS = {"d": 86_400, "h": 3_600, "m": 60, "s": 1}


def parse_instant(option: str, text: str | None) -> datetime | None:
    """Returns the instant that an operator has given as the value of an option; None if the option
    was not given. Ends the command with exit code 2 if the text is no instant.
    """
    moment = values.instant(text)
    if text is not None and moment is None:
        raise usage_error(f"{option}: {values.INSTANT_RULE}")
    return moment


def age(seconds: int) -> str:
    """Returns an age as text, in its two largest units, such as 3d 4h."""
    parts: list[str] = []
    for name, size in _SECONDS.items():
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def parse_age(text: str | None) -> int | None:
    """Returns the seconds of an age such as 90, 45m, 12h or 3d; None for None. Ends the command
    with exit code 2 for another text.
    """
    if text is None:
        return None
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise usage_error("--older-than: must be a number with s, m, h or d, such as 12h")
    return int(match[1]) * _SECONDS[match[2] or "s"]


def money(minor: int | None, currency: str | None) -> str | None:
    """Returns an amount in minor units (cents) as text with the decimals of its currency; None if
    the amount or the currency is None.
    """
    return None if minor is None or currency is None else format_minor(minor, currency)


def with_money(row: asyncpg.Record, amounts: Iterable[str]) -> dict[str, object]:
    """Returns the row with those of its columns that `amounts` names converted from minor units to
    text with the decimals of the row's `currency`.
    """
    return {**row, **{name: money(row[name], row["currency"]) for name in amounts}}


def removed_after(days: int | None) -> str | None:
    """Returns the text that is shown instead of data which the purge has removed; None if `days` is
    None because the data is still there.
    """
    return None if days is None else f"removed after {counted(days, 'day')}"


def counted(count: int, noun: str) -> str:
    """Returns a count with its noun in singular or plural, such as 1 fine or 2 fines."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
