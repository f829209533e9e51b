"""The network between a device and the server, as bytes over HTTP: it loses, repeats, delays, cuts, garbles and misdelivers.

The device's side is the real HTTP client over this transport. Answers are garbled, pages and messages: each has its digest.
"""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from typing import NamedTuple, Protocol

import httpx2

from tests.simulation.device import Life
from tests.simulation.trace import Trace

DAY_SECONDS = 86_400.0
FILES = "/sync/images/"
"""Where the files of images are."""
_PIECES = 4
_BYTES_LET_THROUGH = 1_200
"""What the narrowest thing on the way takes: an order alone, but not two."""


class Answer(NamedTuple):
    """An HTTP response; one that `breaks` ends with its connection, not as it should."""

    status: int
    headers: list[tuple[bytes, bytes]]
    body: bytes
    breaks: bool = False


class Server(Protocol):
    """What the far end does with a request. Raises ConnectionError where there is nobody."""

    async def answer(self, request: httpx2.Request, body: bytes) -> Answer: ...


def html(status: int) -> Answer:
    return Answer(status, [(b"content-type", b"text/html; charset=utf-8")], b"<html><body>Please sign in</body></html>")


TOO_LARGE = Answer(413, [(b"content-type", b"text/plain")], b"")


def not_served(oldest: int, newest: int) -> Answer:
    """The answer of a server that speaks other versions of the protocol."""
    body = f'{{"code": "protocol_not_served", "detail": "others are", "fields": {{"oldest": "{oldest}", "newest": "{newest}"}}}}'
    return Answer(426, [(b"content-type", b"application/problem+json")], body.encode())


SHED = Answer(
    503,
    [(b"content-type", b"application/problem+json"), (b"retry-after", b"7")],
    b'{"code": "busy", "detail": "the server is busy"}',
)


_IN_PLACE = {"captive_portal": html(200), "bad_gateway": html(502), "shed": SHED}
_IN_PLACE |= {"newer_server": not_served(7, 9), "older_server": not_served(0, 0)}


class Network:
    """The link of one device. `rates` are chances per request; empty is a good network."""

    def __init__(self, server: Server, chance: random.Random, rates: dict[str, float], trace: Trace) -> None:
        self._server = server
        self._chance = chance
        self.rates = rates
        self.is_offline = False
        self._trace = trace
        self.last: dict[str, Answer] = {}
        self.neighbours: list[Network] = []
        self.under_way: set[asyncio.Task[None]] = set()
        self.requests = 0
        self.pushed: Callable[[bytes], None] = lambda _body: None
        self.asked: Callable[[httpx2.Request, bytes], None] = lambda _request, _body: None

    def _draw(self) -> set[str]:
        """The faults of one request. Every kind is drawn each time, so that one more or less shifts none of the others."""
        drawn = {fault: self._chance.random() for fault in sorted(self.rates)}
        return {fault for fault, number in drawn.items() if number < self.rates[fault]}

    async def carry(self, request: httpx2.Request, life: Life) -> Answer:
        """The answer to a request, or the exception of a connection that failed."""
        body = await request.aread()
        life.check()
        self.requests += 1
        path = request.url.path
        self.asked(request, body)
        faults, wait = self._draw(), self._chance.random()
        self._trace.note("request", path, len(body), *sorted(faults))
        for fault in faults:
            self._trace.saw(f"network: {fault}")
        await asyncio.sleep(0.005 + wait * (60.0 if "slow" in faults else 0.1))
        life.check()
        if self.is_offline:
            raise httpx2.ConnectError("offline")
        if "late_copy" in faults:
            self._send_again(request, body, after=wait * wait * 90 * DAY_SECONDS)
        if "lost_request" in faults:
            await asyncio.sleep(30)
            raise httpx2.ConnectTimeout("lost on its way")
        answer = self._instead(faults, path, len(body)) or await self._deliver(request, body, twice="duplicated" in faults)
        await asyncio.sleep(0.005 + wait * 0.1)
        life.check()
        if "lost_reply" in faults or self.is_offline:
            raise httpx2.ReadTimeout("lost on its way back")
        return self._damaged(answer, faults, is_file=path.startswith(FILES))

    def _instead(self, faults: set[str], path: str, size: int) -> Answer | None:
        """What answers in the server's place: a sign-in page, a gateway, the server's own guard, somebody else's answer."""
        for fault in sorted(faults & _IN_PLACE.keys()):
            return _IN_PLACE[fault]
        if "too_large" in faults and size > _BYTES_LET_THROUGH:
            return TOO_LARGE
        if "another_user" in faults and path != "/sync/enrol":
            others = [each.last[path] for each in self.neighbours if path in each.last]
            return others[self._chance.randrange(len(others))] if others else None
        return None

    async def _deliver(self, request: httpx2.Request, body: bytes, *, twice: bool) -> Answer:
        try:
            answer = await self._server.answer(request, body)
            if twice:
                answer = await self._server.answer(request, body)
        except ConnectionError as error:
            raise httpx2.ReadError(str(error)) from error
        if answer.status == 200:
            self.last[request.url.path] = answer
            if request.url.path == "/sync/push":
                self.pushed(body)
        return answer

    def _damaged(self, answer: Answer, faults: set[str], *, is_file: bool) -> Answer:
        body = answer.body
        place = self._chance.randrange(len(body)) if body else 0
        if "cut_off" in faults and body:
            return answer._replace(body=body[:place], breaks=is_file and place % 4 > 0)
        if "garbled" in faults and body and answer.status in {200, 206}:
            return answer._replace(body=body[:place] + bytes([body[place] ^ 0x55]) + body[place + 1 :])
        return answer

    def _send_again(self, request: httpx2.Request, body: bytes, *, after: float) -> None:
        """A copy that arrives when nobody waits for it any more."""

        async def later() -> None:
            await asyncio.sleep(after)
            self._trace.note("late copy", request.url.path)
            try:
                await self._server.answer(request, body)
            except ConnectionError:
                return

        task = asyncio.get_running_loop().create_task(later())
        self.under_way.add(task)
        task.add_done_callback(self.under_way.discard)


class _Pieces(httpx2.AsyncByteStream):
    """A body that comes in pieces, before each of which the device may die."""

    def __init__(self, answer: Answer, life: Life) -> None:
        self._answer, self._life = answer, life

    async def __aiter__(self) -> AsyncIterator[bytes]:
        body = self._answer.body
        size = max(1, -(-len(body) // _PIECES))
        for start in range(0, len(body), size):
            await asyncio.sleep(0.01)
            self._life.step("piece")
            yield body[start : start + size]
        if self._answer.breaks:
            raise httpx2.ReadError("cut off")


class Wire(httpx2.AsyncBaseTransport):
    """The transport that a device's HTTP client is given."""

    def __init__(self, network: Network, life: Life) -> None:
        self._network = network
        self._life = life

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        answer = await self._network.carry(request, self._life)
        if request.url.path.startswith(FILES):
            return httpx2.Response(answer.status, headers=answer.headers, stream=_Pieces(answer, self._life))
        return httpx2.Response(answer.status, headers=answer.headers, content=answer.body)
