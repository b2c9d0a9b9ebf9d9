"""`run`, `migrate`, `check`, `purge`, `topics`, `restore-check`, `recover`: the service, and what
its start needs.
"""

from typing import Annotated

import typer

from .declare import command, group
from .options import DecisionOptions, JsonOption, OperatorOption

application = typer.Typer()


@command(application, "run", work="process.run")
def run() -> None:
    """Run the service until SIGTERM or SIGINT; a second signal ends it at once."""


@command(application, "migrate", work="process.migrate")
def migrate() -> None:
    """Bring the database to this version; several instances may do so at the same time."""


@command(application, "check", work="check.check")
def check(as_json: JsonOption = False) -> None:
    """Check settings, profiles, database, migrations, Kafka, topics and limits."""


@command(application, "purge", work="purging.purge_now")
def purge_now(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Count what would be removed, and remove nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove what is older than its retention now; the running service does so once a day.

    The settings whose names end in RETENTION_DAYS say how long each kind is kept. Nothing of the
    ledger is removed, and nothing that still waits for a person or is still to be sent.
    """


topics = group(application, "topics", "Create or check the topics.")


@command(topics, "create", work="process.create_missing_topics")
def create_topics(
    partitions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="Partitions of each new topic.")
    ] = None,
    replication: Annotated[
        int | None, typer.Option(min=1, max=10, help="Copies of each new topic; 3 in production.")
    ] = None,
) -> None:
    """Create the topics that are missing; those that exist stay as they are.

    Without the options a new topic has as many partitions and copies as most of the topics that
    exist; if there are none, 12 partitions and 1 copy.
    """


@command(topics, "check", work="process.compare_topics")
def check_topics() -> None:
    """Compare the topics with what they must be; exit code 1 if one differs."""


restore_check = group(
    application,
    "restore-check",
    "Whether an older database was restored under Kafka. Exit code 3: it was.",
)


@command(restore_check, "show", work="restore_check.show_check")
def show_check(as_json: JsonOption = False) -> None:
    """Show what stopped the service and what the check finds now; nothing is changed."""


@command(restore_check, "clear", work="restore_check.clear")
def clear(
    *,
    accept_existing_topics: Annotated[
        bool,
        typer.Option(
            "--accept-existing-topics",
            help="For a new database whose output topics hold records of another one: begin "
            "behind them. Their readers will see batch numbers and sequences begin again at 1.",
        ),
    ] = False,
    accept_foreign_records: Annotated[
        bool,
        typer.Option(
            "--accept-foreign-records",
            help="Pass over records in the output topics that another program wrote: they do not "
            "carry this service's ce_type.",
        ),
    ] = False,
    decision: DecisionOptions,
) -> None:
    """Let the service start again; refused as long as the check finds anything."""


@command(restore_check, "accept-move", work="restore_check.accept_move")
def accept_move(*, decision: DecisionOptions) -> None:
    """Say that the topics have moved: to another Kafka cluster, or under another prefix.

    The database then belongs to the cluster and the prefix of the settings. The offsets in it stay
    as they are. The command is refused if an older database was restored, and, for another prefix,
    while records wait to be sent.
    """


@command(restore_check, "billed", work="restore_check.show_billed")
def show_billed(
    unknown: Annotated[
        bool, typer.Option("--unknown", help="Only batches that this database does not know.")
    ] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="The manifests as JSON lines, with each line of a batch.")
    ] = False,
) -> None:
    """List the batches in the topic of manifests, and whether this database knows them."""


@command(application, "recover", work="recover.recover")
def recover(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what would be done, and change nothing.")
    ] = False,
    yes: Annotated[
        bool, typer.Option("--yes", help="Do not show it first, and do not ask for a confirmation.")
    ] = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a database that was restored from a backup go on where the lost one had stopped.

    Batches that the database does not know are adopted from the topics, and all numbers go on
    above the published ones. Then the service reads its input again. The command needs every
    instance to be stopped; if it is interrupted, call it again.
    """
