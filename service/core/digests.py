"""Digests of the bytes of records."""

from hashlib import sha256


def record_digest(key: bytes | None, value: bytes | None) -> bytes:
    """Returns a digest of a record's key and value.

    It shows whether the record at an offset is still the same one after a topic was made anew.
    """
    length = b"-" if key is None else str(len(key)).encode()
    tombstone = b"-" if value is None else b"+"
    return sha256(b"%s%s%s%s" % (length, tombstone, key or b"", value or b"")).digest()
