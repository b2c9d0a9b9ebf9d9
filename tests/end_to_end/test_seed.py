"""The seed's table row by row, and bad records by their reasons, through real Kafka.

Inputs are published and outputs read by another implementation of the client (confluent-kafka).
"""

import json
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from tests.support import inputs
from tests.support.installation import institution, profile
from tests.support.process import Site
from tests.support.topics import Read, configure_topic, produce, read_topic

LOST = "LOSTITEMREPLACEMENTFEE"
OPTIONS = {"fine_types": ["OVERDUEFINE", LOST, "CREDIT"], "credits": {"included": True}}
ONLY, BOTH, CLOSING = "11", "12", "13"
PROFILES = (
    "".join(map(institution, (ONLY, BOTH, CLOSING)))
    + profile("ONLY", institution=ONLY, mode="export_only", **OPTIONS)
    + profile("BOTH", institution=BOTH, **OPTIONS)
    + profile("CLOSING", institution=CLOSING, close_paid_lost_loan=True, **OPTIONS)
)
Event = dict[str, Any]


@pytest.fixture
async def site(site: Site) -> Site:
    site.write_profiles(PROFILES)
    await site.command("migrate")
    await site.command("topics", "create", "--partitions", "2")
    await site.start()
    return site


def send(site: Site, contract: str, data: object, *, structured: bool = True) -> None:
    form = inputs.structured if structured else inputs.binary
    value, headers = form(contract, data)
    produce(site.servers, site.topic(contract), [(b"key", value)], headers=headers)


def fine(institution_id: str, name: str, kind: str = "OVERDUEFINE", **more: object) -> object:
    return inputs.fine_created(
        institution_id=institution_id, fine_id=name, type=kind, loan_id=f"L-{name}", **more
    )


def published(site: Site, contract: str) -> list[Event]:
    return [json.loads(r.value or b"") for r in read_topic(site.servers, site.topic(contract))]


def balance_events(site: Site, fine_id: str) -> list[Event]:
    """The balance-changed events of a fine, in order."""
    transactions = [
        event
        for event in published(site, "balance-changed.v1")
        if event["fine"]["fine_id"] == fine_id
    ]
    return sorted(transactions, key=lambda event: int(event["sequence"]))


def row(event: Event) -> tuple[object, ...]:
    """As the seed's table has it: status, type, remaining, active, transferred, considered."""
    fine, change = event["fine"], event["change"]
    return (
        fine["status"],
        event["transaction"]["type"],
        fine["remaining"],
        change["active"],
        change["transferred"],
        fine["considered"],
    )


async def test_the_seeds_table(site: Site) -> None:
    for institution_id in (ONLY, BOTH, CLOSING):
        send(site, "fine-created.v1", fine(institution_id, f"F-{institution_id}"))
        send(site, "fine-created.v1", fine(institution_id, f"LOST-{institution_id}", LOST))
    credit = fine(BOTH, "CREDIT", "CREDIT", amount="-5.00")
    send(site, "fine-created.v1", credit, structured=False)
    await site.until_idle(7)
    await site.command("export", "run", "--all")
    send(site, "bursar-payment.v1", inputs.bursar_payment(institution_id=BOTH, fine_id=f"F-{BOTH}"))
    await site.until_idle(8)

    created = ("Active", "Fine", "95.50", "95.50", "0.00", "active")
    closed = ("Closed", "Export", "0.00", "-95.50", "0.00", "closed")
    assert row(balance_events(site, "CREDIT")[0]) == (
        "Active",
        "Credit",
        "-5.00",
        "-5.00",
        "0.00",
        "active",
    )
    assert [row(event) for event in balance_events(site, f"F-{ONLY}")] == [created, closed]
    assert [row(event) for event in balance_events(site, f"F-{BOTH}")] == [
        created,
        ("Transferred", "Exported and paid", "0.00", "-95.50", "95.50", "active"),
        ("Transferred", "Payment received", "0.00", "0.00", "-95.50", "closed"),
    ]
    assert balance_events(site, f"F-{BOTH}")[-1]["transaction"]["comment"] == "Bursar"
    for institution_id in (ONLY, BOTH, CLOSING):
        assert [row(event) for event in balance_events(site, f"LOST-{institution_id}")] == [
            created,
            closed,
        ]
    loans = published(site, "loan-closed.v1")
    assert [(loan["loan_id"], loan["reason"]) for loan in loans] == [
        (f"L-LOST-{CLOSING}", "lost_fine_exported")
    ]


