"""With which status a member ends for which error: its parent acts by it."""

from __future__ import annotations

import pytest
import typer

from service.cli.process import errors_logged
from service.database.migrate import MigrationBusy
from service.runtime.problems import (
    Bug,
    OlderDatabase,
    OperatorError,
    OtherHistory,
    RecordsGone,
)
from service.supervisor.roster import FINAL_STATUSES, FOR_A_PERSON


@pytest.mark.parametrize(
    ("problem", "status"),
    [
        pytest.param(OlderDatabase("x"), 3, id="older_database"),
        pytest.param(OtherHistory("x"), FOR_A_PERSON, id="topic_made_anew"),
        pytest.param(RecordsGone("x"), FOR_A_PERSON, id="records_gone"),
        pytest.param(OperatorError("x"), FOR_A_PERSON, id="settings_of_other_things"),
        pytest.param(MigrationBusy("x"), 1, id="another_member_migrates"),
        pytest.param(Bug("x"), 1, id="bug"),
        pytest.param(KeyError("x"), 1, id="bug_of_any_kind"),
        pytest.param(ExceptionGroup("x", [KeyError(), OtherHistory("x")]), 6, id="in_a_group"),
        pytest.param(ExceptionGroup("x", [OtherHistory("x"), OlderDatabase("x")]), 3, id="older"),
        pytest.param(ExceptionGroup("x", [KeyError(), MigrationBusy("x")]), 1, id="both_pass"),
    ],
)
def test_what_a_person_has_to_correct_has_a_status_of_its_own(
    problem: Exception, status: int
) -> None:
    with pytest.raises(typer.Exit) as ended, errors_logged(for_a_person=FOR_A_PERSON):
        raise problem
    assert ended.value.exit_code == status
    assert (status in FINAL_STATUSES) == (status != 1)


def test_a_process_alone_ends_with_1_for_them() -> None:
    with pytest.raises(typer.Exit) as ended, errors_logged(for_a_person=1):
        raise OtherHistory("x")
    assert ended.value.exit_code == 1
