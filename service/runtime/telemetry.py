"""All log events and all metrics, by name.

A log line has an event and fields: counts, codes and names of the program's own things, never a
payload or the name of a person.
"""

import time
from enum import StrEnum

import structlog
from prometheus_client import Histogram

from .metric_set import SECONDS, SIZES, MetricSet

Log = structlog.stdlib.BoundLogger


class MemberEnd(StrEnum):
    """How a member process ended although nobody had asked it to stop."""

    ENDED = "ended"
    HUNG = "hung"


class Event(StrEnum):
    """The names of all log lines."""

    # process
    STARTED = "started"
    STOP_REQUESTED = "stop_asked"
    STOPPED = "stopped"
    FAILED = "failed"
    STOP_OVERDUE = "stop_overdue"
    LOOP_PROBLEM = "loop_problem"
    PART_RETRIES = "part_retries"
    DATABASE_AWAITED = "database_awaited"
    MIGRATED = "migrated"
    UNKNOWN_SETTING = "unknown_setting"
    PROFILES_READ = "profiles_read"
    PROFILES_DOUBTED = "profiles_doubted"
    PROFILES_OVERLAP = "profiles_overlap"
    OPS_LISTENING = "ops_listening"
    CHECK_FAILED = "check_failed"
    CHECK_PASSED = "check_passed"
    MEMBERS_AWAITED = "members_awaited"
    MEMBER_STARTED = "member_started"
    MEMBER_NOT_STARTED = "member_not_started"
    MEMBER_HUNG = "member_hung"
    MEMBER_ENDED = "member_ended"
    # intake and apply
    PARTITIONS_ASSIGNED = "partitions_assigned"
    PARTITIONS_REVOKED = "partitions_revoked"
    OFFSETS_RELOADED = "offsets_reloaded"
    TOPIC_FIRST_SEEN = "topic_first_seen"
    LAST_RECORD_GONE = "anchor_gone"
    INTAKE_RETRIES = "intake_retries"
    POLL_FENCED = "poll_fenced"
    POLL_HALVED = "poll_halved"
    POLL_FAILED = "poll_failed"
    EVENT_REJECTED = "event_rejected"
    EVENT_REPEATED = "event_repeated"
    TOPIC_REJECTED = "topic_rejected"
    INTAKE_STOPPED = "intake_stopped"
    RECORD_PARKED_INTERNAL_ERROR = "record_parked_internal_error"
    PARKED_RECORD_FAILED = "parked_record_failed"
    PARTITION_WAITS = "partition_waits"
    OFFSET_COMMIT_FAILED = "offset_commit_failed"
    TOPICS_NOT_READ = "topics_not_read"
    TOPICS_READ = "topics_read"
    GROUP_UNKNOWN = "group_unknown"
    # relay
    LEASE_TAKEN = "lease_taken"
    LEASE_LOST = "lease_lost"
    PRODUCER_REBUILT = "producer_rebuilt"
    RECORD_QUARANTINED = "record_set_aside"
    SEND_FAILED = "send_refused"
    RELAY_RETRIES = "relay_retries"
    OUTBOX_OLD = "outbox_old"
    OUTPUT_TOPIC_BEHIND = "output_topic_behind"
    OUTPUT_GAP = "output_gap"
    # export
    RUN_FAILED = "run_failed"
    BATCH_HALVED = "batch_halved"
    BATCH_SEALED = "batch_sealed"
    # delivery
    BATCH_DELIVERED = "batch_delivered"
    BATCH_NOT_DELIVERED = "batch_not_delivered"
    RECORD_NOT_DELIVERED = "record_not_delivered"
    BATCHES_LEFT_OUT = "batches_left_out"
    PROFILE_NOT_SEEN = "profile_not_seen"
    DELIVERED_BATCHES_LEARNED = "delivered_batches_learned"
    DELIVERY_JOURNAL_TORN = "delivery_journal_torn"
    TARGET_NOT_LISTED = "target_not_listed"
    DELIVERY_RETRIES = "delivery_retries"
    # upkeep and restore check
    DECISION_FAILED = "decision_failed"
    PARKED_OLD = "parked_old"
    PARKED_QUEUE_LONG = "parked_queue_long"
    SWEEP_FAILED = "sweep_failed"
    DATABASE_CHANGED = "database_changed"
    RESTORE_CHECK_AWAITED = "restore_check_awaited"
    RECOVERY_ENDED = "recovery_ended"
    BATCH_DIFFERS = "batch_differs"
    VERDICT_NOT_KEPT = "verdict_not_kept"
    BOOKS_DIFFER = "books_differ"
    PURGED = "purged"


