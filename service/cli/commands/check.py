"""`bursar-bridge check`: everything the service will ask for, asked before it starts."""

from ..options import JsonOption


def check(as_json: JsonOption = False) -> None:
    """Check settings, profiles, database, migrations, Kafka, topics and limits."""
    from .. import check

    check.check(as_json)
