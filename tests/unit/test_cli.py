"""The command line: exit codes, one line per fault, no traceback for what an operator can mend."""

from __future__ import annotations

import re
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from typer.core import TyperArgument, TyperCommand, TyperGroup, TyperOption

from service.cli.program import application
from tests.support.command_line import call, use_no_servers

COMMANDS = ("run", "migrate", "export", "check", "topics")
NO_INTEGER = "must be a valid integer, unable to parse string as an integer"


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    use_no_servers(monkeypatch)
    monkeypatch.setenv("COLUMNS", "200")
    return monkeypatch


def test_the_version_is_the_packages() -> None:
    shown = call("--version")
    assert shown.exit_code == 0
    assert re.fullmatch(r"bursar-bridge \d+\.\d+\.\d+\n", shown.stdout)


def test_help_names_every_command_and_the_exit_codes() -> None:
    shown = call("--help").stdout
    assert [name for name in COMMANDS if name not in shown] == []
    assert "Exit codes: 0" in shown


Command = TyperCommand | TyperGroup


def within(group: object, prefix: str = "") -> Iterator[tuple[str, Command]]:
    """Every command and group by its whole name."""
    assert isinstance(group, TyperGroup)
    for name, command in group.commands.items():
        assert isinstance(command, TyperCommand | TyperGroup)
        yield prefix + name, command
        if isinstance(command, TyperGroup):
            yield from within(command, f"{prefix}{name} ")


def help_of(parameter: object) -> str | None:
    assert isinstance(parameter, TyperArgument | TyperOption)
    return parameter.help


EVERY = list(within(typer.main.get_command(application)))


@pytest.mark.parametrize(("name", "command"), EVERY, ids=[name for name, _ in EVERY])
def test_every_command_and_option_says_what_it_does(name: str, command: Command) -> None:
    about = command.help or ""
    texts = {name: command.help} | {option.opts[0]: help_of(option) for option in command.params}
    assert [what for what, text in texts.items() if not (text or "").strip()] == []
    # A first line that ends in the middle is what the list of commands shows.
    assert (about.splitlines()[0])[-1] in ".)"
    # The terminal breaks the lines; a break of the source would be a second one.
    assert "\n" not in about.replace("\n\n", "")
    hidden = {option.opts[0] for option in command.params if getattr(option, "hidden", False)}
    shown = call(*name.split(), "--help")
    assert shown.exit_code == 0
    absent = {what for what in texts if what.startswith("--") and what not in shown.stdout}
    assert absent == hidden


def test_every_list_has_all_columns_for_people_and_json_for_programs() -> None:
    lists = {name: command for name, command in EVERY if name.split()[-1] == "list"}
    assert len(lists) > 5
    for name, command in lists.items():
        assert {"--wide", "--json"} <= {option.opts[0] for option in command.params}, name


GROUPS = [name for name, command in EVERY if isinstance(command, TyperGroup)]


@pytest.mark.parametrize("group", ["", *GROUPS])
def test_a_group_without_a_command_prints_its_help_and_does_nothing(group: str) -> None:
    ended = call(*group.split())
    assert ended.exit_code == 2
    assert f"Usage: bursar-bridge {group}".strip() in ended.output
    assert "Commands" in ended.output


@pytest.mark.parametrize("options", [(), ("--json",), ("--all", "--profile", "main_usd")])
def test_a_run_names_its_profiles_or_takes_all(options: tuple[str, ...]) -> None:
    ended = call("export", "run", *options)
    assert ended.exit_code == 2
    assert ended.stderr == "bursar-bridge: name one of --profile, --all\n"


def test_options_of_a_run_before_another_command_are_a_matter_of_usage() -> None:
    """They would be ignored: all profiles would run."""
    for options in (["--profile", "main_usd"], ["--json"], ["--all"]):
        assert call("export", *options, "run").exit_code == 2


