"""The command line."""

from .program import application, main

__all__ = ["application", "main"]
