"""The plan of an open run's next batch, kept from one commit to the next. The run is locked."""

import orjson

from ..database.session import Connection, statements
from .plan import Plan, Selected
from .selection import Exclusion
from .store import OpenRun

SQL = statements("export")


async def load(connection: Connection, run: OpenRun) -> Plan:
    """How far the run has planned its next batch; from its mark on where nothing is planned."""
    key = (run.institution_id, run.profile, run.run_id)
    row = await connection.fetchrow(SQL["plan"], *key, *run.after)
    if row is None:
        return Plan(run.after)
    columns = zip(row["patron_ids"], row["fine_ids"], row["sizes_bytes"], strict=True)
    selected = tuple(Selected((patron, fine), size) for patron, fine, size in columns)
    held_back = {Exclusion(reason): n for reason, n in orjson.loads(row["held_back"]).items()}
    return Plan((row["looked_patron"], row["looked_fine"]), selected, held_back)


async def put(connection: Connection, run: OpenRun, plan: Plan) -> None:
    """Keeps the plan for whoever goes on with the run; `run` is as it is in the database."""
    held_back = orjson.dumps({reason.value: n for reason, n in plan.held_back.items()}).decode()
    await connection.execute(
        SQL["put_plan"],
        run.institution_id,
        run.profile,
        run.run_id,
        *run.after,
        *plan.reached,
        [selected.place[0] for selected in plan.selected],
        [selected.place[1] for selected in plan.selected],
        [selected.size_bytes for selected in plan.selected],
        held_back,
    )


async def drop(connection: Connection, run: OpenRun) -> None:
    """The mark has passed it."""
    await connection.execute(SQL["drop_plan"], run.institution_id, run.profile)
