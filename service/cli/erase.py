"""`bursar-bridge erase`: what is known of a patron in words, for good."""

import asyncio
from typing import Annotated

import typer

from service.cli.errors import FAILED, operator_errors, settings_or_exit
from service.cli.shown import (
    JsonOption,
    OperatorOption,
    WhyOption,
    YesOption,
    said,
    show_told,
    writing,
)
from service.settings import Settings
from service.upkeep.audit import Said, Told
from service.upkeep.erasure import PatronKey, erase
from service.wiring import COMMAND


def erase_patron(
    institution: Annotated[str, typer.Option(help="Id of the institution.")],
    patron: Annotated[str, typer.Option(help="Id of the patron.")],
    reason: WhyOption,
    operator: OperatorOption = None,
    only_texts: Annotated[
        bool,
        typer.Option(
            "--only-texts",
            help="Only comments and reasons of transactions, also while something is owed.",
        ),
    ] = False,
    yes: YesOption = False,
    as_json: JsonOption = False,
) -> None:
    """Erase name, identifiers, items, comments and reasons of a patron; amounts and ids stay.

    Refused while a fine of the patron is open or outstanding. It cannot be undone. Sealed batches,
    records that wait or were rejected, and topics are not reached: see the runbook.
    """
    settings = settings_or_exit()
    decision = said(reason, operator)
    if not yes and not typer.confirm("Erase for good?", err=True):
        raise typer.Exit(FAILED)
    with operator_errors():
        key = PatronKey(institution, patron)
        outcome = asyncio.run(_erased(settings, key, decision, only_texts))
    show_told([outcome], as_json)


async def _erased(settings: Settings, key: PatronKey, decision: Said, only_texts: bool) -> Told:
    async with writing(settings) as guard:
        return await erase(guard.writer(COMMAND), key, decision, only_texts=only_texts)
