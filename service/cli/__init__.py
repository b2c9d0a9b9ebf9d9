"""The command line."""

from service.cli.program import application, main

__all__ = ["application", "main"]
