"""`bursar-bridge balance`, `history`: what people ask of the ledger."""

from typing import Annotated

import typer

from ..options import JsonOption, WideOption

Institution = Annotated[str, typer.Option("--institution", help="Id of the institution.")]
PatronOption = Annotated[str | None, typer.Option("--patron", help="The patron_id.")]
CurrencyOption = Annotated[str | None, typer.Option("--currency", help="One currency alone.")]


def balance(
    institution: Institution,
    patron: Annotated[str, typer.Option("--patron", help="The patron_id.")],
    currency: CurrencyOption = None,
    at: Annotated[
        str | None, typer.Option("--at", help="As of an instant, such as 2026-09-01T00:00:00Z.")
    ] = None,
    recorded: Annotated[
        bool | None,
        typer.Option(
            "--recorded/--effective", help="With --at: as it was known then, or as it was then."
        ),
    ] = None,
    as_json: JsonOption = False,
) -> None:
    """A patron's balances: in the library, at the bursar, and together."""
    from .. import reports

    reports.balance(institution, patron, currency, at, recorded, as_json)


def show_history(
    institution: Institution,
    patron: PatronOption = None,
    fine: Annotated[str | None, typer.Option("--fine", help="The fine_id.")] = None,
    payment: Annotated[
        tuple[str, str] | None,
        typer.Option("--payment", help="Source and payment_id of the fine's payment."),
    ] = None,
    change: Annotated[
        tuple[str, str] | None,
        typer.Option("--change", help="Source and change_id of the fine's change."),
    ] = None,
    line: Annotated[
        str | None, typer.Option("--line", help="A bursar transaction id of the fine.")
    ] = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """A fine's whole story, or a patron's: the ledger, answers, what waits, refusals, decisions.

    The fine may be named by a payment, a change or a line of it, too.
    """
    from .. import history

    history.show_history(institution, patron, fine, payment, change, line, wide, as_json)
