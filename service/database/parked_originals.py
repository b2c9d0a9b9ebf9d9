"""The bytes of parked records that releases up to 0.3.0 cannot read.

Such a release may run beside this one and sets parked records free, too. Therefore `parked` has
such a record in a form that both read (service/messages/older.py), and its own bytes are here.
"""

from ..core.events import ParkedEvent
from .outbox import pack_headers
from .table import Table

PARKED_ORIGINAL: Table[ParkedEvent] = Table(
    "parked_original",
    "event.key.institution_id is_change:record event.key.source event.key.id"
    " event.origin.value:record_value event.origin.headers:record_headers",
    4,
    stored={
        "record": lambda is_change: "change" if is_change else "payment",
        "record_headers": pack_headers,
    },
)
