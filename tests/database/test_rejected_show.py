"""`rejected show`: the envelope of a record, and in which members a conflict differs."""

import orjson
import pytest

from tests.support import inputs
from tests.support.commands import Commands, MakeCommands
from tests.support.deciding import PROFILE, export
from tests.support.write_path import Record, WritePath, change, fine, payment, response


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE)


async def shown(commands: Commands, source: str | None, record_id: str) -> dict[str, object]:
    of_source = () if source is None else ("--source", source)
    rows = await commands.lines(
        "rejected", "show", "--institution", "6050", *of_source, "--id", record_id
    )
    return dict(rows[-1])


async def test_the_headers_of_the_envelope_are_shown_and_no_other(
    path: WritePath, commands: Commands
) -> None:
    sent = payment()
    headers = [(name, b"1.1" if name == "ce_specversion" else text) for name, text in sent.headers]
    headers += [("x-patron", b"Doe, Jane"), ("ce_\udcff", b"\xff" + b"a" * 300)]
    await path.take(sent._replace(headers=tuple(headers)))
    row = await shown(commands, "SAP", "PAY-1")
    assert row["reason"] == "invalid_envelope"
    envelope = row["envelope"]
    assert isinstance(envelope, list)
    assert "ce_specversion: 1.1" in envelope
    assert "ce_type: org.bursar-bridge.bursar-payment.v1" in envelope
    assert envelope[-1].startswith(r"ce_\xff: ")
    assert len(envelope[-1]) < 220
    assert "Doe" not in str(envelope)
    card = await commands.call("rejected", "show", "--institution", "6050", "--id", "PAY-1")
    assert "ce_specversion: 1.1" in card.stdout


async def test_the_members_of_the_envelope_are_shown_in_structured_mode(
    path: WritePath, commands: Commands
) -> None:
    value, headers = inputs.structured("bursar-payment.v1", inputs.bursar_payment())
    body = {**orjson.loads(value), "type": "org.example.other.v1", "time": 5}
    await path.take(Record("bursar-payment.v1", orjson.dumps(body), headers))
    row = await shown(commands, "SAP", "PAY-1")
    assert row["reason"] == "invalid_envelope"
    envelope = row["envelope"]
    assert isinstance(envelope, list)
    assert "type: org.example.other.v1" in envelope
    assert "time: no string" in envelope
    assert not [text for text in envelope if text.startswith("data:")]


async def test_a_fine_in_conflict_names_the_members_that_differ_and_no_value(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(comment="as it was"), fine(amount="7.77", comment="something else"))
    row = await shown(commands, None, "F-1")
    assert (row["reason"], row["differs_in"]) == ("fine_conflict", "amount, comment")
    assert "7.77" not in str(row)
    assert "something else" not in str(row)


async def test_a_payment_in_conflict_with_an_applied_one_is_compared_as_far_as_it_is_stored(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.take(payment(), payment(amount="1.00", comment="another"))
    row = await shown(commands, "SAP", "PAY-1")
    assert row["reason"] == "payment_conflict"
    differing, _, rest = str(row["differs_in"]).partition("; not stored of the known record: ")
    assert differing == "amount"
    assert rest == "status_code, comment, import_file, patron_id"


async def test_a_payment_that_differs_only_in_what_is_not_stored_says_so(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine())
    await export(path)
    await path.take(payment(), payment(comment="another"))
    row = await shown(commands, "SAP", "PAY-1")
    assert str(row["differs_in"]).startswith(
        "no member that is stored; not stored of the known record: "
    )


async def test_a_conflict_with_a_record_that_waits_is_compared_whole(
    path: WritePath, commands: Commands
) -> None:
    await path.take(payment(), payment(comment="another"))  # the fine is not known
    assert (await shown(commands, "SAP", "PAY-1"))["differs_in"] == "comment"


async def test_sums_in_conflict_name_the_patron_as_payments_have_it(
    path: WritePath, commands: Commands
) -> None:
    without_line = {"fine_id": inputs.ABSENT, "bursar_transaction_id": inputs.ABSENT}
    await path.take(
        payment(patron_id="P-1", **without_line),
        payment(patron_id="P-2", import_file="0" * 64, **without_line),
    )
    assert (await shown(commands, "SAP", "PAY-1"))["differs_in"] == "import_file, patron_id"


async def test_changes_and_answers_in_conflict_are_compared_as_well(
    path: WritePath, commands: Commands
) -> None:
    await path.take(fine(), change(), change(fine_id="F-2"))
    text = str((await shown(commands, "ALMA", "C-1"))["differs_in"])
    assert text.startswith("fine_id; not stored of the known record: kind, amount")
    await path.take(response(batch_number=7), response(batch_number=8))
    row = await shown(commands, "SAP", "R-1")
    assert row["reason"] == "response_conflict"
    assert str(row["differs_in"]).startswith("profile or batch_number; not stored of ")
