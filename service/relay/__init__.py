"""Kafka out: lease, pages, acknowledgements."""
