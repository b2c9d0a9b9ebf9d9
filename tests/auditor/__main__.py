"""Prints a verdict for each invariant, and the ids of what breaks it; exits with 1 if any is."""

from __future__ import annotations

import argparse
import asyncio
import json
import os
from collections.abc import Mapping, Sequence

from tests.auditor.evidence import Finding
from tests.auditor.judge import INVARIANTS, judge
from tests.auditor.sources import read_evidence

SHOWN_MAX = 20


def main() -> int:
    """Reads the evidence, prints the verdicts and returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m tests.auditor", description=__doc__)
    parser.add_argument("--database-url", default=os.environ.get("DATABASE_URL"))
    parser.add_argument("--bootstrap", default=os.environ.get("KAFKA_BOOTSTRAP_SERVERS"))
    parser.add_argument("--prefix", default=os.environ.get("BURSAR_TOPIC_PREFIX", "library."))
    parser.add_argument("--json", action="store_true", help="a JSON object for each invariant")
    parser.add_argument("--shown", type=int, default=SHOWN_MAX, help="findings of each invariant")
    options = parser.parse_args()
    if not options.database_url or not options.bootstrap:
        parser.error("--database-url and --bootstrap are required, or their variables")
    evidence = asyncio.run(read_evidence(options.database_url, options.bootstrap, options.prefix))
    verdicts = judge(evidence)
    _show(verdicts, options.shown, as_json=options.json)
    return 1 if any(verdicts.values()) else 0


def _show(verdicts: Mapping[str, Sequence[Finding]], shown_max: int, *, as_json: bool) -> None:
    for name, findings in verdicts.items():
        shown = [(finding.rule, list(map(str, finding.ids))) for finding in findings[:shown_max]]
        if as_json:
            verdict = {
                "invariant": name,
                "text": INVARIANTS[name],
                "holds": not findings,
                "count": len(findings),
                "findings": [{"rule": rule, "ids": ids} for rule, ids in shown],
            }
            print(json.dumps(verdict))
            continue
        print(f"{name}: {'holds' if not findings else f'BROKEN, {len(findings)} findings'}")
        for rule, ids in shown:
            print(f"    {rule}: {'/'.join(ids)}")
        if len(findings) > len(shown):
            print(f"    and {len(findings) - len(shown)} more")


if __name__ == "__main__":
    raise SystemExit(main())
