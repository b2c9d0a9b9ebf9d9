"""`python -m tests.fuzz`: fuzzes each target for some minutes, or tries one input again."""

from __future__ import annotations

import argparse
import hashlib
import sys
import traceback
from pathlib import Path

from tests.fuzz.engine import Finding, Fuzzer, Target
from tests.fuzz.targets import TARGETS

FOLDER = Path("var/fuzz")


def main() -> int:
    """Returns 1 if a target has a finding, whose input is kept in var/fuzz/."""
    names = [target.name for target in TARGETS]
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__)
    parser.add_argument("--minutes", type=float, default=1, help="for each target (1)")
    parser.add_argument("--seed", type=int, default=1, help="of the changes (1)")
    parser.add_argument(
        "--target", choices=names, action="append", help="only this one; repeatable"
    )
    parser.add_argument("--again", type=Path, help="a kept input, which is tried alone")
    options = parser.parse_args()
    chosen = [target for target in TARGETS if target.name in (options.target or names)]
    if options.again is not None:
        chosen = [each for each in chosen if options.again.name.startswith(f"{each.name}-")]
        return max(_again(target, options.again.read_bytes()) for target in chosen)
    return max(_fuzz(target, options.seed, options.minutes * 60) for target in chosen)


def _fuzz(target: Target, seed: int, seconds: float) -> int:
    fuzzer = Fuzzer(target, seed)
    try:
        fuzzer.run(seconds=seconds)
    except Finding as finding:
        return _report(finding)
    finally:
        done = fuzzer.progress
        print(
            f"{target.name}: {done.executions} inputs, {done.edges} edges, {done.kept} kept, "
            f"seed {seed}",
            flush=True,
        )
    return 0


def _again(target: Target, data: bytes) -> int:
    try:
        Fuzzer(target).try_input(data)
    except Finding as finding:
        return _report(finding)
    print(f"{target.name}: nothing")
    return 0


def _report(finding: Finding) -> int:
    FOLDER.mkdir(parents=True, exist_ok=True)
    digest = hashlib.sha256(finding.data).hexdigest()[:12]
    file = FOLDER / f"{finding.target}-{digest}.input"
    file.write_bytes(finding.data)
    traceback.print_exception(finding)
    print(f"kept: python -m tests.fuzz --again {file}", flush=True)
    return 1


if __name__ == "__main__":
    sys.exit(main())
