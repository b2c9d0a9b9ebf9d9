"""`bursar-bridge erase`: what is known of a patron in words, for good."""

import asyncio

import typer

from ..apply.operator_actions import DecisionResult, Justification
from ..operations.erasure import PatronKey, erase
from ..settings import Settings
from ..wiring import COMMAND
from .errors import FAILED, operator_errors, settings_or_exit
from .shown import (
    said,
    show_told,
    writing,
)


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
    if not yes and not typer.confirm(
        f"Erase what is known of patron {patron} of institution {institution} for good?"
        " (without a terminal: --yes)",
        err=True,
    ):
        raise typer.Exit(FAILED)
    with operator_errors():
        key = PatronKey(institution, patron)
        outcome = asyncio.run(_erased(settings, key, decision, only_texts))
    show_told([outcome], as_json)


async def _erased(
    settings: Settings, key: PatronKey, decision: Justification, only_texts: bool
) -> DecisionResult:
    async with writing(settings) as guard:
        return await erase(guard.writer(COMMAND), key, decision, only_texts=only_texts)
