"""Declares each command of `bursar-bridge` with its name, its options and its help; the module that
does a command's work is imported only when the command runs.

No module of this package imports the database driver, the Kafka client or a parser, so that
`--help` and tab completion, which load only this package, are quick.
"""
