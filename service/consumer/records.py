"""Records of Kafka as the rest of the service passes them on."""

from ..core.ledger import Origin
from ..restore.known import Record


def origin_of(record: Record) -> Origin:
    """Returns the record's place and its bytes; a header without a value gets an empty value."""
    headers = tuple((name, value or b"") for name, value in record.headers)
    content = record.key, record.value, headers, None, record.timestamp
    return Origin(record.topic, record.partition, record.offset, *content)
