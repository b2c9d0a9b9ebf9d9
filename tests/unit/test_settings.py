"""Settings: names, defaults and bounds; a fault names variable and rule, never a value."""

from __future__ import annotations

from pathlib import Path

import pytest

from service.settings import (
    InvalidSettings,
    Settings,
    read_settings,
    unknown_variables,
    variable_of,
)

SOUND = {
    "DATABASE_URL": "postgresql://library:Geheim-1@db.example:5432/bursar",
    "KAFKA_BOOTSTRAP_SERVERS": "one.example:9092,two.example:9092",
}


@pytest.fixture
def environment(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Only what a test sets: the machine's own variables must not decide."""
    for field in Settings.model_fields:
        monkeypatch.delenv(variable_of(field), raising=False)
    monkeypatch.delenv("BURSAR_SECRETS_DIR", raising=False)
    for name, value in SOUND.items():
        monkeypatch.setenv(name, value)
    return monkeypatch


@pytest.mark.usefixtures("environment")
def test_two_variables_are_enough() -> None:
    settings = read_settings()
    assert settings.database_url.get_secret_value() == SOUND["DATABASE_URL"]
    assert settings.topic_prefix == "library."
    assert settings.poll_records_max == 2_000
    assert settings.start_at == "earliest"
    assert settings.kafka_protocol == "PLAINTEXT"
    assert settings.profiles_file is None


def test_the_defaults_keep_their_own_bounds(environment: pytest.MonkeyPatch) -> None:
    """Given as text, each default is accepted: no default lies outside its range."""
    for name, value in read_settings().model_dump(mode="json", exclude_none=True).items():
        if name not in ("database_url", "kafka_bootstrap_servers"):
            environment.setenv(variable_of(name), str(value))
    assert read_settings().model_dump(exclude={"database_url"})


def test_an_empty_variable_counts_as_absent(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BURSAR_PROFILES_FILE", "")
    environment.setenv("BURSAR_POLL_RECORDS_MAX", "")
    assert read_settings().poll_records_max == 2_000


def test_missing_variables_are_named_all_at_once(environment: pytest.MonkeyPatch) -> None:
    environment.delenv("DATABASE_URL")
    environment.delenv("KAFKA_BOOTSTRAP_SERVERS")
    assert problems() == (
        "KAFKA_BOOTSTRAP_SERVERS: is required",
        "DATABASE_URL: is required",
    )


@pytest.mark.parametrize(
    ("variable", "value", "rule"),
    [
        ("DATABASE_URL", "mysql://library:Geheim-1@db/x", "must be postgresql://"),
        ("DATABASE_URL", "postgresql://library:Geheim-1@db", "must be postgresql://"),
        ("DATABASE_URL", "postgresql://library:Geheim-1@[db/x", "must be postgresql://"),
        ("KAFKA_BOOTSTRAP_SERVERS", "Geheim-1", "must be host:port"),
        ("KAFKA_BOOTSTRAP_SERVERS", "a:1,,b:2", "must be host:port"),
        ("BURSAR_POLL_RECORDS_MAX", "0", "greater than or equal to 1"),
        ("BURSAR_POLL_RECORDS_MAX", "Geheim-1", "valid integer"),
        ("BURSAR_POLL_RECORDS_MAX", "50001", "less than or equal to 50000"),
        ("BURSAR_START_AT", "Geheim-1", "'earliest' or 'latest'"),
        ("BURSAR_TOPIC_PREFIX", "Geheim 1/", "must match pattern"),
        ("BURSAR_PROFILES_FILE", "/no/such/Geheim-1", "must name a file that exists"),
        ("BURSAR_PROFILES_FILE", "Geheim-1" * 100, "must name a file that exists"),
        ("BURSAR_SECRETS_DIR", "Geheim-1" * 100, "must name a folder that exists"),
        ("BURSAR_LOG_LEVEL", "Geheim-1", "'debug', 'info'"),
        ("BURSAR_KAFKA_HEARTBEAT_INTERVAL_MS", "9999", "at most a third"),
        ("BURSAR_KAFKA_REQUEST_TIMEOUT_MS", "10000", "shorter than the session"),
        ("BURSAR_DATABASE_IDLE_IN_TRANSACTION_MS_MAX", "10000", "shorter than the Kafka session"),
        ("BURSAR_DATABASE_REPLY_SECONDS_MAX", "30", "longer than a statement"),
        ("BURSAR_BATCH_RETENTION_DAYS", "399", "0 or at least 400"),
        ("BURSAR_KAFKA_CERTIFICATE_FILE", __file__, "both or none"),
    ],
)
def test_a_fault_names_variable_and_rule_but_no_value(
    environment: pytest.MonkeyPatch, variable: str, value: str, rule: str
) -> None:
    environment.setenv(variable, value)
    (line,) = problems()
    assert line.startswith(variable)
    assert rule in line
    assert "Geheim" not in line
    assert "9999" not in line


def test_a_fault_carries_no_cause_that_would_print_the_value(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("BURSAR_START_AT", "Geheim-1")
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    assert caught.value.__cause__ is None
    assert caught.value.__context__ is None


def test_sasl_asks_for_user_and_password(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BURSAR_KAFKA_PROTOCOL", "SASL_SSL")
    environment.setenv("BURSAR_KAFKA_USER", "service")
    assert problems() == (
        "BURSAR_KAFKA_USER and BURSAR_KAFKA_PASSWORD: both are required with this protocol",
    )
    environment.setenv("BURSAR_KAFKA_PASSWORD", "Geheim-1")
    assert read_settings().kafka_password is not None


def test_secrets_do_not_show(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BURSAR_KAFKA_PASSWORD", "Geheim-2")
    assert "Geheim" not in repr(read_settings())
    assert "Geheim" not in str(read_settings().model_dump())


def test_a_secret_may_come_from_a_file(environment: pytest.MonkeyPatch, tmp_path: Path) -> None:
    environment.delenv("DATABASE_URL")
    (tmp_path / "database_url").write_text(SOUND["DATABASE_URL"] + "\n")
    (tmp_path / "bursar_kafka_password").write_text("Geheim-3")
    environment.setenv("BURSAR_SECRETS_DIR", str(tmp_path))
    settings = read_settings()
    assert settings.database_url.get_secret_value() == SOUND["DATABASE_URL"]
    assert settings.kafka_password is not None
    assert settings.kafka_password.get_secret_value() == "Geheim-3"


def test_a_variable_counts_before_a_file_and_an_empty_file_is_none(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "KAFKA_BOOTSTRAP_SERVERS").write_text("other.example:9092")
    (tmp_path / "DATABASE_URL").write_text("\n")
    (tmp_path / "README").write_bytes(b"\xff")  # no setting: nobody reads it
    environment.delenv("DATABASE_URL")
    environment.setenv("BURSAR_SECRETS_DIR", str(tmp_path))
    assert problems() == ("DATABASE_URL: is required",)
    environment.setenv("DATABASE_URL", SOUND["DATABASE_URL"])
    assert read_settings().kafka_bootstrap_servers == SOUND["KAFKA_BOOTSTRAP_SERVERS"]


def test_a_file_of_secrets_that_is_no_text_is_named_without_its_content(
    environment: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "database_url").write_bytes(b"Geheim-4\xff")
    environment.setenv("BURSAR_SECRETS_DIR", str(tmp_path))
    assert problems() == ("BURSAR_SECRETS_DIR: its files must be readable, as UTF-8",)


def test_a_name_in_small_letters_counts_if_there_is_none_in_capitals(
    environment: pytest.MonkeyPatch,
) -> None:
    environment.setenv("bursar_poll_records_max", "7")
    assert read_settings().poll_records_max == 7
    environment.setenv("BURSAR_POLL_RECORDS_MAX", "8")
    assert read_settings().poll_records_max == 8


def test_the_folder_of_secrets_must_exist(environment: pytest.MonkeyPatch) -> None:
    environment.setenv("BURSAR_SECRETS_DIR", "/no/such/folder")
    assert problems() == ("BURSAR_SECRETS_DIR: must name a folder that exists",)


def test_a_misspelt_variable_is_noticed() -> None:
    assert unknown_variables(
        {"BURSAR_POLL_RECORD_MAX": "1", "BURSAR_POLL_RECORDS_MAX": "1", "PATH": "/bin"}
    ) == ("BURSAR_POLL_RECORD_MAX: is not a setting, did you mean BURSAR_POLL_RECORDS_MAX?",)


@pytest.mark.parametrize(
    ("name", "hint"),
    [
        ("BURSAR_FOO", ""),
        ("BURSAR_RUN", ""),
        ("BURSAR_PORT", ""),
        ("BURSAR_DATABASE_URL", ", did you mean DATABASE_URL?"),
        ("BURSAR_PROFILE_FILE", ", did you mean BURSAR_PROFILES_FILE?"),
    ],
)
def test_only_a_name_that_is_nearly_a_setting_is_taken_for_a_misspelt_one(
    name: str, hint: str
) -> None:
    assert unknown_variables({name: "x"}) == (f"{name}: is not a setting{hint}",)


def problems() -> tuple[str, ...]:
    with pytest.raises(InvalidSettings) as caught:
        read_settings()
    return caught.value.problems
