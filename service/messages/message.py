"""What every outgoing record has: CloudEvents headers in binary mode, money and times as text."""

from collections.abc import Callable
from datetime import UTC, datetime
from functools import cache, lru_cache
from typing import NamedTuple

import orjson

from ..core.money import decimals
from .envelope import TYPE_PREFIX

Header = tuple[str, bytes]
Headers = tuple[Header, ...]
Members = dict[str, object]
Format = Callable[[int], str]

JSON = b"application/json"
XML = b"application/xml"

_SPECVERSION: Header = ("ce_specversion", b"1.0")


class Message(NamedTuple):
    """A record for Kafka, but for its topic."""

    key: bytes | None
    value: bytes | None
    headers: Headers


def headers_of(
    contract: str, ce_id: bytes, ce_source: str, time: datetime, subject: bytes, key: bytes
) -> Headers:
    """Those of an event of `contract` ("loan-closed.v1"), but for its content-type."""
    return (
        *attributes(contract, ce_id, ce_source, instant_bytes(time)),
        ("ce_subject", subject),
        ("ce_partitionkey", key),
    )


def attributes(contract: str, ce_id: bytes, ce_source: str, time: bytes) -> Headers:
    """The required ones."""
    source, kind = _source_and_type(ce_source, contract)
    return _SPECVERSION, ("ce_id", ce_id), source, kind, ("ce_time", time)


@lru_cache(maxsize=64)
def _source_and_type(ce_source: str, contract: str) -> tuple[Header, Header]:
    return ("ce_source", ce_source.encode()), ("ce_type", f"{TYPE_PREFIX}{contract}".encode())


def trace_of(traceparent: str | None) -> Headers:
    return () if traceparent is None else (("traceparent", traceparent.encode()),)


@lru_cache(maxsize=64)  # a poll's transactions share one instant
def instant_bytes(time: datetime) -> bytes:
    """RFC 3339 with `Z`, with microseconds if there are any, as in the JSON."""
    text = time.astimezone(UTC).replace(tzinfo=None).isoformat()
    return f"{text}Z".encode()


def json_bytes(members: Members) -> bytes:
    """Times in it are aware UTC."""
    return orjson.dumps(members, option=orjson.OPT_UTC_Z)


@cache
def format_of(currency: str) -> Format:
    """money.format_minor, made once per currency: a balance-changed has a dozen amounts."""
    digits = decimals(currency)
    if digits == 0:
        return str
    scale = 10**digits

    def amount(minor: int) -> str:
        whole, rest = divmod(abs(minor), scale)
        sign = "-" if minor < 0 else ""
        return f"{sign}{whole}.{rest:0{digits}d}"

    return amount
