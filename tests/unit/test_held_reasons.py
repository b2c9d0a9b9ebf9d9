"""Each reason that holds a fine back can be asked for, and says what a person can do about it."""

from pathlib import Path

from service.core.words import HeldReason
from service.export.selection import Exclusion
from service.operations.held_fine import RELEASABLE, REMEDIES

RUNBOOK = Path(__file__).parents[2] / "docs" / "runbook.md"
# The selection gives it of a fine that another profile may take.
NO_REASON = {Exclusion.NOT_THIS_PROFILE}


def test_each_reason_that_holds_a_fine_back_has_a_remedy_or_is_released() -> None:
    held_back = {reason for reason in Exclusion if reason.is_held_back}
    in_no_manifest = {Exclusion.NO_PROFILE, Exclusion.ADOPTED_LINE}
    assert REMEDIES.keys() | set(RELEASABLE) == held_back | in_no_manifest


def test_each_reason_can_be_asked_for_in_the_list_of_held_fines() -> None:
    shown = set(Exclusion) - NO_REASON
    assert {reason.value for reason in HeldReason} == {reason.value for reason in shown}


def test_each_reason_has_a_row_in_the_table_of_the_runbook() -> None:
    rows = [line for line in RUNBOOK.read_text("utf-8").splitlines() if line.startswith("| `")]
    codes = "".join(row.split("|")[1] for row in rows)
    assert [reason for reason in HeldReason if f"`{reason}`" not in codes] == []
