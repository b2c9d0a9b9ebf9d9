"""`bursar-bridge import`: the bursar XML that came back, line by line, into the ledger."""

from pathlib import Path

from ..core.words import KnownLines
from ..export.profiles.profile import Profile
from ..export.profiles.reading import read_profiles
from ..export.xml.read import ImportFile, read_import
from ..export.xml.stream import Fault, UnreadableDocument
from ..imports.files import Accepted, FileKey
from ..messages.values import ID_CHARACTERS_MAX, identifier
from ..messages.values import Fault as TextFault
from ..runtime.problems import OperatorError
from ..settings import Settings
from .errors import settings_or_exit
from .import_run import How, ImportRun, ended
from .shown import misuse, no_such_profile, said

ACCEPTED_LINES = {
    KnownLines.REFUSE: None,
    KnownLines.SKIP: "import_known_lines_skipped",
    KnownLines.PAY: "import_known_lines_paid",
}


def import_file(
    file: Path,
    profile: str,
    source: str | None,
    dry_run: bool,
    all_or_nothing: bool,
    allow_overpaid: bool,
    accept_source: bool,
    known_lines: KnownLines,
    reason: str | None,
    operator: str | None,
    wait_seconds: int,
    as_json: bool,
) -> None:
    if allow_overpaid and not all_or_nothing:
        raise misuse("--allow-overpaid: only with --all-or-nothing")
    accepted = _accepted(accept_source, known_lines, reason, operator)
    settings = settings_or_exit()
    how = How(all_or_nothing, allow_overpaid, wait_seconds, as_json, dry_run, known_lines, accepted)
    run = ImportRun(settings, how)
    ended(run, lambda: run.run(*_file_of(settings, file, profile, source)))


def _accepted(
    accept_source: bool, known_lines: KnownLines, reason: str | None, operator: str | None
) -> Accepted:
    lines = ACCEPTED_LINES[known_lines]
    if not accept_source and lines is None:
        if reason is not None or operator is not None:
            raise misuse("--reason, --operator: only with --accept-source or --known-lines")
        return Accepted()
    if reason is None:
        raise misuse("--reason: is required with --accept-source and with --known-lines skip, pay")
    return Accepted(said(reason, operator), accept_source, lines)


def _file_of(
    settings: Settings, path: Path, code: str, source: str | None
) -> tuple[Profile, FileKey, ImportFile]:
    """Raises OperatorError, and Exit for options that have no meaning."""
    profile = _profile(settings, code)
    name = profile.code if source is None else _source(source)
    file = _read(path)
    _refuse_another_institutions(file, profile)
    return profile, FileKey(profile.institution_id, name, file.sha256), file


def _source(named: str) -> str:
    """As an event would name it; blanks around it are looked at with the known sources."""
    try:
        name = identifier("--source", named)
    except TextFault as fault:
        raise misuse(fault.detail) from None
    if not 0 < len(name.strip()) <= len(name) <= ID_CHARACTERS_MAX:
        raise misuse(f"--source: must have 1 to {ID_CHARACTERS_MAX} characters")
    return name


def _profile(settings: Settings, code: str) -> Profile:
    if settings.profiles_file is None:
        raise OperatorError("BURSAR_PROFILES_FILE: is required to import")
    profiles = read_profiles(settings.profiles_file)
    profile = profiles.profile(code)
    if profile is None:
        raise no_such_profile(profiles)
    return profile


def _refuse_another_institutions(file: ImportFile, profile: Profile) -> None:
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
