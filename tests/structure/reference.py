"""The pages of docs/reference: what comes from the code, and what is written by hand beside it.

`make reference` writes the parts of the pages that come from the code: the sections on commands
from typer, names, defaults and bounds of settings and options from pydantic. Meanings of settings
and options are written on the pages and stay.
"""

from __future__ import annotations

import re
import textwrap
from collections.abc import Iterator, Sequence
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from types import SimpleNamespace
from typing import Literal, Protocol, cast, get_args, get_origin

import typer
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from service.cli.program import application
from service.export.profiles.file import CreditsTable, InstitutionTable, ProfileTable
from service.settings import Settings, variable_of

ROOT = Path(__file__).resolve().parents[2]
README = ROOT / "README.md"
REFERENCE = ROOT / "docs" / "reference"
EXAMPLES = ROOT / "examples"
REQUIRED = "required"
UNSET = "none"


def settings_rows() -> list[tuple[str, str, str]]:
    """Variable, default and bounds of every setting, in the order of the code."""
    return [
        (f"`{variable_of(name)}`", _default(field), _bounds(field))
        for name, field in Settings.model_fields.items()
    ]


def profile_rows() -> list[tuple[str, str, str]]:
    """Option, default and bounds of the configuration file, table by table."""
    rows: list[tuple[str, str, str]] = []
    tables = (("institution.", InstitutionTable), ("profile.", ProfileTable))
    for prefix, table in tables:
        rows.extend(_options(prefix, table))
    return rows


def rows_in_page(name: str) -> list[tuple[str, ...]]:
    """The cells of the table between `<!-- name -->` and `<!-- /name -->` of docs/reference."""
    lines = current(name).splitlines()
    return [_cells(text) for text in lines if text.startswith("|")][2:]


def _cells(row: str) -> tuple[str, ...]:
    return tuple(cell.strip() for cell in re.split(r"(?<!\\)\|", row.strip().strip("|")))


def page_of(name: str) -> Path:
    return REFERENCE / f"{name}.md"


def example_of_profiles() -> str:
    """The configuration file that the page on profiles shows."""
    blocks = re.findall(r"```toml\n(.*?)```", page_of("profiles").read_text(), re.DOTALL)
    return str(blocks[0])


def example_in_readme(language: str, number: int = 0) -> str:
    """A block of code of the README."""
    return str(re.findall(rf"```{language}\n(.*?)```", README.read_text(), re.DOTALL)[number])


def write_pages() -> None:
    """Writes what comes from the code into the pages of docs/reference; the rest stays as it is."""
    for name, text in generated().items():
        page = page_of(name)
        before, rest = page.read_text("utf-8").split(f"<!-- {name} -->\n")
        after = rest.split(f"<!-- /{name} -->")[1]
        page.write_text(f"{before}<!-- {name} -->\n{text}<!-- /{name} -->{after}", "utf-8")


def generated() -> dict[str, str]:
    """By the name of its page: the part that comes from the code."""
    return {
        "settings": _with_meanings("settings", settings_rows()),
        "profiles": _with_meanings("profiles", profile_rows()),
        "commands": "\n".join(_section(path, command) for path, command in commands()),
        "reasons": _table(("code", "said of", "meaning", "shown by"), _reasons()),
    }


def current(name: str) -> str:
    """The part of a page that comes from the code, as it stands there."""
    return _between(page_of(name).read_text("utf-8"), name).removeprefix("\n")


class Parameter(Protocol):
    """What the reference needs of an option; typer's own classes have no public names."""

    name: str
    opts: list[str]
    secondary_opts: list[str]
    metavar: str | None
    help: str | None
    default: object
    hidden: bool
    multiple: bool
    required: bool
    min: int | None
    max: int | None
    type_descriptor: SimpleNamespace


class Command(Protocol):
    """What the reference needs of a command; a group has `commands` as well."""

    help: str | None
    params: list[Parameter]


def commands() -> Iterator[tuple[str, Command]]:
    """Every command with its words behind `bursar-bridge`, in the order of the program's help."""
    yield from _commands(cast("Command", typer.main.get_command(application)), "")


def _commands(command: Command, path: str) -> Iterator[tuple[str, Command]]:
    inner: dict[str, Command] | None = getattr(command, "commands", None)
    if inner is None:
        yield path.strip(), command
        return
    for name, part in inner.items():
        yield from _commands(part, f"{path} {name}")


def _section(path: str, command: Command) -> str:
    """The heading, the help and the options of a command."""
    paragraphs = [" ".join(text.split()) for text in str(command.help).split("\n\n")]
    text = "\n\n".join(_wrapped(paragraph) for paragraph in paragraphs)
    options = [_option(param) for param in command.params if not param.hidden]
    table = _table(("option", "value", "default", "meaning"), options) if options else ""
    return f"### {path}\n\n{text}\n" + (f"\n{table}" if table else "")


