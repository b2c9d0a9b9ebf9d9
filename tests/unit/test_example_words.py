"""What the programs that send an event make of the words they are given."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.contracts import examples
from tests.structure import reference

RUN = "import sys; from words import event_of; sys.stdout.buffer.write(event_of(sys.argv[1:])[2])"


def _sent(*words: str) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-c", RUN, *words],
        cwd=reference.EXAMPLES,
        capture_output=True,
        check=False,
    )


def test_the_bytes_of_a_file_are_sent_as_they_are(tmp_path: Path) -> None:
    file = tmp_path / "truncated.json"
    file.write_bytes(b'{"institution_id": "10')
    assert _sent("file", "fine-created.v1", str(file)).stdout == file.read_bytes()


@pytest.mark.parametrize(
    ("money", "members"),
    [((), {}), (("10.00", "USD"), {"amount": "10.00", "currency": "USD"})],
    ids=["what is left", "a part"],
)
def test_a_payment_is_reversed_in_part_or_as_far_as_it_is_left(
    money: tuple[str, ...], members: dict[str, str]
) -> None:
    back = ("reverse", "101", "R-2", "2026-11-27T10:00:00Z", "R-1")
    result = json.loads(_sent(*back, *money).stdout)
    assert (result["kind"], result["reverses_payment_id"]) == ("reversal", "R-1")
    assert {name: result[name] for name in ("amount", "currency") if name in result} == members


@pytest.mark.parametrize(
    ("line", "members"),
    [
        ("10000000018", {"bursar_transaction_id": "10000000018"}),
        ("fine:F-1", {"fine_id": "F-1"}),
        ("fine:patron:1", {"fine_id": "patron:1"}),
        ("patron:P-17", {"patron_id": "P-17"}),
        ("patron:fine:3", {"patron_id": "fine:3"}),
    ],
)
def test_a_payment_names_a_line_a_fine_or_a_patron(line: str, members: dict[str, str]) -> None:
    sent = json.loads(
        _sent("pay", "101", "R-3", "2026-11-26T10:00:00Z", line, "60.00", "USD").stdout
    )
    names = ("bursar_transaction_id", "fine_id", "patron_id")
    assert {name: sent[name] for name in names if name in sent} == members
    assert examples.faults("bursar-payment", json.dumps(sent).encode()) == []


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("file", "fine-created", "payload.json"), "not understood: file fine-created"),
        (("file", "fine-created.v1", "missing.json"), "missing.json: No such file or directory"),
    ],
)
def test_what_cannot_be_sent_is_told_in_one_line(words: tuple[str, ...], message: str) -> None:
    ended = _sent(*words)
    assert ended.returncode == 2
    assert ended.stderr.decode().startswith(message)
    assert ended.stderr.count(b"\n") == 1
