"""What alembic runs to migrate, on the connection that upgrade.py shares with it."""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # Each migration commits with its row of the version table, so that none is ever half done.
    transaction_per_migration=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
