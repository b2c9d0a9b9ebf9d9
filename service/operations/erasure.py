"""What is known of a patron in words is erased; ids, amounts and balances stay."""

from dataclasses import dataclass

from ..apply.operator_actions import Decision, DecisionResult, Justification, put_action
from ..core.words import BURSAR_COMMENT
from ..database.session import Connection, Writes, statements

SQL = statements("erasure")
ACTION = "erase"
OWES = "has fines that are open, or outstanding at the bursar"
IS_NOT_KNOWN = "is not known"


@dataclass(frozen=True, slots=True)
class PatronKey:
    institution_id: str
    patron_id: str

    @property
    def subject(self) -> dict[str, str | int]:
        return {"institution_id": self.institution_id, "patron_id": self.patron_id}


async def erase(
    writer: Writes, patron: PatronKey, justification: Justification, *, only_texts: bool = False
) -> DecisionResult:
    """In one transaction, with the decision. Raises OlderDatabase.

    Texts are comments and reasons of transactions and refused lines, also those that older
    releases wrote into the ledger. Without `only_texts` the patron's name, group and identifiers
    go as well, and comment and item of each fine; that is not done while a fine is open or
    outstanding, for it could not be exported or answered any more.
    """
    key = (patron.institution_id, patron.patron_id)
    async with writer.transaction() as connection:
        accounts = await connection.fetch(SQL["accounts_of_patron"], *key)
        fines = await connection.fetch(SQL["fines_of_patron"], *key)
        if not accounts:
            return DecisionResult(patron.subject, done=False, outcome=IS_NOT_KNOWN)
        if not only_texts and any(fine["is_open"] for fine in fines):
            return DecisionResult(patron.subject, done=False, outcome=OWES)
        texts = await _erase_texts(connection, key)
        outcome = f"erased: texts of {texts} transactions and lines"
        if not only_texts:
            fine_ids = [fine["fine_id"] for fine in fines]
            erased = await _count(connection, "erase_fines", patron.institution_id, fine_ids)
            await connection.execute(SQL["erase_patron"], *key)
            outcome = f"{outcome}, words of {erased} fines, the patron"
        decision = Decision(ACTION, patron.institution_id, patron.subject, justification)
        await put_action(connection, decision, outcome)
    return DecisionResult(patron.subject, done=True, outcome=outcome)


async def _erase_texts(connection: Connection, key: tuple[str, str]) -> int:
    kept_beside = await _count(connection, "erase_texts", *key)
    in_ledger = await _count(connection, "erase_texts_in_ledger", *key, BURSAR_COMMENT)
    return kept_beside + in_ledger + await _count(connection, "erase_reasons_of_lines", *key)


async def _count(connection: Connection, name: str, *arguments: object) -> int:
    status: str = await connection.execute(SQL[name], *arguments)
    return int(status.rpartition(" ")[2])
