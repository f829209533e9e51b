"""Verdicts age; what may have had one is not decided a second time, whatever a device's clock says."""

from pathlib import Path

import msgspec
import pytest
import sqlalchemy as sa

from server.changelog.jobs import forget_verdicts
from server.changelog.log import read_head
from server.changelog.models import ChangeCommitModel, IntentRecordModel
from server.orders.models import OrderModel
from server.runtime.database import Database
from server.runtime.slices import JobContext
from server.settings import Settings
from sync_protocol.values import INT64_MAX
from sync_protocol.verdicts import Code, Outcome
from sync_protocol.wire.codec import decode_verdict
from sync_protocol.wire.messages import IntentEnvelope
from tests.client_sdk.handmade import Handmade
from tests.support.world import START_MS, World

DAY_MS = 86_400_000


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


async def forget(world: World) -> int:
    """Run the job; how many verdicts are left."""
    settings = Settings(database_url="sqlite://")
    await forget_verdicts(JobContext(database=world.database, clock=world.clock, retention_days=90, settings=settings))
    async with world.database.read() as session:
        return (await session.execute(sa.select(sa.func.count()).select_from(IntentRecordModel))).scalar_one()


async def orders(world: World) -> int:
    async with world.database.read() as session:
        return (await session.execute(sa.select(sa.func.count()).select_from(OrderModel))).scalar_one()


async def put_commits_at(world: World, committed_at_ms: int) -> int:
    """Let all that was committed be of this instant, by the server's clock; the head."""
    async with world.database.write() as session:
        await session.execute(sa.update(ChangeCommitModel).values(committed_at_ms=committed_at_ms))
        return (await read_head(session)).head


def captured(envelope: IntentEnvelope, at_ms: int, *, cursor: int = 0, skew_ms: int = 0) -> IntentEnvelope:
    return msgspec.structs.replace(envelope, captured_at_ms=at_ms, decided_at_cursor=cursor, clock_skew_ms=skew_ms)


async def test_what_was_decided_and_forgotten_is_not_decided_again(world: World) -> None:
    device = await Handmade.of(world)
    head = await put_commits_at(world, START_MS)
    envelope = captured(device.envelope(device.order(1)), START_MS, cursor=head)
    refused = captured(device.envelope(device.order(2, 2)), START_MS)
    await device.push(envelope, refused)
    world.clock.advance(179 * DAY_MS)
    assert await forget(world) == 2
    world.clock.advance(2 * DAY_MS)
    assert await forget(world) == 0
    await put_commits_at(world, START_MS)
    results = await device.push(envelope, refused)
    assert [decode_verdict(result.verdict).codes for result in results] == [(Code.TOO_OLD,)] * 2
    assert await orders(world) == 1
    assert [each.verdict for each in await device.push(envelope, refused)] == [each.verdict for each in results]


async def test_while_nothing_was_forgotten_what_is_sent_late_is_decided_as_ever(world: World) -> None:
    device = await Handmade.of(world)
    envelope = device.envelope(device.order(1))
    world.clock.advance(400 * DAY_MS)
    assert await forget(world) == 0
    assert decode_verdict((await device.push(envelope))[0].verdict).outcome is Outcome.ACCEPTED


async def test_what_is_new_is_decided_though_others_were_forgotten_and_the_clock_is_years_off(world: World) -> None:
    device = await Handmade.of(world)
    await device.push(device.envelope(device.order(1)))
    world.clock.advance(200 * DAY_MS)
    assert await forget(world) == 0
    now_ms = world.clock.now_ms()
    head = await put_commits_at(world, now_ms - DAY_MS)
    by_clock = captured(device.envelope(device.order(2)), now_ms - DAY_MS)
    by_checkpoint = captured(device.envelope(device.order(3)), 1, cursor=head)
    by_known_skew = captured(device.envelope(device.order(4)), 1, skew_ms=1 - now_ms)
    unknowable = captured(device.envelope(device.order(5)), 1)
    results = await device.push(by_clock, by_checkpoint, by_known_skew, unknowable)
    codes = [decode_verdict(result.verdict).codes for result in results]
    assert codes == [(), (), (), (Code.TOO_OLD,)]


async def test_a_verdict_on_what_says_that_it_is_of_the_future_is_kept_until_that_is_old(world: World) -> None:
    device = await Handmade.of(world)
    envelope = captured(device.envelope(device.order(1)), START_MS + 300 * DAY_MS)
    past = captured(device.envelope(device.order(2)), START_MS)
    first, _ = await device.push(envelope, past)
    world.clock.advance(200 * DAY_MS)
    assert await forget(world) == 1
    assert (await device.push(envelope))[0].verdict == first.verdict
    assert await orders(world) == 2


@pytest.mark.parametrize(("skew_ms", "left"), [(INT64_MAX, 0), (-INT64_MAX, 1)])
async def test_a_clock_that_is_off_by_all_there_is_keeps_no_other_verdict(world: World, skew_ms: int, left: int) -> None:
    device = await Handmade.of(world)
    await device.push(captured(device.envelope(device.order(1)), START_MS, skew_ms=skew_ms), device.envelope(device.order(2)))
    world.clock.advance(200 * DAY_MS)
    assert await forget(world) == left


async def test_an_order_that_came_too_late_is_a_draft_again(world: World, tmp_path: Path) -> None:
    busy = await Handmade.of(world)
    await busy.push(busy.envelope(busy.order(1)))
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await put_commits_at(world, START_MS)
        await device.sync()
        world.clock.advance(DAY_MS)
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 1)
        order_id = (await draft.submit()).order.id
        world.clock.advance(181 * DAY_MS)
        later = busy.envelope(busy.order(2))
        await busy.push(captured(later, START_MS + 2 * DAY_MS))
        world.clock.advance(200 * DAY_MS)
        await forget(world)
        await put_commits_at(world, START_MS)
        report = await device.sync()
        assert [entry.verdict.codes for entry in report.verdicts] == [(Code.TOO_OLD,)]
        assert [returned.order_id for returned in await device.drafts()] == [order_id]
