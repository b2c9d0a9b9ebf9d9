"""The command line, which is the program `bursar-bridge`."""

from .program import application, main

__all__ = ["application", "main"]
