"""A record written otherwise, with the same content (contracts.md, 1)."""

from __future__ import annotations

from random import Random

from tests.oracle.records import Data
from tests.oracle.texts import CAPS

BETWEEN = (" ", "  ", "\t", "\u00a0 ", "\r\n", "\x0c", "\u2028", "\ufdd0 ")
AT_THE_ENDS = ("", " ", "\u200f", "\u00a0", "\x00", "\u0098")


def respelled(random: Random, data: Data) -> Data:
    """The record with other blanks in its free texts, marks that are dropped, and padded ids."""
    return {name: _respelled(random, name, member) for name, member in data.items()}


def _respelled(random: Random, name: str, member: object) -> object:
    if isinstance(member, dict):
        return respelled(random, member)
    if isinstance(member, list):
        return [_respelled(random, name, each) for each in member]
    if not isinstance(member, str):
        return member
    if name == "bursar_transaction_id":
        return member.zfill(random.choice((len(member), 20)))
    if name not in CAPS:
        return member
    text = random.choice(BETWEEN).join(member.split(" "))
    return random.choice(AT_THE_ENDS) + text + random.choice(AT_THE_ENDS)
