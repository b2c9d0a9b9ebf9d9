"""The export commands: whole names and hashes, results alone on standard output, files checked."""

import json
from hashlib import sha256
from pathlib import Path

import pytest

from service.cli import progress
from service.export import store as export_store
from service.export.selection import Exclusion
from tests.support.commands import Commands, MakeCommands
from tests.support.inputs import ABSENT
from tests.support.installation import institution, profile
from tests.support.write_path import WritePath, change, fine, profiles_of, tables_of

PROFILE = institution() + profile("SIS", fines_max=1)
FINES = 3


@pytest.fixture(autouse=True)
async def path(path: WritePath) -> WritePath:
    await path.take(
        *(fine(fine_id=f"F-{n}", loan_id=f"L-{n}", amount="2.50") for n in range(FINES))
    )
    return path


@pytest.fixture
def commands(make_commands: MakeCommands) -> Commands:
    return make_commands(PROFILE, COLUMNS="60")


@pytest.fixture
async def folder(commands: Commands, tmp_path: Path) -> Path:
    """A folder of three batches with their manifests."""
    folder = tmp_path / "inbox"
    await commands.lines("export", "preview", "--profile", "SIS", "--out", str(folder))
    return folder


def files_of(folder: Path) -> list[Path]:
    return sorted(folder.glob("*.xml"))


async def test_a_run_shows_whole_names_without_hashes_and_logs_elsewhere(
    path: WritePath, commands: Commands
) -> None:
    previewed = await commands.call("export", "preview", "--profile", "SIS")
    ended = await commands.call("export", "run", "--all")

    assert ended.exit_code == 0
    rows = await path.rows("SELECT file_name, sha256 FROM export_batch ORDER BY batch_number")
    assert len(rows) == FINES
    for number, row in enumerate(rows, 1):
        assert isinstance(row["sha256"], bytes)
        assert str(row["file_name"]) in ended.stdout
        assert row["sha256"].hex() not in ended.stdout
        which = ("--profile", "SIS", "--batch", str(number))
        shown, *_ = await commands.lines("export", "show", *which)
        assert row["sha256"].hex() == shown["sha256"]
    logged = [json.loads(line) for line in ended.stderr.splitlines()]
    assert [(item["event"], item["total_minor"]) for item in logged] == [
        ("batch_sealed", 250)
    ] * FINES
    assert "batch_sealed" not in previewed.stdout + ended.stdout
    assert (await commands.call("export", "run", "--all")).stdout == "nothing to export\n"


async def test_a_run_and_its_preview_say_how_many_open_fines_stay_and_why(
    path: WritePath, commands: Commands
) -> None:
    await path.take(
        fine(fine_id="F-7", loan_id="L-7", exportable=False),
        fine(fine_id="F-8", loan_id="L-8", created_at="2999-01-01T00:00:00Z"),
        fine(fine_id="F-9", loan_id="L-9", created_at="2999-01-01T00:00:00Z", exportable=False),
    )
    rest = (
        "bursar-bridge: SIS: open fines that are not exported: 1 held back (not_exportable 1),"
        " 2 not due (too_young 2); `bursar-bridge held list --profile SIS --waiting` shows them"
    )
    for name in ("preview", "run"):
        ended = await commands.call("export", name, "--profile", "SIS")
        assert ended.stderr.splitlines()[-1] == rest
    again = await commands.call("export", "run", "--all", "--json")
    assert (again.stdout, again.stderr.splitlines()) == ("", [rest])


async def test_a_run_is_told_in_the_words_of_the_list(commands: Commands) -> None:
    rows = await commands.lines("export", "run", "--all")
    listed = await commands.lines("export", "list")

    assert [item["batch_number"] for item in rows] == [1, 2, 3]
    assert all(len(item["sha256"]) == 64 for item in rows)
    assert [{name: item[name] for name in rows[0]} for item in reversed(listed)] == rows


async def test_a_batch_is_shown_with_its_lines(commands: Commands) -> None:
    await commands.call("export", "run", "--all")
    which = ("--institution", "6050", "--profile", "SIS", "--batch", "2")

    batch, line = await commands.lines("export", "show", *which)

    assert (batch["batch_number"], line["fine_id"], line["amount"]) == (2, "F-1", "2.50")


