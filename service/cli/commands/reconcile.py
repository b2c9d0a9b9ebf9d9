"""`bursar-bridge reconcile`: whether the books agree with themselves."""

from typing import Annotated

import typer

from ..options import InstitutionOption, JsonOption


def reconcile_books(
    institution: InstitutionOption = None,
    limit: Annotated[
        int, typer.Option("--limit", min=1, max=1_000_000, help="Differences told of each check.")
    ] = 1_000,
    as_json: JsonOption = False,
) -> None:
    """Compare every sum two ways, as of one instant; exit code 1 if any two differ.

    Exit code 3 if the database is older than Kafka: then its sums are those of another day.

    Of a profile, exported is what the bursar was given to collect, paid by now or not; of the
    accounts, active is what is owed in the library now, transferred what is owed at the bursar.
    """
    from .. import reconcile

    reconcile.reconcile_books(institution, limit, as_json)
