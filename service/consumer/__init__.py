"""Reads Kafka: membership in the consumer group, offsets and polls."""
