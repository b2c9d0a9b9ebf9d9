"""Digests of the released contract files: `python -m tests.contracts.digests [--write]`.

Without an option it compares and says what differs (exit code 1). With `--write` it adds lines
for new files; it never changes or removes a line: a released file gets a successor under a new
version instead.
"""

import argparse
import hashlib
import sys
from pathlib import Path

CONTRACTS = Path(__file__).parents[2] / "contracts"
LIST = "released.sha256"
RELEASED = ("events/*.schema.json", "export/*.xsd", "asyncapi.yaml")


def digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def current_digests(root: Path) -> dict[str, str]:
    """Every contract file under `root` with its digest, by relative path."""
    paths = [path for pattern in RELEASED for path in root.glob(pattern)]
    return {path.relative_to(root).as_posix(): digest(path) for path in sorted(paths)}


def listed(root: Path) -> dict[str, str]:
    """The lines of the list (the format of sha256sum), by relative path; empty without a list."""
    path = root / LIST
    if not path.exists():
        return {}
    lines = (line.split("  ", 1) for line in path.read_text("utf-8").splitlines())
    return {name: sha256 for sha256, name in lines}


def broken(root: Path) -> list[str]:
    """Released files that changed or are gone."""
    now = current_digests(root)
    return [
        f"{name}: {'changed' if name in now else 'missing'}"
        for name, sha256 in sorted(listed(root).items())
        if now.get(name) != sha256
    ]


def unlisted(root: Path) -> list[str]:
    """Contract files without a line."""
    return sorted(current_digests(root).keys() - listed(root).keys())


def write(root: Path) -> list[str]:
    """Adds a line for every new file, returns their names. ValueError if a line is broken."""
    if faults := broken(root):
        raise ValueError("; ".join(faults))
    added = unlisted(root)
    lines = [f"{sha256}  {name}\n" for name, sha256 in sorted(current_digests(root).items())]
    (root / LIST).write_text("".join(lines), "utf-8")
    return added


def main() -> int:
    parser = argparse.ArgumentParser(description="Digests of the released contract files.")
    parser.add_argument("--write", action="store_true", help="add lines for new files")
    if not (faults := broken(CONTRACTS)) and parser.parse_args().write:
        sys.stdout.writelines(f"added {name}\n" for name in write(CONTRACTS))
    faults += [f"{name}: has no line" for name in unlisted(CONTRACTS)]
    sys.stderr.writelines(f"{fault}\n" for fault in faults)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
