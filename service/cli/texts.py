"""Instants, ages and amounts as people write and read them."""

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
    """The instant that an option names, None without the option. Exits with 2 if it is none."""
    moment = values.instant(text)
    if text is not None and moment is None:
        raise usage_error(f"{option}: {values.INSTANT_RULE}")
    return moment


def age(seconds: int) -> str:
    """An age in its two largest units, such as 3d 4h."""
    parts: list[str] = []
    for name, size in _SECONDS.items():
        count, seconds = divmod(seconds, size)
        if count or (name == "s" and not parts):
            parts.append(f"{count}{name}")
    return " ".join(parts[:2])


def parse_age(text: str | None) -> int | None:
    """The seconds of an age such as 90, 45m, 12h, 3d; None without one. Exits with 2."""
    if text is None:
        return None
    match = _AGE.fullmatch(text.strip())
    if match is None:
        raise usage_error("--older-than: must be a number with s, m, h or d, such as 12h")
    return int(match[1]) * _SECONDS[match[2] or "s"]


def money(minor: int | None, currency: str | None) -> str | None:
    """An amount of minor units with the decimals of its currency; None where one is missing."""
    return None if minor is None or currency is None else format_minor(minor, currency)


def with_money(row: asyncpg.Record, amounts: Iterable[str]) -> dict[str, object]:
    """A row that has a `currency`; its `amounts`, in minor units, with the currency's decimals."""
    return {**row, **{name: money(row[name], row["currency"]) for name in amounts}}


def removed_after(days: int | None) -> str | None:
    """What stands in place of what the purge has removed; None if it is still there."""
    return None if days is None else f"removed after {counted(days, 'day')}"


def counted(count: int, noun: str) -> str:
    """A count with its noun: 1 fine, 2 fines."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"
