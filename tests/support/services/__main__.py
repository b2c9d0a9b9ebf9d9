"""`python -m tests.support.services` (`make services`): runs them until Ctrl-C or SIGTERM."""

from __future__ import annotations

import os
import shlex
import signal
import sys

from tests.support.services import ServicesUnavailable, running_services


def main() -> int:
    def tell(text: str) -> None:
        print(f"# {text}", file=sys.stderr, flush=True)

    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        with running_services(tell) as services:
            print(f"export DATABASE_URL={shlex.quote(services.database_url)}")
            print(f"export KAFKA_BOOTSTRAP_SERVERS={shlex.quote(services.kafka_bootstrap_servers)}")
            sys.stdout.flush()
            # A script's background job is started with SIGINT ignored: for it the other signal.
            how = f"Ctrl-C or SIGTERM to process {os.getpid()}"
            tell(f"running ({services.source}); to end them: {how}")
            while True:
                signal.pause()
    except KeyboardInterrupt:
        return 0
    except ServicesUnavailable as problem:
        tell(str(problem))
        return 1


if __name__ == "__main__":
    sys.exit(main())
