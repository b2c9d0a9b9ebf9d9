"""Configuration files of tests: institutions and profiles, written from what matters to a test."""

import json


def institution(
    institution_id: str = "6050", zone: str = "Europe/Vienna", **options: object
) -> str:
    """An [[institution]] table, with `options` as Python values."""
    whole = {"id": institution_id, "zone": zone, **options}
    return "\n[[institution]]\n" + "".join(f"{name} = {_toml(whole[name])}\n" for name in whole)


def profile(code: str = "bursar", /, **options: object) -> str:
    """A [[profile]] table with what it must have, and `options` as Python values.

    Unless they say otherwise, the profile exports overdue fines in USD and imports payments.
    """
    whole = {
        "code": code,
        "name": code,
        "institution": "6050",
        "mode": "export_import",
        "currency": "USD",
        "fine_types": ["OVERDUEFINE"],
        "match": "02",
        **options,
    }
    return "\n[[profile]]\n" + "".join(f"{name} = {_toml(whole[name])}\n" for name in whole)


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{name} = {_toml(value[name])}" for name in value) + " }"
    if isinstance(value, list | tuple):
        return "[" + ", ".join(map(_toml, value)) + "]"
    return json.dumps(value, ensure_ascii=False)
