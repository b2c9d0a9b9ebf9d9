"""The version of this program."""

import tomllib
from importlib import metadata
from pathlib import Path


def program_version() -> str:
    """Of the installed package; of pyproject.toml in a checkout that was never installed."""
    try:
        return metadata.version("bursar-bridge")
    except metadata.PackageNotFoundError:
        beside = Path(__file__).parents[2] / "pyproject.toml"
        return str(tomllib.loads(beside.read_text("utf-8"))["project"]["version"])
