"""Sends the outbox to Kafka: lease, pages and acknowledgements."""