def _option(param: Parameter) -> tuple[str, ...]:
    is_argument = not param.opts[0].startswith("-")
    name = (param.metavar or param.name.upper()) if is_argument else param.opts[0]
    default = REQUIRED if param.required else _shown_default(param)
    many = ", can be repeated" if param.multiple else ""
    names = " ".join(f"`{name}`" for name in (name, *param.secondary_opts))
    return names, _value(param) + many, default, str(param.help or "")


def _shown_default(param: Parameter) -> str:
    value = param.default
    if value is None or value is False or callable(value):
        return ""
    return f"`{value.value if isinstance(value, StrEnum) else value}`"


def _value(param: Parameter) -> str:
    """What may stand behind an option."""
    if getattr(param, "is_flag", False):
        return ""
    choices = choices_of(param)
    if choices is not None:
        return " ".join(f"`{choice}`" for choice in choices)
    if param.min is not None and param.max is not None:
        return f"{param.min} .. {param.max}"
    if param.metavar and param.opts[0].startswith("-"):
        return f"`{param.metavar}`"
    names = {str: "text", int: "number", Path: "path", datetime: "instant"}
    return " ".join(names.get(sort, "text") for sort in _sorts(param))


def choices_of(param: Parameter) -> list[str] | None:
    """The values that an option takes; None for an option without a fixed list of them."""
    return None if getattr(param, "is_flag", False) else _choices(_sorts(param)[0])


def _sorts(param: Parameter) -> tuple[type, ...]:
    annotation = param.type_descriptor.annotation
    return get_args(annotation) or (annotation,)


def _reasons() -> list[tuple[str, ...]]:
    """Every code that says why something did not happen, in alphabetical order."""
    kinds = {
        "rejected": ("a rejected record", "`bursar-bridge rejected list --because {}`"),
        "parked": ("a parked record; it waits for", "`bursar-bridge parked list --wait {}`"),
        "held": ("a fine that is held back", "`bursar-bridge held list --because {}`"),
    }
    return sorted(
        (f"`{code}`", of, meaning, command.format(code))
        for name, (of, command) in kinds.items()
        for code, meaning in _meanings(name)
    )


def _meanings(name: str) -> list[tuple[str, str]]:
    """Codes with their meanings, from a table of docs/contracts.md that another test checks."""
    lines = _between((ROOT / "docs" / "contracts.md").read_text("utf-8"), name).splitlines()
    cells = [_cells(text) for text in lines if text.startswith("| `")]
    return [(code.strip("`"), meaning) for code, meaning in cells]


def _with_meanings(name: str, rows: Sequence[tuple[str, ...]]) -> str:
    """Names, defaults and bounds from the code, with the meanings that stand on the page."""
    meanings = {row[0]: row[3] for row in rows_in_page(name)}
    complete = [(*row, meanings.get(row[0], "")) for row in rows]
    return _table(("name", "default", "bounds", "meaning"), complete)


def _table(heading: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    lines = [heading, ("---",) * len(heading), *rows]
    texts = [
        "| " + " | ".join(cell.replace("|", r"\|") for cell in cells) + " |" for cells in lines
    ]
    texts[1] = texts[1].replace(" ", "")
    return "\n".join(texts) + "\n"


def _wrapped(text: str) -> str:
    return textwrap.fill(text, 124, break_long_words=False, break_on_hyphens=False)


def _between(text: str, name: str) -> str:
    return text.split(f"<!-- {name} -->")[1].split(f"<!-- /{name} -->")[0]


def _options(prefix: str, table: type[BaseModel]) -> Iterator[tuple[str, str, str]]:
    for name, field in table.model_fields.items():
        if field.annotation is CreditsTable:
            yield from _options(f"{prefix}{name}.", CreditsTable)
        else:
            yield f"`{prefix}{name}`", _default(field), _bounds(field)


def _default(field: FieldInfo) -> str:
    if field.is_required():
        return REQUIRED
    value = field.default
    if value is None:
        return UNSET
    if isinstance(value, bool):
        return f"`{str(value).lower()}`"
    if isinstance(value, list):
        return ", ".join(f"`{element}`" for element in value) or UNSET
    return f"`{value}`" if value != {} else UNSET


def _bounds(field: FieldInfo) -> str:
    """The limits that the model itself declares."""
    named: dict[str, int] = {}
    for constraint in field.metadata:
        for name in ("ge", "le", "min_length", "max_length"):
            if (value := getattr(constraint, name, None)) is not None:
                named[name] = value
    choices = _choices(field.annotation)
    if choices is not None:
        return " ".join(f"`{choice}`" for choice in choices)
    if "ge" in named and "le" in named:
        return f"{named['ge']} .. {named['le']}"
    return ""


def _choices(annotation: object) -> list[str] | None:
    if isinstance(annotation, type) and issubclass(annotation, StrEnum):
        return [member.value for member in annotation]
    if get_origin(annotation) is Literal:
        return list(get_args(annotation))
    if annotation is bool:
        return ["true", "false"]
    return None


if __name__ == "__main__":
    write_pages()
