"""The write path: applies a poll of records, an export batch, a page of parked records or an
operator's command to the ledger, each in a database transaction of its own.
"""
