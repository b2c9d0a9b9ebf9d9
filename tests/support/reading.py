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
    found = read("fine-created.v1", fine_created(**overrides))
    assert isinstance(found, FineCreated), found
    return found


def change(**overrides: object) -> FineChanged:
    found = read("fine-changed.v1", fine_changed(**overrides))
    assert isinstance(found, FineChanged), found
    return found


def payment(**overrides: object) -> BursarPayment:
    found = read("bursar-payment.v1", bursar_payment(**overrides))
    assert isinstance(found, BursarPayment), found
    return found


def response(**overrides: object) -> ExportResponse:
    found = read("export-response.v1", export_response(**overrides))
    assert isinstance(found, ExportResponse), found
    return found


def refusal(contract: str, data: object) -> tuple[str, str]:
    found = read(contract, data)
    assert isinstance(found, Rejection), found
    return found.reason.value, found.detail


def patron(**overrides: object) -> Data:
    whole = fine_created()["patron"]
    assert isinstance(whole, dict)
    return whole | overrides
