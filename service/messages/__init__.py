"""The wire: what a record says, and how what happened is said. The only place that knows JSON.

`parse` depends on nothing but its arguments: the same `Origin`, kept with a parked record and read
again after a restart, gives the same event, digest included.
"""

from .incoming import (
    CONTRACTS,
    RECORD_BYTES_MAX,
    changed_fine_in,
    institution_in,
    parse,
)
from .message import Message
from .outgoing import (
    encode_balance_changed,
    encode_loan_closed,
    encode_rejected,
)

__all__ = [
    "CONTRACTS",
    "RECORD_BYTES_MAX",
    "Message",
    "changed_fine_in",
    "encode_balance_changed",
    "encode_loan_closed",
    "encode_rejected",
    "institution_in",
    "parse",
]
