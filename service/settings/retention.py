"""Settings of the purge, which removes data that the ledger does not need: for how many days each
kind is kept, and how fast it is removed.
"""

from typing import Self

from pydantic import Field, model_validator

from .values import Group

FOR_EVER = 0
DAYS_MAX = 36_500
# The topics of batches keep them for as long (contracts.md, 0).
BATCH_DAYS_MIN = 400


class RetentionLimits(Group):
    """Settings of the purge: after how many days each kind of data is removed (0: never), how
    often, and how many rows in one transaction.
    """

    rejected_retention_days: int = Field(400, ge=FOR_EVER, le=DAYS_MAX)
    import_retention_days: int = Field(400, ge=FOR_EVER, le=DAYS_MAX)
    parked_error_retention_days: int = Field(30, ge=FOR_EVER, le=DAYS_MAX)
    quarantine_retention_days: int = Field(90, ge=FOR_EVER, le=DAYS_MAX)
    batch_retention_days: int = Field(BATCH_DAYS_MIN, ge=FOR_EVER, le=DAYS_MAX)
    run_retention_days: int = Field(400, ge=FOR_EVER, le=DAYS_MAX)
    operator_action_retention_days: int = Field(3_650, ge=FOR_EVER, le=DAYS_MAX)
    purge_interval_seconds: int = Field(86_400, ge=60, le=31_536_000)
    purge_page_rows_max: int = Field(500, ge=1, le=10_000)

    @model_validator(mode="after")
    def _batches_stay_as_long_as_in_their_topic(self) -> Self:
        if FOR_EVER < self.batch_retention_days < BATCH_DAYS_MIN:
            raise ValueError(
                f"BURSAR_BATCH_RETENTION_DAYS: must be 0 or at least {BATCH_DAYS_MIN}, as the topic"
            )
        return self
