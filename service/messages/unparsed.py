"""Works on bytes that the JSON parser cannot read: replaces what is allowed but beyond the parser,
or searches them for an id.
"""

import re
from unicodedata import normalize

# An escape in a string: a surrogate pair, a lone surrogate (the group), or any other.
_ESCAPE = re.compile(
    rb"\\(?:u[dD][89abAB][0-9a-fA-F]{2}\\u[dD][c-fC-F][0-9a-fA-F]{2}"
    rb"|(u[dD][89a-fA-F][0-9a-fA-F]{2})|.)",
    re.DOTALL,
)
_NONCHARACTER = b"\\uffff"

# A string, closed or not: never tried again from within. Or a number without its sign (the group).
_STRING_OR_NUMBER = re.compile(
    rb'"(?:[^"\\]|\\.)*"?|((?:0|[1-9][0-9]*)(?:\.[0-9]+)?(?:[eE][+-]?[0-9]+)?)', re.DOTALL
)
_NUMBER_CHARACTERS_MAX = 4096
_BEYOND_ALL_BOUNDS = b"1e4096"

_FINE_MEMBER = re.compile(rb'"fine_id"\s*:\s*"([^"\\\x00-\x1f]{1,400})"')
_INSTITUTION_MEMBER = re.compile(rb'"institution_id"\s*:\s*"([1-9][0-9]{0,9})"')


def readable(value: bytes) -> bytes:
    """Returns the JSON with replacements for two things that are correct JSON but beyond the
    parser.

    Members that are ignored may have them, and therefore they are replaced:
    - an escaped lone surrogate, which is no text, by a noncharacter, which no text may have either;
    - a number of thousands of digits by another that is beyond the bounds of every member.
    """
    value = _ESCAPE.sub(_without_lone_surrogate, value)
    if len(value) <= _NUMBER_CHARACTERS_MAX:
        return value
    return _STRING_OR_NUMBER.sub(_without_long_number, value)


def _without_lone_surrogate(match: re.Match[bytes]) -> bytes:
    return match[0] if match[1] is None else _NONCHARACTER


def _without_long_number(match: re.Match[bytes]) -> bytes:
    number = match[1] or b""
    return match[0] if len(number) <= _NUMBER_CHARACTERS_MAX else _BEYOND_ALL_BOUNDS


def changed_fine_in(contract: str, value: bytes | None) -> str | None:
    """Finds the fine id in the bytes of a fine-changed record on which the program fails; None if
    there is none.

    The bytes are searched without parsing them. The result is None for records of other contracts
    than fine-changed.v1.
    """
    if contract != "fine-changed.v1" or value is None:
        return None
    match = _FINE_MEMBER.search(value)
    return None if match is None else normalize("NFC", match[1].decode(errors="replace"))


def institution_in(value: bytes | None) -> str | None:
    """Finds the institution id in the bytes of a record on which the program fails; None if there
    is none.
    """
    match = None if value is None else _INSTITUTION_MEMBER.search(value)
    return None if match is None else match[1].decode()
