"""The wire: what a record says, and how what happened is said. The only place that knows JSON.

`parse` depends on nothing but its arguments: the same `Origin`, kept with a parked record and read
again after a restart, gives the same event, digest included.
"""

from service.messages.batches import encode_batch, encode_manifest
from service.messages.incoming import (
    CONTRACTS,
    RECORD_BYTES_MAX,
    changed_fine_in,
    institution_in,
    parse,
)
from service.messages.message import Message
from service.messages.outgoing import (
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
    "encode_batch",
    "encode_loan_closed",
    "encode_manifest",
    "encode_rejected",
    "institution_in",
    "parse",
]
