"""The write path: one transaction for one poll, one batch, one sweep or one command."""