@pytest.mark.parametrize("command", [["run"], ["migrate"], ["check"]])
def test_missing_settings_are_a_matter_of_usage(
    environment: pytest.MonkeyPatch, command: list[str]
) -> None:
    environment.delenv("DATABASE_URL")
    environment.setenv("BURSAR_POLL_RECORDS_MAX", "many")
    ended = call(*command)
    assert ended.exit_code == 2
    assert ended.stderr.splitlines() == [
        "bursar-bridge: DATABASE_URL: is required",
        f"bursar-bridge: BURSAR_POLL_RECORDS_MAX: {NO_INTEGER}",
    ]


@pytest.mark.parametrize("command", [["topics", "check"], ["deliver", "."]])
def test_what_works_from_the_topics_alone_asks_for_no_database(
    environment: pytest.MonkeyPatch, command: list[str]
) -> None:
    environment.delenv("DATABASE_URL")
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")
    ended = call(*command)
    assert ended.exit_code == 2
    assert ended.stderr == "bursar-bridge: KAFKA_BOOTSTRAP_SERVERS: is required\n"


def test_an_unknown_option_is_a_matter_of_usage() -> None:
    assert call("topics", "create", "--partitions", "0").exit_code == 2
    assert call("no-such-command").exit_code == 2


def test_a_database_that_is_away_is_told_in_one_line() -> None:
    ended = call("migrate")
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    login = "user library, database bursar at 127.0.0.1:1"
    assert line == f"bursar-bridge: nobody listens there: {login}"
    assert "Geheim" not in line


def test_a_broker_that_is_away_is_told_in_one_line() -> None:
    ended = call("topics", "create")
    assert ended.exit_code == 1
    (line,) = ended.stderr.splitlines()
    assert line == "bursar-bridge: nobody listens there: Kafka at 127.0.0.1:1"


def test_check_names_everything_that_is_away(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BURSAR_POLL_RECORD_MAX", "1")
    ended = call("check")
    assert ended.exit_code == 1
    assert "BURSAR_POLL_RECORD_MAX: is not a setting" in ended.stdout
    faults = [line.split()[0] for line in ended.stdout.splitlines() if " fault " in line]
    assert faults == ["settings", "database", "kafka"]


def test_check_shows_brackets_as_they_are(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """They mean something to the table."""
    golden = Path(__file__).parents[1] / "golden" / "profiles.toml"
    text = re.sub(r'institution = "[0-9]+"', 'institution = "1"', golden.read_text("utf-8"))
    profiles = tmp_path / "profiles.toml"
    profiles.write_text(text, "utf-8")
    environment.setenv("BURSAR_PROFILES_FILE", str(profiles))
    assert "[[institution]]" in call("check").stdout


def test_check_names_the_line_of_a_bad_profile(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "profiles.toml"
    institution = '[[institution]]\nid = "972"\nzone = "Nowhere/Town"\n'
    file.write_text(institution * 2)
    environment.setenv("BURSAR_PROFILES_FILE", str(file))
    shown = call("check").stdout
    faults = [line for line in shown.splitlines() if "profiles" in line and " fault " in line]
    assert len(faults) == 3
    assert "profiles.toml, line 3: " in faults[0]
    assert "line 5: institution.id: must be unique" in shown
    assert "line 6: " in faults[2]
    ended = call("export", "run", "--all")
    assert ended.exit_code == 1
    assert len(ended.stderr.splitlines()) == 3
    assert all(line.startswith("bursar-bridge: ") for line in ended.stderr.splitlines())


def test_export_wants_profiles() -> None:
    ended = call("export", "run", "--all")
    assert ended.exit_code == 1
    assert ended.stderr == "bursar-bridge: BURSAR_PROFILES_FILE: is required to export\n"


def test_export_of_an_unknown_profile_names_the_known_ones(
    environment: pytest.MonkeyPatch,
) -> None:
    golden = Path(__file__).parents[1] / "golden" / "profiles.toml"
    environment.setenv("BURSAR_PROFILES_FILE", str(golden))
    ended = call("export", "run", "--profile", "Geheim")
    assert ended.exit_code == 2
    assert "--profile: must be one of" in ended.stderr
    assert "main_usd" in ended.stderr
    assert "Geheim" not in ended.stderr
