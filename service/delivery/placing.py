"""Makes a batch's file: checks the batch, prints it in the delivery's format, and writes it."""

from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from pathlib import PurePosixPath

from ..export.batch_file import manifest_path
from ..export.formats import Format, printed_as
from ..export.formats.table import NotPrintable
from ..runtime.process import crash_point
from .memory import DeliveredBatch, export_number_of
from .queue import ReadyBatch
from .records import InvalidBatchRecord, manifest_of
from .state import Chain
from .target import Target


class Undeliverable(Exception):
    """A batch that must not be delivered. The text names the field and the broken rule."""


@dataclass(frozen=True, slots=True)
class RenderedBatch:
    """A batch's file with its name and bytes, its manifest, and what the journal will remember."""

    file_name: str
    data: bytes
    manifest: Mapping[str, object]
    batch: DeliveredBatch


@dataclass(frozen=True, slots=True)
class Delivered:
    """A batch that has been delivered to the target. `totals` has the `count`, `total` and
    `currency` of the manifest.

    `is_written` is false if the target had the same file already.
    """

    batch: DeliveredBatch
    totals: Mapping[str, object]
    is_written: bool


def render_batch(batch: ReadyBatch, form: Format) -> RenderedBatch:
    """Returns the file of a batch in the format of this delivery.

    Raises Undeliverable if the XML differs from the manifest, if the manifest does not name the
    batch delivered before, or if the format cannot print a value.
    """
    try:
        manifest = manifest_of(batch.manifest)
        _check_chain(batch, manifest)
        data = printed_as(form, batch.document.value, manifest)
    except (InvalidBatchRecord, NotPrintable) as problem:
        raise Undeliverable(str(problem)) from None
    described = describe_batch(manifest, batch.manifest.value, form)
    described = replace(described, file_sha256=sha256(data).hexdigest())
    return RenderedBatch(str(described.file_name), data, manifest, described)


def describe_batch(manifest: Mapping[str, object], data: bytes, form: Format) -> DeliveredBatch:
    """Returns the batch that a manifest describes; `data` is the manifest's bytes, `form` the
    file's format.
    """
    name = f"{str(manifest['file_name']).removesuffix('.xml')}.{form.suffix}"
    return DeliveredBatch(
        institution_id=str(manifest["institution_id"]),
        profile=str(manifest["profile"]),
        batch_number=int(str(manifest["batch_number"])),
        sha256=str(manifest.get("sha256")),
        export_number=export_number_of(name),
        file_name=name,
        manifest_sha256=sha256(data).hexdigest(),
    )


def _check_chain(batch: ReadyBatch, manifest: Mapping[str, object]) -> None:
    """A batch that was delivered before is compared with what is remembered of it, not here."""
    last, previous_sha256 = batch.chain.last, manifest.get("previous_sha256")
    if batch.was_delivered:
        return
    if batch.batch_number == 1:
        if previous_sha256 is not None:
            raise Undeliverable("previous_sha256: the first batch has none before it")
    elif last.sha256 is not None and previous_sha256 != last.sha256:
        raise Undeliverable("previous_sha256: the batch before is another one")


async def finish_started(target: Target, chain: Chain) -> Chain:
    """Finishes a delivery that a crash interrupted: renames the hidden file, unless that was done.

    The rename is still to do exactly if the hidden file exists; a missing named file would prove
    nothing, because a loader may have removed it.
    """
    if chain.started is None:
        return chain
    if await target.has_hidden(chain.started.file_name):
        await target.rename_into_place(chain.started.file_name)
    return Chain(chain.started.last)


async def place(
    target: Target,
    batch: ReadyBatch,
    file: RenderedBatch,
    remember: Callable[[], Awaitable[None]],
    start: Callable[[], Awaitable[None]],
) -> bool:
    """Writes manifest and file to the target; returns False if the target had the same file
    already.

    The manifest is written first, so that a program that sees the file also finds its manifest.
    `remember` is called before anything is written, and `start` when the file is written under its
    hidden name and is about to be renamed. Raises Undeliverable before anything was remembered or
    written.
    """
    if not batch.was_delivered and batch.chain.started is not None:
        await finish_started(target, batch.chain)  # the connection was lost at the last attempt
        return True
    manifest = batch.manifest.value
    manifest_name = manifest_path(PurePosixPath(file.file_name)).as_posix()
    has_manifest = await _is_present(target, manifest_name, manifest)
    has_file = await _is_present(target, file.file_name, file.data)
    await remember()
    crash_point("delivery_noted")
    if not has_manifest:
        await target.write(manifest_name, manifest)
        await target.rename_into_place(manifest_name)
    crash_point("delivery_manifest")
    if has_file:
        return False
    await target.write(file.file_name, file.data)
    crash_point("delivery_written")
    await start()
    crash_point("delivery_started")
    await target.rename_into_place(file.file_name)
    crash_point("delivery_named")
    return True


async def _is_present(target: Target, name: str, data: bytes) -> bool:
    present = await target.read(name)
    if present is not None and present != data:
        raise Undeliverable("file: one with this name and other bytes is there")
    return present is not None
