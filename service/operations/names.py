"""How stored records are named: by what an operator says, and by what their bytes say."""

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

    A record is named by its identity, `institution_id`, `source` and `id`, or by its place,
    `topic`, `partition` and `offset`. At most `limit` records are returned.
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
    """What a record says of itself, even if its bytes break the contract; None if it says nothing.

    `lines` are bursar transaction ids, without leading zeros; `kind` is that of a payment or a
    change.
    """

    source: str | None = None
    id: str | None = None
    fine_id: str | None = None
    lines: frozenset[str] = frozenset()
    kind: str | None = None


def contract_of(topic: str) -> str:
    """The contract of a topic with whatever prefix. Raises KeyError for any other topic.

    If another record has taken a row's place, the row's topic is followed by `@` and a time.
    """
    name = topic.partition("@")[0]
    if name == IMPORT_TOPIC:
        return "bursar-payment.v1"
    for contract in CONTRACTS:
        if name.endswith(contract):
            return contract
    raise KeyError(topic)


def names_in(value: bytes | None) -> Names | None:
    """The names in a record of binary or structured mode; None if it is not a JSON object."""
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
        lines=frozenset(_lines(body)),
        kind=_text(body, "kind"),
    )


def text_of_names(names: Names) -> str:
    """The names as JSON, from which `names_of_text` makes them again.

    A text that cannot be an id is left out: it may be anything.
    """
    texts = {"source": names.source, "id": names.id, "fine_id": names.fine_id, "kind": names.kind}
    kept = {name: text for name, text in texts.items() if text is not None and _may_be_id(text)}
    return orjson.dumps({**kept, "lines": sorted(filter(_may_be_id, names.lines))}).decode()


def _may_be_id(text: str) -> bool:
    return 0 < len(text) <= ID_CHARACTERS_MAX and text.isprintable()


def names_of_text(text: str) -> Names:
    """The names that `text_of_names` has made a text of."""
    body = orjson.loads(text)
    return Names(**{**body, "lines": frozenset(body["lines"])})


def envelope_in(origin: Origin) -> list[str]:
    """The CloudEvents attributes and the content type of a record, each as "name: text".

    They are headers or, in structured mode, members of the value beside `data`.
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


def _lines(body: dict[str, object]) -> list[str]:
    refused = body.get("refused_lines")
    refused_lines = refused if isinstance(refused, list) else []
    parts = [body, *(part for part in refused_lines if isinstance(part, dict))]
    texts = [_text(part, "bursar_transaction_id") for part in parts]
    return [bursar_id(text) for text in texts if text is not None]


def _text(body: dict[str, object], name: str) -> str | None:
    value = body.get(name)
    return normalize("NFC", value) if isinstance(value, str) else None


def byte_patterns(text: str) -> list[bytes]:
    """The ways JSON may write a text: as it is, escaped to ASCII, with its slashes escaped."""
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
