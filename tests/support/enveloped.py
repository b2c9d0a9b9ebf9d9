"""A payment in an envelope, for tests of what an envelope may say."""

from service.core.events import BursarPayment, Rejection
from service.core.words import Reason
from service.messages.decode import parse
from tests.support.inputs import Headers, binary, bursar_payment, record, value_of

PAYMENT = "bursar-payment.v1"


def binary_headers(**changes: bytes | None) -> Headers:
    """Those of a sound payment; a name set to None is left out."""
    _, headers = binary(PAYMENT, b"")
    named: dict[str, bytes | None] = {**dict(headers)}
    named |= {name.replace("content_type", "content-type"): changes[name] for name in changes}
    return tuple((name, value) for name, value in named.items() if value is not None)


def with_headers(headers: Headers, value: bytes | None = None) -> BursarPayment | Rejection:
    value = value_of(bursar_payment()) if value is None else value
    result = parse(PAYMENT, record(PAYMENT, value, headers))
    assert isinstance(result, BursarPayment | Rejection)
    return result


def rejection(result: object) -> tuple[Reason, str]:
    assert isinstance(result, Rejection), result
    return result.reason, result.detail
