"""Delivery: sealed batches from their topics into a folder or an SFTP server; knows no database."""
