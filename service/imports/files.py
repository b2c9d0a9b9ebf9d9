"""The payment files of a bursar, and the source of each file: the code that names the system which
sends it. The same file may be imported under one source only, and a source in one spelling only,
unless a person confirms that another source or spelling is right.

The source is part of a payment's identity: if a file were imported again under another source, each
of its payments would count a second time.
"""

from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from itertools import groupby
from typing import NamedTuple

import orjson

from ..apply.operator_actions import Decision, Justification, put_action
from ..core.events import BursarPayment
from ..core.ledger import Origin, Payment
from ..core.money import format_minor
from ..database.adopted_lines import recovery_is_open
from ..database.outbox import Outputs
from ..database.session import Connection, statements
from ..export.xml.read import PaidLine
from ..messages.decode import parse_parked
from ..runtime.problems import OperatorError

SQL = statements("imports")
ACCEPTED_SOURCE = "import_source_accepted"
CONTRACT = "bursar-payment.v1"
TOPIC = "import"  # the place of a line that is rejected before it is published


class DoubtfulSource(OperatorError):
    """The source that was given for a file is most likely a mistake, such as another spelling of a
    known source.
    """


class RecoveryGoesOn(OperatorError):
    """No file can be imported during the recovery of a restored database: the service still has to
    read earlier payments again, so that a file that was imported before would look new.
    """

    def __init__(self) -> None:
        super().__init__(
            "the recovery of this database goes on: what was imported before is read again, and "
            "cannot be told from what is new so far; import the file when the recovery has ended"
        )


class FileKey(NamedTuple):
    """The identity of a file: its institution, its source (the code of the system that sent it),
    and its SHA-256 in hex.
    """

    institution_id: str
    source: str
    sha256: str


@dataclass(frozen=True, slots=True)
class PaymentFile:
    """A payment file; all its payments count as paid at the time when the file was first
    imported.
    """

    institution_id: str
    source: str
    sha256: str
    paid_at: datetime

    def payment_id(self, n: int) -> str:
        """Returns the payment id of the n-th line: the file's SHA-256 and the number of the
        line.
        """
        return f"{self.sha256}-{n}"

    @property
    def id_range(self) -> tuple[str, str]:
        """The bounds between which all payment ids of this file sort; the upper bound ends with
        ".", which is the character after "-".
        """
        return f"{self.sha256}-", f"{self.sha256}."

    @property
    def number(self) -> int:
        """The number that rejected lines of this file have in place of a Kafka partition, so that
        they are not taken for lines of another file.

        The number has 28 bits and is made of the file's SHA-256 and the institution.
        """
        return int(sha256(f"{self.institution_id}/{self.sha256}".encode()).hexdigest()[:7], 16)

    @property
    def earlier_number(self) -> int:
        """The number that releases up to 0.3.0 gave to rejected lines of this file; it is made of
        the file's SHA-256 alone.
        """
        return int(self.sha256[:7], 16)


def payment_event(file: PaymentFile, line: PaidLine, original: Payment | None) -> BursarPayment:
    """Returns the payment event of a line, parsed from the bytes that are published, so that the
    service later decides on exactly the same event.

    `original` is the payment that the line reverses; None if the line is a payment itself. Earlier
    releases accepted blanks around a source, so the source of a file that they imported may still
    have some.
    """
    event = parse_parked(CONTRACT, origin_of(file, line, original))
    assert isinstance(event, BursarPayment)  # the bytes are ours
    return event


def origin_of(file: PaymentFile, line: PaidLine, original: Payment | None) -> Origin:
    """Returns the Kafka record to publish for a line of the file, as a CloudEvent in binary
    mode.
    """
    payment_id = file.payment_id(line.n)
    body: dict[str, object] = {
        "institution_id": file.institution_id,
        "source": file.source,
        "payment_id": payment_id,
        "kind": "payment" if original is None else "reversal",
        "bursar_transaction_id": line.bursar_transaction_id,
        "amount": format_minor(abs(line.amount), line.currency),
        "currency": line.currency,
        "paid_at": file.paid_at,
        "import_file": file.sha256,
    }
    if original is not None:
        body["reverses_payment_id"] = original.key.id
    headers = (
        ("ce_specversion", b"1.0"),
        ("ce_id", payment_id.encode()),
        ("ce_source", f"/import/{file.source}".encode()),
        ("ce_type", b"org.bursar-bridge.bursar-payment.v1"),
        ("ce_time", file.paid_at.isoformat().encode()),
        ("content-type", b"application/json"),
    )
    key = f"{file.institution_id}/{line.bursar_transaction_id}".encode()
    return Origin(TOPIC, file.number, line.n, key, orjson.dumps(body), headers)


