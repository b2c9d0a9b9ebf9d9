"""`bursar-bridge held`: open fines that no run exports as they are, and their release."""

from typing import Annotated

import typer

from ...core.words import HeldReason
from ..options import (
    AllOption,
    InstitutionOption,
    JsonOption,
    LimitOption,
    OperatorOption,
    WhyOption,
    WideOption,
    YesOption,
)

application = typer.Typer(help="Open fines that are held back from export.", no_args_is_help=True)
FineOption = Annotated[str | None, typer.Option("--fine", help="The fine_id.")]
ProfileOption = Annotated[str | None, typer.Option("--profile", help="Code of a profile.")]


@application.command("list")
def list_held(
    institution: InstitutionOption = None,
    profile: ProfileOption = None,
    patron: Annotated[
        str | None, typer.Option("--patron", help="The patron_id; with --institution.")
    ] = None,
    fine: FineOption = None,
    because: Annotated[
        HeldReason | None, typer.Option("--because", help="Only those with this reason.")
    ] = None,
    waiting: Annotated[
        bool,
        typer.Option("--waiting", help="Also what is not due yet, or in a paused profile."),
    ] = False,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Fines that the next runs would hold back, and those that no profile takes, with the reason.

    A line per fine and profile. With --waiting also those that wait for their age or a minimum
    amount, and those that are due in a profile that is paused: with the fines of `export preview`
    these are all open fines.
    """
    from .. import held

    held.list_held(institution, profile, patron, fine, because, waiting, limit, wide, as_json)


@application.command("show")
def show_held(
    institution: Annotated[str, typer.Option("--institution", help="Id of the institution.")],
    fine: Annotated[str, typer.Option("--fine", help="The fine_id.")],
    as_json: JsonOption = False,
) -> None:
    """One fine, what each profile says of it, and what was decided about it before.

    due: in the next run. not_this_profile: not its to export. too_young, below_minimum: it waits;
    of a credit, and of a patron's sum, the amount counts without its sign. Else held back.
    """
    from .. import held

    held.show_held(institution, fine, as_json)


@application.command("release")
def release(
    reason: WhyOption,
    institution: InstitutionOption = None,
    fine: FineOption = None,
    every: AllOption = False,
    profile: ProfileOption = None,
    yes: YesOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Offer refused or not exportable fines to the next run."""
    from .. import held

    held.release(reason, institution, fine, every, profile, yes, operator, as_json)
