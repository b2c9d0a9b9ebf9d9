"""Every SQL statement lies in sql/*.sql under a name; nothing builds SQL from strings."""

import re
from collections.abc import Mapping
from functools import cache
from importlib import resources
from types import MappingProxyType

_NAME = re.compile(r"^-- name: (?P<name>[a-z][a-z0-9_]*)$", re.MULTILINE)


@cache
def statements(file: str) -> Mapping[str, str]:
    """The statements of sql/<file>.sql by name. Raises ValueError for a name given twice."""
    text = resources.files(__package__).joinpath("sql", f"{file}.sql").read_text("utf-8")
    found: dict[str, str] = {}
    starts = list(_NAME.finditer(text))
    ends = [*(start.start() for start in starts[1:]), len(text)]
    for start, end in zip(starts, ends, strict=True):
        name = start["name"]
        if name in found:
            raise ValueError(f"{file}.sql names {name} twice")
        found[name] = text[start.end() : end].strip().rstrip(";")
    return MappingProxyType(found)
