"""The drill runs the commands that the runbook marks for it, in their order."""

from __future__ import annotations

import pytest

from tests.drill.page import PageUnreadable, recovery_commands

BLOCK = """\
Text.
<!-- drill -->
```sh
bursar-bridge restore-check show  # exit code 3: what was noticed
bursar-bridge recover --yes       # again, if it was interrupted
bursar-bridge run
```
<!-- /drill -->
```sh
bursar-bridge export run --all
```
"""


def test_the_page_has_the_way_from_the_verdict_to_the_audit() -> None:
    commands = recovery_commands()
    first = [command.words[0] for command in commands]
    assert first.index("restore-check") < first.index("recover") < first.index("run")
    assert first.index("run") < first.index("reconcile")
    assert [command for command in commands if command.is_service] != []


def test_marked_commands_are_read_with_their_exit_codes() -> None:
    show, recover, run = recovery_commands(BLOCK)
    assert (show.words, show.exit_code) == (("restore-check", "show"), 3)
    assert (recover.words, recover.exit_code) == (("recover", "--yes"), 0)
    assert (run.is_service, recover.is_service) == (True, False)


@pytest.mark.parametrize("text", ["", "<!-- drill -->\n```sh\nrm -r data\n```\n<!-- /drill -->"])
def test_a_page_without_commands_or_with_those_of_others_is_refused(text: str) -> None:
    with pytest.raises(PageUnreadable):
        recovery_commands(text)
