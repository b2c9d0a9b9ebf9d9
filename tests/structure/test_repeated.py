"""No run of ten lines stands twice; `python -m tests.structure.repeated` lists them."""

from __future__ import annotations

from pathlib import Path

from tests.structure.repeated import RUN_LINES, in_words, repeated, sources


def test_no_ten_lines_stand_twice() -> None:
    assert len(sources()) > 500
    assert {path.suffix for path in sources()} == {".py", ".sql"}
    assert [in_words(pair) for pair in repeated(sources())] == []


def test_a_run_is_noticed_beside_blank_lines_and_imports(tmp_path: Path) -> None:
    run = "".join(f"x{n} = {n}\n" for n in range(RUN_LINES))
    first, second = tmp_path / "first.py", tmp_path / "second.py"
    first.write_text(f"import a\n{run}")
    second.write_text(f"from b import (\n    c,\n)\n\n{run.replace('x5', chr(10) + 'x5')}")
    assert repeated([first, second]) == [((first, 2), (second, 5))]


def test_nine_lines_and_imports_are_no_run(tmp_path: Path) -> None:
    names = "".join(f"    name{n},\n" for n in range(RUN_LINES))
    paths = [tmp_path / "first.py", tmp_path / "second.py"]
    for number, path in enumerate(paths):
        run = "".join(f"x{n} = {n}\n" for n in range(RUN_LINES - 1))
        path.write_text(f"from a import (\n{names})\n{run}last = {number}\n")
    assert repeated(paths) == []
