"""A link with a rate, a delay and losses, in virtual time, before the real server's application in this process."""

import asyncio
import random
from collections.abc import AsyncIterator
from typing import Any

import httpx2
import msgspec

from tests.support.virtual_time import VirtualTimer

PIECE_BYTES = 1_400
FRAME_BYTES = 300
"""What HTTP and TLS add to each direction of a request, about."""

REQUESTS_MAX = 20_000


class LinkQuality(msgspec.Struct, kw_only=True):
    """What a link is now; a test changes it while it is used."""

    bits_per_second: float = 1e9
    delay_seconds: float = 0.0
    loss: float = 0.0
    broken: float = 0.0
    """How likely a request is to be lost on its way there, or its answer on its way back."""
    is_hanging: bool = False
    """The connection is there, and nothing comes."""
    status: int | None = None
    """What a proxy answers in the server's place."""
    retry_after: str = ""
    body_bytes_max: int | None = None
    """The largest body that something before the server lets through."""


class SlowLink(httpx2.AsyncBaseTransport):
    """Counts what is asked and what travels, and holds virtual time while the server, which lives in real time, is at work."""

    def __init__(self, app: Any, timer: VirtualTimer, quality: LinkQuality, seed: int = 1) -> None:
        self._inner = httpx2.ASGITransport(app=app)
        self._timer = timer
        self._chance = random.Random(seed)
        self.quality = quality
        self.asked: list[tuple[float, str]] = []
        self.bytes_up = 0
        self.bytes_down = 0

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        self.asked.append((self._timer.now_seconds(), request.url.path))
        assert len(self.asked) < REQUESTS_MAX, "a device asks without end"
        body = await request.aread()
        patience = request.extensions["timeout"]["read"]
        if self.quality.is_hanging:
            await self._timer.wait(patience if patience is not None else 1e9)
            raise httpx2.ReadTimeout("nothing came")
        self.bytes_up += len(body)
        await self._travel(len(body) + FRAME_BYTES)
        limit = self.quality.body_bytes_max
        if self.quality.status is not None or (limit is not None and len(body) > limit):
            headers = {"retry-after": self.quality.retry_after} if self.quality.retry_after else {}
            return httpx2.Response(self.quality.status or 413, headers=headers, content=b"<html>not me</html>")
        self._break()
        with self._timer.held():
            response = await self._inner.handle_async_request(request)
            content = b"".join([piece async for piece in response.aiter_raw()])
        self._break()
        return httpx2.Response(response.status_code, headers=response.headers, stream=_Body(self, content))

    def _break(self) -> None:
        if self._chance.random() < self.quality.broken:
            raise httpx2.ReadError("the connection was lost")

    async def _travel(self, size: int) -> None:
        """Until the last byte is there. A lost packet is sent again after two delays, as TCP does at best."""
        packets = 1 + size // PIECE_BYTES
        lost = sum(self._chance.random() < self.quality.loss for _ in range(packets))
        seconds = size * 8 / self.quality.bits_per_second + self.quality.delay_seconds * (1 + 2 * lost)
        await self._timer.wait(seconds)


class _Body(httpx2.AsyncByteStream):
    def __init__(self, link: SlowLink, content: bytes) -> None:
        self._link = link
        self._content = content

    async def __aiter__(self) -> AsyncIterator[bytes]:
        for start in range(0, len(self._content), PIECE_BYTES):
            piece = self._content[start : start + PIECE_BYTES]
            await self._link._travel(len(piece))
            self._link._break()
            self._link.bytes_down += len(piece)
            yield piece

    async def aclose(self) -> None:
        await asyncio.sleep(0)
