"""Decisions of people as they are published, header by header (contracts.md, 7)."""

from dataclasses import fields, replace

from service.database.actions import ActionRow
from service.messages.actions import OperatorAction, encode_operator_action
from tests.support.outgoing import RECORDED, SOURCE, headers_of, sound

ACTION = OperatorAction(
    41,
    "parked_release",
    "6050",
    {"institution_id": "6050", "record": "payment", "source": "SIS", "id": "P-77"},
    {},
    "applied",
    RECORDED,
)


def test_a_decision_is_published_with_its_subject_and_outcome() -> None:
    message = encode_operator_action(ACTION, SOURCE)
    assert sound("operator-action", message) == {
        "action_id": 41,
        "action": "parked_release",
        "institution_id": "6050",
        "subject": {"institution_id": "6050", "record": "payment", "source": "SIS", "id": "P-77"},
        "outcome": "applied",
        "recorded_at": "2026-09-12T19:22:06.512345Z",
    }
    assert message.key == b"6050"
    headers = headers_of(message)
    ce_id = headers.pop("ce_id")
    assert len(ce_id) == 32
    assert headers == {
        "ce_specversion": "1.0",
        "ce_source": SOURCE,
        "ce_type": "org.bursar-bridge.operator-action.v1",
        "ce_time": "2026-09-12T19:22:06.512345Z",
        "ce_subject": "6050",
        "ce_partitionkey": "6050",
        "content-type": "application/json",
    }


def test_a_decision_about_no_institution_has_neither_key_nor_subject_in_its_headers() -> None:
    action = replace(
        ACTION,
        action="restore_check_clear",
        institution_id=None,
        subject={"restore_check": "restore_check_clear"},
    )
    message = encode_operator_action(action, SOURCE)
    assert "institution_id" not in sound("operator-action", message)
    assert message.key is None
    assert headers_of(message).keys().isdisjoint({"ce_subject", "ce_partitionkey"})


def test_what_was_decided_beside_the_action_is_published() -> None:
    erased = replace(
        ACTION,
        action="erase",
        subject={"institution_id": "6050", "patron_id": "P-1"},
        details={"only_texts": True},
    )
    event = sound("operator-action", encode_operator_action(erased, SOURCE))
    assert event["details"] == {"only_texts": True}


def test_the_same_decision_has_the_same_id_and_any_other_has_another() -> None:
    others = [
        ACTION,
        replace(ACTION, action_id=42),
        replace(ACTION, outcome="rejected: overpaid"),
        replace(ACTION, recorded_at=RECORDED.replace(microsecond=1)),
    ]
    ids = [headers_of(encode_operator_action(action, SOURCE))["ce_id"] for action in others]
    again = headers_of(encode_operator_action(replace(ACTION), SOURCE))["ce_id"]
    assert len(set(ids)) == len(others)
    assert ids[0] == again


def test_the_texts_that_people_wrote_are_stored_and_have_no_place_in_the_record() -> None:
    published = {field.name for field in fields(OperatorAction)}
    assert set(ActionRow._fields) - published == {"reason", "operator"}
