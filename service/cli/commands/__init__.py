"""What each command is called, takes and says of itself; what it does is imported when it runs.

Nothing here imports a driver, a client or a parser: `--help` and completion load these modules
alone.
"""
