"""Reads the input topics from Kafka: membership in the consumer group, offsets, and polls of
records.
"""
