"""Which of the fines that are worked on together are those on which the work fails. Pure."""

from collections.abc import Callable, Sequence

from ..core.ledger import Fine

# Where fine after fine fails, the cause is the program; the first ones are enough to find it.
NAMED_MAX = 20

Failing = Sequence[tuple[Fine, Exception]]


class FailingFines(Exception):
    """A run of the profile fails on these fines. The text has their ids and the sorts of errors:
    it is for an operator's terminal, not for the log.
    """

    def __init__(self, profile: str, failing: Failing) -> None:
        named = ", ".join(
            f"{fine.facts.fine_id} ({type(problem).__name__})" for fine, problem in failing
        )
        first = "; these are the first ones" if len(failing) == NAMED_MAX else ""
        super().__init__(f"{profile}: a run would fail on the fines {named}{first}")


def failing_fines(
    due: Sequence[Fine], attempt: Callable[[Sequence[Fine]], object]
) -> list[tuple[Fine, Exception]]:
    """The first fines, NAMED_MAX at most, with which `attempt` fails when it is given them alone.

    They are looked for by halving: a few among thousands cost a few dozen attempts.
    """
    failing: list[tuple[Fine, Exception]] = []
    parts = [due]
    while parts and len(failing) < NAMED_MAX:
        part = parts.pop()
        problem = _problem_with(part, attempt) if part else None
        if problem is None:
            continue
        if len(part) == 1:
            failing.append((part[0], problem))
        else:
            middle = len(part) // 2
            parts += (part[middle:], part[:middle])
    return failing


def _problem_with(
    part: Sequence[Fine], attempt: Callable[[Sequence[Fine]], object]
) -> Exception | None:
    try:
        attempt(part)
    except Exception as problem:  # noqa: BLE001 - the caller raises it, with the fine's id
        return problem
    return None
