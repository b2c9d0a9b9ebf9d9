"""`bursar-bridge check`: everything the service will ask for, asked before it starts."""

from service.cli.options import JsonOption


def check(as_json: JsonOption = False) -> None:
    """Check settings, profiles, database, migrations, Kafka, topics and limits."""
    from service.cli import check

    check.check(as_json)
