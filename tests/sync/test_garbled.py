"""A byte that changes between the two ends, in a reply or in a request, changes nothing at either of them."""

import random
import shutil
from collections.abc import AsyncIterator
from pathlib import Path

import httpx2
import pytest
import sqlalchemy as sa

from client_sdk import OrderClient
from client_sdk.errors import BadReplyError, ServerBusyError
from client_sdk.transport import HttpEndpoint
from server.orders.models import OrderModel
from server.runtime.database import Database
from sync_protocol.entities.catalog import Product
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.codec import DIGEST_HEADER, MESSAGE_MEDIA_TYPE, digest, encode
from sync_protocol.wire.messages import EnrolRequest
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.ledger import device_view
from tests.support.world import SERVER_URL, World

TRIES = 20


class Garbling(httpx2.AsyncBaseTransport):
    """Flips one bit of what travels, up or down, while it is told to."""

    def __init__(self, world: World) -> None:
        self._inner = world.http_transport()
        self._chance = random.Random(4)
        self.path = ""
        self.upward = False

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        is_hit = request.url.path == self.path
        if is_hit and self.upward:
            body = self._flipped(await request.aread())
            request = httpx2.Request(request.method, request.url, headers=request.headers, content=body)
        response = await self._inner.handle_async_request(request)
        if not is_hit or self.upward:
            return response
        return httpx2.Response(response.status_code, headers=response.headers, content=self._flipped(await response.aread()))

    def _flipped(self, body: bytes) -> bytes:
        place = self._chance.randrange(len(body))
        return body[:place] + bytes([body[place] ^ 1 << self._chance.randrange(8)]) + body[place + 1 :]


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    return await World.found(sqlite_database)


@pytest.fixture
def wire(world: World) -> Garbling:
    return Garbling(world)


@pytest.fixture
async def device(world: World, wire: Garbling, tmp_path: Path) -> AsyncIterator[OrderClient]:
    client = await OrderClient.open(
        tmp_path / "device.db",
        clock=world.clock,
        endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
        inline=True,
    )
    await client.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
    await client.sync()
    yield client
    await client.close()


@pytest.mark.parametrize("upward", [False, True], ids=["reply", "request"])
async def test_a_push_that_is_garbled_is_believed_by_neither_end(
    world: World, device: OrderClient, wire: Garbling, *, upward: bool
) -> None:
    draft = await device.draft_order(world.company.customers[0].id)
    await draft.add_line(world.company.products[0].id, quantity=2)
    order = (await draft.submit()).order
    before = device_view(device)
    wire.path, wire.upward = "/sync/push", upward
    for _ in range(TRIES):
        with pytest.raises(ServerBusyError if upward else BadReplyError):
            await device.sync()
        assert await device.journal() == []
        assert (await device.status()).outbox_count == 1
    if upward:
        assert device_view(device) == before
    async with world.database.read() as session:
        stored = (await session.execute(sa.select(sa.func.count()).select_from(OrderModel))).scalar_one()
    assert stored == (0 if upward else 1)
    wire.path = ""
    (home,) = (await device.sync()).verdicts
    assert (home.subject_id, home.verdict.outcome) == (order.id, Outcome.ACCEPTED)


@pytest.mark.parametrize("told", ["", digest(b"another").hex(), "no digest"])
async def test_a_request_without_a_digest_is_taken_and_one_with_a_wrong_digest_is_not(wire: Garbling, told: str) -> None:
    asked = encode(EnrolRequest(protocol_version=PROTOCOL_VERSION, code="none", device_name="tablet"))
    headers = {"content-type": MESSAGE_MEDIA_TYPE} | ({DIGEST_HEADER: told} if told else {})
    async with httpx2.AsyncClient(transport=wire, base_url=SERVER_URL) as client:
        answer = await client.post("/sync/enrol", content=asked, headers=headers)
    assert (answer.status_code, answer.json()["code"]) == (
        (401, "enrolment_code_invalid") if not told else (400, "request_garbled")
    )


class Replaying(httpx2.AsyncBaseTransport):
    """Keeps every page that travels; in place of the next one it answers with `instead`, where that is set."""

    def __init__(self, world: World) -> None:
        self._inner = world.http_transport()
        self.pages: list[httpx2.Response] = []
        self.instead: httpx2.Response | None = None

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        if request.url.path != "/sync/pull":
            return await self._inner.handle_async_request(request)
        if self.instead is not None:
            answer, self.instead = self.instead, None
            return answer
        answer = await self._inner.handle_async_request(request)
        kept = httpx2.Response(answer.status_code, headers=answer.headers, content=await answer.aread())
        self.pages.append(kept)
        return kept


async def test_a_page_that_a_copy_of_the_device_was_answered_is_not_taken_for_ones_own(world: World, tmp_path: Path) -> None:
    """It is addressed to both, and it is whole; but it goes on from where the copy was."""
    wire = Replaying(world)

    async def opened(folder: str) -> OrderClient:
        return await OrderClient.open(
            tmp_path / folder / "device.db",
            clock=world.clock,
            endpoint_for=lambda url, token: HttpEndpoint(url, token, transport=wire),
            page_rows=1,
            inline=True,
        )

    (tmp_path / "one").mkdir()
    one = await opened("one")
    await one.enrol(SERVER_URL, await world.code_for("rep0"), "tablet")
    await one.sync()
    await one.close()
    shutil.copytree(tmp_path / "one", tmp_path / "two")
    for place, product in enumerate(world.company.products[:2]):
        await world.change(Product, product.id, name=f"Renamed {place}")
    one, two = await opened("one"), await opened("two")
    wire.pages.clear()
    await one.sync()
    wire.instead = wire.pages[-1]
    with pytest.raises(BadReplyError, match="another request"):
        await two.sync()
    await two.sync()
    assert device_view(two) == device_view(one)
    await one.close()
    await two.close()
