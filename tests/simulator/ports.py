"""Puts the simulated ports in the place of the real ones."""

from __future__ import annotations

import contextlib
import os
import random as chance
import time
from collections.abc import Iterator
from random import Random
from unittest import mock

from service.kafka import clients
from tests.simulator.consumer import SimulatedConsumer
from tests.simulator.producer import SimulatedAdmin, SimulatedProducer
from tests.simulator.scheduler import CURRENT
from tests.simulator.world import World


@contextlib.contextmanager
def ports(world: World) -> Iterator[None]:
    """Inside the block, the clients of the service are simulated, and so are time and chance."""

    def consumer(**_: object) -> SimulatedConsumer:
        return SimulatedConsumer(world.cluster, CURRENT.get())

    def producer(**_: object) -> SimulatedProducer:
        return SimulatedProducer(world.cluster, CURRENT.get())

    class Admin(SimulatedAdmin):
        def __init__(self, **_: object) -> None:
            super().__init__(world.cluster, CURRENT.get())

    # Of their own, because what is drawn from the scheduler's must not depend on sets of tasks.
    chance.seed(world.seed)
    identities = Random(world.seed)
    with (
        mock.patch.object(clients, "AIOKafkaConsumer", consumer),
        mock.patch.object(clients, "AIOKafkaProducer", producer),
        mock.patch.object(clients, "AIOKafkaAdminClient", Admin),
        mock.patch.object(time, "monotonic_ns", world.clock.monotonic_ns),
        mock.patch.object(os, "urandom", identities.randbytes),
    ):
        yield
