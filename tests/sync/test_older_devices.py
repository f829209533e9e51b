"""Devices of protocol 1 and intents of old schemas, decided as they always were; and what is too new for this server."""

from pathlib import Path
from typing import Any
from uuid import UUID

import apsw
import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.models import IntentRecordModel
from server.orders.models import OrderModel
from server.runtime.database import Database
from server.runtime.slices import IntentContext
from server.runtime.unit_of_work import UnitOfWork
from server.sync.errors import ProtocolNotServedError
from sync_protocol.intents import AmendOrder, SubmitOrder
from sync_protocol.upcasts import AmendOrder1, RequestedLine1
from sync_protocol.verdicts import Change, Code, Outcome, Verdict
from sync_protocol.wire.codec import PageReader, decode, decode_verdict, digest, encode
from sync_protocol.wire.messages import (
    IntentEnvelope,
    PageHeader,
    PageTrailer,
    PullRequest,
    PushRequest,
    PushResult,
    PushStatus,
    RowChunk,
    ScopeChunk,
)
from sync_protocol.wire.version import OLDEST_PROTOCOL_SERVED, PROTOCOL_VERSION
from tests.client_sdk.handmade import Handmade
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def push_as(device: Handmade, protocol_version: int, *envelopes: IntentEnvelope) -> list[PushResult]:
    following = device.world.ids.token()
    request = PushRequest(
        protocol_version=protocol_version,
        device_id=device.enrolment.device_id,
        incarnation=device.incarnation,
        next_incarnation=following,
        epoch=None,
        intents=envelopes,
    )
    reply = await device.endpoint.push(request)
    device.incarnation = following
    return list(reply.results)


def first_schema(device: Handmade, order: SubmitOrder, **changed: Any) -> IntentEnvelope:
    """An amendment as an app wrote it that knew the first schema only."""
    asked = {"intent": "AmendOrder", "order_id": order.order_id.bytes, "revision": 0, "note": "", **changed}
    lines = msgspec.to_builtins(lines_1(device.order(9, 0, (0, 3))), builtin_types=(bytes, UUID))
    return msgspec.structs.replace(device.envelope(encode({"lines": lines, **asked}), "AmendOrder"), schema_version=1)


def lines_1(asked: SubmitOrder | AmendOrder) -> tuple[RequestedLine1, ...]:
    """The lines of an intent as the first schemas have them."""
    return tuple(
        RequestedLine1(line_id=line.line_id, product_id=line.product_id, quantity=line.quantity, unit_price=line.unit_price)
        for line in asked.lines
    )


async def note_of(world: World, order: SubmitOrder) -> str:
    async with world.database.read() as session:
        return (await session.execute(sa.select(OrderModel.note).where(OrderModel.id == order.order_id))).scalar_one()


@pytest.mark.parametrize(("note", "following"), [("", "ring twice"), ("ring once", "ring once")])
async def test_an_amendment_of_the_first_schema_keeps_the_note_unless_it_brings_one(
    world: World, note: str, following: str
) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 1), note="ring twice")
    old = first_schema(device, order, note=note)
    submitted, amended = await push_as(device, 1, device.envelope(order), old)
    assert decode_verdict(submitted.verdict).outcome is Outcome.ACCEPTED
    assert decode_verdict(amended.verdict).outcome is Outcome.ACCEPTED
    assert await note_of(world, order) == following
    async with world.database.read() as session:
        record = await session.get_one(IntentRecordModel, old.id)
    assert (record.body, record.digest, record.schema_version) == (old.body, digest(old.body), 1), "it stays as it was sent"
    assert (await push_as(device, PROTOCOL_VERSION, old))[0].verdict == amended.verdict


async def test_an_amendment_of_today_can_take_a_note_back(world: World) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 1), note="ring twice")
    await device.ask(order)
    for revision, (note, following) in enumerate([(None, "ring twice"), ("", "")]):
        lines = device.order(9, 0, (0, 2)).lines
        amended = AmendOrder(order_id=order.order_id, revision=revision, lines=lines, note=note)
        assert (await device.ask(amended)).outcome is Outcome.ACCEPTED
        assert await note_of(world, order) == following


async def test_an_amendment_that_its_own_schema_forbids_is_malformed_as_it_always_was(world: World) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 1))
    await device.ask(order)
    (result,) = await push_as(device, 1, first_schema(device, order, note=None))
    assert decode_verdict(result.verdict).codes == (Code.MALFORMED,)


async def test_an_intent_of_a_schema_to_come_waits_for_the_servers_update(world: World) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 1))
    newer = msgspec.structs.replace(device.envelope(order), schema_version=SubmitOrder.schema_version + 1)
    (result,) = await device.push(newer)
    assert result.status is PushStatus.DEFERRED
    assert "update" in result.detail
    (again,) = await device.push(msgspec.structs.replace(newer, schema_version=SubmitOrder.schema_version))
    assert decode_verdict(again.verdict).outcome is Outcome.ACCEPTED, "nothing was kept of the first time"


