"""`bursar-bridge erase`: what is known of a patron in words, for good."""

from typing import Annotated

import typer

from ..options import JsonOption, OperatorOption, WhyOption, YesOption


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
    from .. import erase

    erase.erase_patron(institution, patron, reason, operator, only_texts, yes, as_json)