@dataclass(frozen=True, slots=True)
class Acceptance:
    """What a person accepts about a doubtful file, and the reason that the person gives.

    `source` is true if the person confirms that the given source really is another system. `lines`
    names the person's decision about lines that another imported file contains as well; None if
    there is no such decision.
    """

    decision: Justification | None = None
    source: bool = False
    lines: str | None = None


async def payment_file(connection: Connection, key: FileKey) -> PaymentFile:
    """Returns the file with the time of its first import; a new file gets the current time of the
    database.
    """
    paid_at = await _first_import(connection, key)
    if paid_at is None:
        paid_at = await connection.fetchval(SQL["clock"])
    assert paid_at is not None
    return PaymentFile(*key, paid_at)


async def require_source(connection: Connection, key: FileKey, acceptance: Acceptance) -> bool:
    """Returns true if the source is doubtful and a person has accepted it, and false if it is not
    doubtful.

    Raises DoubtfulSource if the source is doubtful and no person has accepted it. A file that was
    imported under the same source before is a repeat, and its source is never doubtful.
    """
    if await _first_import(connection, key) is not None:
        return False
    doubtful = await _why_doubtful(connection, key)
    if doubtful is None:
        return False
    if key.source != key.source.strip():
        raise DoubtfulSource(f"--source: must not have blanks around it; {doubtful}")
    if not acceptance.source:
        raise DoubtfulSource(
            f"--source: {doubtful}; or say --accept-source with a --reason if it is another system"
        )
    return True


async def register(
    connection: Connection,
    outputs: Outputs,
    key: FileKey,
    profile: str,
    acceptance: Acceptance,
) -> PaymentFile:
    """Stores that the file is imported, and records what a person has accepted about it.

    The file is stored in the caller's transaction, under a lock: other registrations of files wait
    until that transaction ends. Raises DoubtfulSource, and RecoveryGoesOn.
    """
    if await recovery_is_open(connection):
        raise RecoveryGoesOn
    await connection.execute(SQL["lock_files"])
    is_accepted = await require_source(connection, key, acceptance)
    first_import = await _first_import(connection, key)
    await connection.execute(SQL["register"], *key, profile, first_import)
    for action in (ACCEPTED_SOURCE if is_accepted else None, acceptance.lines):
        if action is not None:
            assert acceptance.decision is not None
            decision = Decision(action, key.institution_id, key._asdict(), acceptance.decision)
            await put_action(connection, outputs, decision, "imported")
    return await payment_file(connection, key)


async def _first_import(connection: Connection, key: FileKey) -> datetime | None:
    paid_at: datetime | None = await connection.fetchval(SQL["paid_at"], *key)
    return paid_at


async def _why_doubtful(connection: Connection, key: FileKey) -> str | None:
    """Why this source is most likely a mistake; None if it is not."""
    earlier = await connection.fetch(SQL["sources_of_file"], key.institution_id, key.sha256)
    if earlier:
        source, paid_at = earlier[0]["source"], earlier[0]["paid_at"]
        return (
            f"this file was imported as {source} on {paid_at:%Y-%m-%d}, and under another source "
            f"each of its lines would count once more: import it as {source}"
        )
    known = {row["source"] for row in await connection.fetch(SQL["sources"], key.institution_id)}
    if key.source in known and key.source == key.source.strip():
        return None
    for source in sorted(known - {key.source}):
        if spelling(source) == spelling(key.source):
            return (
                f"differs from the known source {source} only in upper and lower case or blanks: "
                f"import the file as {source}"
            )
    return f"import the file as {key.source.strip()}" if key.source != key.source.strip() else None


def spelling(source: str) -> str:
    """Returns the source in lower case without outer blanks: two sources for which the result is
    equal most likely name the same system.
    """
    return source.strip().casefold()


@dataclass(frozen=True, slots=True)
class AlikeSources:
    """Sources of one institution that differ only in their spelling; `record` is the kind of
    records that they send.
    """

    institution_id: str
    record: str
    sources: tuple[str, ...]


async def alike_sources(connection: Connection) -> list[AlikeSources]:
    """Returns, for every institution, the groups of sources that differ only in upper and lower
    case or in outer blanks. If a system sends a payment again under another spelling of its source,
    the payment counts twice.
    """
    rows = await connection.fetch(SQL["sources"], None)
    keys = sorted(
        (row["institution_id"], row["record"], spelling(row["source"]), row["source"])
        for row in rows
    )
    groups = [
        (institution_id, record, tuple(key[3] for key in group))
        for (institution_id, record, _), group in groupby(keys, key=lambda key: key[:3])
    ]
    return [AlikeSources(*group) for group in groups if len(group[2]) > 1]
