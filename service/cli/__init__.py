"""The command line, which is the program `bursar-bridge`."""

import os

from ..runtime.process import collect_garbage_seldom


def main() -> None:
    """The entry point of the program `bursar-bridge`."""
    collect_garbage_seldom()  # even while the commands are imported, which leaves no garbage
    # There are none, and a search for them would read the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from .program import run

    run()
