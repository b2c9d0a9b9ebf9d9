"""The command line of this project: the program `bursar-bridge`, with which operators start the
service and work with it.
"""

import os

from ..runtime.process import collect_garbage_seldom


def main() -> None:
    """The entry point of the program `bursar-bridge`: prepares the process, and runs the command
    that its arguments name.
    """
    collect_garbage_seldom()  # even while the commands are imported, which leaves no garbage
    # There are none, and a search for them would read the metadata of every installed package.
    os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
    from .program import run

    run()
