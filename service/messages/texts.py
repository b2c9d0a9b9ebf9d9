"""Cleans and checks the ids and texts of incoming records (contracts.md, 1).

An id is either taken unchanged or makes the record rejected, because people and programs search by
it. A free text never makes a record rejected: titles in catalogues contain sorting marks, form
feeds and direction marks, and nobody at a library's desk can correct them. Free texts are cleaned,
and cut to their maximum length if they are longer.

Releases up to 0.3.0 cleaned texts less and rejected more records. Releases up to 0.3.0 have stored
digests of texts as they read them; a record whose texts they would have read differently therefore
gets a second digest, by which it is recognised as a repeat.
"""

import re
from collections.abc import Callable
from hashlib import blake2b
from unicodedata import category, normalize

import orjson

from ..core.ledger import SourceKey
from ..core.words import Reason
from .values import ID_CHARACTERS_MAX, Fault, bursar_id, may_be_a_line

# The characters with the property White_Space; `str.strip` would take four separators of data, too.
WHITE_SPACE = (
    "\t\n\v\f\r \x85\xa0\u1680"
    "\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a"
    "\u2028\u2029\u202f\u205f\u3000"
)

# Characters and ranges, for classes of regular expressions.
_CONTROLS = "\x00-\x1f\x7f-\x9f"
_BIDI_CONTROLS = "\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"
_NON_SORTING_MARKS = "\x88\x89\x98\x9c"
_SURROGATES = "\ud800-\udfff"
_NONCHARACTERS = "\ufdd0-\ufdef" + "".join(
    chr(plane + 0xFFFE) + chr(plane + 0xFFFF) for plane in range(0, 0x110000, 0x10000)
)
_DROPPED = re.compile(f"[{_BIDI_CONTROLS}{_NON_SORTING_MARKS}]+")
_BLANKS = re.compile(f"[{WHITE_SPACE}{_CONTROLS}{_SURROGATES}{_NONCHARACTERS}]+")
_NOT_IN_IDS = re.compile(f"[{_CONTROLS}{_BIDI_CONTROLS}{_SURROGATES}{_NONCHARACTERS}]")
_LINE_BREAKS = str.maketrans("\t\n\r", "   ")


def clean(text: str) -> str:
    """Returns a free text in Unicode's form NFC and on one line, without invisible characters.

    Controls of the writing direction and marks for sorting are removed. Each sequence of white
    space, other control characters, lone surrogates and noncharacters becomes one blank.
    """
    # No printable character is dropped. Blanks compose with nothing, so that the result is in NFC.
    if not text.isprintable():
        text = _DROPPED.sub("", text)
    return _BLANKS.sub(" ", normalize("NFC", text))


def is_plain(value: str) -> bool:
    """Whether a text consists only of printable ASCII characters. Most texts are so."""
    return value.isascii() and value.isprintable()


def code(field: str, value: str) -> str:
    """Returns a short code, such as the type of an identifier, in NFC and with a blank in place of
    each tab and line break. Raises Fault: invalid_text.
    """
    if is_plain(value):
        return value
    return _without_controls(field, value.translate(_LINE_BREAKS))


def identifier_value(field: str, value: str, characters_max: int = ID_CHARACTERS_MAX) -> str:
    """Returns an id in Unicode's form NFC; white space at its ends is kept. Raises Fault:
    invalid_text.

    The Unicode form NFC can make a text longer. The length is therefore checked again in NFC,
    because the id is also sent in events, whose contracts limit its length.
    """
    if is_plain(value):
        return value
    text = _without_controls(field, value)
    if len(text) > characters_max:
        rule = f"must have at most {characters_max} characters in NFC"
        raise Fault(Reason.INVALID_TEXT, f"{field}: {rule}")
    return text


def _without_controls(field: str, value: str) -> str:
    if _NOT_IN_IDS.search(value):
        rule = "must not have control or bidi characters, surrogates or noncharacters"
        raise Fault(Reason.INVALID_TEXT, f"{field}: {rule}")
    return normalize("NFC", value)


