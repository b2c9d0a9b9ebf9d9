"""A preview fails where the run would, and names the fines on which it would fail."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from service.database import outbox
from service.database.ledger_read import LedgerReader
from service.export import build, evaluation
from service.export.batch import InvalidBatch
from service.export.failures import NAMED_MAX, FailingFines, RunFailed, failing_fines
from service.export.preview import preview
from service.messages.decode import parse
from tests.support.commands import MakeCommands
from tests.support.exports import fines, only, profiles_with
from tests.support.failing import Mistake, fails_for
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, tables_of

BAD = ("F-00007", "F-00122")
COUNT = 130
ENCODE = "balance_changed_value"


@pytest.fixture
async def path(path: WritePath) -> WritePath:
    await path.take(*fines(COUNT))
    return path


def fails_on(*names: str, works: Callable[..., object], error: Exception) -> Callable[..., object]:
    for name in names:
        works = fails_for(f"'{name}'", works)

    def failing(*arguments: object, **options: object) -> object:
        try:
            return works(*arguments, **options)
        except Mistake:
            raise error from None

    return failing


WRONG = InvalidBatch("amount", "must not be zero")


@pytest.mark.parametrize(
    ("where", "name", "error", "run_raises"),
    [
        (outbox, ENCODE, Mistake(), Mistake),
        (build, "line_of", WRONG, InvalidBatch),
        (evaluation, "line_of", WRONG, FailingFines),
    ],
    ids=["event", "line", "size"],
)
async def test_a_preview_names_each_fine_on_which_the_run_would_fail(
    path: WritePath,
    monkeypatch: pytest.MonkeyPatch,
    where: object,
    name: str,
    error: Exception,
    run_raises: type[Exception],
) -> None:
    monkeypatch.setattr(where, name, fails_on(*BAD, works=getattr(where, name), error=error))
    before = await tables_of(path.pool)
    profiles = profiles_with(1_000)
    with pytest.raises(FailingFines) as caught:
        [built async for built in preview(path.pool, LedgerReader(parse), only(profiles))]
    named = ", ".join(f"{item} ({type(error).__name__})" for item in BAD)
    assert str(caught.value) == f"bursar: a run would fail on the fines {named}"
    assert await tables_of(path.pool) == before
    with pytest.raises((RunFailed, FailingFines)) as failed:
        await path.exports(profiles).run_profile(only(profiles))
    is_wrapped = isinstance(failed.value, RunFailed)
    assert isinstance(failed.value.__cause__ if is_wrapped else failed.value, run_raises)


@pytest.mark.usefixtures("path")
async def test_the_command_shows_the_batches_before_and_then_names_the_fines(
    monkeypatch: pytest.MonkeyPatch,
    make_commands: MakeCommands,
) -> None:
    works = getattr(outbox, ENCODE)
    monkeypatch.setattr(outbox, ENCODE, fails_on(*BAD[1:], works=works, error=Mistake()))
    commands = make_commands(institution() + profile(fines_max=100))
    ended = await commands.call("export", "preview", "--profile", "bursar", "--json")
    assert ended.exit_code == 1
    assert [line.count('"batch_number":1') for line in ended.stdout.splitlines()] == [1]
    assert ended.stderr.splitlines()[-1] == (
        "bursar-bridge: bursar: a run would fail on the fines F-00122 (Mistake)"
    )
    ended = await commands.call("export", "run", "--all")
    assert ended.exit_code == 1
    assert ended.stderr.splitlines()[-1] == (
        "bursar-bridge: bursar: the program fails on a fine of the batch; `export preview` names it"
        " (Mistake)"
    )


def test_of_very_many_failing_fines_the_first_are_named() -> None:
    def fails(part: object) -> None:
        if part:
            raise Mistake

    due: Any = range(1_000)
    failing: Any = [fine for fine, _ in failing_fines(due, fails)]
    assert failing == list(range(NAMED_MAX))
