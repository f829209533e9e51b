"""Rubbish at the real server's sync routes: refused with a problem that says why, never a defect, never an effect."""

import asyncio
import http.client
import random
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import httpx2
import msgspec
import pytest
from backports import zstd

from client_sdk.clock import SystemClock
from server.runtime.database import Database
from sync_protocol.intents import RequestedLine, SubmitOrder
from sync_protocol.values import INT64_MAX
from sync_protocol.wire.codec import MESSAGE_MEDIA_TYPE, PAGE_MEDIA_TYPE, PageReader, decode, digest, encode
from sync_protocol.wire.messages import (
    Enrolment,
    EnrolRequest,
    IntentEnvelope,
    PageTrailer,
    PullPosition,
    PushReply,
    PushRequest,
    PushStatus,
)
from sync_protocol.wire.version import PROTOCOL_VERSION, RULES_VERSION
from tests.processes.books import ask, check_log, plain_url
from tests.support.processes import ServerProcess
from tests.support.world import World, make_id

PATHS = ("/sync/enrol", "/sync/fork", "/sync/pull", "/sync/push")
MEGABYTE = 1024 * 1024


class Stranger:
    """An HTTP client with a real device's token and no good manners."""

    def __init__(self, world: World, client: httpx2.AsyncClient, server: ServerProcess) -> None:
        self.world = world
        self.client = client
        self.server = server
        self.device: Enrolment
        self.other: Enrolment

    async def enrol(self, rep: str) -> Enrolment:
        request = EnrolRequest(protocol_version=PROTOCOL_VERSION, code=await self.world.code_for(rep), device_name="device")
        return decode((await self.post("/sync/enrol", encode(request), token="")).content, Enrolment)

    async def post(
        self, path: str, body: bytes, *, token: str | None = None, media_type: str = MESSAGE_MEDIA_TYPE
    ) -> httpx2.Response:
        bearer = self.device.token if token is None else token
        headers = {"content-type": media_type, "accept": PAGE_MEDIA_TYPE} | (
            {"authorization": f"Bearer {bearer}"} if bearer else {}
        )
        return await self.client.post(path, content=body, headers=headers)

    async def refused(self, path: str, body: bytes, **options: Any) -> str:
        """Post, and be refused as a client deserves; the code of the problem."""
        response = await self.post(path, body, **options)
        assert 400 <= response.status_code < 500, (path, body[:60], response.status_code, response.text)
        assert response.headers["content-type"] == "application/problem+json"
        return str(msgspec.json.decode(response.content)["code"])

    def pull_request(self, **values: Any) -> dict[str, Any]:
        asked = {"protocol_version": PROTOCOL_VERSION, "device_id": self.device.device_id, "incarnation": self.device.incarnation}
        return asked | values

    def push_request(self, *envelopes: IntentEnvelope) -> PushRequest:
        return PushRequest(
            protocol_version=PROTOCOL_VERSION,
            device_id=self.device.device_id,
            incarnation=self.device.incarnation,
            next_incarnation=self.device.incarnation,
            epoch=None,
            intents=envelopes,
        )

    def order(self, number: int, customer: int = 600, **values: Any) -> IntentEnvelope:
        """An order in an envelope, some of whose fields are given."""
        line = RequestedLine(line_id=make_id(90_000 + number), product_id=make_id(100), quantity=1, unit_price=10_000)
        name = f"{self.device.number_prefix}-{number:06d}"
        body = encode(
            SubmitOrder(
                order_id=make_id(80_000 + number), number=name, customer_id=make_id(customer), currency="EUR", lines=(line,)
            )
        )
        fields: dict[str, Any] = {
            "id": make_id(70_000 + number),
            "kind": "SubmitOrder",
            "schema_version": SubmitOrder.schema_version,
            "body": body,
            "digest": digest(body),
            "captured_at_ms": 0,
            "time_zone": "UTC",
            "clock_skew_ms": None,
            "decided_at_cursor": 0,
            "rules_version": RULES_VERSION,
        }
        return IntentEnvelope(**{**fields, **values})


@pytest.fixture
async def stranger(database: Database, tmp_path: Path) -> AsyncIterator[Stranger]:
    world = await World.found(database)
    world.clock.time_ms = SystemClock().now_ms()
    with ServerProcess(plain_url(database), tmp_path) as server:
        server.start_warm()
        async with httpx2.AsyncClient(base_url=server.url, timeout=120) as client:
            stranger = Stranger(world, client, server)
            stranger.device = await stranger.enrol("rep0")
            stranger.other = await stranger.enrol("rep1")
            yield stranger
            assert (await client.get("/healthz")).status_code == 200
        assert " failed: " not in server.said(), server.said()[-3_000:]
        await check_log(database)


@asynccontextmanager
async def without_effect(stranger: Stranger) -> AsyncIterator[None]:
    tables = ", ".join(f"(SELECT count(*) FROM {table})" for table in ("device", "sales_order", "intent_record"))
    counts = f"SELECT {tables}, head FROM change_head"
    before = await ask(stranger.world.database, counts)
    yield
    assert await ask(stranger.world.database, counts) == before


