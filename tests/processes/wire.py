"""Devices of a world over the real HTTP application, in one process: what the server refuses comes as the device sees it."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from uuid import UUID

import httpx2

from client_sdk import OrderClient
from client_sdk.clock import IdSource
from client_sdk.errors import ServerUnreachableError
from client_sdk.transport import HttpEndpoint
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    ImageReply,
    ImageRequest,
    PullRequest,
    PushReply,
    PushRequest,
    RangesReply,
    RangesRequest,
    RepairRequest,
    ReportReply,
)
from tests.support.application import application
from tests.support.world import SERVER_URL, World

EndpointFor = Callable[[str, str], SyncEndpoint]


def over_http(world: World, wrap: Callable[[SyncEndpoint], SyncEndpoint] = lambda endpoint: endpoint) -> EndpointFor:
    """Endpoints that ask the world's application, as it serves HTTP."""
    app = application(world.database, world.clock)
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    return lambda url, token: wrap(HttpEndpoint(url, token, transport=transport))


async def open_over_http(world: World, path: Path, endpoint_for: EndpointFor, *, page_rows: int = 50_000) -> OrderClient:
    """The device in a file, new or not."""
    ids = IdSource(world.clock)
    return await OrderClient.open(path, clock=world.clock, ids=ids, endpoint_for=endpoint_for, page_rows=page_rows)


async def enrol_over_http(world: World, rep: str, path: Path, endpoint_for: EndpointFor, *, page_rows: int = 50_000) -> OrderClient:
    """A new device of a rep."""
    device = await open_over_http(world, path, endpoint_for, page_rows=page_rows)
    await device.enrol(SERVER_URL, await world.code_for(rep), f"device of {rep}")
    return device


async def submit(device: OrderClient, world: World, customer: int, *lines: tuple[int, int]) -> str:
    """An order of products and quantities; its number."""
    draft = await device.draft_order(world.company.customers[customer].id)
    for product, quantity in lines:
        await draft.add_line(world.company.products[product].id, quantity)
    return (await draft.submit()).order.number


class UnsteadyEndpoint:
    """An endpoint whose requests and replies take their time, and are now and then lost."""

    def __init__(self, inner: SyncEndpoint, chance: random.Random, loss: float) -> None:
        self._inner = inner
        self._chance = chance
        self._loss = loss

    async def _travel(self) -> None:
        await asyncio.sleep(0.001 * self._chance.randrange(8))
        if self._chance.random() < self._loss:
            raise ServerUnreachableError(SERVER_URL, "lost")

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        return await self._inner.enrol(request)

    async def fork(self, request: ForkRequest) -> Enrolment:
        return await self._inner.fork(request)

    async def report(self, report: DeviceReport) -> ReportReply:
        await self._travel()
        reply = await self._inner.report(report)
        await self._travel()
        return reply

    async def push(self, request: PushRequest) -> PushReply:
        await self._travel()
        reply = await self._inner.push(request)
        await self._travel()
        return reply

    async def ranges(self, request: RangesRequest) -> RangesReply:
        await self._travel()
        return await self._inner.ranges(request)

    async def repair(self, request: RepairRequest) -> AsyncIterator[bytes]:
        await self._travel()
        async for piece in self._inner.repair(request):
            yield piece
            await self._travel()

    async def image(self, request: ImageRequest) -> ImageReply:
        await self._travel()
        return await self._inner.image(request)

    async def image_file(self, device_id: UUID, incarnation: bytes, digest: bytes, offset: int) -> AsyncIterator[bytes]:
        await self._travel()
        async for piece in self._inner.image_file(device_id, incarnation, digest, offset):
            yield piece
            await self._travel()

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        await self._travel()
        pieces = [piece async for piece in self._inner.pull(request)]
        await self._travel()
        for piece in pieces:
            yield piece
