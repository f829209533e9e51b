"""A device that follows its server: hints wake it, losing them costs an interval, and standing still is told."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import pytest

from client_sdk import OrderClient
from client_sdk.errors import ServerUnreachableError, SyncStalledError
from client_sdk.events import Event, SyncFailed, SyncResumed, SyncStalled, VerdictArrived
from client_sdk.health import SyncHealth
from server.changelog.log import read_head
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import PullRequest
from tests.support.faults import FaultyEndpoint
from tests.support.world import World

SECONDS_MAX = 20.0
NEVER_SECONDS = 3_600.0


class HintingEndpoint(FaultyEndpoint):
    """A good wire with a live stream that the test writes, and that can be away altogether."""

    def __init__(self, inner: SyncEndpoint) -> None:
        super().__init__(inner, [], random.Random(1), [])
        self.is_away = False
        self.hangs = False
        self.hints: asyncio.Queue[bytes] = asyncio.Queue()

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        if self.is_away:
            raise ServerUnreachableError("test", "away")
        if self.hangs:
            await asyncio.Event().wait()
        async for piece in super().pull(request):
            yield piece

    async def live(self, _device_id: UUID) -> AsyncIterator[bytes]:
        while True:
            yield await self.hints.get()


class Followed:
    """A device with everything that it says."""

    def __init__(self, device: OrderClient, wire: HintingEndpoint) -> None:
        self.device = device
        self.wire = wire
        self.events: list[Event] = []
        device.subscribe(self.events.append)

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while not holds():  # noqa: ASYNC110  # the device is watched as its user would
                await asyncio.sleep(0.005)

    async def until_shown(self, product_id: UUID, name: str) -> None:
        async with asyncio.timeout(SECONDS_MAX):
            while (await self.device.product(product_id)).name != name:  # noqa: ASYNC110  # as above
                await asyncio.sleep(0.005)

    def said(self, kind: type[Event]) -> bool:
        return any(isinstance(event, kind) for event in self.events)


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


@pytest.fixture
async def followed(world: World, tmp_path: Path) -> AsyncIterator[Followed]:
    wires: list[HintingEndpoint] = []

    def wrap(endpoint: SyncEndpoint) -> SyncEndpoint:
        wires.append(HintingEndpoint(endpoint))
        return wires[-1]

    async with await world.enrolled_device("rep0", tmp_path / "device.db", wrap=wrap) as device:
        await device.sync()
        yield Followed(device, wires[-1])


async def test_what_is_submitted_is_sent_without_being_asked(followed: Followed, world: World) -> None:
    async with followed.device.follow(poll_seconds=NEVER_SECONDS):
        draft = await followed.device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        await followed.until(lambda: followed.said(VerdictArrived))


async def test_a_hint_brings_the_change_long_before_the_interval_is_over(followed: Followed, world: World) -> None:
    product = world.company.products[0]
    async with followed.device.follow(poll_seconds=NEVER_SECONDS) as follower:
        followed.wire.hints.put_nowait(b": hello\n\n")
        await followed.until(lambda: follower.status().is_live)
        await world.change(Product, product.id, name="Hinted")
        async with world.database.read() as session:
            head = await read_head(session)
        hint = f'event: changed\ndata: {{"epoch":"{head.epoch}","head":{head.head}}}\n\n'
        followed.wire.hints.put_nowait(hint.encode())
        await followed.until_shown(product.id, "Hinted")


async def test_losing_every_hint_costs_one_interval(followed: Followed, world: World) -> None:
    product = world.company.products[0]
    async with followed.device.follow(poll_seconds=0.2):
        await asyncio.sleep(0.05)
        await world.change(Product, product.id, name="Polled")
        await followed.until_shown(product.id, "Polled")


async def test_standing_still_is_told_once_kept_and_taken_back(followed: Followed) -> None:
    followed.wire.is_away = True
    async with followed.device.follow(poll_seconds=0.1) as follower:
        await followed.until(lambda: followed.said(SyncFailed) and followed.said(SyncStalled))
        (stall,) = [event.error for event in followed.events if isinstance(event, SyncStalled)]
        assert isinstance(stall, SyncStalledError)
        trouble = (await followed.device.status()).trouble
        assert isinstance(trouble, SyncHealth)
        assert trouble.code == "server_unreachable"
        followed.wire.is_away = False
        follower.nudge()
        await followed.until(lambda: followed.said(SyncResumed))
    assert (await followed.device.status()).trouble is None


async def test_a_sync_that_hangs_is_given_up_and_told(followed: Followed) -> None:
    followed.wire.hangs = True
    async with followed.device.follow(poll_seconds=0.1):
        await followed.until(lambda: followed.said(SyncStalled) and followed.said(SyncFailed))