def rubbish(seed: int) -> Iterator[bytes]:
    """Bytes of many kinds that are no message."""
    chance = random.Random(seed)
    yield from (b"", b"\x00", b"\xc1", b"{}", b"null", b"\x80", b"\x90", b'{"protocol_version": 1}', b"<html></html>")
    yield from (chance.randbytes(size) for size in (1, 7, 100, 5_000, 70_000))
    yield from (b"\x91" * depth for depth in (100, 20_000, MEGABYTE))
    yield from (b"\x81\xa1a" * 20_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff", b"\xdb\x7f\xff\xff\xff")
    yield zstd.compress(bytes(200 * MEGABYTE))
    yield msgspec.msgpack.encode({"protocol_version": "1", "device_id": "x" * 1_000_000})


async def test_random_truncated_and_nested_bodies_are_refused_at_every_route(stranger: Stranger) -> None:
    seed = random.randrange(2**32)
    print(f"seed {seed}")
    whole = [
        encode(EnrolRequest(protocol_version=PROTOCOL_VERSION, code="NO-SUCH-CODE", device_name="x")),
        encode(stranger.push_request(stranger.order(1))),
    ]
    chance = random.Random(seed)
    async with without_effect(stranger):
        for path in PATHS:
            for body in rubbish(seed):
                assert await stranger.refused(path, body)
            for message in whole:
                for _ in range(15):
                    await stranger.refused(path, message[: chance.randrange(len(message))])


def announced(stranger: Stranger, path: str, size: int) -> tuple[int, str]:
    """Begin to send a body of this size; the status and type of the answer, which need not wait for the rest."""
    connection = http.client.HTTPConnection("127.0.0.1", stranger.server.port, timeout=120)
    try:
        connection.putrequest("POST", path)
        headers = {
            "authorization": f"Bearer {stranger.device.token}",
            "content-type": MESSAGE_MEDIA_TYPE,
            "content-length": str(size),
        }
        for name, value in headers.items():
            connection.putheader(name, value)
        connection.endheaders(bytes(1_000))
        answer = connection.getresponse()
        return answer.status, answer.headers["content-type"]
    finally:
        connection.close()


async def test_a_body_that_is_too_large_or_compressed_or_of_another_type_is_refused(stranger: Stranger) -> None:
    async with without_effect(stranger):
        for path in PATHS:
            assert await asyncio.to_thread(announced, stranger, path, 10 * MEGABYTE) == (413, "application/problem+json")
            bomb = await stranger.client.post(
                path,
                content=zstd.compress(bytes(500 * MEGABYTE)),
                headers={
                    "content-encoding": "zstd",
                    "content-type": MESSAGE_MEDIA_TYPE,
                    "authorization": f"Bearer {stranger.device.token}",
                },
            )
            assert 400 <= bomb.status_code < 500
            for media_type in (
                "application/json",
                "text/html",
                "multipart/form-data; boundary=x",
                "application/xml; charset=utf-7",
            ):
                await stranger.refused(path, b'{"a": 1}', media_type=media_type)


async def test_no_token_a_wrong_one_and_another_devices_are_refused(stranger: Stranger) -> None:
    pull = encode(stranger.pull_request())
    push = encode(stranger.push_request(stranger.order(1)))
    shown = {"device_id": stranger.device.device_id, "incarnation": bytes(16)}
    fork = encode({"protocol_version": PROTOCOL_VERSION, "device_name": "x", **shown})
    async with without_effect(stranger):
        for path, body in (("/sync/pull", pull), ("/sync/push", push), ("/sync/fork", fork)):
            for token in ("", "x", "rbd_" + "A" * 43, stranger.device.token[:-1], stranger.device.token + "A", "A" * 7_000):
                response = await stranger.post(path, body, token=token)
                assert response.status_code == 401, (path, token[:20])
                assert response.headers["content-type"] == "application/problem+json"
            assert await stranger.refused(path, body, token=stranger.other.token) == "device_mismatch"


ODD_PULLS: dict[str, Callable[[Stranger], dict[str, Any]]] = {
    "a negative cursor": lambda _: {"cursor": -1},
    "a cursor beyond 64 bits": lambda _: {"cursor": 2**63},
    "a cursor that is a float": lambda _: {"cursor": 1.5},
    "no rows": lambda _: {"page_rows": 0},
    "too many rows": lambda _: {"page_rows": 10**9},
    "a digest of the wrong size": lambda _: {"scope_digest": b"x"},
    "a token of the wrong size": lambda _: {"incarnation": bytes(15)},
    "too many buckets": lambda _: {"gained": ["account:x"] * 100_001},
    "a bucket with a long name": lambda _: {"gained": ["x" * 81]},
    "a position that is none": lambda _: {"position": {"pass_from": 0}},
    "a stage out of range": lambda _: {"position": place(stage=100_001)},
    "a negative place": lambda _: {"position": place(change=-1)},
    "a protocol of the future": lambda _: {"protocol_version": 99},
    "the incarnation of a copy": lambda _: {"incarnation": bytes(16)},
    "another device": lambda stranger: {"device_id": stranger.other.device_id},
    "no device": lambda _: {"device_id": make_id(1)},
}


def place(**values: int) -> dict[str, Any]:
    return {"pass_from": 0, "pass_to": 1, "stage": 0, "change": 0, "row_id": bytes(16), **values}


async def test_pulls_out_of_range_are_refused(stranger: Stranger) -> None:
    async with without_effect(stranger):
        for name, values in ODD_PULLS.items():
            assert await stranger.refused("/sync/pull", encode(stranger.pull_request(**values(stranger)))), name


async def test_pulls_within_range_that_no_device_would_send_are_answered_with_rows_of_the_scope_alone(stranger: Stranger) -> None:
    foreign = f"account:{make_id(602).hex}"
    top = PullPosition(pass_from=INT64_MAX, pass_to=INT64_MAX, stage=100_000, change=INT64_MAX, row_id=make_id(1))
    scope = (await page(stranger, {}))[1].digest
    for values in (
        {"cursor": INT64_MAX},
        {"cursor": 10**12, "scope_digest": scope},
        {"position": top, "scope_digest": scope},
        {"position": place(stage=100_000), "scope_digest": scope},
        {"position": place(pass_from=1, pass_to=0, change=INT64_MAX), "scope_digest": scope},
        {"position": place(stage=17, change=INT64_MAX), "scope_digest": scope, "page_rows": 1},
        {"gained": [foreign, "nothing"], "scope_digest": scope},
        {"gained": [foreign], "cursor": 1, "scope_digest": scope},
        {"epoch": make_id(5), "cursor": 1, "scope_digest": scope},
    ):
        body = (await stranger.post("/sync/pull", encode(stranger.pull_request(**values)))).content
        messages = list(PageReader().feed(body))
        assert isinstance(messages[-1], PageTrailer)
        rows = b"".join(bytes(message.rows) for message in messages if hasattr(message, "columns"))
        for customer in stranger.world.company.customers[2:]:
            assert customer.id.bytes not in rows


async def page(stranger: Stranger, values: dict[str, Any]) -> list[Any]:
    response = await stranger.post("/sync/pull", encode(stranger.pull_request(**values)))
    assert response.status_code == 200, response.text
    return list(PageReader().feed(response.content))


async def test_a_push_of_odd_envelopes_answers_each_and_blocks_none(stranger: Stranger) -> None:
    good, twice = stranger.order(1), stranger.order(2)
    decided, conflict, deferred = PushStatus.DECIDED, PushStatus.CONFLICT, PushStatus.DEFERRED
    odd = (
        (stranger.order(3, digest=bytes(16)), deferred),
        (stranger.order(4, body=b"", digest=digest(b"")), decided),
        (stranger.order(5, body=b"\xc1", digest=digest(b"\xc1")), decided),
        (stranger.order(6, kind="NoSuchIntent", schema_version=999), deferred),
        (stranger.order(7, captured_at_ms=253_402_300_799_999, clock_skew_ms=-INT64_MAX, decided_at_cursor=INT64_MAX), decided),
        (stranger.order(8, body=good.body, digest=good.digest), decided),
        (stranger.order(9, id=good.id), conflict),
    )
    push = encode(stranger.push_request(good, *(envelope for envelope, _ in odd), twice, twice))
    response = await stranger.post("/sync/push", push)
    assert response.status_code == 200, response.text
    reply = decode(response.content, PushReply)
    assert [result.status for result in reply.results] == [decided, *(status for _, status in odd), decided, decided]
    assert reply.results[-1] == reply.results[-2]
    again = decode((await stranger.post("/sync/push", push)).content, PushReply)
    assert again.results == reply.results
    made = await ask(stranger.world.database, "SELECT number FROM sales_order ORDER BY number")
    assert made == [(f"{stranger.device.number_prefix}-{number:06d}",) for number in (1, 2, 7)]


@pytest.mark.parametrize("zone", ["\x00", "Mars/Phobos", "../../etc/passwd"])
async def test_an_envelope_of_a_zone_that_is_none_blocks_nothing(stranger: Stranger, zone: str) -> None:
    envelopes = (stranger.order(1, time_zone=zone), stranger.order(2, customer=601))
    for _ in range(6):
        response = await stranger.post("/sync/push", encode(stranger.push_request(*envelopes)))
        assert response.status_code in {200, 400}, response.text
        if response.status_code == 400:
            return
        reply = decode(response.content, PushReply)
        assert reply.results[1].status is PushStatus.DECIDED
        if reply.results[0].status is PushStatus.DECIDED:
            return
    raise AssertionError("it never comes to a verdict")
