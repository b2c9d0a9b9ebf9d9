"""`bursar-bridge export pause` and `resume`: profiles that are not run for a while."""

from typing import Annotated

import typer

from ..options import AllOption, InstitutionOption, JsonOption, OperatorOption, WhyOption

Codes = Annotated[
    list[str] | None, typer.Option("--profile", help="Code of a profile, several times for more.")
]


def pause(
    reason: WhyOption,
    profile: Codes = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Stop the runs of profiles until `export resume`: by schedule and by `export run`.

    --all: every profile, with --institution every profile of that institution. A batch that is
    being sealed is waited for.
    """
    from .. import pausing

    pausing.pause(reason, profile, institution, every, operator, as_json)


def resume(
    reason: WhyOption,
    profile: Codes = None,
    institution: InstitutionOption = None,
    every: AllOption = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Let paused profiles run again, as their schedules say; a missed run is caught up once."""
    from .. import pausing

    pausing.resume(reason, profile, institution, every, operator, as_json)
