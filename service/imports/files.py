"""Which files were imported, and under which sources: a file once, a source in one spelling.

A payment's identity has its source, so the same file under another source would be paid twice.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime
from itertools import groupby
from typing import NamedTuple

from ..apply.operator_actions import Decision, Justification, put_action
from ..database.session import Connection
from ..runtime.problems import OperatorError
from .lines import Target
from .plan import SQL

ACCEPTED_SOURCE = "import_source_accepted"


class RefusedSource(OperatorError):
    """The file would be imported under a source that nobody can have meant."""


class FileKey(NamedTuple):
    """A file's identity: whose it is, who sent it, and its SHA-256 in hex."""

    institution_id: str
    source: str
    sha256: str

    @property
    def subject(self) -> dict[str, str | int]:
        return {
            "institution_id": self.institution_id,
            "source": self.source,
            "sha256": self.sha256,
        }


@dataclass(frozen=True, slots=True)
class Accepted:
    """What a person lets pass, and why. `payments`: what they say of lines known by other files."""

    decision: Justification | None = None
    source: bool = False
    lines: str | None = None


async def target_of(connection: Connection, file: FileKey) -> Target:
    """With the instant of the file's first import; of a file that is new, with the time now."""
    paid_at = await _first_import(connection, file)
    if paid_at is None:
        paid_at = await connection.fetchval(SQL["clock"])
    assert paid_at is not None
    return Target(file.institution_id, file.source, file.sha256, paid_at)


async def require_source(connection: Connection, file: FileKey, accepted: Accepted) -> bool:
    """Whether the source is in doubt and a person has accepted it.

    Raises RefusedSource if it is in doubt and nobody has. A file that was imported under this
    source before is a repeat and never in doubt.
    """
    if await _first_import(connection, file) is not None:
        return False
    doubt = await _doubt(connection, file)
    if doubt is None:
        return False
    if file.source != file.source.strip():
        raise RefusedSource(f"--source: must not have blanks around it; {doubt}")
    if not accepted.source:
        raise RefusedSource(
            f"--source: {doubt}; or say --accept-source with a --reason if it is another system"
        )
    return True


async def register(
    connection: Connection, file: FileKey, profile: str, accepted: Accepted
) -> Target:
    """Keeps the file, and what a person has accepted for it. Raises RefusedSource.

    Inside the caller's transaction; registrations wait for each other until it ends.
    """
    await connection.execute(SQL["lock_files"])
    is_accepted = await require_source(connection, file, accepted)
    await connection.execute(SQL["register"], *file, profile)
    if is_accepted:
        await _record(connection, file, accepted, ACCEPTED_SOURCE)
    if accepted.lines is not None:
        await _record(connection, file, accepted, accepted.lines)
    return await target_of(connection, file)


async def _record(connection: Connection, file: FileKey, accepted: Accepted, action: str) -> None:
    assert accepted.decision is not None
    decision = Decision(action, file.institution_id, file.subject, accepted.decision)
    await put_action(connection, decision, "imported")


async def _first_import(connection: Connection, file: FileKey) -> datetime | None:
    paid_at: datetime | None = await connection.fetchval(SQL["paid_at"], *file)
    return paid_at


async def _doubt(connection: Connection, file: FileKey) -> str | None:
    """Why this source cannot be meant; None: it can."""
    earlier = await connection.fetch(SQL["sources_of_file"], file.institution_id, file.sha256)
    if earlier:
        source, paid_at = earlier[0]["source"], earlier[0]["paid_at"]
        return (
            f"this file was imported as {source} on {paid_at:%Y-%m-%d}, and under another source "
            f"each of its lines would count once more: import it as {source}"
        )
    rows = await connection.fetch(SQL["sources"], file.institution_id)
    known = {row["source"] for row in rows}
    if file.source in known:
        return None
    for source in sorted(known):
        if spelling(source) == spelling(file.source):
            return (
                f"differs from the known source {source} only in upper and lower case or blanks: "
                f"import the file as {source}"
            )
    if file.source != file.source.strip():
        return f"import the file as {file.source.strip()}"
    return None


def spelling(source: str) -> str:
    """Sources for which this is equal are as a rule one system: case and outer blanks are gone."""
    return source.strip().casefold()


@dataclass(frozen=True, slots=True)
class AlikeSources:
    """Sources of one institution that differ in their spelling alone. `record`: what they send."""

    institution_id: str
    record: str
    sources: tuple[str, ...]


async def alike_sources(connection: Connection) -> list[AlikeSources]:
    """In every institution: the same record under two of them counts twice."""
    rows = await connection.fetch(SQL["sources"], None)
    keys = sorted(
        (row["institution_id"], row["record"], spelling(row["source"]), row["source"])
        for row in rows
    )
    return list(_alike(keys))


def _alike(keys: list[tuple[str, str, str, str]]) -> Iterable[AlikeSources]:
    for (institution_id, record, _), group in groupby(keys, key=lambda key: key[:3]):
        sources = tuple(key[3] for key in group)
        if len(sources) > 1:
            yield AlikeSources(institution_id, record, sources)
