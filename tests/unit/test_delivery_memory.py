"""Each export number and each batch number has one name and one content, for good."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from service.delivery.journal import HEADER, Journal
from service.delivery.memory import DeliveredBatch, Memory
from service.delivery.state import InvalidState, StateFile

NUMBER = "100000000000001"
FIRST = DeliveredBatch(
    institution_id="972",
    profile="DAILY",
    batch_number=1,
    sha256="a" * 64,
    export_number=NUMBER,
    file_name=f"DAILY-{NUMBER}-5.xml",
    file_sha256="b" * 64,
    manifest_sha256="c" * 64,
)
BARE = DeliveredBatch("972", "DAILY", 1, "a" * 64)
OTHER_NAME = f"DAILY-{NUMBER}-6.xml"


@pytest.mark.parametrize(
    ("known", "comes"),
    [
        (FIRST, FIRST),
        (BARE, FIRST),
        (FIRST, replace(FIRST, batch_number=2, export_number="100000000000002", file_name="x")),
        (FIRST, replace(FIRST, profile="WEEKLY", file_name=f"WEEKLY-{NUMBER}-5.xml")),
    ],
    ids=["the same", "what is known agrees", "another number", "another profile"],
)
def test_a_batch_against_which_nothing_is_known_may_be_delivered(
    known: DeliveredBatch, comes: DeliveredBatch
) -> None:
    assert Memory([known]).conflict(comes) is None


@pytest.mark.parametrize(
    ("known", "comes", "text"),
    [
        (
            FIRST,
            replace(FIRST, file_name=OTHER_NAME, sha256="d" * 64),
            (
                f"batch_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                f"sha256 aaaaaaaaaaaa; this is batch 1 of 972/DAILY, DAILY-{NUMBER}-6.xml, "
                "sha256 dddddddddddd"
            ),
        ),
        (
            FIRST,
            replace(FIRST, file_name=OTHER_NAME),
            (
                f"batch_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                f"sha256 aaaaaaaaaaaa; this is batch 1 of 972/DAILY, DAILY-{NUMBER}-6.xml, "
                "sha256 aaaaaaaaaaaa"
            ),
        ),
        (
            FIRST,
            replace(FIRST, file_sha256="d" * 64),
            (
                f"batch_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                f"file_sha256 bbbbbbbbbbbb; this is batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                "file_sha256 dddddddddddd"
            ),
        ),
        (
            FIRST,
            replace(FIRST, manifest_sha256="d" * 64),
            (
                f"batch_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                "manifest_sha256 cccccccccccc; this is batch 1 of 972/DAILY, "
                f"DAILY-{NUMBER}-5.xml, manifest_sha256 dddddddddddd"
            ),
        ),
        (
            BARE,
            replace(FIRST, sha256="d" * 64),
            (
                "batch_number: delivered before was batch 1 of 972/DAILY, a file whose name is not "
                f"known, sha256 aaaaaaaaaaaa; this is batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                "sha256 dddddddddddd"
            ),
        ),
        (
            FIRST,
            replace(FIRST, batch_number=7, file_name=OTHER_NAME, sha256="d" * 64),
            (
                f"export_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                f"sha256 aaaaaaaaaaaa; this is batch 7 of 972/DAILY, DAILY-{NUMBER}-6.xml, "
                "sha256 dddddddddddd"
            ),
        ),
        (
            FIRST,
            replace(FIRST, institution_id="973"),
            (
                f"export_number: delivered before was batch 1 of 972/DAILY, DAILY-{NUMBER}-5.xml, "
                f"sha256 aaaaaaaaaaaa; this is batch 1 of 973/DAILY, DAILY-{NUMBER}-5.xml, "
                "sha256 aaaaaaaaaaaa"
            ),
        ),
    ],
    ids=["content", "name", "print", "manifest", "hash alone", "batch number", "institution"],
)
def test_a_batch_that_differs_is_refused_by_naming_both(
    known: DeliveredBatch, comes: DeliveredBatch, text: str
) -> None:
    assert Memory([known]).conflict(comes) == text


@pytest.mark.parametrize(
    ("name", "shown"),
    [
        (OTHER_NAME, f"DAILY-{NUMBER}-6.*"),
        (OTHER_NAME.replace(".xml", ".json"), f"DAILY-{NUMBER}-6.*"),
        (f"{OTHER_NAME}.done", f"DAILY-{NUMBER}-6.*"),
        (f"DAILY-{NUMBER}-55.xml", f"DAILY-{NUMBER}-55.*"),
        (f"DAILY-{NUMBER}-of Mary.xml", "a file of this number with another name"),
    ],
)
def test_another_name_on_the_target_refuses_what_has_its_number(name: str, shown: str) -> None:
    memory = Memory()
    memory.add_target_names([name, FIRST.file_name or ""])
    assert memory.conflict(FIRST) == (
        f"export_number: the target holds {shown}, which has the number of batch 1 of 972/DAILY, "
        f"DAILY-{NUMBER}-5.xml, sha256 aaaaaaaaaaaa"
    )


@pytest.mark.parametrize(
    "name",
    [
        f"DAILY-{NUMBER}-5.xml",
        f"DAILY-{NUMBER}-5.json",
        f"DAILY-{NUMBER}-5.csv",
        f"DAILY-{NUMBER}-5.xml.loaded",
        f".DAILY-{NUMBER}-6.xml.part",
        f"WEEKLY-{NUMBER}-6.xml",
        f"DAILY-{NUMBER}1-6.xml",
        "manifests",
    ],
)
def test_other_files_on_the_target_refuse_nothing(name: str) -> None:
    memory = Memory()
    memory.add_target_names([name])
    assert memory.conflict(FIRST) is None


def test_what_was_known_in_part_is_completed_and_never_replaced() -> None:
    memory = Memory([BARE])
    assert not memory.knows(FIRST)
    memory.add(FIRST)
    assert memory.knows(FIRST)
    memory.add(replace(FIRST, sha256="d" * 64, file_name=OTHER_NAME))
    assert memory.conflict(FIRST) is None
    assert memory.batch("972/DAILY", 1) == FIRST


BATCHES = st.builds(
    lambda number, export_number, cutoff, digest: DeliveredBatch(
        institution_id="972",
        profile="DAILY",
        batch_number=number,
        sha256=digest * 64,
        export_number=f"10000000000000{export_number}",
        file_name=f"DAILY-10000000000000{export_number}-{cutoff}.xml",
        file_sha256=digest * 64,
        manifest_sha256=digest * 64,
    ),
    st.integers(1, 3),
    st.integers(1, 3),
    st.integers(1, 2),
    st.sampled_from("ab"),
)


@given(st.lists(st.tuples(BATCHES, st.booleans()), max_size=30))
def test_whatever_comes_each_number_keeps_its_first_name_and_content(
    arrivals: list[tuple[DeliveredBatch, bool]],
) -> None:
    """With restarts in between, and a reader who takes every file away."""
    memory, delivered = Memory(), list[DeliveredBatch]()
    for batch, restarts in arrivals:
        if restarts:
            memory = Memory(delivered)
        if memory.conflict(batch) is not None:
            continue
        if not memory.knows(batch):
            delivered.append(batch)
            memory.add(batch)
        assert memory.knows(batch)
    for first in delivered:
        assert memory.conflict(first) is None
        same_export_number = [b for b in delivered if b.export_number == first.export_number]
        same_batch_number = [b for b in delivered if b.batch_number == first.batch_number]
        assert same_export_number == same_batch_number == [first]


def test_a_journal_gives_back_what_was_noted(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    assert journal.read() is None
    journal.begin([BARE])
    journal.append([FIRST])
    assert journal_in(tmp_path).read() == [BARE, FIRST]


@pytest.mark.parametrize("kept", [0, 1, 40, -1])
def test_a_torn_last_line_is_dropped_and_written_over(tmp_path: Path, kept: int) -> None:
    second = replace(FIRST, batch_number=2)
    journal = journal_in(tmp_path)
    journal.begin([FIRST])
    before = journal.path.read_bytes()
    journal.append([second])
    line = journal.path.read_bytes()[len(before) :]
    journal.path.write_bytes(before + line[:kept])
    journal = journal_in(tmp_path)
    assert journal.read() == [FIRST]
    journal.append([second])
    assert journal.path.read_bytes() == before + line


def test_a_last_line_of_zeros_as_after_a_power_cut_is_dropped(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.begin([FIRST])
    with journal.path.open("ab") as file:
        file.write(b"\0" * 200 + b"\n")
    assert journal.read() == [FIRST]


@pytest.mark.parametrize(
    ("data", "rule"),
    [
        (b"", "must begin with"),
        (b"anything", "must begin with"),
        (b'{"format":2}\n', "must begin with"),
        (HEADER + b'{"profile": "DAILY"}\n{}\n', "line 2: must be a delivered batch"),
    ],
)
def test_a_damaged_journal_is_not_guessed_at(tmp_path: Path, data: bytes, rule: str) -> None:
    journal = journal_in(tmp_path)
    journal.path.write_bytes(data)
    with pytest.raises(InvalidState, match=rule):
        journal.read()


def test_an_append_that_failed_in_the_middle_leaves_no_torn_line_behind(tmp_path: Path) -> None:
    journal = journal_in(tmp_path)
    journal.begin([BARE])
    with journal.path.open("ab") as file:
        file.write(b'{"institution_id":"97')
    journal.append([FIRST])
    assert journal_in(tmp_path).read() == [BARE, FIRST]


def journal_in(folder: Path) -> Journal:
    return Journal(StateFile(folder / "state.json").journal_path)
