"""The limits of a batch, of the relay and of the topics fit together, with the worst of texts."""

from collections.abc import Callable

import pytest

from service.core.ledger import Item, Owner
from service.export.batch import (
    Batch,
    BatchLine,
    BatchPatron,
    CreditRef,
    Limits,
    SelectedFine,
    ordered,
    size_bytes_max,
    totals_of_batch,
)
from service.export.profiles.file import BYTES_MAX, BYTES_MAX_MIN, FINES_MAX, FINES_MAX_MAX
from service.export.publish import encode_batch, encode_manifest
from service.export.selection import Exclusion
from service.export.xml.write import render
from service.kafka.topics import settings_of
from service.messages.encode import Message
from service.relay.sender import RECORD_OVERHEAD_BYTES
from service.settings import Settings
from service.settings.parts import RelayLimits
from tests.golden.batches import CUTOFF, batch, line
from tests.support.batches import cut, manifest_in_run
from tests.support.exports import only, profiles_with

AMP = "&"  # one byte that takes five
EMOJI = "🙂"  # the most bytes of a character that JSON and XML leave as it is
ID_MAX, TEXT_MAX, TITLE_MAX, COMMENT_MAX = 100, 300, 1_000, 2_000  # service/messages/values.py
REQUEST_BYTES_MAX = RelayLimits().relay_request_bytes_max


Make = Callable[[int, str], BatchPatron]


def number(n: int, filler: str, length: int = ID_MAX) -> str:
    """A text of `length` characters that differs from the others; the filler takes the most."""
    return f"{n:05}".ljust(length, filler)


def longest(n: int, filler: str) -> BatchPatron:
    """A patron with one fine, all of whose texts are at their longest."""
    text = filler * TEXT_MAX
    item = Item(filler * TITLE_MAX, text, text, text, text, CUTOFF, text)
    fine = line(
        n,
        -(10**10) + 1,
        bursar_transaction_id=str(2**64 - 1 - n),
        fine_id=number(n, EMOJI),
        type=number(n, filler),
        owner=Owner("9" * ID_MAX, number(n, filler), text),
        comment=filler * COMMENT_MAX,
        item=item,
        credit_ref=CreditRef(str(2**64 - 1), number(n, filler)),
    )
    return patron_of(n, text, fine, number(n, filler, 200))


def shortest(n: int, filler: str) -> BatchPatron:
    """As many fines as fit: short texts but for what only the manifest has, and what it sums by."""
    owner = Owner("1", number(n, filler), "")
    fine = line(n, 1, fine_id=number(n, EMOJI), type=number(n, filler), owner=owner)
    return patron_of(n, "A, B", fine, "1")


def usual(n: int, _: str) -> BatchPatron:
    return patron_of(n, "A, B", line(n, 1, fine_id=number(n, EMOJI)), "1")


def patron_of(n: int, name: str, fine: BatchLine, value: str) -> BatchPatron:
    return BatchPatron(number(n, EMOJI), "02", value, name, (fine,))


def first_batch(patrons: list[BatchPatron], limits: Limits) -> Batch:
    """As a run cuts it."""
    by_id = {patron.patron_id: patron for patron in patrons}
    selected = [
        SelectedFine((patron.patron_id, ""), size_bytes_max(patron, patron.lines[0]))
        for patron in patrons
    ]
    return batch(
        *ordered(by_id[fine.position[0]] for fine in next(cut(selected, limits))),
        profile="p" * 40,
        institution_id="9" * 10,
        currency="KWD",
    )


def messages_of(item: Batch) -> tuple[Message, Message]:
    held_back = {reason: 10**9 for reason in Exclusion if reason.is_held_back}
    document = render(item)
    manifest = manifest_in_run(
        item,
        document,
        totals_of_batch(item),
        run_id="r" * 36,
        part=10**6,
        mode=only(profiles_with()).mode,
        sealed_at=CUTOFF,
        previous_sha256="0" * 64,
        held_back=held_back,
    )
    return encode_batch(manifest, document, "/s" * 50), encode_manifest(manifest, "/s" * 50)


def size_of(message: Message) -> int:
    """As the relay counts it, with more than the packing of headers takes."""
    headers = sum(len(name) + len(value) + 16 for name, value in message.headers)
    key = len(message.key or b"")
    return key + len(message.value or b"") + headers + RECORD_OVERHEAD_BYTES


@pytest.mark.parametrize("filler", [AMP, EMOJI], ids=["escaped", "four_bytes"])
@pytest.mark.parametrize("make", [longest, shortest, usual])
@pytest.mark.parametrize(
    "fines_max", [FINES_MAX, pytest.param(FINES_MAX_MAX, marks=pytest.mark.slow)]
)
def test_a_batch_and_its_manifest_are_records_that_the_relay_sends_and_the_topics_take(
    fines_max: int, make: Make, filler: str
) -> None:
    patrons = [make(n, filler) for n in range(fines_max)]
    item = first_batch(patrons, Limits(fines_max, BYTES_MAX))
    assert 0 < len(item.lines) <= fines_max
    document, manifest = messages_of(item)
    assert len(document.value or b"") <= BYTES_MAX
    assert size_of(document) < REQUEST_BYTES_MAX
    assert size_of(manifest) < REQUEST_BYTES_MAX


@pytest.mark.parametrize("filler", [AMP, EMOJI], ids=["escaped", "four_bytes"])
def test_a_fine_with_the_longest_texts_fits_every_limit_of_bytes_there_may_be(filler: str) -> None:
    """So none is ever larger than its batch may be, and the limit of bytes is kept always."""
    who = longest(0, filler)
    assert Limits(1, BYTES_MAX_MIN).allow(1, size_bytes_max(who, who.lines[0]))


@pytest.mark.parametrize("contract", ["export-batch.v1", "export-manifest.v1"])
def test_a_request_of_the_relay_is_smaller_than_what_the_topic_takes(contract: str) -> None:
    topic = int(settings_of(contract, 3)["max.message.bytes"])
    assert topic > REQUEST_BYTES_MAX
    assert Settings.model_fields["relay_request_bytes_max"].default == REQUEST_BYTES_MAX


def test_a_thousand_usual_fines_are_one_batch_by_default() -> None:
    limits = only(profiles_with(FINES_MAX)).limits
    assert limits == Limits(FINES_MAX, BYTES_MAX)
    assert len(first_batch([usual(n, AMP) for n in range(FINES_MAX + 1)], limits).lines) == 1_000


@pytest.mark.parametrize("fines", [500, pytest.param(FINES_MAX_MAX, marks=pytest.mark.slow)])
def test_a_manifest_of_as_many_fines_as_a_profile_may_ask_for_fits_whatever_the_bytes(
    fines: int,
) -> None:
    """Of fewer fines, as many bytes fit."""
    item = first_batch([usual(n, EMOJI) for n in range(fines)], Limits(fines, 10**9))
    assert len(item.lines) == fines
    assert size_of(messages_of(item)[1]) < REQUEST_BYTES_MAX * fines // FINES_MAX_MAX
