"""The script that alembic, the migration tool, runs to migrate the database, over the connection
that upgrade.py has opened.
"""

from alembic import context

context.configure(
    connection=context.config.attributes["connection"],
    # Each migration commits with its row of the version table, so that none is ever half done.
    transaction_per_migration=True,
    transactional_ddl=True,
)
with context.begin_transaction():
    context.run_migrations()
