"""Runs `python -m service` of the current folder, and writes down where a piece of data goes.

    python .../tests/structure/traced.py TRACE MARK run

A line of the file TRACE is JSON: the time in nanoseconds, and either a function, as
`module:qualified name`, one of whose arguments holds the text MARK, or an SQL statement whose rows
hold it. This file uses nothing of the repository, so that it can run the source of any release.
"""

import contextlib
import json
import runpy
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from types import CodeType, FrameType

ROOT = Path.cwd()
PACKAGE = f"{ROOT / 'service'}/"
_names: dict[CodeType, str] = {}


def main() -> None:
    """Runs the command line that follows the name of the trace's file and the mark."""
    file, mark = sys.argv[1:3]
    sys.path.insert(0, str(ROOT))
    sys.argv = ["service", *sys.argv[3:]]
    with Path(file).open("a", buffering=1) as trace:

        def write(text: str) -> None:
            trace.write(json.dumps([time.time_ns(), text]) + "\n")

        def profile(frame: FrameType, event: str, _: object) -> None:
            if event == "call" and (name := _name_of(frame.f_code)) and mark in _arguments(frame):
                write(name)

        _trace_statements(mark, write)
        threading.setprofile(profile)
        sys.setprofile(profile)
        runpy.run_module("service", run_name="__main__", alter_sys=True)


def _name_of(code: CodeType) -> str:
    """`module:function` for code of the service, and nothing for other code."""
    name = _names.get(code)
    if name is None:
        file = code.co_filename
        module = file.removeprefix(PACKAGE).removesuffix(".py") if file.startswith(PACKAGE) else ""
        name = _names[code] = f"{module}:{code.co_qualname}" if module else ""
    return name


def _arguments(frame: FrameType) -> str:
    """All arguments of a call as text: values show their members, and these theirs."""
    code = frame.f_code
    count = (
        code.co_argcount + code.co_kwonlyargcount + 2
    )  # with *args and **kwargs, if there are any
    with contextlib.suppress(Exception):  # an object that is not complete yet cannot be shown
        return repr([frame.f_locals.get(name) for name in code.co_varnames[:count]])
    return ""


def _trace_statements(mark: str, write: Callable[[str], None]) -> None:
    """Writes down each statement of the database driver whose rows hold the mark."""
    from asyncpg.connection import Connection

    execute = vars(Connection)["_execute"]

    async def traced(self: object, query: str, *args: object, **named: object) -> object:
        rows: object = await execute(self, query, *args, **named)
        if mark in repr(rows):
            write(f"SQL {query}")
        return rows

    type.__setattr__(Connection, "_execute", traced)  # the driver's types do not have it


if __name__ == "__main__":
    main()
