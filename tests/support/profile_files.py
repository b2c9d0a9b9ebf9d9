"""Profile files of tests, table by table."""

from pathlib import Path

from service.export.profiles.profile import Profiles
from service.export.profiles.reading import parse_profiles

INSTITUTION = '[[institution]]\nid = "972"\nzone = "America/New_York"\n'


def table(*lines: str, code: str = "p", **fields: str) -> str:
    """A [[profile]] with what it must have; `fields` are TOML values, "" leaves one out."""
    known = {
        "name": '"P"',
        "institution": '"972"',
        "mode": '"export_only"',
        "currency": '"USD"',
        "fine_types": '["OVERDUEFINE"]',
        "match": '"02"',
    }
    options = [f"{key} = {value}" for key, value in {**known, **fields}.items() if value]
    return "\n".join(["[[profile]]", f'code = "{code}"', *options, *lines, ""])


def parse(*tables: str) -> Profiles:
    return parse_profiles("".join((INSTITUTION, *tables)), Path("p.toml"))
