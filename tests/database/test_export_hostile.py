"""Hostile texts stop no run and change no total: what the contract lets in is printed and read."""

from __future__ import annotations

import json
from unicodedata import normalize

from hypothesis import event, given
from hypothesis import strategies as st

from service.core.events import FineCreated
from service.core.ledger import Fine
from service.core.words import Considered, Status
from service.export.batch import USER_NAME, clean, totals_of_batch
from service.export.build import batch_of, line_of
from service.export.candidates import candidate_of
from service.export.selection import Exclusion, exclusion_of, local_date
from service.export.xml.proof import prove
from service.export.xml.read import ReadPatron, read
from service.export.xml.write import render
from service.messages.decode import parse
from tests.golden.batches import any_text
from tests.oracle.texts import cleaned
from tests.support.batches import manifest_in_run
from tests.support.exports import (
    all_fine_ids,
    check_sealed,
    fine_ids,
    fines,
    held_back,
    only,
    patron,
    profiles_with,
    run,
)
from tests.support.inputs import Data, binary, fine_created
from tests.support.inputs import record as origin_of
from tests.support.write_path import Record, WritePath, fine, outbox_of

CONTROLS = "a\tb\nc\rd\r\ne"
HOSTILE = {
    "markup": " xmlns:xsi=\"x\" xsi:nil='true'></xb:sum><xb:sum>1</xb:sum><!--&amp;&#0;",
    "cdata": "<![CDATA[x]]>]]>&<>\"'",
    "blanks": CONTROLS,
    "only_blanks_and_a_letter": " \t x \u3000",
    "line_ends": "a\u2028b\u2029c",
    "joined_emoji": "👩\u200d🔬🏳\ufe0f\u200d🌈",
    "combining": "e" + "\u0301\u0323" * 45,
    "right_to_left": "שלום עולם — مرحبا بالعالم",
    "invisible": "a\u200bb\u00adc\ufeffd\u2060",
    "private_and_tags": "\ue000\U000f0000\U000e0041",
    "looks_like_a_reference": "goodwill ref 10000000018 OVERDUEFINE",
    "formula": '=cmd|"/c calc"!A1',
}
TEXTS = ("call_number", "library", "location", "internal_location", "barcode")


def everywhere(text: str, name: str) -> Data:
    """In every text there is, also where it is longer than what is kept."""
    return fine_created(
        fine_id=name,
        patron={
            "patron_id": name,
            "name": text,
            "user_group": cleaned(text, 100),
            "identifiers": [{"type": "02", "value": name}],
        },
        owner={"library_id": "1", "library_code": "MAIN", "library_name": text},
        comment=text,
        item={"title": text, **dict.fromkeys(TEXTS, text)},
        amount="12.34",
    )


async def read_back(path: WritePath) -> list[ReadPatron]:
    """Sealed, valid, and of the same totals everywhere; then read by our own reader."""
    await check_sealed(path)
    (sent,) = await outbox_of(path.pool, "export-batch.v1")
    assert sent.value is not None
    return list(read(sent.value).patrons)


