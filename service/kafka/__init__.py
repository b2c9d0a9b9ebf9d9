"""Kafka's clients and topics, with the settings that were measured to behave best."""