SOUND = inputs.bursar_payment(institution_id=BOTH, fine_id="F-12")
TEXT = json.dumps(SOUND)
BAD: list[tuple[str, bytes, str]] = [
    ("not JSON", b"{", "invalid_json"),
    ("a duplicate key", TEXT.replace("{", '{"source": "X", ', 1).encode(), "invalid_json"),
    ("NaN", TEXT.replace('"95.50"', "NaN").encode(), "invalid_json"),
    ("not UTF-8", TEXT.replace("SAP", "S\udcffP").encode(errors="surrogateescape"), "invalid_json"),
    ("too deep", b'{"x":' * 5_000 + b"1" + b"}" * 5_000, "invalid_json"),
    ("a JSON number as money", TEXT.replace('"95.50"', "95.50").encode(), "invalid_amount"),
    ("an exponent", TEXT.replace("95.50", "9e1").encode(), "invalid_amount"),
    ("minus zero", TEXT.replace("95.50", "-0").encode(), "invalid_amount"),
    ("three decimals", TEXT.replace("95.50", "95.505").encode(), "invalid_amount"),
    ("nothing paid", TEXT.replace("95.50", "0.00").encode(), "invalid_amount"),
    ("no currency of the world", TEXT.replace("USD", "XQX").encode(), "invalid_currency"),
    ("a time without offset", TEXT.replace("08:00:00Z", "08:00:00").encode(), "invalid_schema"),
    ("no source", json.dumps(SOUND | {"source": ""}).encode(), "invalid_schema"),
    ("an id too long", json.dumps(SOUND | {"payment_id": "x" * 101}).encode(), "invalid_schema"),
    ("a NUL", json.dumps(SOUND | {"payment_id": "a\0b"}).encode(), "invalid_text"),
    ("a bidi control", json.dumps(SOUND | {"payment_id": "a\u202eb"}).encode(), "invalid_text"),
    ("a blank before an id", json.dumps(SOUND | {"fine_id": " F-12"}).encode(), "invalid_text"),
    ("too large", json.dumps(SOUND | {"comment": "x" * 70_000}).encode(), "invalid_size"),
    ("10 MB", b"x" * 10_000_000, "invalid_size"),
]


async def test_bad_records_are_rejected_by_reason_and_change_nothing_else(
    site: Site, kafka_admin: AdminClient
) -> None:
    topic = site.topic("bursar-payment.v1")
    configure_topic(kafka_admin, topic, "max.message.bytes", "12000000")
    _, headers = inputs.binary("bursar-payment.v1", {})
    values = [value for _, value, _ in BAD]
    produce(site.servers, topic, [(b"key", value) for value in values], headers=headers)
    await site.until_idle(len(BAD))

    rows = await site.rows("SELECT * FROM rejected")
    result = {item["record_value"]: item["reason"] for item in rows}
    assert {case: result.get(value) for case, value, _ in BAD} == {case: r for case, _, r in BAD}
    copies: dict[str, Read] = {}
    for read in read_topic(site.servers, site.topic("rejected.v1")):
        copies[dict(read.headers)["ce_id"].decode()] = read
    assert sorted(read.value or b"" for read in copies.values()) == sorted(
        value if len(value) <= 512 * 1024 else value[: 64 * 1024] for value in values
    )
    for table in ("account", "fine", "payment", "parked", "ledger_transaction", "parked_error"):
        assert await site.rows(f"SELECT 1 FROM {table}") == []
