"""Turns Kafka records into events, and changes of the ledger into records; no other package knows
their JSON.
"""
