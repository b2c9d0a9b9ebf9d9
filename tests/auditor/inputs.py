"""I1 and I3: every input record has left its trace, and every sound one is in the ledger once."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

from tests.auditor.evidence import INPUTS, Evidence, Finding, Place, Record, Row
from tests.auditor.reading import Identity, Sound, read

# The tables that keep the identities of records, and the columns of an identity.
KEPT_IN: Mapping[str, tuple[str, tuple[str, ...]]] = {
    "fine-created.v1": ("fine", ("institution_id", "fine_id")),
    "fine-changed.v1": ("fine_change", ("institution_id", "source", "change_id")),
    "bursar-payment.v1": ("payment", ("institution_id", "source", "payment_id")),
    "export-response.v1": ("export_response", ("institution_id", "source", "response_id")),
}
PARKED_AS = {"fine-changed.v1": "change", "bursar-payment.v1": "payment"}
CONFLICTS = {
    "fine-created.v1": "fine_conflict",
    "fine-changed.v1": "change_conflict",
    "bursar-payment.v1": "payment_conflict",
    "export-response.v1": "response_conflict",
}
# Members of a record that its row keeps under the same name.
COLUMNS = {
    "fine-created.v1": ("currency", "type", "loan_id", "credit_of", "exportable"),
    "fine-changed.v1": ("fine_id",),
    "bursar-payment.v1": ("kind", "currency", "amount"),
    "export-response.v1": ("profile", "batch_number"),
}
MADE_HERE = "bb-"
WHOLE_BYTES_MAX, EXCERPT_BYTES = 512 * 1024, 64 * 1024


@dataclass(frozen=True)
class Readings:
    """What the input records say, by contract: the sound ones by identity, and the others."""

    sound: Mapping[str, Mapping[Identity, Sequence[Sound]]]
    unsound: Mapping[str, Sequence[Record]]


@dataclass(frozen=True)
class Inputs(Readings):
    """The input records beside what was decided about them.

    `decided` has of each identity the record that counts: the first one that is no conflict.
    `reasons` are those of the rejections, by place.
    """

    decided: Mapping[str, Mapping[Identity, Sound]]
    reasons: Mapping[Place, Sequence[str]]

    def record(self, contract: str, *identity: str) -> Sound | None:
        """The record that counts of those with an identity."""
        return self.decided[contract].get(identity)


def read_records(
    evidence: Evidence, reader: Callable[[str, Record], Sound | None] = read
) -> Readings:
    """Reads every record of the input topics by `reader`; needs no tables."""
    sound: dict[str, dict[Identity, list[Sound]]] = {contract: {} for contract in INPUTS}
    unsound: dict[str, list[Record]] = {contract: [] for contract in INPUTS}
    for contract in INPUTS:
        for record in evidence.records[contract]:
            result = reader(contract, record)
            if result is None:
                unsound[contract].append(record)
            else:
                sound[contract].setdefault(result.identity, []).append(result)
    return Readings(sound, unsound)


def inputs_of(evidence: Evidence, readings: Readings) -> Inputs:
    """Finds out from the tables which of the records count."""
    reasons = defaultdict(list)
    for row in evidence.tables["rejected"]:
        reasons[_place(row)].append(row["reason"])
    decided = {
        contract: {
            identity: next(
                (each for each in records if not _is_conflict(contract, each, reasons)), records[0]
            )
            for identity, records in by_identity.items()
        }
        for contract, by_identity in readings.sound.items()
    }
    return Inputs(readings.sound, readings.unsound, decided, reasons)


def _is_conflict(contract: str, record: Sound, reasons: Mapping[Place, Sequence[str]]) -> bool:
    return CONFLICTS[contract] in reasons.get(record.record.place, ())


def judge_inputs(evidence: Evidence, inputs: Inputs) -> Iterator[Finding]:
    """What I1 and I3 have against the inputs."""
    yield from _offsets(evidence)
    for contract in INPUTS:
        judge = _Contract(evidence, inputs, contract)
        yield from judge.identities()
        yield from judge.unsound()
        yield from judge.rows()
    yield from _rejected(evidence)


class _Contract:
    """The records of one contract beside the table that keeps their identities."""

    def __init__(self, evidence: Evidence, inputs: Inputs, contract: str) -> None:
        self._evidence = evidence
        self._inputs = inputs
        self._contract = contract
        table, columns = KEPT_IN[contract]
        self._rows = {tuple(row[name] for name in columns): row for row in evidence.tables[table]}
        self._parked: dict[Identity, Place] = {
            (row["institution_id"], row["source"], row["id"]): _place(row)
            for row in evidence.tables["parked"]
            if row["record"] == PARKED_AS.get(contract)
        }
        # What waits as it came: the program failed on it, or its topic is stopped.
        self._failed = {
            _place(row)
            for table in ("parked_error", "stopped_record")
            for row in evidence.tables[table]
        }
        self._next = _next_offsets(evidence)

    def identities(self) -> Iterator[Finding]:
        """Every identity against its row, and every record against what was decided about it."""
        for identity, everything in self._inputs.sound[self._contract].items():
            records = [each for each in everything if self._is_read(each.record)]
            if not records:
                continue
            row = self._rows.get(identity)
            if row is None:
                if not any(self._is_open(each) for each in records):
                    yield Finding("I1", "a sound record is not in the ledger", identity)
                continue
            yield from self._contents(identity, records, row)
            yield from self._state(identity, records, row)

    def unsound(self) -> Iterator[Finding]:
        """Every malformed record is in `rejected`, where people see it."""
        for record in self._inputs.unsound[self._contract]:
            reasons = self._inputs.reasons.get(record.place, ())
            is_visible = any(reason.startswith("invalid_") for reason in reasons)
            if self._is_read(record) and not is_visible and record.place not in self._failed:
                yield Finding("I3", "a malformed record has left no trace", record.place)

    def rows(self) -> Iterator[Finding]:
        """Every row has a record, as long as the topic still has all of them."""
        if not self._evidence.is_whole(self._contract):
            return
        for identity in self._rows.keys() - self._inputs.sound[self._contract].keys():
            if not identity[-1].startswith(MADE_HERE):
                yield Finding("I1", "the ledger has what no record has said", identity)

    def _is_read(self, record: Record) -> bool:
        return record.offset < self._next.get((record.topic, record.partition), 0)

    def _is_open(self, record: Sound) -> bool:
        """Whether a person or the documents decide about the record, which has no row then."""
        place = record.record.place
        reasons = self._inputs.reasons.get(place, ())
        is_left_open = not record.certain and any(each.startswith("invalid_") for each in reasons)
        return place in self._failed or "discarded" in reasons or is_left_open

    def _contents(
        self, identity: Identity, records: Sequence[Sound], row: Row
    ) -> Iterator[Finding]:
        """Of records that say different things one counts; each of the others is a conflict."""
        reasons = self._inputs.reasons
        counting = [each for each in records if not _is_conflict(self._contract, each, reasons)]
        contents = {each.content for each in counting if not self._is_open(each)}
        if not counting:
            yield Finding("I1", "each record of an identity was rejected as a conflict", identity)
        if len(contents) > 1:
            yield Finding("I1", "two records with different contents were taken", identity)
        for each in records:
            is_malformed = any(
                reason.startswith("invalid_") for reason in reasons.get(each.record.place, ())
            )
            if is_malformed and each.certain:
                yield Finding("I1", "a sound record was rejected as malformed", each.record.place)
        if counting and (member := self._differing(counting[0], row)) is not None:
            yield Finding("I1", f"{member} is not as the record says", identity)

    def _differing(self, record: Sound, row: Row) -> str | None:
        data = record.data
        for name in COLUMNS[self._contract]:
            if row[name] != data.get(name):
                return name
        if self._contract == "fine-created.v1" and row["patron_id"] != data["patron"]["patron_id"]:
            return "patron_id"
        return None

    def _state(self, identity: Identity, records: Sequence[Sound], row: Row) -> Iterator[Finding]:
        """What waits is in `parked`, and what was rejected is in `rejected`."""
        if "state" not in row:
            return
        places = {each.record.place for each in records}
        if (row["state"] == "parked") != (identity in self._parked):
            yield Finding("I3", "a record waits in one of two tables alone", identity)
        elif row["state"] == "parked" and self._parked[identity] not in places:
            yield Finding("I3", "a parked record names the place of another", identity)
        if row["state"] == "rejected" and self._evidence.is_whole(self._contract):
            shown = [reason for at in places for reason in self._inputs.reasons.get(at, ())]
            if row["reason"] not in shown and not (
                row["reason"] == "no_change" and "overtaken" in shown  # kept so for older releases
            ):
                yield Finding("I3", "a rejection is not in the list of rejected records", identity)


def _place(row: Row) -> Place:
    return (row["topic"], row["partition"], row["record_offset"])


def _next_offsets(evidence: Evidence) -> dict[tuple[str, int], int]:
    return {
        (row["topic"], row["partition"]): row["next_offset"]
        for row in evidence.tables["consumer_offset"]
    }


def _offsets(evidence: Evidence) -> Iterator[Finding]:
    """Every record is behind the offset of its partition, which is not behind the topic."""
    next_offsets = _next_offsets(evidence)
    stopped = {(row["topic"], row["institution_id"]) for row in evidence.tables["intake_stop"]}
    for contract in INPUTS:
        topic = evidence.topic(contract)
        for (name, partition), end in evidence.ends.items():
            if name != topic:
                continue
            next_offset = next_offsets.get((topic, partition), 0)
            place = (topic, partition, next_offset)
            if next_offset > end:
                yield Finding("I3", "an offset is beyond the end of its topic", place)
            if next_offset < evidence.starts[topic, partition]:
                yield Finding("I3", "records were removed before they were read", place)
        unread = {
            (record.topic, record.partition)
            for record in evidence.records[contract]
            if record.offset >= next_offsets.get((record.topic, record.partition), 0)
        }
        for at in sorted(unread):
            if (at[0], "") not in stopped:
                yield Finding("I3", "records were not read", at)


def _rejected(evidence: Evidence) -> Iterator[Finding]:
    """The rejected records are those of the topics, with their bytes, and were published."""
    records = {record.place: record for contract in INPUTS for record in evidence.records[contract]}
    published, expected = set(), set()
    for rejection in evidence.published("rejected.v1"):
        named = (
            rejection.header("bursar-topic"),
            rejection.header("bursar-partition"),
            rejection.header("bursar-offset"),
            rejection.header("bursar-reason"),
        )
        published.add(named)
        if not evidence.is_accepted(rejection):
            expected.add(named)
    stored = set()
    for row in evidence.tables["rejected"]:
        place = _place(row)
        stored.add((place[0].partition("@")[0], str(place[1]), str(place[2]), row["reason"]))
        at = (place[0], place[1])
        is_kept = at in evidence.starts and place[2] >= evidence.starts[at]
        record = records.get(place)
        if is_kept and record is None:
            yield Finding("I3", "a rejection names a place without a record", place)
        elif row["original_removed_at"] is not None or record is None:
            continue  # bytes are removed after their retention
        elif not _is_copy(row["record_value"], record.value):
            yield Finding("I3", "a rejected record has other bytes than its topic", place)
    if evidence.is_whole("rejected.v1"):
        for each in sorted(stored - published):
            yield Finding("I3", "a rejection was not published", each)
    for each in sorted(expected - stored):
        yield Finding("I3", "a rejection was published that is not recorded", each)


def _is_copy(kept: bytes | None, value: bytes | None) -> bool:
    """Whether the bytes are those of a record; of a very large one the beginning is kept."""
    if value is None or kept is None:
        return value == kept
    return kept == value or (len(value) > WHOLE_BYTES_MAX and value[:EXCERPT_BYTES] == kept)
