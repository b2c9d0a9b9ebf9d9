"""`bursar-bridge run`: the service itself."""


def run() -> None:
    """Run the service until SIGTERM or SIGINT (twice: at once)."""
    from .. import run

    run.run()
