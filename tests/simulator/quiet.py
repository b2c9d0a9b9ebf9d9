"""Keeps a process silent. Worker processes import this module, and cannot import `__main__`."""

from __future__ import annotations

import logging
import sys
import warnings
from typing import NoReturn

import structlog


def be_quiet() -> None:
    """What the service logs of its troubles is not of interest."""
    logging.disable(logging.CRITICAL)
    structlog.configure(processors=[_drop])
    # Of a simulation that failed, tasks are left that nobody runs to their end.
    sys.unraisablehook = lambda _: None
    warnings.simplefilter("ignore")


def _drop(*_: object) -> NoReturn:
    raise structlog.DropEvent
