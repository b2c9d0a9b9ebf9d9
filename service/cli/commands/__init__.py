"""Declares each command with its name, its options and its help; the modules that do the work are
imported when a command runs.

No module of this package imports a driver, a client or a parser, because `--help` and completion
load these modules alone.
"""
