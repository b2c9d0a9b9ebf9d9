"""Kafka in: membership, offsets, polls."""
