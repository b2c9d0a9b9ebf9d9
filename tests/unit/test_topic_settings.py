"""What the settings of each topic must be, and what a difference endangers."""

from __future__ import annotations

import pytest
from aiokafka.errors import RequestTimedOutError

from service.kafka.rights import RightsRequest, TopicRights, rights_of
from service.kafka.topic_settings import Concern, broken_rules, missing_rights
from service.kafka.topics import DAY_MS, INPUTS, OUTPUTS, settings_of

READS, WRITES = TopicRights(may_read=True), TopicRights(may_write=True)
MONTH, YEAR = str(30 * DAY_MS), str(365 * DAY_MS)


@pytest.mark.parametrize("days", [1, 30, 90, 500])
@pytest.mark.parametrize("name", [*INPUTS, *OUTPUTS])
def test_a_topic_that_is_created_breaks_no_rule(name: str, days: int) -> None:
    assert list(broken_rules(name, settings_of(name, 3, days), days)) == []


@pytest.mark.parametrize("name", [*INPUTS, *OUTPUTS])
def test_a_topic_is_kept_for_twice_the_age_of_the_oldest_backup(name: str) -> None:
    kept_ms = int(settings_of(name, 3, 300)["retention.ms"])
    assert kept_ms == 600 * DAY_MS


@pytest.mark.parametrize(
    ("name", "settings", "expected"),
    [
        ("fine-created.v1", {"retention.ms": MONTH}, []),
        ("fine-created.v1", {"retention.ms": "-1"}, []),
        ("fine-created.v1", {"retention.ms": str(30 * DAY_MS - 1)}, ["recovery retention.ms"]),
        ("fine-created.v1", {"retention.ms": "0"}, ["recovery retention.ms"]),
        ("fine-created.v1", {"retention.bytes": "1073741824"}, ["recovery retention.bytes"]),
        ("fine-created.v1", {"cleanup.policy": "compact,delete"}, ["recovery cleanup.policy"]),
        (
            "bursar-payment.v1",
            {"message.timestamp.type": "LogAppendTime"},
            ["recovery message.timestamp.type"],
        ),
        ("bursar-payment.v1", {"max.message.bytes": "1000"}, []),
        ("balance-changed.v1", {"retention.ms": MONTH}, []),
        ("balance-changed.v1", {"cleanup.policy": "compact"}, ["recovery cleanup.policy"]),
        ("export-batch.v1", {"retention.ms": YEAR}, ["recovery retention.ms"]),
        ("export-manifest.v1", {"retention.ms": YEAR}, ["recovery retention.ms"]),
        ("operator-action.v1", {"retention.ms": YEAR}, ["recovery retention.ms"]),
        ("operator-action.v1", {"cleanup.policy": "compact"}, ["service cleanup.policy"]),
        ("rejected.v1", {"cleanup.policy": "compact"}, ["service cleanup.policy"]),
        ("rejected.v1", {"max.message.bytes": "1048588"}, ["service max.message.bytes"]),
        (
            "loan-closed.v1",
            {"message.timestamp.type": "CreateTime", "retention.ms": "1"},
            ["recovery retention.ms", "service message.timestamp.type"],
        ),
    ],
)
def test_what_is_set_otherwise_is_named_with_what_it_endangers(
    name: str, settings: dict[str, str], expected: list[str]
) -> None:
    rules = [(concern, rule.split()[0]) for concern, rule in broken_rules(name, settings, 30)]
    assert [" ".join(rule) for rule in rules] == expected


def test_a_rule_names_the_setting_that_asks_for_more_than_the_contract() -> None:
    (usual,) = broken_rules("export-batch.v1", {"retention.ms": YEAR}, 30)
    (longer,) = broken_rules("export-batch.v1", {"retention.ms": YEAR}, 500)
    assert usual[1] == "retention.ms must be at least 34560000000 (400 days), or -1"
    assert "(500 days, BURSAR_OLDEST_BACKUP_DAYS)" in longer[1]
    assert {usual[0], longer[0]} == {Concern.RECOVERY}


@pytest.mark.parametrize(
    ("name", "rights", "expected"),
    [
        ("fine-created.v1", READS, []),
        ("fine-created.v1", WRITES, ["read"]),
        ("balance-changed.v1", TopicRights(may_read=True, may_write=True), []),
        ("balance-changed.v1", READS, ["write to"]),
        ("balance-changed.v1", WRITES, ["read"]),
        ("balance-changed.v1", TopicRights(), ["read", "write to"]),
        ("balance-changed.v1", TopicRights(is_missing=True), []),
    ],
)
def test_each_right_that_a_topic_needs_is_missed(
    name: str, rights: TopicRights, expected: list[str]
) -> None:
    assert list(missing_rights(name, rights)) == expected


def test_rights_are_bits_by_the_numbers_of_the_protocol() -> None:
    assert rights_of(0, 1 << 3 | 1 << 8) == READS
    assert rights_of(0, 1 << 4 | 1 << 8) == WRITES
    assert rights_of(3, 0) == TopicRights(is_missing=True)
    assert rights_of(29, 0) == TopicRights()
    with pytest.raises(RequestTimedOutError):
        rights_of(7, -(2**31))


def test_no_topic_is_created_by_asking_for_rights() -> None:
    question = RightsRequest(["a", "b"]).prepare({3: (0, 13)})
    assert question.encode() == b"\x00\x00\x00\x02\x00\x01a\x00\x01b\x00\x00\x01"
