"""The command line, which is the program `bursar-bridge`."""

from ..runtime.process import collect_garbage_seldom


def main() -> None:
    """The entry point of the program `bursar-bridge`."""
    collect_garbage_seldom()  # even while the commands are imported, which leaves no garbage
    from .program import run

    run()
