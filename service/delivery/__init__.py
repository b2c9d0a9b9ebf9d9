"""Delivers sealed batches from their Kafka topics to a folder or an SFTP server, without a
database.
"""
