"""`bursar-bridge erase`: what is known of a patron in words, for good."""

import asyncio

import typer

from service.cli.errors import FAILED, operator_errors, settings_or_exit
from service.cli.shown import (
    said,
    show_told,
    writing,
)
from service.settings import Settings
from service.upkeep.audit import Said, Told
from service.upkeep.erasure import PatronKey, erase
from service.wiring import COMMAND


def erase_patron(
    institution: str,
    patron: str,
    reason: str,
    operator: str | None,
    only_texts: bool,
    yes: bool,
    as_json: bool,
) -> None:
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
