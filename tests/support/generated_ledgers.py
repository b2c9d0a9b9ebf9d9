"""Generated ledgers with open fines of every sort, and profiles that take them."""

from __future__ import annotations

import random
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import count

from service.export.profiles.profile import Profile, Profiles
from tests.support.installation import institution, profile
from tests.support.write_path import Record, fine, profiles_of

TYPES = ("OVERDUEFINE", "PRINT", "CREDIT", "UNHEARD_OF")
CURRENCIES = ("USD", "USD", "USD", "EUR")
OWNERS = ("MAIN", "LAW", None)
GROUPS = ("STUDENT", "STAFF")
ALWAYS = {"A": ["OVERDUEFINE"], "B": ["PRINT"], "C": []}


class World:
    """What one seed makes: profiles, and the records of their fines."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.numbers = count(1)
        self.groups: dict[str, tuple[str, str, str | None, str]] = {}
        some = [self._profile(code) for code in ("A", "B", "C")]
        self.profiles: Profiles = profiles_of(institution() + "".join(some))

    def chosen(self, words: Sequence[str]) -> list[str]:
        return self.random.sample(words, self.random.randint(1, len(words)))

    def _profile(self, code: str) -> str:
        pick = self.random.choice
        return profile(
            code,
            currency="USD" if code != "C" else pick(CURRENCIES),
            # Each type but the last is named by some profile.
            fine_types=sorted({*ALWAYS[code], *self.chosen(["OVERDUEFINE", "PRINT"])}),
            user_groups=self.chosen(GROUPS),
            owners=self.chosen(["MAIN", "LAW"]),
            institution_owned=pick([True, False]),
            minimum_age_days=pick([0, 10]),
            minimum_amount=pick(["0", "5.00"]),
            minimum_amount_scope=pick(["fine", "patron"]),
            fines_max=7,
            empty_run="empty_batch",
            credits={"included": pick([True, False])},
        )

    def fine(self) -> Record:
        """Of a type that no profile names only such that nothing else is wrong with."""
        pick, number = self.random.choice, next(self.numbers)
        kind, currency, owner, group = pick(TYPES), pick(CURRENCIES), pick(OWNERS), pick(GROUPS)
        is_sound = kind == "UNHEARD_OF"
        days = 100 if is_sound else pick([1, 100])
        amount = "9.00" if is_sound else pick(["0.50", "3.00", "9.00"])
        values = ["1"] if is_sound else pick([["1"], ["1"], ["1"], [], ["1", "2"], [" "]])
        name = "Doe" if is_sound else pick(["Doe", "Doe", "Doe", " "])
        self.groups[f"F-{number}"] = (kind, currency, owner, group)
        return fine(
            fine_id=f"F-{number}",
            type=kind,
            amount=f"-{amount}" if kind == "CREDIT" else amount,
            currency=currency,
            **self._credited(kind, number),
            owner=owner and {"library_id": "1", "library_code": owner, "library_name": owner},
            created_at=(datetime.now(UTC) - timedelta(days=days)).isoformat(),
            exportable=is_sound or pick([True, True, True, False]),
            # A patron's snapshot is theirs for all fines: one kind of patron has one group.
            patron={
                "patron_id": f"P-{group}-{name.strip()}-{len(values)}-{values[:1]}-{pick([1, 2])}",
                "name": name,
                "user_group": group,
                "identifiers": [{"type": "02", "value": value} for value in values],
            },
        )

    def _credited(self, kind: str, number: int) -> dict[str, str]:
        """Most credits name an earlier fine, though not always one of their patron's."""
        if kind != "CREDIT" or number == 1 or self.random.random() < 0.25:
            return {}
        return {"credit_of": f"F-{self.random.randrange(1, number)}"}

    def takes(self, profile: Profile, fine_id: str) -> bool:
        return takes(profile, *self.groups[fine_id])


def takes(profile: Profile, kind: str, currency: str, owner: str | None, group: str) -> bool:
    """A second reading of who takes what."""
    kinds = {*profile.fine_types, *(["CREDIT"] if profile.credits.included else [])}
    owners = {*(profile.owners or ()), *([None] if profile.institution_owned else [])}
    return (
        kind in kinds
        and currency == profile.currency
        and owner in owners
        and group in (profile.user_groups or ())
    )
