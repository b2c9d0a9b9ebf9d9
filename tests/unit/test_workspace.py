"""The working copy of one fold: what it says was added, changed and removed."""

from service.core import rules
from service.core.changes import ChangeTracker
from service.core.events import Rejection
from service.core.words import Reason
from service.core.workspace import View
from tests.support.bursar import pays
from tests.support.given import creates, origin


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
