"""A handover is over when every device that lost something has said so, however often its receipts are lost on the way."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from client_sdk import OrderClient, receipts
from client_sdk.errors import RoadbookError, ServerUnreachableError
from client_sdk.state import Incarnation, load
from server.runtime.database import Database
from server.runtime.rows import insert_rows
from sync_protocol.entities.customers import Customer, Segment, SegmentMember
from sync_protocol.entities.pricing import CustomerPriceList, PriceList, PriceListAssignment
from sync_protocol.values import Row
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import (
    DeviceReport,
    Enrolment,
    EnrolRequest,
    ForkRequest,
    PullRequest,
    PushReply,
    PushRequest,
    ReportReply,
)
from sync_protocol.wire.version import PROTOCOL_VERSION
from tests.support.management import Manager, managing
from tests.support.terms import ASKED_FIRST, GOLD
from tests.support.world import World, make_id

TRIES_MAX = 10


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


class LossyReports:
    """An endpoint whose next reports are lost: on the way there, on the way back, or they arrive twice."""

    def __init__(self, inner: SyncEndpoint, losses: list[str]) -> None:
        self._inner = inner
        self._losses = losses

    def __getattr__(self, name: str) -> Any:
        return getattr(self._inner, name)

    async def enrol(self, request: EnrolRequest) -> Enrolment:
        return await self._inner.enrol(request)

    async def fork(self, request: ForkRequest) -> Enrolment:
        return await self._inner.fork(request)

    async def push(self, request: PushRequest) -> PushReply:
        return await self._inner.push(request)

    def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        return self._inner.pull(request)

    async def report(self, report: DeviceReport) -> ReportReply:
        loss = self._losses.pop(0) if self._losses else "none"
        if loss == "request":
            raise ServerUnreachableError("test", loss)
        reply = await self._inner.report(report)
        if loss == "reply":
            raise ServerUnreachableError("test", loss)
        return await self._inner.report(report) if loss == "twice" else reply


async def hand_in(device: OrderClient) -> None:
    """Hand in what receipts there are, unless the sync has done it by itself."""
    ready = await device._store.read(receipts.ready)
    status = await device.status()
    if not ready or status.identity is None:
        return
    incarnation = await device._store.read(load, Incarnation)
    assert incarnation is not None
    said = DeviceReport(
        protocol_version=PROTOCOL_VERSION,
        device_id=status.identity.device_id,
        incarnation=incarnation.present,
        epoch=status.epoch,
        cursor=status.cursor,
        receipts=ready,
    )
    reply = await device._endpoint(status.identity).report(said)
    await device._store.write(receipts.accepted, reply.receipt_ids)


async def sync(device: OrderClient) -> None:
    """Sync and report, as far as it gets."""
    try:
        await device.sync()
        await hand_in(device)
    except RoadbookError:
        return


@pytest.mark.parametrize("losses", [[], ["request"], ["reply", "reply"], ["twice"], ["request", "reply", "reply", "twice"]])
async def test_receipts_that_are_lost_on_the_way_come_again_and_count_once(
    world: World, manager: Manager, tmp_path: Path, losses: list[str]
) -> None:
    pending = list(losses)

    def wire(inner: SyncEndpoint) -> SyncEndpoint:
        return LossyReports(inner, pending)

    async with await world.enrolled_device("rep0", tmp_path / "old.db", wrap=wire) as old:
        await old.sync()
        pending[:] = losses
        done = await manager.move(0, 1, to=1)
        url = f"/handovers/{done['handover']['id']}"
        for _ in range(TRIES_MAX):
            await sync(old)
            if not await old._store.read(receipts.ready):
                break
        (device,) = (await manager.open(url))["devices"]
        assert (device["expected"], device["purged"], device["waiting"], device["rows_purged"]) == (2, 2, 0, 6)
        assert device["buckets"] == [], "its territory brings the list and the stock as before"
        assert await old._store.read(receipts.ready) == ()
        assert pending == []
    async with world.database.read() as session:
        stored = (await session.execute(sa.text("SELECT bucket FROM purge_receipt"))).scalars().all()
    assert sorted(stored) == sorted(f"account:{world.company.customers[each].id.hex}" for each in (0, 1))


async def test_a_device_that_stays_away_is_what_a_handover_waits_for(world: World, manager: Manager, tmp_path: Path) -> None:
    async with (
        await world.enrolled_device("rep0", tmp_path / "here.db") as here,
        await world.enrolled_device("rep0", tmp_path / "away.db") as away,
    ):
        await here.sync()
        await away.sync()
        done = await manager.reassign(0, to=1)
        url = f"/handovers/{done['handover']['id']}"
        await sync(here)
        by_id = {each["device_id"]: each for each in (await manager.open(url))["devices"]}
        ids = [str(identity.device_id) for each in (here, away) if (identity := (await each.status()).identity)]
        assert [(by_id[each]["purged"], by_id[each]["waiting"]) for each in ids] == [(2, 0), (0, 2)]
        lost = [f"pricelist:{world.company.price_lists[0].id.hex}", f"stock:{world.company.locations[0].id.hex}"]
        assert [[each["bucket"] for each in by_id[device_id]["buckets"]] for device_id in ids] == [lost, lost]
        assert [{each["state"] for each in by_id[device_id]["buckets"]} for device_id in ids] == [{"purged"}, {"waiting"}]
        held = len([entry for entry in world.company.entries if entry.price_list_id == world.company.price_lists[0].id])
        assert by_id[ids[0]]["buckets"][0]["rows"] == 1 + held
        await sync(away)
        assert [each["waiting"] for each in (await manager.open(url))["devices"]] == [0, 0]
        assert {each["state"] for device in (await manager.open(url))["devices"] for each in device["buckets"]} == {"purged"}


async def test_a_list_that_comes_with_an_account_goes_with_it_and_is_acknowledged(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    lists, customer = world.company.price_lists, world.company.customers[0]
    await world.change(Customer, customer.id, price_list_id=lists[1].id)
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        url = f"/handovers/{(await manager.move(0, to=1))['handover']['id']}"
        (device,) = (await manager.open(url))["devices"]
        assert [(each["bucket"], each["state"]) for each in device["buckets"]] == [(f"pricelist:{lists[1].id.hex}", "waiting")]
        await sync(old)
        (device,) = (await manager.open(url))["devices"]
        assert [each["state"] for each in device["buckets"]] == ["purged"]


async def test_a_list_that_something_else_brings_too_is_not_said_to_have_gone(
    world: World, manager: Manager, tmp_path: Path
) -> None:
    """The customer has a list of its own and is in a segment that has another; a third is for everyone."""
    lists = [PriceList(id=make_id(950 + n), code=f"L{n}", name="A list", currency="EUR") for n in range(3)]
    own, of_segment, _ = (f"pricelist:{each.id.hex}" for each in lists)
    customer, other = world.company.customers[:2]
    rows = [
        *(*lists, Segment(id=GOLD, code="GOLD", name="Gold")),
        SegmentMember(id=make_id(960), customer_id=customer.id, segment_id=GOLD),
        CustomerPriceList(id=make_id(961), customer_id=customer.id, price_list_id=lists[0].id, **ASKED_FIRST),
        PriceListAssignment(id=make_id(962), price_list_id=lists[1].id, segment_id=GOLD, **ASKED_FIRST),
        PriceListAssignment(id=make_id(963), price_list_id=lists[2].id, **ASKED_FIRST),
    ]
    await add(world, *rows)
    async with await world.enrolled_device("rep0", tmp_path / "old.db") as old:
        await old.sync()
        url = f"/handovers/{(await manager.move(0, to=1))['handover']['id']}"
        (device,) = (await manager.open(url))["devices"]
        assert {each["bucket"] for each in device["buckets"]} == {own, of_segment}
        await add(world, SegmentMember(id=make_id(964), customer_id=other.id, segment_id=GOLD))
        await sync(old)
        (device,) = (await manager.open(url))["devices"]
        assert [(each["bucket"], each["state"]) for each in device["buckets"]] == [(own, "purged")]


async def add(world: World, *rows: Row) -> None:
    async with world.database.write() as session:
        for row in rows:
            await insert_rows(session, [row])
