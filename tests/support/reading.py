"""Records of the library and the bursar as the service reads them, for tests of the messages."""

from service.core.events import (
    BursarPayment,
    ExportResponse,
    FineChanged,
    FineCreated,
    Incoming,
    Rejection,
)
from service.messages.decode import parse
from tests.support.inputs import (
    Data,
    binary,
    bursar_payment,
    export_response,
    fine_changed,
    fine_created,
    record,
)


def read(contract: str, data: object, time: str = "2026-09-01T10:00:05Z") -> Incoming | Rejection:
    return parse(contract, record(contract, *binary(contract, data, time)))


def fine(**overrides: object) -> FineCreated:
    result = read("fine-created.v1", fine_created(**overrides))
    assert isinstance(result, FineCreated), result
    return result


def change(**overrides: object) -> FineChanged:
    result = read("fine-changed.v1", fine_changed(**overrides))
    assert isinstance(result, FineChanged), result
    return result


def payment(**overrides: object) -> BursarPayment:
    result = read("bursar-payment.v1", bursar_payment(**overrides))
    assert isinstance(result, BursarPayment), result
    return result


def response(**overrides: object) -> ExportResponse:
    result = read("export-response.v1", export_response(**overrides))
    assert isinstance(result, ExportResponse), result
    return result


def rejection(contract: str, data: object) -> tuple[str, str]:
    result = read(contract, data)
    assert isinstance(result, Rejection), result
    return result.reason.value, result.detail


def patron(**overrides: object) -> Data:
    whole = fine_created()["patron"]
    assert isinstance(whole, dict)
    return whole | overrides


def with_character(contract: str, data: Data, character: str) -> Incoming | Rejection:
    """The data with each "%" replaced by the character, escaped: a surrogate has no UTF-8."""
    pairs = character.encode("utf-16-be", "surrogatepass")
    units = [pairs[at : at + 2].hex() for at in range(0, len(pairs), 2)]
    value, headers = binary(contract, data)
    value = value.replace(b"%", "".join(f"\\u{unit}" for unit in units).encode())
    return parse(contract, record(contract, value, headers))
