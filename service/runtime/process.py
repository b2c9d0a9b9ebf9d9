"""Functions about the process itself: crash points for tests, garbage collection, and the version
of the program.
"""

import gc
import os
from pathlib import Path
from typing import Final

# A TLS record has at most 16 kB; asyncio takes 256 kB for each connection.
TLS_BUFFER_BYTES: Final = 64 * 1024

# An installed package and an image have no tests beside it: the variable has no effect there.
_HAS_TESTS = (Path(__file__).parents[2] / "tests").is_dir()
_CRASH_AT = os.environ.get("CRASH_AT", "") if _HAS_TESTS else ""
_CRASH_NAME, _, _CRASH_COUNT = _CRASH_AT.partition(":")
_passages_left = int(_CRASH_COUNT or 1)


def crash_point(name: str) -> None:
    """Ends the process at this point with status 137, as SIGKILL would, if a test has asked for it.

    `CRASH_AT=name:n` in the environment ends the process when the crash point `name` is passed for
    the n-th time (1, 2, ...). The variable has an effect in a checkout with its tests only, and not
    in an installed package or an image. Without it, a crash point costs one comparison.
    """
    global _passages_left
    if name != _CRASH_NAME:
        return
    _passages_left -= 1
    if _passages_left == 0:
        os._exit(137)


def collect_garbage_seldom() -> None:
    """Makes the interpreter look for cycles of objects less often; called at the start.

    The objects of a poll or a batch live until its commit, and hardly any of them is part of a
    cycle. With Python's default thresholds (700, 10, 10) a sixth of the processing time would be
    spent on looking for cycles.
    """
    gc.set_threshold(50_000, 20, 50)


def keep_failed_connections_small() -> None:
    """Makes the buffer of each TLS connection smaller; called before the first one is opened.

    A connection that could not be made, for example because the certificate of the server has
    expired, leaves a cycle of objects with its buffer. Clients try again ten times a second, and
    the interpreter looks for cycles by the number of objects, of which these are few.
    """
    from asyncio import sslproto  # commands that connect to nothing need not import it

    sslproto.SSLProtocol.max_size = TLS_BUFFER_BYTES


def collect_failed_connections() -> None:
    """Looks for cycles among the objects made since the last time, which takes milliseconds; to be
    called about once a second while connections fail.
    """
    gc.collect(0)


def program_version() -> str:
    """Returns the version of the installed package, or that of pyproject.toml in a checkout that
    was never installed.
    """
    import tomllib  # neither is needed otherwise, and the second takes long to import
    from importlib import metadata

    try:
        return metadata.version("bursar-bridge")
    except metadata.PackageNotFoundError:
        beside = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(beside.read_text("utf-8"))["project"]["version"])
