"""Records whose header has a name that is not UTF-8, among sound ones, in one partition."""

from collections.abc import Iterable, Iterator

from aiokafka import AIOKafkaProducer
from aiokafka.record.util import calc_crc32c

NAME = b"name-of-a-header"
BAD_NAME = b"name\xff\xfe-of-a-head"
BATCH_RECORDS = 200

Mixed = tuple[bytes, bytes, bool]  # key, value, whether its header's name is bad


async def produce_mixed(servers: str, topic: str, partition: int, records: Iterable[Mixed]) -> None:
    """No client writes such names, so the bytes of a batch are changed, and its checksum too."""
    producer = AIOKafkaProducer(bootstrap_servers=servers)
    await producer.start()
    try:
        for part in _parts(list(records)):
            batch = producer.create_batch()
            for key, value, is_bad in part:
                headers = [(NAME.decode(), b"x")] if is_bad else []
                assert batch.append(timestamp=None, key=key, value=value, headers=headers)
            raw = bytearray(batch._build().replace(NAME, BAD_NAME))
            raw[17:21] = calc_crc32c(raw[21:]).to_bytes(4, "big")
            batch._buffer = raw
            await (await producer.send_batch(batch, topic, partition=partition))
    finally:
        await producer.stop()


def _parts(records: list[Mixed]) -> Iterator[list[Mixed]]:
    """As small as the client's batches are."""
    part: list[Mixed] = []
    size = 0
    for record in records:
        size += len(record[1]) + 100
        if part and (size > 15_000 or len(part) == BATCH_RECORDS):
            yield part
            part, size = [], len(record[1]) + 100
        part.append(record)
    if part:
        yield part
