"""What alembic runs to migrate, on the connection that migrate.py hands over."""

from alembic import context

attributes = context.config.attributes
context.configure(
    connection=attributes["connection"],
    # A migration and its row in the version table commit together: killed between, nothing is half.
    transaction_per_migration=True,
    transactional_ddl=True,
    on_version_apply=attributes["on_version_apply"],
)
with context.begin_transaction():
    context.run_migrations()
