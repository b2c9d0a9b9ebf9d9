"""What is fuzzed: everything that reads what others have written."""

from __future__ import annotations

import os
import re
import tempfile
import tomllib
from collections.abc import Callable, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING
from unittest import mock

from service.core.events import Rejection
from service.core.ledger import Origin
from service.export.formats.layout import read_layout
from service.export.profiles.reading import InvalidProfile, parse_profiles
from service.export.xml.read import read, read_import
from service.export.xml.stream import UnreadableDocument
from service.messages.decode import CONTRACTS, parse, parse_parked
from service.messages.manifests import UnreadableManifest, read_manifest
from service.messages.unparsed import changed_fine_in, institution_in
from service.operations.names import envelope_in, names_in
from service.runtime.problems import OperatorError
from service.settings import (
    SECRETS_DIR,
    InvalidSettings,
    Settings,
    read_settings,
    unknown_variables,
    variable_of,
)
from tests.fuzz.corpus import TIMESTAMP_MS, bad_records
from tests.support.pages import ROOT

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.fuzz.engine import Target

EXAMPLES = ROOT / "contracts" / "examples"
XML_EXAMPLES = ROOT / "contracts" / "export" / "examples"
NAMES = tuple(CONTRACTS)


class Records:
    """Records of the input topics, as bytes: the contract's number, headers, and the value."""

    name = "records"

    def seeds(self) -> Sequence[bytes]:
        """The corpus, and the examples of the contracts, sound ones too."""
        corpus = [_packed(each.contract, each.headers, each.value) for each in bad_records()]
        files = [
            (contract, path)
            for contract in NAMES
            for path in sorted((EXAMPLES / contract).rglob("*.json"))
        ]
        examples = [
            _packed(contract, _headers(contract), path.read_bytes()) for contract, path in files
        ]
        return [*corpus, *examples]

    def run(self, data: bytes) -> list[str]:
        """Reads the record in every way in which the service reads one."""
        contract, origin = _unpacked(data)
        event = parse(contract, origin)
        again = parse_parked(contract, origin)
        names_in(origin.value)
        envelope_in(origin)
        institution_in(origin.value)
        changed_fine_in(contract, origin.value)
        return [each.detail for each in (event, again) if isinstance(each, Rejection)]

    def names_in(self, _data: bytes, /) -> str:
        """None: values are personal data."""
        return ""


def _headers(contract: str) -> tuple[tuple[str, bytes], ...]:
    named = {
        "specversion": "1.0",
        "id": "1",
        "source": "/f",
        "type": f"org.bursar-bridge.{contract}",
    }
    return tuple((f"ce_{name}", value.encode()) for name, value in named.items())


def _packed(contract: str, headers: Sequence[tuple[str, bytes]], value: bytes | None) -> bytes:
    rows = [
        name.encode("utf-8", "surrogateescape") + b": " + text.replace(b"\n", b" ")
        for name, text in headers
    ]
    return b"\n".join([b"%d" % NAMES.index(contract), *rows, b"", value or b""])


def _unpacked(data: bytes) -> tuple[str, Origin]:
    head, _, value = data.partition(b"\n\n")
    first, *rows = head.split(b"\n")
    headers = []
    for row in rows:
        name, _, text = row.partition(b": ")
        headers.append((name.decode("utf-8", "surrogateescape"), text))
    contract = NAMES[sum(first) % len(NAMES)]
    place = (f"t.{contract}", 0, 0, None)
    return contract, Origin(*place, value or None, tuple(headers), timestamp_ms=TIMESTAMP_MS)


@dataclass(frozen=True)
class Documents:
    """XML: what the bursar sends back, and the service's own batches."""

    name: str
    read: Callable[[bytes], object]

    def seeds(self) -> Sequence[bytes]:
        """The examples of the contract."""
        return [path.read_bytes() for path in sorted(XML_EXAMPLES.rglob("*.xml"))]

    def run(self, data: bytes) -> list[str]:
        """A document is read, or is unreadable; of an import, single fines may be."""
        try:
            result = self.read(data)
        except UnreadableDocument as problem:
            return [str(problem)]
        return [each.detail for each in getattr(result, "bad", ())]

    def names_in(self, _data: bytes, /) -> str:
        """None."""
        return ""


