"""The relay: sends the records in the outbox, a table of the database, to Kafka, and deletes them
when the broker has acknowledged them.
"""
