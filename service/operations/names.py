"""Whom a stored record names, read from its bytes also where they break the contract."""

from dataclasses import dataclass
from unicodedata import normalize

import orjson

from ..messages import CONTRACTS
from ..messages.envelope import read_json
from ..messages.values import Fault

IMPORT_TOPIC = "import"  # rejected before it was published: a line of a bursar's file
_OWN_IDS = ("payment_id", "change_id", "response_id")


@dataclass(frozen=True, slots=True)
class Names:
    """What a record says it is and is about; None where it does not say."""

    institution_id: str | None
    source: str | None
    id: str | None
    fine_id: str | None
    lines: frozenset[str]  # bursar transaction ids
    kind: str | None = None  # of a payment or a change


NOBODY = Names(None, None, None, None, frozenset())


def contract_of(topic: str) -> str:
    """The contract of a topic, whatever its prefix. Raises KeyError.

    A row whose place is another record's by now has the time it was recorded behind an `@`.
    """
    name = topic.partition("@")[0]
    if name == IMPORT_TOPIC:
        return "bursar-payment.v1"
    for contract in CONTRACTS:
        if name.endswith(contract):
            return contract
    raise KeyError(topic)


def names_in(value: bytes | None) -> Names | None:
    """In binary or structured mode; None for what is no JSON object."""
    try:
        body = read_json(value)
    except Fault:
        return None
    if isinstance(body, dict) and isinstance(body.get("data"), dict) and "specversion" in body:
        body = body["data"]
    if not isinstance(body, dict):
        return None
    own = next((text for name in _OWN_IDS if (text := _text(body, name)) is not None), None)
    return Names(
        institution_id=_text(body, "institution_id"),
        source=_text(body, "source"),
        id=own or _text(body, "fine_id"),
        fine_id=_text(body, "fine_id"),
        lines=frozenset(_lines(body)),
        kind=_text(body, "kind"),
    )


def _lines(body: dict[str, object]) -> list[str]:
    refused = body.get("refused_lines")
    parts = (
        [part for part in refused if isinstance(part, dict)] if isinstance(refused, list) else []
    )
    found = [_text(part, "bursar_transaction_id") for part in (body, *parts)]
    return [text for text in found if text is not None]


def _text(body: dict[str, object], name: str) -> str | None:
    value = body.get(name)
    return normalize("NFC", value) if isinstance(value, str) else None


def needles(text: str) -> list[bytes]:
    """The ways JSON may write a text: as it is, escaped to ASCII, with its slashes escaped."""
    as_is = orjson.dumps(text)[1:-1].decode()
    forms = {as_is, *("".join(_escaped(one, case) for one in as_is) for case in ("x", "X"))}
    both = {form.encode() for form in forms}
    return sorted(both | {form.replace(b"/", b"\\/") for form in both})


def _escaped(character: str, case: str) -> str:
    if character.isascii():
        return character
    units = character.encode("utf-16-be")
    codes = (int.from_bytes(units[n : n + 2]) for n in range(0, len(units), 2))
    return "".join(f"\\u{code:04{case}}" for code in codes)
