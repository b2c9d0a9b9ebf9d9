"""The headers of transactions, of which one form is packed for a whole poll."""

from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from service.core.changes import Transaction
from service.core.ledger import Account, AccountKey, Fine, FineFacts
from service.core.words import Considered, Kind, Status
from service.database.outbox import packed, packed_transactions, unpack_headers
from service.messages.encode import encode_balance_changed
from tests.support.inputs import TRACEPARENT
from tests.support.outgoing import OCCURRED, RECORDED, SOURCE

PATRON_IDS = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)


def transaction(patron_id: str, traceparent: str | None) -> Transaction:
    key = AccountKey("6050", patron_id, "USD")
    before, after = Account(key), Account(key, active=500, sequence=1)
    facts = FineFacts("6050", "F-1", patron_id, "OVERDUEFINE", 500, "USD", None, OCCURRED)
    fine = Fine(facts, Status.ACTIVE, Considered.ACTIVE, 500)
    return Transaction(
        before, after, fine, Kind.FINE, "Fine", 500, None, None, OCCURRED, traceparent
    )


@given(st.lists(st.tuples(PATRON_IDS, st.sampled_from([None, TRACEPARENT])), max_size=5))
def test_packed_together_transactions_are_what_each_of_them_is_alone(
    given_patrons: list[tuple[str, str | None]],
) -> None:
    entries = [transaction(*each) for each in given_patrons]
    messages = [encode_balance_changed(each, RECORDED, SOURCE) for each in entries]
    together = packed_transactions(entries, RECORDED, SOURCE)
    assert together == [packed(message) for message in messages]
    assert [unpack_headers(each.headers) for each in together] == [m.headers for m in messages]


def test_an_entry_whose_account_differs_has_another_id() -> None:
    entry = transaction("P-1", None)
    other = replace(entry, after=replace(entry.after, sequence=2))
    assert entry.transaction_id != other.transaction_id
