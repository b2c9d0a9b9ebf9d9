"""What the commands on stored records say where their options do not name a record."""

import pytest

from tests.support.command_line import call, use_no_servers

WHY = ("--reason", "cleared")
PLACE_OR_IDENTITY = "name one of --institution --id (--source), --topic --partition --offset"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("rejected", "show"), PLACE_OR_IDENTITY),
        (("parked", "show"), PLACE_OR_IDENTITY),
        (("rejected", "discard", *WHY), f"{PLACE_OR_IDENTITY}, --all"),
        (("parked", "discard", *WHY), f"{PLACE_OR_IDENTITY}, --all"),
        (("rejected", "show", "--id", "C-8"), "--institution: must be given with --id"),
        (
            ("rejected", "show", "--topic", "fine-changed.v1"),
            "--partition, --offset: must be given with --topic",
        ),
        (
            ("parked", "release", "--topic", "bursar-payment.v1", "--offset", "7", *WHY),
            "--partition: must be given with --topic, --offset",
        ),
        (
            ("rejected", "discard", "--all", "--source", "SIS", "--id", "C-8", *WHY),
            "--source, --id: not together with --all",
        ),
        (
            ("parked", "discard", "--all", "--partition", "0", *WHY),
            "--partition: not together with --all",
        ),
        (("rejected", "list", "--id", "C-8"), "--institution: must be given with --id"),
        (("rejected", "list", "--source", "SIS"), "--id: must be given with --source"),
    ],
)
def test_a_command_says_which_option_is_missing_or_too_much(
    options: tuple[str, ...], message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    use_no_servers(monkeypatch)
    ended = call(*options)
    assert ended.exit_code == 2
    assert ended.stderr == f"bursar-bridge: {message}\n"