async def test_a_device_of_protocol_1_is_told_codes_that_it_knows_and_the_same_device_updated_the_newer_ones(world: World) -> None:
    submit = world.handlers[SubmitOrder]

    async def routing(work: UnitOfWork, intent: SubmitOrder, context: IntentContext) -> Verdict:
        verdict = await submit(work, intent, context)
        return msgspec.structs.replace(verdict, outcome=Outcome.HELD, codes=(Code.ROUTED,), changes=(Change(code=Code.ROUTED),))

    world.handlers = {**world.handlers, SubmitOrder: routing}
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1))
    for version, code in ((1, Code.CUSTOMER_ON_HOLD), (2, Code.ROUTED), (1, Code.CUSTOMER_ON_HOLD)):
        (result,) = await push_as(device, version, envelope)
        verdict = decode_verdict(result.verdict)
        assert verdict.codes == (code,)
        assert [change.code for change in verdict.changes] == [code]
    async with world.database.read() as session:
        record = await session.get_one(IntentRecordModel, envelope.id)
    assert decode_verdict(record.verdict).codes == (Code.ROUTED,)


async def pulled(device: Handmade, protocol_version: int) -> list[Any]:
    """The messages of the first page of rows."""
    asked = PullRequest(
        protocol_version=protocol_version, device_id=device.enrolment.device_id, incarnation=device.incarnation, page_rows=50_000
    )
    pieces = [piece async for piece in device.endpoint.pull(asked)]
    scope = next(each for piece in pieces for each in PageReader().feed(piece) if isinstance(each, ScopeChunk))
    reader, asked = PageReader(), msgspec.structs.replace(asked, scope_digest=scope.digest)
    return [each async for piece in device.endpoint.pull(asked) for each in reader.feed(piece)]


@pytest.mark.parametrize(("version", "told"), [(1, "customer_on_hold"), (2, "routed")])
async def test_rows_go_down_in_the_words_and_columns_of_the_devices_protocol(world: World, version: int, told: str) -> None:
    device = await Handmade.of(world)
    order = device.order(1, 0, (0, 1))
    await device.ask(order)
    async with world.database.write() as session:
        await session.execute(sa.update(OrderModel).values(status="held", hold_code="routed"))
    messages = await pulled(device, version)
    header, trailer = messages[0], messages[-1]
    assert isinstance(header, PageHeader)
    assert header.protocol_version == version
    assert isinstance(trailer, PageTrailer)
    assert trailer.complete
    assert version > 1 or (trailer.checks, trailer.proof_id) == ((), None)
    (chunk,) = [each for each in messages if isinstance(each, RowChunk) and each.entity == "sales_order"]
    (row,) = msgspec.msgpack.decode(chunk.rows)
    assert dict(zip(chunk.columns, row, strict=True))["hold_code"] == told
    assert version > 1 or "checksum" not in chunk.columns


@pytest.mark.parametrize("version", [OLDEST_PROTOCOL_SERVED - 1, PROTOCOL_VERSION + 1])
async def test_who_speaks_no_version_that_is_served_is_told_which_are(world: World, version: int) -> None:
    device = await Handmade.of(world)
    with pytest.raises(ProtocolNotServedError) as refused:
        await push_as(device, version, device.envelope(device.order(1)))
    assert refused.value.fields == {"oldest": str(OLDEST_PROTOCOL_SERVED), "newest": str(PROTOCOL_VERSION)}


async def test_an_updated_app_reads_shows_and_sends_what_its_older_version_left_in_the_outbox(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.set_note("ring twice")
        order = (await draft.submit()).order
        await device.sync()
        await device.amend_order(order.id, [(world.company.products[0].id, 3)])
    written = as_the_first_schema(path)
    async with await world.open_device(path) as device:
        (waiting,) = await device.outbox()
        assert waiting.kind == "AmendOrder"
        shown = await device.order(order.id)
        assert ([line.quantity for line in shown.lines], shown.order.note) == ([3], "ring twice")
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
        assert (await device.order(order.id)).order.note == "ring twice"
        assert [entry.kind for entry in await device.journal()][:1] == ["AmendOrder"]
    async with world.database.read() as session:
        record = await session.get_one(IntentRecordModel, written.id)
    assert (record.body, record.schema_version) == (written.body, 1)


def as_the_first_schema(path: Path) -> IntentEnvelope:
    """Write the amendment that waits on a device as the app's version before would have."""
    connection = apsw.Connection(str(path))
    ((sequence, stored),) = connection.execute("SELECT sequence, envelope FROM outbox")
    envelope = decode(stored, IntentEnvelope)
    intent = decode(envelope.body, AmendOrder)
    body = encode(AmendOrder1(order_id=intent.order_id, revision=intent.revision, lines=lines_1(intent)))
    old = msgspec.structs.replace(envelope, body=body, digest=digest(body), schema_version=1)
    connection.execute("UPDATE outbox SET envelope = ? WHERE sequence = ?", (encode(old), sequence))
    connection.close()
    return old