class Manifests:
    """Manifests, which a recovery and a delivery read from their topic."""

    name = "manifests"

    def seeds(self) -> Sequence[bytes]:
        """The examples of the contract."""
        return [p.read_bytes() for p in sorted((EXAMPLES / "export-manifest.v1").rglob("*.json"))]

    def run(self, data: bytes) -> list[str]:
        """A manifest is read, or is unreadable."""
        try:
            read_manifest(data)
        except UnreadableManifest as problem:
            return [str(problem)]
        return []

    def names_in(self, data: bytes, /) -> str:
        """The names of members; this service alone writes manifests."""
        return " ".join(re.findall(r'"([^"]*)"\s*:', data.decode(errors="replace")))


class ProfileFiles:
    """The file of the profiles."""

    name = "profiles"

    def seeds(self) -> Sequence[bytes]:
        """Those of the documentation and of the tests."""
        files = sorted((ROOT / "tests").rglob("*.toml"))
        return [
            *_blocks(ROOT / "docs/reference/profiles.md"),
            *(path.read_bytes() for path in files),
        ]

    def run(self, data: bytes) -> list[str]:
        """A file is read, or its faults are named."""
        try:
            parse_profiles(data.decode(errors="surrogateescape"), Path("p.toml"))
        except InvalidProfile as problem:
            return [str(problem)]
        return []

    def names_in(self, data: bytes, /) -> str:
        """The names of options."""
        return " ".join(_toml_keys(data.decode(errors="replace")))


class Layouts:
    """The layout of a delivery with fixed widths."""

    name = "layouts"

    @cached_property
    def _file(self) -> Path:
        self._folder = tempfile.TemporaryDirectory(prefix="fuzz-")
        return Path(self._folder.name) / "layout.toml"

    def seeds(self) -> Sequence[bytes]:
        """That of the documentation."""
        return _blocks(ROOT / "docs" / "consumer-guide.md")

    def run(self, data: bytes) -> list[str]:
        """A layout is read, or its fault is named."""
        self._file.write_bytes(data)
        try:
            read_layout(self._file)
        except OperatorError as problem:
            return [str(problem).removeprefix(str(self._file))]
        return []

    def names_in(self, data: bytes, /) -> str:
        """The names of options."""
        return " ".join(_toml_keys(data.decode(errors="replace")))


class Environments:
    """The settings, one `NAME=value` on each row."""

    name = "settings"

    def seeds(self) -> Sequence[bytes]:
        """Each setting with a few values."""
        required = {
            "DATABASE_URL": "postgresql://u:p@h:5432/d",
            "KAFKA_BOOTSTRAP_SERVERS": "h:9092",
        }
        values = ("", "0", "-1", "9999999999", "true", "SSL", "x", "/", "a,b", "none")
        names = [variable_of(name) for name in Settings.model_fields]
        return [
            "\n".join(f"{n}={v}" for n, v in {**required, name: value}.items()).encode()
            for name in names
            for value in values
        ]

    def run(self, data: bytes) -> list[str]:
        """Settings are read, or their faults are named."""
        rows = (row.partition("=") for row in data.decode(errors="surrogateescape").split("\n"))
        given = {
            name: value
            for name, sign, value in rows
            if name and sign and "\0" not in name + value and name != SECRETS_DIR
        }
        with _environment(given):
            unknown_variables(given)
            try:
                read_settings()
            except InvalidSettings as problem:
                return [str(problem)]
        return []

    def names_in(self, _data: bytes, /) -> str:
        """None: a value may be a password. The names of the settings are known."""
        return ""


@contextmanager
def _environment(given: dict[str, str]) -> Iterator[None]:
    with mock.patch.dict(os.environ, given, clear=True):
        yield


def _blocks(page: Path) -> list[bytes]:
    text = page.read_text("utf-8")
    return [block.encode() for block in re.findall(r"```toml\n(.*?)```", text, re.DOTALL)]


def _toml_keys(text: str) -> list[str]:
    def keys(value: object) -> Iterator[str]:
        if isinstance(value, dict):
            yield from value
            for each in value.values():
                yield from keys(each)
        elif isinstance(value, list):
            for each in value:
                yield from keys(each)

    try:
        return list(keys(tomllib.loads(text)))
    except tomllib.TOMLDecodeError:
        return []


TARGETS: Sequence[Target] = (
    Records(),
    Documents("imported_xml", read_import),
    Documents("batch_xml", read),
    Manifests(),
    ProfileFiles(),
    Layouts(),
    Environments(),
)
