"""The negative controls as a program; `python -m tests.controls --help`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Mapping, Sequence

from tests.controls.protections import PROTECTIONS, Protection
from tests.controls.report import write
from tests.controls.trial import CannotRun, Verdict, check_tests, try_without
from tests.support.services import running_services


def main() -> int:
    """Exit status 0: each protection is missed by its tests; 1: some are not; 2: it cannot run."""
    arguments = _arguments()
    chosen = [p for p in PROTECTIONS if not arguments.only or p.name in arguments.only]
    with running_services(print, durable=False) as services:
        environment = {
            "DATABASE_URL": services.database_url,
            "KAFKA_BOOTSTRAP_SERVERS": services.kafka_bootstrap_servers,
        }
        try:
            verdicts = _try_all(chosen, environment)
        except CannotRun as problem:
            print(f"controls: {problem}")
            return 2
    page = write(verdicts)
    print(page.read_text("utf-8"))
    return 0 if all(verdict.is_red for verdict in verdicts) else 1


def _try_all(chosen: Sequence[Protection], environment: Mapping[str, str]) -> list[Verdict]:
    tests = dict.fromkeys(test for protection in chosen for test in protection.tests)
    print(f"controls: {len(tests)} tests with all protections", flush=True)
    check_tests(tuple(tests), environment)
    verdicts = []
    for protection in chosen:
        print(f"controls: without {protection.what}", flush=True)
        verdicts.append(try_without(protection, environment))
    return verdicts


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m tests.controls", description=__doc__)
    names = [protection.name for protection in PROTECTIONS]
    parser.add_argument("--only", nargs="*", choices=names, help="these protections alone")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
