"""The fines of generated histories."""

from tests.support.given import LOST, LOST_FINE

# (patron, amount, currency, type): two patrons, two currencies, credits, lost fines of one loan.
FINES = (
    ("P1", 3, "USD", "OVERDUEFINE"),
    ("P1", 100, "USD", "OVERDUEFINE"),
    ("P2", 5, "USD", LOST),
    ("P1", -4, "USD", "CREDIT"),
    ("P2", 10, "EUR", "OVERDUEFINE"),
    ("P1", 2, "USD", LOST_FINE),
)
