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
