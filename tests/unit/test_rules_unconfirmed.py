"""Credits that the payments of imported files make (rules.md, 5)."""

from dataclasses import replace

from service.core.amendment import NOT_AMENDED
from service.core.events import BursarPayment, ReleaseFine, TakeLines
from service.core.ledger import FineKey
from service.core.terms import Terms
from service.core.words import ImportCredits
from tests.support.bursar import pays
from tests.support.given import BOTH, CREDIT_ID, FINE, UNI, exports, table
from tests.support.in_memory import Ledger
from tests.support.recovering import recovering

EXPORTED_FREELY = replace(BOTH, import_credits=ImportCredits.EXPORT)


def from_file(amount: int) -> BursarPayment:
    return replace(pays(amount), import_file="ab" * 32)


@table(
    "terms payment unconfirmed",
    ("5.16 the payment of a file", BOTH, from_file(95_01), True),
    ("5.16 terms that export such credits", EXPORTED_FREELY, from_file(95_01), False),
    ("5.16 any other payment", BOTH, pays(95_01), False),
)
def test_the_credit_of_an_excess_waits_for_a_person_if_a_file_has_made_it(
    terms: Terms, payment: BursarPayment, unconfirmed: bool
) -> None:
    ledger = Ledger(*FINE, exports(terms=terms), payment)
    assert ledger.fine(CREDIT_ID).amendment.unconfirmed is unconfirmed
    assert ledger.fine().amendment is NOT_AMENDED


def test_a_release_confirms_the_credit() -> None:
    ledger = Ledger(*FINE, exports(), from_file(95_01))
    done = ledger.store.fold(ReleaseFine(FineKey(UNI, CREDIT_ID)))
    assert done.outcomes == {"released": 1}
    assert [fine.facts.fine_id for fine in done.amended] == [CREDIT_ID]
    assert not ledger.fine(CREDIT_ID).amendment.unconfirmed


def test_5b_1_a_credit_that_takes_its_adopted_line_is_confirmed() -> None:
    """It was exported, so a person had confirmed it: a later run needs nobody to do it again."""
    line = (exports(CREDIT_ID, batch=2), -1)
    ledger = recovering(*FINE, exports(), from_file(95_01), adopted=[line])
    done = ledger.store.fold(TakeLines(FineKey(UNI, CREDIT_ID)))
    assert ledger.fine(CREDIT_ID).status.value == "Transferred"
    assert [fine.facts.fine_id for fine in done.amended] == [CREDIT_ID]
    assert not ledger.fine(CREDIT_ID).amendment.unconfirmed
