"""`bursar-bridge batches`: sealed batches and what became of their lines."""

from typing import Annotated

import typer

from ...core.words import BatchState
from ..options import InstitutionOption, JsonOption, LimitOption, WideOption

batches = typer.Typer(help="Sealed batches and what became of their lines.", no_args_is_help=True)


@batches.command("list")
def list_batches(
    institution: InstitutionOption = None,
    profile: Annotated[str | None, typer.Option("--profile", help="Code of a profile.")] = None,
    state: Annotated[
        BatchState | None, typer.Option("--state", help="Only those in this state.")
    ] = None,
    line: Annotated[
        str | None,
        typer.Option("--line", help="The batch of a bursar transaction id; with --institution."),
    ] = None,
    fine: Annotated[
        str | None, typer.Option("--fine", help="The batches of a fine_id; with --institution.")
    ] = None,
    limit: LimitOption = 100,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """Batches, newest first. Published: the broker has it; then what the bursar answered.

    Sealed: it waits for the broker. Quarantined: the broker refused it, see `quarantined list`.
    """
    from .. import batches

    batches.list_batches(institution, profile, state, line, fine, limit, wide, as_json)


@batches.command("show")
def show_batch(
    profile: Annotated[str, typer.Option("--profile", help="Code of a profile.")],
    number: Annotated[int, typer.Option("--batch", min=1, help="Number of the batch.")],
    institution: Annotated[
        str | None,
        typer.Option("--institution", help="Its id, where several have had such a profile."),
    ] = None,
    wide: WideOption = False,
    as_json: JsonOption = False,
) -> None:
    """One batch, its lines, and what became of each."""
    from .. import batches

    batches.show_batch(profile, number, institution, wide, as_json)
