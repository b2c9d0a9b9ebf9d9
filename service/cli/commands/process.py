"""Declares the commands `run`, `migrate`, `check`, `purge`, `topics`, `restore-check` and
`recover`, which run the service or prepare its start.
"""

from typing import Annotated

import typer

from .declare import command, group
from .options import DecisionOptions, JsonOption, OperatorOption

ProcessesOption = Annotated[
    str | None,
    typer.Option(
        metavar="N|auto",
        help="How many processes of the service work side by side; overrides "
        "BURSAR_PROCESSES. auto: one for each CPU core that is available, but not "
        "more than the largest input topic has partitions.",
    ),
]

application = typer.Typer()


@command(application, "run", work="process.run")
def run(processes: ProcessesOption = None) -> None:
    """Run the service until the process receives SIGTERM or SIGINT, which ends it in an orderly
    way; a second signal ends it at once.

    If several processes are asked for, the called process is their parent: it starts the others,
    starts each of them again that ends, and offers the health checks and metrics of all of them on
    the health port.
    """


@command(application, "migrate", work="process.migrate")
def migrate() -> None:
    """Apply the migrations that the database lacks for this version of the program; several
    instances may call this at the same time.
    """


@command(application, "check", work="check.check")
def check(processes: ProcessesOption = None, as_json: JsonOption = False) -> None:
    """Check whether the service could start: settings, profiles, database, migrations, Kafka, its
    topics and their size limits; exit code 1 if something is wrong.
    """


@command(application, "purge", work="purging.purge_now")
def purge_now(
    *,
    dry_run: Annotated[
        bool,
        typer.Option(
            "--dry-run", help="Only count the data that the purge would remove, and remove nothing."
        ),
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Remove from the database, now, the data whose retention has ended; the running service does
    the same once a day.

    The settings whose names end in RETENTION_DAYS say for how many days each kind of data is kept.
    The purge never removes accounts, fines or transactions, nor records that still wait for a
    person's decision or are still to be sent to Kafka.
    """


topics = group(application, "topics", "Create or check the topics.")


@command(topics, "create", work="process.create_missing_topics")
def create_topics(
    partitions: Annotated[
        int | None, typer.Option(min=1, max=10_000, help="How many partitions each new topic gets.")
    ] = None,
    replication: Annotated[
        int | None,
        typer.Option(
            min=1, max=10, help="How many replicas each new topic gets; use 3 in production."
        ),
    ] = None,
) -> None:
    """Create the service's Kafka topics that are missing; topics that exist already are not
    changed.

    Without --partitions and --replication, a new topic gets as many partitions and replicas as most
    of the service's existing topics have; if none exists, 12 partitions and 1 replica.
    """


@command(topics, "check", work="process.compare_topics")
def check_topics() -> None:
    """Compare the service's Kafka topics with the settings that they must have; exit code 1 if a
    topic is missing or differs.
    """


restore_check = group(
    application,
    "restore-check",
    "Whether an older database was restored under Kafka. Exit code 3: it was.",
)


@command(restore_check, "show", work="restore_check.show_check")
def show_check(as_json: JsonOption = False) -> None:
    """Show why the restore check has stopped the service, if it has, and what the check finds now
    when it compares the database with Kafka; nothing is changed.
    """


@command(restore_check, "clear", work="restore_check.clear")
def clear(
    *,
    accept_existing_topics: Annotated[
        bool,
        typer.Option(
            "--accept-existing-topics",
            help="For a new database whose output topics already hold records of "
            "another database: accept these records, and write behind them. "
            "Consumers of the output topics will see batch numbers and sequences "
            "begin again at 1.",
        ),
    ] = False,
    accept_foreign_records: Annotated[
        bool,
        typer.Option(
            "--accept-foreign-records",
            help="Make the check ignore the records in the output topics that another "
            "program has written, which shows in their lacking a ce_type of this "
            "service.",
        ),
    ] = False,
    decision: DecisionOptions,
) -> None:
    """Let the service start again after the restore check has stopped it; the command is refused as
    long as the check still finds something wrong.
    """


@command(restore_check, "accept-move", work="restore_check.accept_move")
def accept_move(*, decision: DecisionOptions) -> None:
    """Tell the database that the service's topics have been moved to another Kafka cluster, or to
    names with another prefix.

    After this command the database belongs to the Kafka cluster and the topic prefix that the
    settings name, and the service starts with no other ones. The command does not change the
    offsets that the database has stored for the input topics. The command is refused if the restore
    check has found that an older database was restored. If the prefix changes, it is also refused
    while records wait in the outbox to be sent.
    """


@command(restore_check, "billed", work="restore_check.show_billed")
def show_billed(
    unknown: Annotated[
        bool, typer.Option("--unknown", help="List only batches that this database does not know.")
    ] = False,
    as_json: Annotated[
        bool,
        typer.Option(
            "--json",
            help="Print each manifest as a JSON object, with all export lines of its batch.",
        ),
    ] = False,
) -> None:
    """List every batch that has a manifest in the Kafka topic of export manifests, and say whether
    this database knows the batch.
    """


@command(application, "recover", work="recover.recover")
def recover(
    *,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Show what the recovery would do, and change nothing.")
    ] = False,
    yes: Annotated[
        bool,
        typer.Option(
            "--yes",
            help="Recover at once, without first showing what will be done and asking for "
            "a confirmation.",
        ),
    ] = False,
    operator: OperatorOption = None,
    as_json: JsonOption = False,
) -> None:
    """Make a database that was restored from a backup continue where the lost, newer database had
    stopped.

    The command takes over from the Kafka topics the batches that the restored database lacks, and
    continues the numbers of batches, documents and lines above those that were published. After the
    recovery, the service reads again the input records that came in since the backup. Stop every
    instance of the service before you call the command; if the command is interrupted, call it
    again.
    """
