"""Finds out which stored record is meant: from what an operator enters, and from the ids in the
bytes of the record.
"""

from collections.abc import Collection
from contextlib import suppress
from dataclasses import dataclass
from unicodedata import normalize

import orjson

from ..core.ledger import Origin
from ..messages.decode import CONTRACTS, read_json
from ..messages.values import Fault, bursar_id

IMPORT_TOPIC = "import"  # of a line of a bursar's file that was rejected before it was published
LIMIT_MAX = 1_000_000
ENVELOPE_CHARACTERS_MAX = 200
ID_CHARACTERS_MAX = 100
_ATTRIBUTES = ("specversion", "id", "source", "type", "time", "subject", "datacontenttype")
_IDS = ("payment_id", "change_id", "response_id", "fine_id")


@dataclass(frozen=True, slots=True, kw_only=True)
class RecordFilter:
    """Which stored records a command is about; a field that is None allows any value.

    A record is selected by its business identity, `institution_id`, `source` and `id`, or by its
    place in Kafka, `topic`, `partition` and `offset`. At most `limit` records are returned.
    """

    institution_id: str | None = None
    source: str | None = None
    id: str | None = None
    topic: str | None = None
    partition: int | None = None
    offset: int | None = None
    limit: int = LIMIT_MAX


@dataclass(frozen=True, slots=True)
class Names:
    """The ids that a record contains, even if its bytes break the contract; a field is None if the
    record has no such id.

    `bursar_transaction_ids` have no leading zeros; `kind` is the kind of a payment or of a change
    in the library.
    """

    source: str | None = None
    id: str | None = None
    fine_id: str | None = None
    bursar_transaction_ids: frozenset[str] = frozenset()
    kind: str | None = None

    def has_any(self, fine_ids: Collection[str], bursar_transaction_ids: Collection[str]) -> bool:
        """Returns whether the record names one of these fines or one of these export lines."""
        return self.fine_id in fine_ids or not self.bursar_transaction_ids.isdisjoint(
            bursar_transaction_ids
        )


def contract_of(topic: str) -> str:
    """Returns the contract of an input topic, whatever the prefix of its name. Raises KeyError if
    the topic belongs to no contract.

    The name may end with `@` and a time: the topic of a stored record is renamed in this way if it
    was created again and another record now has the same partition and offset.
    """
    name = topic.partition("@")[0]
    if name == IMPORT_TOPIC:
        return "bursar-payment.v1"
    for contract in CONTRACTS:
        if name.endswith(contract):
            return contract
    raise KeyError(topic)


def names_in(value: bytes | None) -> Names | None:
    """Returns the ids in the value of a record, which may be a CloudEvent in binary or structured
    mode; None if the value is not a JSON object.
    """
    try:
        body = read_json(value)
    except Fault:
        return None
    if isinstance(body, dict) and isinstance(body.get("data"), dict) and "specversion" in body:
        body = body["data"]
    if not isinstance(body, dict):
        return None
    return Names(
        source=_text(body, "source"),
        id=next((text for name in _IDS if (text := _text(body, name)) is not None), None),
        fine_id=_text(body, "fine_id"),
        bursar_transaction_ids=frozenset(_bursar_transaction_ids(body)),
        kind=_text(body, "kind"),
    )


def text_of_names(names: Names) -> str:
    """Returns the ids as JSON text, which `names_of_text` reads again.

    A value that is too long or not printable is left out, because it cannot be an id and may be any
    text.
    """
    texts = {"source": names.source, "id": names.id, "fine_id": names.fine_id, "kind": names.kind}
    kept = {name: text for name, text in texts.items() if text is not None and _may_be_id(text)}
    bursar_transaction_ids = sorted(filter(_may_be_id, names.bursar_transaction_ids))
    return orjson.dumps({**kept, "lines": bursar_transaction_ids}).decode()


def _may_be_id(text: str) -> bool:
    return 0 < len(text) <= ID_CHARACTERS_MAX and text.isprintable()


def names_of_text(text: str) -> Names:
    """Returns the ids that a rejected record names, from the JSON text of `text_of_names`."""
    body = orjson.loads(text)
    bursar_transaction_ids = frozenset(body.pop("lines"))
    return Names(**body, bursar_transaction_ids=bursar_transaction_ids)


def envelope_in(origin: Origin) -> list[str]:
    """The CloudEvents attributes and the content type of a record, each as "name: text".

    The CloudEvents attributes are headers of the record or, in structured mode, members of its JSON
    beside `data`.
    """
    attributes: list[tuple[str, object]] = [
        (name, value.decode(errors="replace"))
        for name, value in origin.headers
        if name.startswith("ce_") or name.lower() == "content-type"
    ]
    with suppress(Fault):
        body = read_json(origin.value)
        if isinstance(body, dict) and "specversion" in body:
            attributes += [(name, body[name]) for name in _ATTRIBUTES if name in body]
    texts = (
        f"{name}: {value[:ENVELOPE_CHARACTERS_MAX] if isinstance(value, str) else 'no string'}"
        for name, value in attributes
    )
    # A byte of a header's name that is not UTF-8 is a lone surrogate, which cannot be printed.
    return [text.encode(errors="backslashreplace").decode() for text in texts]


def _bursar_transaction_ids(body: dict[str, object]) -> list[str]:
    refused = body.get("refused_lines")
    refused_lines = refused if isinstance(refused, list) else []
    parts = [body, *(part for part in refused_lines if isinstance(part, dict))]
    texts = [_text(part, "bursar_transaction_id") for part in parts]
    return [bursar_id(text) for text in texts if text is not None]


def _text(body: dict[str, object], name: str) -> str | None:
    value = body.get(name)
    return normalize("NFC", value) if isinstance(value, str) else None


def byte_patterns(text: str) -> list[bytes]:
    """Returns the byte sequences by which JSON may write a text: as it is, with all but ASCII
    characters escaped, or with its slashes escaped.
    """
    as_is = orjson.dumps(text)[1:-1].decode()
    escaped = ("".join(_escaped(letter, case) for letter in as_is) for case in ("x", "X"))
    forms = {form.encode() for form in (as_is, *escaped)}
    return sorted(forms | {form.replace(b"/", b"\\/") for form in forms})


def _escaped(character: str, case: str) -> str:
    if character.isascii():
        return character
    units = character.encode("utf-16-be")
    codes = (int.from_bytes(units[n : n + 2]) for n in range(0, len(units), 2))
    return "".join(f"\\u{code:04{case}}" for code in codes)
