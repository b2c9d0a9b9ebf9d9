"""How many members a number or `auto` stands for, and whether they can have their connections."""

from __future__ import annotations

import pytest
from pydantic import SecretStr

from service.settings import Settings
from service.supervisor.capacity import connections_problem, members_of

SETTINGS = Settings(
    database_url=SecretStr("postgresql://u@127.0.0.1/none"), kafka_bootstrap_servers="127.0.0.1:9"
)


@pytest.mark.parametrize(
    ("processes", "cores", "partitions", "members"),
    [
        ("auto", 4, 12, 4),
        ("auto", 16, 12, 12),
        ("auto", 1, 12, 1),
        ("auto", 4, 1, 1),
        ("auto", 4, 0, 1),
        ("1", 4, 12, 1),
        ("3", 2, 12, 3),
        ("16", 2, 12, 16),
    ],
)
def test_auto_is_a_member_for_each_core_that_has_a_partition(
    processes: str, cores: int, partitions: int, members: int
) -> None:
    assert members_of(processes, cores, partitions) == members


@pytest.mark.parametrize(
    ("members", "admitted", "is_problem"),
    [(1, 8, False), (1, 7, True), (12, 97, False), (12, 96, False), (12, 95, True)],
)
def test_all_connections_of_all_members_have_to_be_admitted(
    members: int, admitted: int, is_problem: bool
) -> None:
    text = connections_problem(SETTINGS, members, admitted)
    assert (text is not None) == is_problem
    if text is not None:
        assert text.startswith(f"{members} x 8 connections")
        assert f"the {admitted} that the database admits" in text
