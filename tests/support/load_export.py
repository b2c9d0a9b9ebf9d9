"""The export behind each half of the mixed load, compared with the model."""

from __future__ import annotations

import json

from tests.oracle.model import Model
from tests.oracle.records import Data
from tests.support.load_events import lines_of
from tests.support.load_rules import RULES, due_fines, export_of
from tests.support.process import Site
from tests.support.topics import read_topic


async def export_all(site: Site, model: Model, before: list[Data], seconds_max: int) -> list[Data]:
    """Exports by the command, beside the running processes; they send what it sealed.

    Returns the manifests, which are those behind the manifests of `before`, once the model has
    taken them. Fails if a fine that is due is in none of them, or another fine is.
    """
    await site.command("export", "run", "--all", seconds_max=seconds_max)

    async def is_sent() -> bool:
        return (await site.rows("SELECT count(*) AS n FROM outbox"))[0]["n"] == 0

    await site.until(is_sent, seconds_max)
    manifests = [each for each in _manifests(site) if each not in before]
    for institution, profiles_of in RULES.items():
        for rules in profiles_of:
            due = due_fines(model, institution, rules)
            sealed = [each for each in manifests if each["profile"] == rules.profile]
            assert sorted(name for name, _, _ in lines_of(sealed)) == sorted(due)
            for manifest in sealed:
                model.take(export_of(manifest))
    return manifests


def _manifests(site: Site) -> list[Data]:
    """In the order of each profile's batches; what was sent twice counts once."""
    manifests: list[Data] = []
    for record in read_topic(site.servers, site.topic("export-manifest.v1")):
        manifest = json.loads(record.value or b"")
        if manifest not in manifests:
            manifests.append(manifest)
    return sorted(manifests, key=lambda each: (each["profile"], each["batch_number"]))
