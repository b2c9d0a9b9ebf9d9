"""Is this database older than Kafka? Asked before anything is written, and guarded ever after."""
