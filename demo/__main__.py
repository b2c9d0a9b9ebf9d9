"""`make demo`: tells the story, shows what it made of it, and says whether everything was right."""

from __future__ import annotations

import argparse
import asyncio
import os
import shutil
import signal
import sys
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack

import asyncpg
from aiokafka import AIOKafkaProducer
from rich.console import Console

from demo import checks, report, sample
from demo.container import check_container
from demo.outputs import Outputs, open_reader
from demo.scene import PROFILES
from demo.stage import Stage
from demo.story import STEPS
from demo.world import FOLDER, ROOT, DemoFailed, running_service, temporary_world
from tests.support.services import Services, ServicesUnavailable, running_services

PLAIN_COLUMNS = 150  # where nobody says how wide the terminal is
CONTAINER_URL = "http://127.0.0.1:{port}"  # as compose.yaml publishes it
CONTAINER_PORT = "8080"


def main() -> int:
    """Runs the demo and returns its exit code: 0 if everything was right."""
    arguments = _arguments()
    console = Console(width=None if sys.stdout.isatty() else PLAIN_COLUMNS)
    for number in (signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.default_int_handler)
    try:
        problems = _run(console, arguments.ops_url)
    except KeyboardInterrupt:
        console.print("demo: interrupted; everything it started was ended")
        return 130
    except (DemoFailed, ServicesUnavailable) as problem:
        problems = [str(cause) for cause in _with_causes(problem)]
    for text in problems:
        console.print(
            f"differs: {text}", style="red", markup=False, highlight=False, soft_wrap=True
        )
    print("demo: ok" if not problems else "demo: failed", flush=True)
    return 1 if problems else 0


def _with_causes(problem: BaseException) -> Iterator[BaseException]:
    """What failed first comes first: clearing away may fail for the same reason."""
    if isinstance(problem.__context__, DemoFailed):
        yield from _with_causes(problem.__context__)
    yield problem


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m demo", description=__doc__)
    is_compose = os.environ.get("BURSAR_DEMO_SERVICE") == "compose"
    port = os.environ.get("OPS_PORT") or CONTAINER_PORT
    parser.add_argument(
        "--ops-url",
        default=CONTAINER_URL.format(port=port) if is_compose else None,
        help="also ask the service with this operators' port, as `docker compose up` starts it",
    )
    return parser.parse_args()


def _run(console: Console, ops_url: str | None) -> list[str]:
    def tell(text: str) -> None:
        console.print(f"… {text}", style="dim", markup=False, highlight=False)

    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    with running_services(tell) as services:
        tell(f"PostgreSQL and Kafka are there ({services.source})")
        return asyncio.run(_interruptible(console, services, ops_url))


async def _interruptible(console: Console, services: Services, ops_url: str | None) -> list[str]:
    """SIGTERM and SIGHUP as Ctrl-C: the story is broken off and everything is cleared away."""
    story = asyncio.create_task(_tell_story(console, services, ops_url))
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        loop.add_signal_handler(number, story.cancel)
    try:
        return await story
    except asyncio.CancelledError:
        raise KeyboardInterrupt from None


async def _tell_story(console: Console, services: Services, ops_url: str | None) -> list[str]:
    def tell(text: str) -> None:
        console.print(f"… {text}", style="dim", markup=False, highlight=False)

    started = time.monotonic()
    servers = services.kafka_bootstrap_servers
    async with AsyncExitStack() as stack:
        world = await stack.enter_async_context(
            temporary_world(services.database_url, servers, tell, FOLDER, PROFILES)
        )
        service = await stack.enter_async_context(running_service(world, tell))
        producer = AIOKafkaProducer(bootstrap_servers=servers, enable_idempotence=True)
        stack.push_async_callback(producer.stop)
        await producer.start()
        outputs = Outputs(world.topic_prefix)
        consumer = await open_reader(servers, outputs.topics())
        stack.push_async_callback(consumer.stop)
        database = await asyncpg.connect(world.database_url)
        stack.push_async_callback(database.close)
        stage = Stage(world, service, producer, consumer, database, outputs)
        await _play(console, stage)
        problems = [*stage.problems, *await _problems(stage)]
        if not problems:
            sample.show(console, outputs)
        if ops_url is not None:
            tell(await check_container(ops_url, servers))
    console.print(
        f"{time.monotonic() - started:.1f} s; files are in {FOLDER}",
        highlight=False,
        soft_wrap=True,
    )
    if not problems:
        sample.show_next(console, FOLDER, ROOT)
    return problems


async def _play(console: Console, stage: Stage) -> None:
    try:
        with report.step_bars(console) as progress:
            for step in STEPS:
                await stage.play(step, progress)
    finally:
        stage.outputs.write(FOLDER)
        report.show(console, stage.done, stage.outputs)


async def _problems(stage: Stage) -> list[str]:
    outputs = stage.outputs
    await stage.world.command("reconcile")  # the service's own word: fails if its books differ
    return [
        *checks.events_are_sound(outputs),
        *checks.batches_are_sound(outputs),
        *checks.lines_are_sound(outputs),
        *await checks.tables_are_sound(stage.database, outputs),
    ]


if __name__ == "__main__":
    sys.exit(main())
