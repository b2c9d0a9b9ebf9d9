"""`bursar-bridge import`: the bursar XML that came back, line by line, into the ledger."""

from pathlib import Path

from ..core.words import KnownLines
from ..export.profiles.profile import Profile
from ..export.xml.read import ImportFile, read_import
from ..export.xml.stream import Fault, UnreadableDocument
from ..imports.files import Acceptance, FileKey
from ..messages.values import ID_CHARACTERS_MAX, identifier
from ..messages.values import Fault as TextFault
from ..runtime.problems import OperatorError
from ..settings import Settings
from .commands.files import ImportOptions
from .decisions import justification
from .errors import settings_or_exit, usage_error
from .import_run import run_to_end
from .profiles import profiles_named, required_profiles

ACCEPTED_LINES = {
    KnownLines.REFUSE: None,
    KnownLines.SKIP: "import_known_lines_skipped",
    KnownLines.PAY: "import_known_lines_paid",
}


def import_file(file: Path, profile: str, options: ImportOptions, source: str | None) -> None:
    """Imports a file, or with `--dry-run` shows what each line would do."""
    if options.allow_overpaid and not options.all_or_nothing:
        raise usage_error("--allow-overpaid: only with --all-or-nothing")
    accepted = _accepted(options)
    settings = settings_or_exit()
    run_to_end(settings, options, accepted, lambda: _file_of(settings, file, profile, source))


def _accepted(options: ImportOptions) -> Acceptance:
    lines = ACCEPTED_LINES[options.known_lines]
    if not options.accept_source and lines is None:
        if options.reason is not None or options.operator is not None:
            raise usage_error("--reason, --operator: only with --accept-source or --known-lines")
        return Acceptance()
    if options.reason is None:
        raise usage_error(
            "--reason: is required with --accept-source and with --known-lines skip, pay"
        )
    why = justification(options.reason, options.operator)
    return Acceptance(why, options.accept_source, lines)


def _file_of(
    settings: Settings, path: Path, code: str, source: str | None
) -> tuple[Profile, FileKey, ImportFile]:
    """Raises OperatorError, and Exit for options that have no meaning."""
    (profile,) = profiles_named(required_profiles(settings, "import"), [code])
    name = profile.code if source is None else _source(source)
    file = _read(path)
    _raise_for_another_institution(file, profile)
    return profile, FileKey(profile.institution_id, name, file.sha256), file


def _source(named: str) -> str:
    """As an event would name it; blanks around it are looked at with the known sources."""
    try:
        name = identifier("--source", named)
    except TextFault as fault:
        raise usage_error(fault.detail) from None
    if not 0 < len(name.strip()) <= len(name) <= ID_CHARACTERS_MAX:
        raise usage_error(f"--source: must have 1 to {ID_CHARACTERS_MAX} characters")
    return name


def _raise_for_another_institution(file: ImportFile, profile: Profile) -> None:
    """Ids are unique per institution: those of any other would pay somebody else's fines.

    It does not matter whether the other one has a profile here: the ids of a test system begin at
    the same number.
    """
    if file.institutions - {profile.institution_id}:
        raise OperatorError(
            "the file is refused as a whole: InstitutionId: must be that of the profile's "
            f"institution, {profile.institution_id}, wherever it is named"
        )


def _read(file: Path) -> ImportFile:
    try:
        with file.open("rb") as stream:
            return read_import(stream)
    except UnreadableDocument as problem:
        text = f"the file is refused as a whole: {problem}"
        if problem.fault is Fault.TOO_LARGE:
            text = f"{text}: it has {file.stat().st_size} bytes"
        raise OperatorError(text) from None