async def test_a_batch_is_shown_without_its_institution_unless_several_have_one(
    path: WritePath, commands: Commands
) -> None:
    await commands.call("export", "run", "--all")
    which = ("export", "show", "--profile", "SIS", "--batch", "2")
    batch, line = await commands.lines(*which)
    assert (batch["institution_id"], line["fine_id"]) == ("6050", "F-1")
    await path.pool.execute(
        "CREATE TEMPORARY TABLE other AS SELECT * FROM export_batch;"
        "UPDATE other SET institution_id = '77'; INSERT INTO export_batch SELECT * FROM other"
    )
    asked = await commands.call(*which)
    assert asked.exit_code == 2
    assert "--institution: several have such a batch" in asked.stderr
    batch, line = await commands.lines(*which, "--institution", "6050")
    assert (batch["institution_id"], line["fine_id"]) == ("6050", "F-1")
    assert (await commands.call(*which[:-1], "9")).exit_code == 1  # nobody has it


async def test_what_was_sealed_before_a_fault_is_shown(path: WritePath, commands: Commands) -> None:
    await path.pool.execute(
        "ALTER TABLE export_batch ADD CONSTRAINT two_at_most CHECK (batch_number < 3)"
    )
    ended = await commands.call("export", "run", "--all", "--json")

    assert ended.exit_code == 1
    result = [json.loads(line)["batch_number"] for line in ended.stdout.splitlines()]
    assert result == [1, 2]
    assert "bursar-bridge: SIS: the database refuses what the batch would write" in ended.stderr


async def test_the_bar_counts_batches_and_fines_of_those_that_are_open(path: WritePath) -> None:
    """A disputed fine is open, too: the run passes it and holds it back."""
    await path.take(
        fine(fine_id="F-8"),
        change(fine_id="F-8", kind="disputed", amount=ABSENT, currency=ABSENT),
        fine(fine_id="F-9", currency="EUR"),
    )
    profiles = profiles_of(PROFILE)
    (profile,) = profiles.profiles
    async with path.pool.acquire() as connection:
        left = await export_store.open_fines_left(connection, profile)
    with progress.batches() as bars:
        bar = progress.RunBar(bars, "exporting", left)
        assert bar.counts == "batches 0, fines 0 of 4 open"
        await path.exports(profiles).run_profile(profile, bar.add, passed=bar.passed)
        (task,) = bars.tasks
    assert (task.completed, task.total) == (4, 4)
    assert bar.reasons == {None: 3, Exclusion.IN_DISPUTE: 1}
    assert task.fields["counts"] == "batches 3, fines 3 of 4 open"


def test_the_bar_has_no_total_where_open_fines_were_not_counted_to_their_end() -> None:
    with progress.batches() as bars:
        bar = progress.RunBar(bars, "exporting", export_store.OPEN_FINES_COUNTED_MAX)
        (task,) = bars.tasks
    assert task.total is None
    assert bar.counts == "batches 0, fines 0 of 100000 or more open"


async def test_a_preview_writes_what_a_loader_expects_and_nothing_else(
    path: WritePath, commands: Commands, tmp_path: Path
) -> None:
    before = await tables_of(path.pool)
    folder = tmp_path / "inbox"

    rows = await commands.lines("export", "preview", "--profile", "SIS", "--out", str(folder))

    assert await tables_of(path.pool) == before
    assert [item["file_name"] for item in rows] == [file.name for file in files_of(folder)]
    assert [item["sha256"] for item in rows] == [
        sha256(file.read_bytes()).hexdigest() for file in files_of(folder)
    ]
    manifests = sorted(f"{file.stem}.json" for file in files_of(folder))
    assert sorted(item.name for item in (folder / "manifests").iterdir()) == manifests
    assert sorted(item.name for item in folder.iterdir()) == [
        *(item["file_name"] for item in rows),
        "manifests",
    ]


async def test_no_file_is_left_where_its_manifest_cannot_be(
    commands: Commands, tmp_path: Path
) -> None:
    folder = tmp_path / "inbox"
    folder.mkdir()
    (folder / "manifests").write_text("in the way")

    ended = await commands.call("export", "preview", "--profile", "SIS", "--out", str(folder))

    assert ended.exit_code == 1
    assert ended.stderr.startswith("bursar-bridge: --out: cannot be written: ")
    assert [item.name for item in folder.iterdir()] == ["manifests"]


