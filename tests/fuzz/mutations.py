"""How inputs are changed: bytes, pieces, tokens that parsers know, and words to be recognised."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from random import Random

SIZE_MAX = 20_000
# Words that stand in no text of the service: whoever quotes a value quotes one of them.
CANARY = re.compile(r"zq[a-z]{6}|739184\d{3}")
LETTERS = "abcdefghijklmnopqrstuvwxyz"
TOKENS = (
    *rb"""" ' { } [ ] [[ ]] : , = < > /> & ; # % \\ - -- ''' 0x""".split(),
    *rb"{} {0} {input} %s ${HOME} \N{".split(),
    *rb"null true NaN Infinity -0 1e999 0.1 -1.00 99999999999999999999 \u0000 \ud800".split(),
    *b"2026-02-30T10:00:05Z 9999-12-31T23:59:59-12:00 1970-01-01 XXX USD JPY CREDIT".split(),
    *b"<!DOCTYPE &lt; &zq; <![CDATA[ ]]> xsi:nil= xmlns='x' <!ENTITY <?xml ?>".split(),
    *(b"\n", b"\r\n", b"\t", b" ", b"\0", b"\xff", b"\xef\xbb\xbf", b"\xed\xa0\x80", b'"""'),
    *(text.encode() for text in ("\u202e", "\u0661", "\uffff", "e\u0301", "\U0001f4b6")),
)


def mutated(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """The input with one change or several."""
    for _ in range(random.choice((1, 1, 1, 2, 3, 8))):
        data = random.choice(CHANGES)(random, data, others)
    return data[:SIZE_MAX]


def _flip(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    if not data:
        return b"\0"
    place = random.randrange(len(data))
    return data[:place] + bytes([data[place] ^ 1 << random.randrange(8)]) + data[place + 1 :]


def _put_byte(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    place = random.randint(0, len(data))
    return data[:place] + bytes([random.randrange(256)]) + data[place + random.randint(0, 1) :]


def _delete(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _piece(random, data)
    return data[:start] + data[end:]


def _repeat(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _piece(random, data)
    return data[:end] + data[start:end] * random.choice((1, 1, 2, 50)) + data[end:]


def _move(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _piece(random, data)
    rest = data[:start] + data[end:]
    place = random.randint(0, len(rest))
    return rest[:place] + data[start:end] + rest[place:]


def _splice(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    other = random.choice(others)
    start, end = _piece(random, other)
    at, to = _piece(random, data)
    return data[:at] + other[start:end] + data[to:]


def _put_token(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start = random.randint(0, len(data))
    end = start if random.random() < 0.5 else min(len(data), start + random.randint(1, 8))
    return data[:start] + random.choice(TOKENS) + data[end:]


def _put_canary(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """In the place of a word or a number of the input, so that the input stays readable."""
    if random.random() < 0.5:
        canary = ("zq" + "".join(random.choices(LETTERS, k=6))).encode()
        words = list(re.finditer(rb"[A-Za-z_]{2,}", data))
    else:
        canary = f"739184{random.randrange(1_000):03}".encode()
        words = list(re.finditer(rb"[0-9]+", data))
    if not words:
        return data + canary
    word = random.choice(words)
    return data[: word.start()] + canary + data[word.end() :]


def _nest(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    start, end = _piece(random, data)
    before, after = random.choice(((b"[", b"]"), (b'{"a":', b"}"), (b"<a>", b"</a>"), (b'"', b'"')))
    depth = random.choice((1, 2, 300))
    return data[:start] + before * depth + data[start:end] + after * depth + data[end:]


def _change_member(random: Random, data: bytes, _: Sequence[bytes]) -> bytes:
    """Another value at one place of a JSON text, which stays JSON."""
    head, separator, body = data.rpartition(b"\n\n")
    try:
        value = json.loads(body)
    except (ValueError, RecursionError):
        return data
    return head + separator + json.dumps(_changed(random, value)).encode()


def _changed(random: Random, value: object) -> object:
    if random.random() < 0.25 or not isinstance(value, dict | list) or not value:
        return _another(random, value)
    if isinstance(value, list):
        place = random.randrange(len(value))
        return [*value[:place], _changed(random, value[place]), *value[place + 1 :]]
    name = random.choice(sorted(value))
    if random.random() < 0.1:
        return {key: each for key, each in value.items() if key != name}
    return {**value, name: _changed(random, value[name])}


def _another(random: Random, value: object) -> object:
    if isinstance(value, str) and random.random() < 0.5:
        text = value.encode(errors="surrogatepass")
        changed = random.choice((_put_canary, _put_token, _delete, _repeat))(random, text, [text])
        return changed.decode(errors="replace")
    others: tuple[object, ...] = (
        None,
        True,
        0,
        -1,
        10**30,
        0.5,
        "",
        "x",
        "-0",
        "1.00",
        [],
        {},
        [value],
        {"a": value},
    )
    return random.choice(others)


def _change_rows(random: Random, data: bytes, others: Sequence[bytes]) -> bytes:
    """Rows in another order, a row of another input, or another value behind an equals sign."""
    rows = data.split(b"\n")
    place = random.randrange(len(rows))
    match random.randrange(4):
        case 0:
            rows[place] = random.choice(random.choice(others).split(b"\n"))
        case 1:
            rows.insert(place, random.choice(rows))
        case 2:
            random.shuffle(rows)
        case _:
            name, sign, _ = rows[place].partition(b"=")
            values = (
                b"7",
                b"-1",
                b"true",
                b'""',
                b'"1.00"',
                b"[]",
                b'["x"]',
                b"{a = 1}",
                b"1979-05-27",
            )
            rows[place] = name + sign + random.choice(values)
    return b"\n".join(rows)


def _piece(random: Random, data: bytes) -> tuple[int, int]:
    start = random.randint(0, len(data))
    return start, min(len(data), start + random.choice((1, 4, 16, 64, 512)))


CHANGES: Sequence[Callable[[Random, bytes, Sequence[bytes]], bytes]] = (
    _flip,
    _put_byte,
    _delete,
    _repeat,
    _move,
    _splice,
    _put_token,
    _put_token,
    _put_canary,
    _put_canary,
    _nest,
    _change_member,
    _change_member,
    _change_rows,
)
