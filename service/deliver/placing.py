"""One batch into its target: checked, printed, named at one stroke."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from pathlib import PurePosixPath

from service.crash import crash_point
from service.deliver.queue import Due
from service.deliver.records import NoBatch, manifest_of
from service.deliver.state import Chain
from service.deliver.target import Target
from service.export.batch_file import manifest_path
from service.export.formats import Format, NotPrintable, printed_as


class Refused(Exception):
    """This batch must not be passed on. The text names field and rule."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A batch's file, and what its manifest says."""

    file_name: str
    data: bytes
    manifest: Mapping[str, object]

    @property
    def sha256(self) -> str:
        """Of the XML, whatever the format: what the chain is made of."""
        return str(self.manifest["sha256"])


def printed(due: Due, form: Format) -> Printed:
    """The file, once batch, manifest and chain fit together. Raises Refused."""
    try:
        manifest = manifest_of(due.manifest)
        _check_chain(due, manifest)
        data = printed_as(form, due.document.value, manifest)
    except (NoBatch, NotPrintable) as problem:
        raise Refused(str(problem)) from None
    stem = str(manifest["file_name"]).removesuffix(".xml")
    return Printed(f"{stem}.{form.suffix}", data, manifest)


async def place(
    target: Target, file: Printed, manifest: bytes, naming: Callable[[], Awaitable[None]]
) -> bool:
    """Manifest first: who sees the batch finds it. What is there already is left as it is: False.

    `naming` is called when the file is written and has not got its name yet. Raises Refused.
    """
    beside = manifest_path(PurePosixPath(file.file_name)).as_posix()
    if not await _is_there(target, beside, manifest):
        await target.write(beside, manifest)
        await target.unveil(beside)
    crash_point("delivery_manifest")
    if await _is_there(target, file.file_name, file.data):
        return False
    await target.write(file.file_name, file.data)
    crash_point("delivery_written")
    await naming()
    crash_point("delivery_started")
    await target.unveil(file.file_name)
    crash_point("delivery_named")
    return True


async def ended(target: Target, chain: Chain) -> Chain:
    """What a crash left half done, done: the file gets its name, unless it has got it already."""
    if chain.started is None:
        return chain
    if await target.has_hidden(chain.started.file_name):
        await target.unveil(chain.started.file_name)
    return Chain(chain.started.last)


async def _is_there(target: Target, name: str, data: bytes) -> bool:
    there = await target.read(name)
    if there is not None and there != data:
        raise Refused("file: one with this name and other bytes is there")
    return there is not None


def _check_chain(due: Due, manifest: Mapping[str, object]) -> None:
    last = due.chain.last
    if due.again:
        is_last = due.batch_number == last.batch_number and last.sha256 is not None
        if is_last and manifest.get("sha256") != last.sha256:
            raise Refused("sha256: another batch of this number was delivered")
    elif due.batch_number == 1:
        if manifest.get("previous_sha256") is not None:
            raise Refused("previous_sha256: the first batch has none before it")
    elif last.sha256 is not None and manifest.get("previous_sha256") != last.sha256:
        raise Refused("previous_sha256: the batch before is another one")
