"""What is mutated, and which tests look at it; the only place that knows these paths."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var" / "mutation"  # reports, and what the tests print

OPTIONS = ("-q", "-m", "not slow", "-p", "no:cacheprovider", "--tb=line")


def _files(pattern: str, *, but: tuple[str, ...] = ()) -> tuple[str, ...]:
    """The test files of a pattern, as paths from the root of the repository, without some."""
    names = sorted(str(path.relative_to(ROOT)) for path in ROOT.glob(pattern))
    return tuple(name for name in names if name not in but)


NUMBERS = ("tests/unit/test_rules_numbers.py",)
IDS = ("tests/unit/test_bursar_ids.py", "tests/unit/test_spreadsheet_ids.py")
MATRIX = ("tests/unit/test_rules_matrix.py", "tests/unit/test_rules_sums_matrix.py")
TABLES = ("tests/unit/test_tables_of_the_ledger.py",)
RULES = (
    *_files("tests/unit/test_rules_*.py", but=MATRIX),
    "tests/unit/test_operator_rules.py",
    "tests/unit/test_rejection_details.py",
    "tests/unit/test_stored_words.py",
    "tests/unit/test_workspace.py",
    *IDS,
)
# Starts an older release as a program of its own, which no mutant can reach.
OLDER = ("tests/unit/test_messages_earlier_digests.py",)
MESSAGES = _files("tests/unit/test_messages_*.py", but=OLDER)
XML = (
    "tests/unit/test_bursar_xml.py",
    "tests/unit/test_bursar_xml_reading.py",
    "tests/unit/test_manifest.py",
    "tests/unit/test_bursar_xml_details.py",
)
FILES = (
    "tests/contracts/test_xsd.py",
    "tests/unit/test_readme_example.py",
    "tests/unit/test_batch.py",
)
FORMATS = ("tests/unit/test_formats.py",)
PROFILES = (
    *_files("tests/unit/test_profiles*.py"),
    "tests/unit/test_selection_of_credits.py",
    "tests/unit/test_held_reasons.py",
)
PAGES = (
    "tests/structure/test_reference_pages.py",
    "tests/unit/test_outcome_words.py",
)
CONTRACTS = _files("tests/contracts/test_*.py")
LAWS = _files("tests/laws/test_*.py")


@dataclass(frozen=True, slots=True)
class Target:
    """Source files with the tests that look at them, the fast and fitting ones in early stages."""

    sources: tuple[str, ...]  # glob patterns, from the root of the repository
    stages: tuple[tuple[str, ...], ...]

    @property
    def tests(self) -> tuple[str, ...]:
        """The files with the tests, from the root of the repository."""
        return tuple(name for stage in self.stages for name in stage)

    def paths(self) -> list[Path]:
        return sorted(path for pattern in self.sources for path in ROOT.glob(pattern))


# A file belongs to the first target that names it.
TARGETS = (
    Target(("service/core/money.py",), ((*NUMBERS, *MESSAGES, *XML), (*FILES, *FORMATS))),
    Target(
        (
            "service/core/words.py",
            "service/core/ledger.py",
            "service/core/terms.py",
            "service/core/outcomes.py",
        ),
        (
            (*RULES, *MESSAGES),
            (*PAGES, *CONTRACTS, *LAWS),
            (*MATRIX, *TABLES, *PROFILES, *XML, *FILES, *FORMATS),
        ),
    ),
    Target(("service/core/*.py",), (RULES, LAWS, MATRIX)),
    Target(("service/export/xml/write.py", "service/export/xml/read.py"), (XML, FILES)),
    Target(("service/export/xml/stream.py",), (XML[::-1], FILES)),
)


def sources() -> list[Path]:
    """The files that are mutated."""
    paths = {path for target in TARGETS for path in target.paths()}
    return sorted(path for path in paths if path.read_text("utf-8").strip())


def target_of(source: Path) -> Target:
    return next(target for target in TARGETS if source in target.paths())