def digest_of(*parts: object) -> bytes:
    """Computes the digest of an event: 32 bytes of a hash of its parts, written as one JSON array.

    The parts are the normalised values of all members of the contract, without the envelope, so
    that equal contents have equal digests. Digests are stored. A member that is added to a contract
    later may be a part only of records that have it; otherwise repeats of older records would get
    other digests and become conflicts.
    """
    return blake2b(orjson.dumps(parts), digest_size=32).digest()


class Reading:
    """Reads the ids and texts of one record, and notes what was done to its texts.

    `cuts` names the members whose texts were too long and were cut. `differs` says that a release
    up to 0.3.0 would have read the content differently or rejected it, and `is_new_form` that such
    a release may be unable to read the record. `is_parked` says that the record was parked; a
    release that allowed white space at the ends of ids may have done that.
    """

    cuts: tuple[str, ...] = ()
    differs = False
    is_new_form = False
    is_parked = False

    def text(self, field: str, value: str, characters_max: int) -> str:
        """Returns a free text, cleaned and cut to `characters_max` characters."""
        # Cleaning can change nothing but the normal form of such a text, and most texts are so.
        is_plain = value.isprintable() and "  " not in value and value == value.strip()
        if is_plain and value.isascii() and len(value) <= characters_max:
            return value
        text = normalize("NFC", value) if is_plain else clean(value)
        is_cut = len(text) > characters_max
        if is_cut:
            self.cuts += (field,)
        if is_cut or not is_plain:
            self.differs = self.is_new_form = True
        return text[:characters_max].strip(" ")

    def text_or_none(self, field: str, value: str | None, characters_max: int) -> str | None:
        """Returns the free text of an optional member; None if the member is absent or nothing of
        its text is left.
        """
        if value is None:
            return None
        if text := self.text(field, value, characters_max):
            return text
        self.differs = self.is_new_form = True
        return None

    def identifier(self, field: str, value: str) -> str:
        """Returns an id in Unicode's form NFC. Raises Fault: invalid_text."""
        if value.isprintable() and value.isascii() and value == value.strip():
            return value
        text = identifier_value(field, value)
        if value != value.strip(WHITE_SPACE) and not self.is_parked:
            rule = "must not have white space at its ends"
            raise Fault(Reason.INVALID_TEXT, f"{field}: {rule}")
        return text

    def identifier_or_none(self, field: str, value: str | None) -> str | None:
        """Returns the id in an optional member, checked as by `identifier`; None if the member is
        absent.
        """
        return None if value is None else self.identifier(field, value)

    def bursar_id_or_none(self, digits: str | None) -> str | None:
        """Returns a bursar transaction id without leading zeros; None if the member is absent."""
        if digits is None:
            return None
        self.is_new_form = self.is_new_form or not may_be_a_line(digits)
        return bursar_id(digits)

    def source_key(
        self, institution_id: str, source: str, member: str, record_id: str
    ) -> SourceKey:
        """Returns institution, source and id of a record, its identity; `member` is the name of the
        id's member. Raises Fault.
        """
        source = self.identifier("source", source)
        return SourceKey(institution_id, source, self.identifier(member, record_id))

    def earlier_digest(
        self, digest: bytes, digest_of_content: "Callable[[Reading], bytes]"
    ) -> bytes | None:
        """Returns the digest that releases up to 0.3.0 would have stored for this record, if it
        differs from `digest`. Returns None also if releases up to 0.3.0 would have rejected the
        record.

        `digest_of_content` computes the digest from the record's content with the Reading that it
        is given.
        """
        if not self.differs:
            return None
        try:
            earlier = digest_of_content(_EarlierReading())
        except Fault:
            return None
        return None if earlier == digest else earlier


class ReadingOfParked(Reading):
    """Reads a record that was parked, perhaps by an earlier release."""

    is_parked = True


class _EarlierReading(Reading):
    """Reads a record as releases up to 0.3.0 did. Raises Fault for a text that they rejected."""

    def text(self, field: str, value: str, characters_max: int) -> str:
        if len(value) > characters_max or any(category(each) == "Cn" for each in value):
            raise Fault(Reason.INVALID_TEXT, f"{field}: was rejected")
        return code(field, value)

    def text_or_none(self, field: str, value: str | None, characters_max: int) -> str | None:
        return None if value is None else self.text(field, value, characters_max)
