"""Finds what is said of a rejected record: the rule that it breaks, and the institution that it
names.
"""

import re
from collections.abc import Mapping

from pydantic import ValidationError

_INSTITUTION = re.compile(r"[1-9][0-9]{0,9}", re.ASCII)


def institution_named(body: object) -> str | None:
    """Returns the institution id in the data of a rejected record, in binary or structured mode, if
    it has one.
    """
    for data in (body, body.get("data") if isinstance(body, dict) else None):
        institution_id = data.get("institution_id") if isinstance(data, dict) else None
        if isinstance(institution_id, str) and _INSTITUTION.fullmatch(institution_id):
            return institution_id
    return None


# pydantic's kinds of errors in the words of the contract. Its own texts may quote the value.
_RULES: Mapping[str, str] = {
    "missing": "is required",
    "string_type": "must be a string",
    "string_too_short": "must not be empty",
    "string_too_long": "must have at most {max_length} characters",
    "string_pattern_mismatch": "must match {pattern}",
    "bool_type": "must be true or false",
    "enum": "must be {expected}",
    "model_type": "must be an object",
    "dict_type": "must be an object",
    "tuple_type": "must be an array",
    "too_short": "must not be empty",
    "too_long": "must have at most {max_length} items",
    "rule": "{rule}",
}


def first_rule(error: ValidationError) -> str:
    """Returns the first broken rule as "member: rule"; the member's path has only names of the
    contract and indexes, never a value.
    """
    first = error.errors(include_url=False, include_input=False)[0]
    field = ".".join(map(str, first["loc"])) or "data"
    rule = _RULES.get(first["type"], "is not as the contract says")
    return f"{field}: {rule.format_map(first.get('ctx', {}))}"