class Metrics(MetricSet):
    """The metrics that `/metrics` shows; the parts of a process share one instance."""

    def __init__(self) -> None:
        super().__init__()
        self._process()
        self._intake()
        self._relay()
        self._export()

    def _process(self) -> None:
        self.up = self._gauge("bursar_ready", "1 while every readiness check passes.")
        self.checks = self._gauge(
            "bursar_check_ok", "1 while the named readiness check passes.", "check"
        )
        self.members = self._gauge("bursar_members", "Members, by whether they run.", "state")
        self.member_ends = self._counter(
            "bursar_member_ends", "Members that ended without a stop, and began again.", "how"
        )

    def _intake(self) -> None:
        self.records = self._counter("bursar_records", "Records that polls took in.", "topic")
        self.outcomes = self._counter(
            "bursar_record_outcomes", "The same records by what became of them.", "outcome"
        )
        self.rejected = self._counter("bursar_rejected", "Records rejected.", "topic", "reason")
        self.texts_cut = self._counter("bursar_texts_cut", "Texts too long.", "topic", "field")
        self.rejected_in_a_row = self._gauge(
            "bursar_rejected_in_a_row",
            "Records of a topic since the last one that was not rejected, by whole polls.",
            "topic",
        )
        self.unparked = self._counter(
            "bursar_unparked", "Parked records set free, by what they waited for.", "wait"
        )
        self.polls = self._counter("bursar_polls", "Polls applied, fenced or failed.", "outcome")
        self.poll_records = self._histogram("bursar_poll_records", "Records per poll.", SIZES)
        self.poll_size = self._gauge(
            "bursar_poll_size", "Records that the next poll may take; fewer while polls take long."
        )
        self.poll_seconds = self._histogram("bursar_poll_seconds", "From poll to commit.", SECONDS)
        self.commit_retries = self._counter(
            "bursar_commit_retries", "Commits tried again, by the database's reason.", "reason"
        )
        self.deadlocks = self._counter("bursar_deadlocks", "Deadlocks; expected to stay 0.")
        self.credits = self._counter(
            "bursar_credits_made", "Credits that the excess of payments became.", "currency"
        )
        self.credited_minor_units = self._counter(
            "bursar_credits_made_minor_units", "Their sum in minor units.", "currency"
        )
        self._kafka_in()
        self._waiting()

    def _kafka_in(self) -> None:
        self.contact_age = self._gauge(
            "bursar_kafka_contact_age_seconds", "Since a broker last answered the intake."
        )
        self.partitions = self._gauge("bursar_partitions_assigned", "Partitions read here.")
        self.topic_partitions = self._gauge(
            "bursar_topic_partitions", "Partitions of the topic read here.", "topic"
        )
        self.partitions_held = self._gauge(
            "bursar_partitions_held", "Partitions whose next record alone runs into a time limit."
        )
        self.topic_lag = self._gauge(
            "bursar_topic_lag_records",
            "From the database's offsets to the ends of the partitions of the topic read here.",
            "topic",
        )
        self.partition_lag = self._gauge(
            "bursar_partition_lag_records",
            "From the database's offset to the end of a partition read here.",
            "topic",
            "partition",
        )
        self.fetch_age = self._gauge(
            "bursar_partition_fetch_age_seconds",
            "Since a broker last answered a fetch from a partition read here.",
            "topic",
            "partition",
        )
        self.partitions_unread = self._gauge(
            "bursar_topic_partitions_unread",
            "Partitions of the topic that nobody in the group has, and those read here in vain.",
            "topic",
        )

    def _waiting(self) -> None:
        self.intake_stops = self._gauge(
            "bursar_intake_stops",
            "How often the topic is stopped: for institutions, or all.",
            "topic",
        )
        self.parked = self._gauge("bursar_parked", "Records that wait, by reason.", "wait")
        self.parked_age = self._gauge("bursar_parked_age_seconds", "Age of the oldest of them.")
        text = "Of them, those that wait longer than the alarm's age."
        self.parked_overdue = self._gauge("bursar_parked_overdue", text)
        text = "Most records that wait for one fine."
        self.parked_queue_longest = self._gauge("bursar_parked_queue_longest", text)
        text = "Rejected records nobody has looked after, by reason."
        self.rejected_open = self._gauge("bursar_rejected_open", text, "reason")
        text = "Sources that have sent nothing for too long."
        self.sources_silent = self._gauge("bursar_sources_silent", text, "topic")

    def _relay(self) -> None:
        self.sent = self._counter("bursar_sent", "Records acknowledged, by topic.", "topic")
        self.quarantined = self._counter(
            "bursar_set_aside", "Records the broker refuses for their own sake.", "topic", "reason"
        )
        self.rebuilds = self._counter("bursar_producer_rebuilds", "Producers built anew.", "reason")
        self.lease_held = self._gauge("bursar_relay_lease_held", "1 where the relay works.")
        self.outbox_age = self._gauge("bursar_outbox_age_seconds", "Age of the oldest outbox row.")
        self.outbox_rows = self._gauge(
            "bursar_outbox_rows", "Rows that wait for the broker, counted up to 100 000."
        )
        self.quarantined_records = self._gauge(
            "bursar_quarantined_records", "Records in quarantine: the broker refused them."
        )
        self.quarantined_records_former_name = self._gauge(
            "bursar_set_aside_rows", "The former name of bursar_quarantined_records."
        )
        self.page_seconds = self._histogram(
            "bursar_page_seconds", "From reading a page to its delete.", SECONDS
        )

    def _export(self) -> None:
        self.batches = self._counter("bursar_batches_sealed", "Batches, by profile.", "profile")
        self.fines_exported = self._counter(
            "bursar_fines_exported", "Fines exported, each as one line of a batch.", "profile"
        )
        self.held_back = self._gauge(
            "bursar_held_back", "Fines held back in the last whole run.", "profile", "reason"
        )
        self.held_now = self._gauge(
            "bursar_held_now", "Open fines that a person has to decide about.", "reason"
        )
        self.paused = self._gauge(
            "bursar_profile_paused", "1 while a person has stopped the profile's runs.", "profile"
        )
        self.run_failures = self._counter("bursar_run_failures", "Failed runs.", "profile")
        self.run_ended = self._gauge(
            "bursar_run_ended_timestamp_seconds", "When the last run ended; 0: never.", "profile"
        )
        self.run_age = self._gauge(
            "bursar_run_age_seconds", "Since the last whole run, or since it is known.", "profile"
        )
        self.run_overdue = self._gauge(
            "bursar_run_overdue", "1 while a run is due by the schedule and late.", "profile"
        )
        self.batches_unanswered = self._gauge(
            "bursar_batches_unanswered", "Batches without an answer for too long.", "profile"
        )
        self.batch_seconds = self._histogram(
            "bursar_batch_seconds", "From the plan of a batch to its commit.", SECONDS
        )
        self.recovery_open = self._gauge("bursar_recovery_open", "1 while a recovery goes on.")
        self.adopted_lines = self._gauge("bursar_adopted_lines", "Adopted lines that wait.")
        self._reconciliation()
        self._delivery()

    def _reconciliation(self) -> None:
        self.reconcile_differences = self._gauge(
            "bursar_reconcile_differences", "Differences the last reconciliation found."
        )
        self.purged = self._counter("bursar_purged", "What the purge has removed.", "kind")
        self.kept_age = self._gauge(
            "bursar_kept_age_seconds", "Age of the oldest that the purge has kept.", "kind"
        )
        self.reconcile_ended = self._gauge(
            "bursar_reconcile_timestamp_seconds", "When it ended, on any instance; 0: not yet."
        )

    def _delivery(self) -> None:
        self.delivered = self._counter(
            "bursar_delivered", "Batches a delivery passed on, by profile.", "profile"
        )
        self.delivery_blocked = self._gauge(
            "bursar_delivery_stands_still", "1 while its next batch is refused.", "profile"
        )


def observe_since(histogram: Histogram, started_ns: int) -> None:
    """Adds the seconds since `started_ns`, a value of time.monotonic_ns, to the histogram."""
    histogram.observe((time.monotonic_ns() - started_ns) / 1_000_000_000)


def get_log(name: str) -> Log:
    """Returns a logger, which is used as `log.info(Event.BATCH_SEALED, profile=..., fines=...)`."""
    log: Log = structlog.get_logger(name)
    return log
