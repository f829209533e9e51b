"""A rep on the road: the real server, a link of any quality, and a device that follows, for hours of virtual time."""

import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from uuid import UUID

from client_sdk import OrderClient
from client_sdk.clock import IdSource as DeviceIds
from client_sdk.errors import ServerBusyError
from client_sdk.events import Event
from client_sdk.transport import HttpEndpoint
from sync_protocol.entities.catalog import Product
from tests.support.application import application
from tests.support.slow_link import LinkQuality, SlowLink
from tests.support.virtual_time import VirtualTimer
from tests.support.world import SERVER_URL, World


class Streaming(HttpEndpoint):
    """The HTTP endpoint, with a live stream whose pieces a test writes."""

    hints: "Hints"

    async def live(self, device_id: UUID) -> AsyncIterator[bytes]:
        assert device_id.version == 7
        self.hints.opened.append(self.hints.timer.now_seconds())
        if self.hints.is_refused:
            raise ServerBusyError(503, "busy", "too many listen", None)
        yield b": welcome\n\n"
        while piece := await self.hints.next_piece():
            yield piece


class Hints:
    """What the stream says: a heartbeat every 15 seconds, and what a test writes."""

    def __init__(self, timer: VirtualTimer) -> None:
        self.timer = timer
        self.opened: list[float] = []
        self.is_refused = False
        self.is_silent = False
        self.is_ended = False
        self.pieces: list[bytes] = []

    async def next_piece(self) -> bytes:
        for _ in range(15):
            if self.is_ended:
                return b""
            if self.pieces:
                return self.pieces.pop(0)
            await self.timer.wait(1.0)
        while self.is_silent:
            await self.timer.wait(1e9)
        return b": heartbeat\n"

    def hint(self, epoch: UUID, head: int) -> None:
        data = json.dumps({"epoch": str(epoch), "head": head})
        self.pieces.append(f"event: changed\ndata: {data}\n\n".encode())


class Road:
    """A company's server, a link to it, and the device of a rep, all in virtual time."""

    def __init__(self, world: World, folder: Path) -> None:
        self.world = world
        self.folder = folder
        self.quality = LinkQuality()
        self.timer = VirtualTimer(world.clock)
        app = application(world.database, world.clock)
        self.link = SlowLink(app, self.timer, self.quality)
        self.hints = Hints(self.timer)
        self.events: list[Event] = []

    def endpoint(self, url: str, token: str) -> HttpEndpoint:
        streaming = type("Streamed", (Streaming,), {"hints": self.hints})
        return streaming(url, token, transport=self.link)

    async def device(self, name: str = "device.db") -> OrderClient:
        chance = random.Random(7)
        device = await OrderClient.open(
            self.folder / name,
            clock=self.world.clock,
            ids=DeviceIds(self.world.clock, chance),
            endpoint_for=self.endpoint,
            inline=True,
            timer=self.timer,
        )
        if (await device.status()).identity is None:
            with self.timer.held():
                code = await self.world.code_for("rep0")
            await device.enrol(SERVER_URL, code, "tablet")
        device.subscribe(self.events.append)
        return device

    def run(self, story: Callable[[OrderClient], Awaitable[None]]) -> Awaitable[None]:
        async def tell() -> None:
            async with await self.device() as device:
                await story(device)

        return self.timer.run(tell())

    async def rename(self, name: str) -> None:
        with self.timer.held():
            await self.world.change(Product, self.world.company.products[0].id, name=name)

    def told(self, kind: type) -> list[Event]:
        return [event for event in self.events if isinstance(event, kind)]