async def test_hostile_texts_are_printed_as_they_are_but_for_what_becomes_a_blank(
    path: WritePath,
) -> None:
    long = {f"long_{n}": part * (1_500 // len(part)) for n, part in enumerate(("&", "🙂", "]]>"))}
    texts = HOSTILE | long
    await path.take(*(fine(**everywhere(text, name)) for name, text in texts.items()))
    assert await path.value("SELECT count(*) FROM rejected") == 0
    await run(path, profiles_with())
    result = {item.match_value: item for item in await read_back(path)}
    assert result.keys() == texts.keys()
    for name, text in texts.items():
        (line,) = result[name].lines
        assert result[name].name == cleaned(text, 300), name
        assert line.texts["comment"] == cleaned(text, 2000), name
        assert line.texts["item_title"] == cleaned(text, 1000), name
        for field in TEXTS:
            assert line.texts[f"item_{field}"] == cleaned(text, 300), (name, field)
        assert line.paid.amount == 12_34


async def test_codes_and_ids_may_hold_anything_that_is_printed_as_it_is(path: WritePath) -> None:
    """Types and owners are summed by their code: markup in them changes no sum."""
    codes = {name: text.strip() for name, text in HOSTILE.items() if clean(text) == text}
    records = [
        fine(
            fine_id=f"{text}{n}",
            patron=patron(text, identifiers=[{"type": "02", "value": text}]),
            type=kind,
            owner={"library_id": "007", "library_code": text, "library_name": ""},
            amount="1.00",
        )
        for text in codes.values()
        for n, kind in enumerate(("OVERDUEFINE", text))
    ]
    await path.take(*records)
    assert await path.value("SELECT count(*) FROM rejected") == 0
    await run(path, profiles_with(fine_types=["OVERDUEFINE", *codes.values()]))
    result = await read_back(path)
    assert {item.match_value for item in result} == {
        normalize("NFC", item) for item in codes.values()
    }
    assert {line.texts["library_code"] for item in result for line in item.lines} == {
        normalize("NFC", item) for item in codes.values()
    }
    (manifest,) = await check_sealed(path)
    by_owner = manifest["by_owner"]
    assert isinstance(by_owner, list)
    assert {item["total"] for item in by_owner} == {"2.00"}


async def test_ids_of_any_script_are_claimed_in_one_order_in_batches_of_one(
    path: WritePath,
) -> None:
    """The order of the bytes: an astral character comes after every other."""
    ids = ["a", "Z", "é", "z", "\uff5e", "\U0001f600", "\U00010000", "\ue000", "ß", "~", "a b"]
    await path.take(*(fine(fine_id=f"F{item}", patron=patron(item)) for item in ids))
    await run(path, profiles_with(1))
    expected = sorted(ids, key=str.encode)
    assert fine_ids(await check_sealed(path)) == [[f"F{item}"] for item in expected]


BROKEN = "A\u2028B"  # is a line's end, which no code may have; as a text it becomes a blank


def broken(name: str, **overrides: object) -> Record:
    return fine(fine_id=name, amount="1.00", **{"patron": patron(name), **overrides})


async def test_a_fine_whose_code_cannot_be_printed_as_it_is_waits_and_the_rest_goes_on(
    path: WritePath,
) -> None:
    owner = {"library_id": "1", "library_code": BROKEN, "library_name": ""}
    identifiers = [{"type": "02", "value": BROKEN}]
    await path.take(
        *fines(3),
        broken("type", type=BROKEN),
        broken("owner", owner=owner),
        broken("identifier", patron=patron("identifier", identifiers=identifiers)),
        broken("text", patron=patron("text", name=BROKEN), comment=BROKEN),
    )
    await run(path, profiles_with(fine_types=["OVERDUEFINE", BROKEN]))
    (manifest,) = await check_sealed(path)
    assert all_fine_ids([manifest]) == ["F-00000", "F-00001", "F-00002", "text"]
    assert held_back(manifest) == {"bad_text": 3}
    assert await path.value("SELECT count(*) FROM fine WHERE status = 'Active'") == 3


async def test_what_no_contract_lets_in_and_the_tables_have_all_the_same_stops_no_run(
    path: WritePath,
) -> None:
    """By another release's rules, or by hand: control characters, noncharacters, bidi controls."""
    await path.take(*fines(3))
    text = "E'a\\x01\\x1b\\u0085\\u202e\\ufffe\\uffff\\ufdd0b'"
    await path.pool.execute(
        f"UPDATE patron SET name = {text} WHERE patron_id = 'P-00000'"  # no input
    )
    await path.pool.execute(f"UPDATE fine SET comment = {text}")  # no input
    await path.pool.execute(
        "UPDATE patron SET identifiers = '[[\"02\", \"A\\u0001\"]]' WHERE patron_id = 'P-00001'"
    )
    await run(path, profiles_with())
    result = await read_back(path)
    assert [item.match_value for item in result] == ["A0", "A2"]
    assert result[0].name == result[0].lines[0].texts["comment"] == "a   \u202e  \ufdd0b"
    (manifest,) = await check_sealed(path)
    assert held_back(manifest) == {"bad_text": 1}


PROFILE = only(profiles_with())
BIDI = "\u061c\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u2068\u2069"
_lets_in = st.characters(exclude_categories=("Cc", "Cs", "Cn"), exclude_characters=BIDI)
_id = st.text(_lets_in | st.sampled_from("\u2028&<>]"), min_size=1, max_size=8)
# Now and then a text that is refused, lone surrogates and all.
_text = st.one_of(
    st.text(_lets_in | st.sampled_from("\t\n\r\u2028\u2029&<>]"), min_size=1, max_size=12),
    st.sampled_from(sorted(HOSTILE.values())),
    any_text(max_size=1),
)


def _people() -> st.SearchStrategy[Data]:
    named = st.fixed_dictionaries({"type": st.sampled_from(("02", "02", "01")), "value": _id})
    return st.fixed_dictionaries(
        {
            "patron_id": _id,
            "name": _text,
            "user_group": _text,
            "identifiers": st.lists(named, min_size=1, max_size=2),
        }
    )


def _items() -> st.SearchStrategy[Data]:
    return st.fixed_dictionaries({"title": _text}, optional=dict.fromkeys(TEXTS, _text))


@st.composite
def hostile_fines(draw: st.DrawFn) -> Data:
    """As a library system might send them."""
    code = {
        "library_id": st.just("1"),
        "library_code": _id | st.just(BROKEN),
        "library_name": _text,
    }
    return fine_created(
        fine_id=draw(_id),
        patron=draw(_people()),
        type=draw(st.sampled_from(["OVERDUEFINE", "LOSTITEMREPLACEMENTFEE"])),
        owner=draw(st.none() | st.fixed_dictionaries(code)),
        comment=draw(st.none() | _text),
        item=draw(st.none() | _items()),
    )


@given(hostile_fines())
def test_what_the_contract_lets_in_and_the_selection_lets_out_is_printed_and_read(
    data: Data,
) -> None:
    contract = "fine-created.v1"
    value = json.dumps(data).encode()  # escaped: a lone surrogate has no bytes of its own
    read_as = parse(contract, origin_of(contract, *binary(contract, value)))
    event(type(read_as).__name__)
    if not isinstance(read_as, FineCreated):
        return
    facts, who = read_as.facts, read_as.patron
    fine_now = Fine(facts, Status.ACTIVE, Considered.ACTIVE, facts.amount)
    exclusion = exclusion_of(
        PROFILE, candidate_of(PROFILE, who, fine_now), local_date(facts.created_at, PROFILE.zone)
    )
    assert exclusion in (
        None,
        Exclusion.NO_IDENTIFIER,
        Exclusion.NO_PATRON_NAME,
        Exclusion.BAD_TEXT,
    )
    event(str(exclusion))
    if exclusion is not None:
        return
    line = line_of(fine_now, "1", Status.TRANSFERRED, None)
    patrons = {(facts.institution_id, facts.patron_id): who}
    batch = batch_of(PROFILE, facts.created_at, 10**14, 1, {facts.patron_id: [line]}, patrons)
    document = render(batch)
    totals = prove(batch, document)
    assert totals == totals_of_batch(batch)
    assert totals.all == totals.debits
    manifest = manifest_in_run(batch, document, totals)
    assert (manifest.total, manifest.totals.patrons) == (facts.amount, 1)
    (printed,) = read(document).patrons
    assert printed.match_value in {value for _, value in who.identifiers}
    assert printed.match_type != USER_NAME
    assert printed.lines[0].texts["library_code"] == (
        facts.owner.library_code if facts.owner else None
    )
