"""What a person is told to do when an older database was restored, and after its recovery."""

from __future__ import annotations

import pytest

from service.cli.recover import NEXT, erasures_in_words
from service.cli.restore_check import way_out
from service.restore.findings import NO_VERDICTS, Finding, FindingKind

KINDS = tuple(FindingKind)
RECOVER = "`bursar-bridge recover"


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind not in NO_VERDICTS])
def test_the_line_of_an_older_database_names_the_command_that_recovers_it(
    kind: FindingKind,
) -> None:
    assert "`bursar-bridge recover --dry-run`" in Finding(kind, "found").message


@pytest.mark.parametrize("kind", KINDS)
def test_each_finding_has_a_way_out(kind: FindingKind) -> None:
    leads_to_recovery = kind not in {*NO_VERDICTS, FindingKind.FOREIGN_RECORD}
    assert (RECOVER in way_out([Finding(kind, "found")])) == leads_to_recovery
    of_both = way_out([Finding(kind, "found"), Finding(FindingKind.READ_FURTHER, "found")])
    assert (RECOVER in of_both) == (kind not in NO_VERDICTS)


def test_a_new_database_has_nothing_to_recover() -> None:
    finding = Finding(FindingKind.READ_FURTHER, "found")
    assert "BURSAR_CONSUMER_GROUP" in way_out([finding], is_new=True)


def test_profiles_are_paused_again_before_the_start() -> None:
    assert NEXT.index("bursar-bridge export pause") < NEXT.index("bursar-bridge run")


@pytest.mark.parametrize(
    ("count", "words"),
    [
        (1, "1 erasure of personal data has to be asked for again"),
        (2, "2 erasures of personal data have to be asked for again"),
    ],
)
def test_erasures_are_counted_in_words(count: int, words: str) -> None:
    assert erasures_in_words(count).startswith(words)
