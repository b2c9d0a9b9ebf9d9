"""Clients and topics of Kafka, with settings that were tested against faults of the brokers."""
