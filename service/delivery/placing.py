"""One batch into its target: checked, printed, named at one stroke."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import PurePosixPath

from ..export.batch_file import manifest_path
from ..export.formats import Format, NotPrintable, printed_as
from ..runtime.crash import crash_point
from .memory import DeliveredBatch, export_number_of
from .queue import Due
from .records import NoBatch, manifest_of
from .state import Chain
from .target import Target


class Refused(Exception):
    """This batch must not be passed on. The text names field and rule."""


@dataclass(frozen=True, slots=True)
class Printed:
    """A batch's file, what its manifest says, and what is remembered of both."""

    file_name: str
    data: bytes
    manifest: Mapping[str, object]
    batch: DeliveredBatch


def printed(due: Due, form: Format) -> Printed:
    """The file, once batch, manifest and chain fit together. Raises Refused."""
    try:
        manifest = manifest_of(due.manifest)
        _check_chain(due, manifest)
        data = printed_as(form, due.document.value, manifest)
    except (NoBatch, NotPrintable) as problem:
        raise Refused(str(problem)) from None
    batch = batch_of(manifest, due.manifest.value, form)
    batch = replace(batch, file_sha256=sha256(data).hexdigest())
    return Printed(str(batch.file_name), data, manifest, batch)


def batch_of(manifest: Mapping[str, object], data: bytes, form: Format) -> DeliveredBatch:
    """The batch of this manifest, whose bytes are `data`, as `form` names its file."""
    stem = str(manifest["file_name"]).removesuffix(".xml")
    name = f"{stem}.{form.suffix}"
    return DeliveredBatch(
        institution_id=str(manifest["institution_id"]),
        profile=str(manifest["profile"]),
        batch_number=int(str(manifest["batch_number"])),
        sha256=str(manifest.get("sha256")),
        export_number=export_number_of(name),
        file_name=name,
        manifest_sha256=sha256(data).hexdigest(),
    )


@dataclass(frozen=True, slots=True)
class Steps:
    """What is written down beside the target.

    `note` is called before anything of the batch is written, `start` when the file is written and
    has not got its name yet.
    """

    note: Callable[[], Awaitable[None]]
    start: Callable[[], Awaitable[None]]


async def place(target: Target, file: Printed, manifest: bytes, steps: Steps) -> bool:
    """Manifest first: who sees the batch finds it. What is there already is left as it is: False.

    Raises Refused; then nothing was written or noted.
    """
    beside = manifest_path(PurePosixPath(file.file_name)).as_posix()
    has_manifest = await _is_there(target, beside, manifest)
    has_file = await _is_there(target, file.file_name, file.data)
    await steps.note()
    crash_point("delivery_noted")
    if not has_manifest:
        await target.write(beside, manifest)
        await target.rename_into_place(beside)
    crash_point("delivery_manifest")
    if has_file:
        return False
    await target.write(file.file_name, file.data)
    crash_point("delivery_written")
    await steps.start()
    crash_point("delivery_started")
    await target.rename_into_place(file.file_name)
    crash_point("delivery_named")
    return True


async def ended(target: Target, chain: Chain) -> Chain:
    """What a crash left half done, done: the file gets its name, unless it has got it already."""
    if chain.started is None:
        return chain
    if await target.has_hidden(chain.started.file_name):
        await target.rename_into_place(chain.started.file_name)
    return Chain(chain.started.last)


async def _is_there(target: Target, name: str, data: bytes) -> bool:
    there = await target.read(name)
    if there is not None and there != data:
        raise Refused("file: one with this name and other bytes is there")
    return there is not None


def _check_chain(due: Due, manifest: Mapping[str, object]) -> None:
    """A batch that comes again is compared with what is remembered of it, not here."""
    last = due.chain.last
    if due.again:
        return
    if due.batch_number == 1:
        if manifest.get("previous_sha256") is not None:
            raise Refused("previous_sha256: the first batch has none before it")
    elif last.sha256 is not None and manifest.get("previous_sha256") != last.sha256:
        raise Refused("previous_sha256: the batch before is another one")
