"""The databases of simulations: migrated, and with a clock that the simulation moves."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager
from uuid import uuid4

from service.database.migrate import migrate
from tests.conftest import with_database
from tests.simulator.clock import Clock
from tests.simulator.control import Control

# The server's own functions stand behind these in the search path. The time is in a sequence,
# because what is done to a sequence is seen at once and never rolled back. Limits of locks and
# statements count the time of the world outside, so they are not set. When a backup comes back, its
# rows are put into the tables that are there; the server seems to be another one then.
SIMULATED = """
CREATE SEQUENCE simulated_clock;
CREATE SEQUENCE simulated_start;
CREATE FUNCTION pg_postmaster_start_time() RETURNS timestamptz STABLE LANGUAGE sql AS
$$ SELECT to_timestamp(last_value) FROM simulated_start $$;
CREATE FUNCTION clock_timestamp() RETURNS timestamptz VOLATILE LANGUAGE sql AS
$$ SELECT to_timestamp(0) + last_value * interval '1 microsecond' FROM simulated_clock $$;
CREATE FUNCTION now() RETURNS timestamptz VOLATILE LANGUAGE sql AS
$$ SELECT clock_timestamp() $$;
CREATE FUNCTION set_config(text, text, boolean) RETURNS text VOLATILE LANGUAGE sql AS
$$ SELECT $2 $$;
"""
# A column's default names the server's own function, whatever the search path says later.
DEFAULTS = """
SELECT format(
    'ALTER TABLE %I ALTER COLUMN %I SET DEFAULT public.clock_timestamp();', table_name, column_name
) AS statement
FROM information_schema.columns
WHERE table_schema = 'public' AND column_default = 'clock_timestamp()'
"""
START_SERVER = "SELECT setval('simulated_start', last_value + 1) FROM simulated_start"
CLOCK_WORDS = ("clock_timestamp()", "now()")


def set_clock(clock: Clock) -> str:
    """The statement that sets the database's clock."""
    return f"SELECT setval('simulated_clock', {clock.microseconds})"


@contextmanager
def template(url: str) -> Iterator[str]:
    """A migrated database, from which the databases of simulations are copied; its name."""
    name = f"simulator_template_{uuid4().hex[:12]}"
    control = Control(url)
    try:
        control.execute(f'CREATE DATABASE "{name}"')
        _prepare(with_database(url, name))
        yield name
    finally:
        control.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        control.close()


def _prepare(url: str) -> None:
    asyncio.run(migrate(url))
    control = Control(url)
    statements = [str(row["statement"]) for row in control.rows(DEFAULTS)]
    assert statements, "no column has the time as its default"
    control.execute(SIMULATED + "\n".join(statements))
    control.close()


@contextmanager
def database(url: str, template_name: str) -> Iterator[str]:
    """The URL of a database of one simulation."""
    name = f"simulator_{uuid4().hex[:12]}"
    control = Control(url)
    try:
        control.execute(f'CREATE DATABASE "{name}" TEMPLATE "{template_name}" STRATEGY FILE_COPY')
        control.execute(f'ALTER DATABASE "{name}" SET search_path = public, pg_catalog')
        yield with_database(url, name)
    finally:
        control.execute(f'DROP DATABASE IF EXISTS "{name}" WITH (FORCE)')
        control.close()
