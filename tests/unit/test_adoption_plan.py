"""Which published batches can be adopted, in which order, and why others cannot be."""

from __future__ import annotations

from dataclasses import replace
from hashlib import sha256
from typing import TypedDict, Unpack

import pytest
from aiokafka import TopicPartition

from service.core.ledger import BatchKey
from service.restore.adoption_plan import (
    AdoptionPlan,
    Place,
    PublishedBatch,
    Tail,
    plan_adoption,
)

PROFILE = ("6050", "main")
TAIL = Tail(2, "sha-2")


def place(offset: int) -> Place:
    return Place(TopicPartition("export-manifest.v1", 0), offset)


class Changes(TypedDict, total=False):
    key: BatchKey
    place: Place
    digest: bytes
    sha256: str
    previous_sha256: str | None
    export_number: int
    has_terms: bool


class Parts(TypedDict, total=False):
    documents: dict[int, tuple[str, ...]]
    taken: tuple[int, ...]


def published(number: int, **changes: Unpack[Changes]) -> PublishedBatch:
    """The manifest of a batch that follows the batch before it."""
    batch = PublishedBatch(
        BatchKey(*PROFILE, number),
        place(number),
        sha256(b"%d" % number).digest(),
        f"sha-{number}",
        f"sha-{number - 1}" if number > 1 else None,
        100_000_000_000_000 + number,
        has_terms=True,
    )
    return replace(batch, **changes)


def plan(
    *batches: PublishedBatch,
    documents: dict[int, tuple[str, ...]] | None = None,
    tail: Tail | None = TAIL,
    taken: tuple[int, ...] = (),
) -> AdoptionPlan:
    shas = {3: ("sha-3",), 4: ("sha-4",)} if documents is None else documents
    return plan_adoption(
        batches,
        {
            BatchKey(*PROFILE, number): {sha: place(100 + number) for sha in of}
            for number, of in shas.items()
        },
        {} if tail is None else {PROFILE: tail},
        {("6050", 100_000_000_000_000 + number) for number in taken},
    )


def numbers_of(planned: AdoptionPlan) -> list[int]:
    return [each.batch.key.batch_number for each in planned.batches]


def test_batches_are_adopted_in_the_order_of_their_numbers_however_they_are_read() -> None:
    planned = plan(published(4), published(3))
    assert (numbers_of(planned), planned.obstacles) == ([3, 4], ())
    assert [each.document for each in planned.batches] == [place(103), place(104)]


def test_a_batch_that_was_sent_again_is_adopted_once() -> None:
    again = published(3, place=place(77))
    planned = plan(published(3), published(4), again)
    assert (numbers_of(planned), planned.obstacles) == ([3, 4], ())


def test_a_database_without_batches_adopts_all_from_the_first_one() -> None:
    planned = plan(published(1), published(2), documents={}, tail=None)
    assert (numbers_of(planned), planned.obstacles) == ([1, 2], ())
    assert [each.document for each in planned.batches] == [None, None]


def test_of_several_profiles_the_export_number_gives_the_order() -> None:
    other = published(
        1, key=BatchKey("6050", "away", 1), export_number=100_000_000_000_000, has_terms=True
    )
    planned = plan(published(3), other, documents={3: ("sha-3",)})
    assert [each.batch.key.profile for each in planned.batches] == ["away", "main"]


@pytest.mark.parametrize(
    ("batches", "more", "says"),
    [
        ((published(4),), {"documents": {}}, "batch 3 of profile main, institution 6050, was not"),
        ((published(3), published(5)), {"documents": {}}, "batch 4 of profile main"),
        ((published(3, previous_sha256="x"),), {"documents": {}}, "does not follow"),
        ((published(3), published(3, digest=b"other")), {}, "with two contents"),
        ((published(3),), {"documents": {3: ("sha-3", "sha-x")}}, "with two contents"),
        ((published(2, digest=b"x"),), {"documents": {}}, "with another content than this"),
        ((), {"documents": {2: ("sha-x",)}}, "with another content than this"),
        ((), {"documents": {3: ("sha-3",)}}, "and no manifest"),
        ((published(3, has_terms=False),), {"documents": {}}, "without terms"),
        ((published(3),), {"documents": {}, "taken": (3,)}, "the export number of another"),
    ],
)
def test_what_the_topics_do_not_say_clearly_is_left_to_a_person(
    batches: tuple[PublishedBatch, ...], more: Parts, says: str
) -> None:
    planned = plan(*batches, **more)
    assert any(says in text for text in planned.obstacles), planned.obstacles