async def test_a_folder_is_sound_and_so_is_each_of_its_files(
    commands: Commands, folder: Path
) -> None:
    first, second, _ = files_of(folder)

    whole = await commands.call("export", "verify", str(folder))
    several = await commands.call("export", "verify", str(second), str(first))
    output = await commands.call("export", "verify", str(second), "--previous", str(first))

    assert whole.stdout == "sound: 3 fines in batches without a gap, files: 3\n"
    assert several.stdout == "sound: 2 fines in batches without a gap, files: 2\n"
    assert output.stdout == "sound: 1 fine, 2.50 USD\n"


async def test_a_file_that_was_loaded_and_cleared_away_leaves_the_chain_whole(
    commands: Commands, folder: Path
) -> None:
    files_of(folder)[1].unlink()
    ended = await commands.call("export", "verify", str(folder))
    assert ended.stdout == (
        "sound: 2 fines in batches without a gap, files: 2; "
        "1 more in the chain by their manifests alone\n"
    )


async def test_a_batch_that_is_missing_breaks_the_chain(commands: Commands, folder: Path) -> None:
    first, second, third = files_of(folder)
    (folder / "manifests" / f"{second.stem}.json").unlink()
    second.unlink()

    for paths in ([folder], [first, third]):
        ended = await commands.call("export", "verify", *map(str, paths))
        assert ended.exit_code == 1
        assert ended.stderr == ("bursar-bridge: SIS: batch_number: batch 1 is followed by 3\n")


async def test_another_batch_before_breaks_the_chain(commands: Commands, folder: Path) -> None:
    manifest = folder / "manifests" / f"{files_of(folder)[1].stem}.json"
    manifest.write_text(
        json.dumps(json.loads(manifest.read_text()) | {"previous_sha256": "0" * 64})
    )
    ended = await commands.call("export", "verify", str(folder))
    assert ended.exit_code == 1
    assert ended.stderr == ("bursar-bridge: SIS: previous_sha256: batch 2 follows another one\n")


async def test_each_faulty_file_is_named(commands: Commands, folder: Path) -> None:
    first, second, third = files_of(folder)
    first.write_bytes(first.read_bytes().replace(b">2.5<", b">2.6<"))
    (folder / "manifests" / f"{second.stem}.json").unlink()
    (folder / "manifests" / f"{third.stem}.json").write_text(
        '{"batch_number": 3, "profile": "SIS"}'
    )

    ended = await commands.call("export", "verify", str(folder))

    assert ended.exit_code == 1
    texts = [line.removeprefix("bursar-bridge: ") for line in ended.stderr.splitlines()]
    assert f"{first.name}: line 1: sum: is not the manifest's" in texts
    assert f"{second.name}: manifest: is not there, or is none" in texts
    assert f"{third.name}: currency: must be an ISO 4217 code with 0 to 3 decimals" in texts
    assert "SIS: batch_number: batch 1 is followed by 3" in texts


async def test_a_batch_that_is_there_twice_is_told(commands: Commands, folder: Path) -> None:
    first = files_of(folder)[0]
    for file in (first, folder / "manifests" / f"{first.stem}.json"):
        file.with_stem("copy").write_bytes(file.read_bytes())
    ended = await commands.call("export", "verify", str(folder))
    assert ended.stderr == "bursar-bridge: batch_number: batch 1 of SIS is there twice\n"


@pytest.mark.parametrize("text", ["[1, 2]", "{", '"manifest"'])
async def test_what_is_no_manifest_is_a_matter_of_usage(
    commands: Commands, folder: Path, text: str
) -> None:
    file = files_of(folder)[0]
    (folder / "manifests" / f"{file.stem}.json").write_text(text)
    ended = await commands.call("export", "verify", str(file))
    assert (ended.exit_code, ended.stderr) == (
        2,
        "bursar-bridge: --manifest: must name the batch's manifest\n",
    )


async def test_verify_wants_one_file_for_what_is_meant_for_one(
    commands: Commands, folder: Path, tmp_path: Path
) -> None:
    item = str(files_of(folder)[0])
    empty = tmp_path / "empty"
    empty.mkdir()
    for arguments in (
        (str(folder), "--manifest", item),
        (item, item, "--previous", item),
        (str(empty),),
        (str(tmp_path / "nowhere.xml"),),
    ):
        assert (await commands.call("export", "verify", *arguments)).exit_code == 2
