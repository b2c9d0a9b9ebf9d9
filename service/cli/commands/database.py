"""`bursar-bridge migrate`."""


def migrate() -> None:
    """Bring the database to this version; from several instances at once, too."""
    from .. import database

    database.migrate()
