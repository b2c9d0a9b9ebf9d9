"""A released contract file never changes."""

import shutil
from pathlib import Path

import pytest

from tests.contracts import digests


@pytest.fixture
def copy(tmp_path: Path) -> Path:
    root = tmp_path / "contracts"
    shutil.copytree(digests.CONTRACTS, root, ignore=shutil.ignore_patterns("examples"))
    return root


def test_no_released_file_changed_or_is_missing() -> None:
    assert digests.broken(digests.CONTRACTS) == []


def test_every_contract_file_has_its_digest() -> None:
    assert digests.unlisted(digests.CONTRACTS) == []
    assert len(digests.listed(digests.CONTRACTS)) >= 10


def test_a_changed_file_is_noticed_and_its_digest_is_not_replaced(copy: Path) -> None:
    with (copy / "asyncapi.yaml").open("a") as file:
        file.write("\n")
    before = (copy / digests.LIST).read_bytes()
    with pytest.raises(ValueError, match=r"asyncapi\.yaml: changed"):
        digests.write(copy)
    assert (copy / digests.LIST).read_bytes() == before


def test_a_missing_file_is_noticed_and_its_digest_is_kept(copy: Path) -> None:
    (copy / "events" / "loan-closed.v1.schema.json").unlink()
    before = (copy / digests.LIST).read_bytes()
    with pytest.raises(ValueError, match=r"loan-closed\.v1\.schema\.json: missing"):
        digests.write(copy)
    assert (copy / digests.LIST).read_bytes() == before


def test_a_new_file_is_added_and_the_other_lines_stay(copy: Path) -> None:
    before = digests.listed(copy)
    (copy / "events" / "loan-closed.v2.schema.json").write_text("{}\n")
    assert digests.unlisted(copy) == ["events/loan-closed.v2.schema.json"]
    assert digests.write(copy) == ["events/loan-closed.v2.schema.json"]
    assert digests.broken(copy) == []
    assert before.items() < digests.listed(copy).items()
