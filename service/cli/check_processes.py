"""The part of `bursar-bridge check` that compares the wanted number of processes with the CPU
cores, the topics' partitions and the connections that PostgreSQL admits.
"""

from ..runtime.cores import usable_cores
from ..settings import Settings
from ..settings.values import AUTO
from ..supervisor.capacity import (
    connections_admitted,
    connections_problem,
    largest_input,
    members_of,
)
from .check import Finding, fault, note, ok
from .texts import counted

SUBJECT = "processes"


async def findings(settings: Settings, processes: str) -> list[Finding]:
    """Returns whether each of so many processes gets partitions to read, a core and connections to
    the database; `processes` is a number or `auto`.
    """
    cores, partitions = usable_cores(), await largest_input(settings)
    count = members_of(processes, cores, partitions)
    admitted = await connections_admitted(settings)
    problem = connections_problem(settings, count, admitted)
    if problem is not None:
        return [fault(SUBJECT, problem)]
    findings = []
    if partitions and count > partitions:
        text = f"{count}, and the largest input topic has {counted(partitions, 'partition')}"
        findings.append(note(SUBJECT, f"{text}: more processes than that read nothing of it"))
    if processes != AUTO and count > max(1, cores):
        text = f"{count}, and this machine gives {counted(cores, 'core')}"
        findings.append(note(SUBJECT, f"{text}: more processes than that wait for each other"))
    each = settings.database_connections_max
    text = f"{count}, with {each} connections each; the database admits {admitted}"
    return findings or [ok(SUBJECT, text)]
