"""What is mutated, and which tests look at it; the only place that knows these paths."""

from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "var" / "mutation"  # reports, and what the tests print

OPTIONS = ("-q", "-m", "not slow", "-p", "no:cacheprovider", "--tb=line")

RULES = (
    "tests/unit/test_rules_numbers.py",
    "tests/unit/test_rules_fines.py",
    "tests/unit/test_rules_changes.py",
    "tests/unit/test_rules_adjusted.py",
    "tests/unit/test_rules_disputes.py",
    "tests/unit/test_rules_payments.py",
    "tests/unit/test_rules_payments_rejected.py",
    "tests/unit/test_rules_payments_parked.py",
    "tests/unit/test_rules_overpayments.py",
    "tests/unit/test_rules_reversals.py",
    "tests/unit/test_rules_reversals_rejected.py",
    "tests/unit/test_rules_reversals_parked.py",
    "tests/unit/test_rules_responses.py",
    "tests/unit/test_rules_responses_checked.py",
    "tests/unit/test_rules_operators.py",
    "tests/unit/test_rules_missed.py",
    "tests/unit/test_rules_remembered.py",
    "tests/unit/test_operator_rules.py",
    "tests/unit/test_workspace.py",
)
MATRIX = ("tests/unit/test_rules_matrix.py", "tests/unit/test_tables.py")
MESSAGES = (
    "tests/unit/test_messages_reading.py",
    "tests/unit/test_messages_values.py",
    "tests/unit/test_messages_texts.py",
    "tests/unit/test_messages_ids.py",
    "tests/unit/test_messages_time.py",
    "tests/unit/test_messages_envelope.py",
    "tests/unit/test_messages_json.py",
    "tests/unit/test_messages_trace_context.py",
    "tests/unit/test_messages_outgoing.py",
    "tests/unit/test_messages_batches.py",
    "tests/unit/test_messages_rejected.py",
    "tests/unit/test_messages_digests.py",
)
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
    "tests/unit/test_profiles.py",
    "tests/unit/test_profiles_invalid.py",
    "tests/unit/test_profiles_selection.py",
)
PAGES = ("tests/structure/test_reference_pages.py",)
CONTRACTS = ("tests/contracts",)
LAWS = ("tests/laws",)


@dataclass(frozen=True, slots=True)
class Target:
    """Source files with the tests that look at them: each stage runs if the one before passed."""

    sources: tuple[str, ...]  # glob patterns, from the root of the repository
    stages: tuple[tuple[str, ...], ...]

    def paths(self) -> list[Path]:
        return sorted(path for pattern in self.sources for path in ROOT.glob(pattern))


# A file belongs to the first target that names it.
TARGETS = (
    Target(("service/core/money.py",), ((*RULES[:1], *MESSAGES, *XML), (*FILES, *FORMATS))),
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
            (*MATRIX, *PROFILES, *XML, *FILES, *FORMATS),
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
