"""The working copy of one fold: what it says was added, changed and removed."""

from service.core import rules
from service.core.changes import ChangeTracker
from service.core.credits import key_of_credited
from service.core.events import Rejection
from service.core.ledger import BatchKey, FineKey, LineKey
from service.core.words import Reason
from service.core.workspace import View, Workspace
from tests.support.bursar import pays, reverses
from tests.support.given import EXPORTED, UNI, creates, exports, origin
from tests.support.in_memory import Ledger


def test_a_change_tracker_knows_what_was_added_changed_and_removed() -> None:
    tracker = ChangeTracker({"kept": 1, "changed": 2, "removed": 3})
    tracker.put("kept", 1)
    tracker.put("changed", 4)
    tracker.put("added", 5)
    tracker.remove("removed")
    changes = tracker.changes()
    assert (changes.added, changes.changed) == ((5,), (4,))
    assert changes.removed == {"removed": 3}
    assert changes.written == (5, 4)
    assert tracker.writes == 4
    assert tracker.get("removed") is None


def test_records_that_could_not_be_read_come_before_those_that_a_rule_rejects() -> None:
    done = rules.fold(View(), [creates(95_00), pays(1_00, fine_id=None, line="77")])
    unread = Rejection(Reason.INVALID_JSON, "record: is no JSON", origin("bursar-payment", 3))
    both = done.with_rejections((unread,))
    assert [item.reason for item in both.rejections] == [Reason.INVALID_JSON, Reason.UNKNOWN_LINE]
    assert both.outcomes == {
        "applied": 1,
        "rejected:unknown_line": 1,
        "rejected:invalid_json": 1,
    }
    assert both.transactions == done.transactions
    assert len(done.rejections) == 1


def test_the_fines_of_a_batch_are_those_of_its_lines_alone() -> None:
    ledger = Ledger(*EXPORTED, creates(5_00, "F2"), exports("F2", batch=2))
    workspace = Workspace(ledger.store.view())
    assert workspace.fines_of_batch(BatchKey(UNI, "BOTH", 2)) == [FineKey(UNI, "F2")]


def test_a_transaction_says_by_how_much_it_changes_the_balances() -> None:
    (exported,) = Ledger(creates(95_00)).take(exports()).transactions
    assert (exported.active_change, exported.transferred_change) == (-95_00, 95_00)
    assert exported.fine.changed_at == exported.occurred_at


def test_the_id_of_a_transaction_stays_the_same_in_each_release() -> None:
    """Readers know by it what they have read before."""
    (transaction,) = Ledger().take(creates(95_00)).transactions
    assert transaction.transaction_id == "90cbd52731ea8da13c918ebfeaa1fdc4"


def test_a_fine_that_is_not_exported_has_no_line() -> None:
    ledger = Ledger(creates(95_00))
    assert ledger.fine().line_key is None


def test_a_payment_that_names_no_line_has_no_line_to_be_read() -> None:
    ledger = Ledger(*EXPORTED, pays(95_00), pays(1_00, line="1001", payment_id="p2"))
    keys = [payment.line_key for payment in ledger.store.payments.values()]
    assert keys == [None, LineKey(UNI, "1001")]


def test_a_credit_that_names_no_fine_has_no_fine_to_be_read() -> None:
    ledger = Ledger(creates(-1_00, "C1"), creates(-1_00, "C2", credit_of="F1"))
    keys = [key_of_credited(fine) for fine in ledger.store.fines.values()]
    assert keys == [None, FineKey(UNI, "F1")]


def test_every_release_can_read_a_record_unless_its_reader_says_otherwise() -> None:
    assert not pays(1_00).is_new_form


def test_only_a_sum_names_an_account() -> None:
    assert reverses().account is None
    assert pays(1_00).account is None
