"""Erases names and other texts about a patron; ids, amounts and balances stay."""

from ..apply.operator_actions import Decision, DecisionResult, Justification, put_action
from ..core.words import BURSAR_COMMENT
from ..core.workspace import PatronKey
from ..database.outbox import Outputs
from ..database.session import Connection, Writes, statements

SQL = statements("erasure")
OWES = "has fines that are open, or outstanding at the bursar"
IS_NOT_KNOWN = "is not known"


async def erase(
    writer: Writes,
    outputs: Outputs,
    patron: PatronKey,
    justification: Justification,
    *,
    only_texts: bool = False,
) -> DecisionResult:
    """Erases texts about a patron, and records the operator's decision in the same transaction.

    Always erased are the comments and reasons of the patron's transactions and refused export
    lines, including those that older releases wrote into the ledger. Without `only_texts` the
    patron's name, group and identifiers are erased as well, and the comment and item of each fine.
    An erasure without `only_texts` is refused while a fine of the patron is open in the library or
    outstanding at the bursar, because its export and the bursar's answers still need the patron's
    data. If the erasure is refused, or the patron is not known, nothing is erased and the result
    says why. Raises OlderDatabase.
    """
    subject = {"institution_id": patron[0], "patron_id": patron[1]}
    async with writer.transaction() as connection:
        accounts = await connection.fetch(SQL["accounts_of_patron"], *patron)
        fines = await connection.fetch(SQL["fines_of_patron"], *patron)
        if not accounts:
            return DecisionResult(subject, done=False, outcome=IS_NOT_KNOWN)
        if not only_texts and any(fine["is_open"] for fine in fines):
            return DecisionResult(subject, done=False, outcome=OWES)
        texts = await _count(connection, "erase_texts", *patron)
        texts += await _count(connection, "erase_texts_in_ledger", *patron, BURSAR_COMMENT)
        texts += await _count(connection, "erase_reasons_of_lines", *patron)
        outcome = f"erased: texts of {texts} transactions and lines"
        if not only_texts:
            fine_ids = [fine["fine_id"] for fine in fines]
            erased = await _count(connection, "erase_fines", patron[0], fine_ids)
            await connection.execute(SQL["erase_patron"], *patron)
            outcome = f"{outcome}, words of {erased} fines, the patron"
        details = {"only_texts": only_texts}
        decision = Decision("erase", patron[0], subject, justification, details)
        await put_action(connection, outputs, decision, outcome)
    return DecisionResult(subject, done=True, outcome=outcome)


async def _count(connection: Connection, name: str, *arguments: object) -> int:
    return int((await connection.execute(SQL[name], *arguments)).rpartition(" ")[2])
