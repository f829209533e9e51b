"""A device that keeps itself synced, against the real server, on links good and bad, hours of it in virtual time."""

from pathlib import Path

import pytest

from client_sdk import OrderClient
from client_sdk.errors import (
    LinkTooSlowError,
    ServerBusyError,
    ServerTooOldError,
    ServerUnreachableError,
    SyncStalledError,
)
from client_sdk.events import CheckpointReached, IntentTooLarge, SyncFailed, SyncResumed, SyncStalled
from client_sdk.follow import FollowState
from server.identity.reports import DeviceReportModel
from server.runtime.database import Database
from server.sync import devices, errors
from tests.support.road import Road
from tests.support.world import World, small_company

MINUTE = 60.0


@pytest.fixture
async def road(sqlite_database: Database, tmp_path: Path) -> Road:
    return Road(await World.found(sqlite_database), tmp_path)


async def order(device: OrderClient, road: Road, lines: int = 1, customer: int = 0) -> None:
    draft = await device.draft_order(road.world.company.customers[customer].id)
    for number in range(lines):
        await draft.add_line(road.world.company.products[number % 6].id, 1)
    await draft.submit()


async def test_an_order_is_sent_as_it_is_submitted_and_a_hint_brings_what_changed(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with device.follow() as follower:
            await road.timer.wait(1.0)
            begun = road.timer.now_seconds()
            await order(device, road)
            await road.timer.wait(0.5)
            assert await device.outbox() == []
            assert len(await device.journal()) == 1
            product = road.world.company.products[0]
            await road.rename("Renamed")
            at = await device.status()
            assert at.epoch is not None
            road.hints.hint(at.epoch, at.cursor)  # nothing that is not here: no sync follows
            await road.timer.wait(3.0)
            assert (await device.product(product.id)).name != "Renamed"
            road.hints.hint(at.epoch, at.cursor + 1)
            await road.timer.wait(3.0)
            assert (await device.product(product.id)).name == "Renamed"
            assert road.timer.now_seconds() - begun < 10
            assert follower.status().is_live
            assert follower.status().state is FollowState.WAITING

    await road.run(story)
    assert road.told(SyncFailed) == []


async def test_losing_every_hint_costs_one_interval_at_most(road: Road) -> None:
    road.hints.is_refused = True

    async def story(device: OrderClient) -> None:
        async with device.follow(poll_seconds=40) as follower:
            await road.timer.wait(5.0)
            for number in range(10):
                await road.rename(f"Name {number}")
                await road.timer.wait(40.0)
                assert (await device.product(road.world.company.products[0].id)).name == f"Name {number}"
            assert not follower.status().is_live

    await road.run(story)
    gaps = [after - before for before, after in zip(road.hints.opened, road.hints.opened[1:], strict=False)]
    assert gaps == [] or max(gaps) > 20, "the stream is asked for ever more seldom"


async def test_a_stream_that_is_silent_for_two_heartbeats_or_ends_is_opened_anew(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with device.follow():
            await road.timer.wait(100.0)
            assert len(road.hints.opened) == 1
            road.hints.is_silent = True
            await road.timer.wait(15 + 30 + 15 + 1)
            assert len(road.hints.opened) >= 2
            road.hints.is_silent, road.hints.is_ended = False, True
            await road.timer.wait(1.1)
            road.hints.is_ended = False
            await road.timer.wait(16.0)
            assert len(road.hints.opened) >= 3

    await road.run(story)


@pytest.mark.parametrize("retry_after", ["", "1", "120", "Sun, 06 Nov 1994 08:49:37 GMT", "soon"])
async def test_a_server_that_answers_503_for_ten_minutes_is_asked_twice_a_minute_at_most(road: Road, retry_after: str) -> None:
    """With an order that waits, so that each try has a push and a pull, and a user who nudges all the time."""

    async def story(device: OrderClient) -> None:
        await device.sync()
        await order(device, road)
        road.quality.status, road.quality.retry_after = 503, retry_after
        road.link.asked.clear()
        async with device.follow() as follower:
            for _ in range(600):
                await road.timer.wait(1.0)
                follower.nudge()
            moments = [moment for moment, _ in road.link.asked]
            assert max(sum(1 for other in moments if moment <= other < moment + 60) for moment in moments) <= 2
            assert len(moments) >= 4
            status = follower.status()
            assert status.state is FollowState.RETRYING
            assert isinstance(status.error, SyncStalledError)
            road.quality.status = None
            await road.timer.wait(500.0)
            assert await device.outbox() == []

    await road.run(story)
    assert {type(event.error) for event in road.told(SyncFailed)} == {ServerBusyError}
    assert len(road.told(SyncResumed)) == 1


async def test_a_network_that_is_away_is_a_stall_that_is_told_once_and_reported_when_it_is_back(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with device.follow():
            await road.timer.wait(10.0)
            lost_ms = road.world.clock.now_ms()
            road.quality.broken = 1.0
            road.hints.is_ended = road.hints.is_refused = True
            await order(device, road)
            await road.timer.wait(60 * MINUTE)
            (stalled,) = road.told(SyncStalled)
            assert abs(stalled.error.since_ms - lost_ms) < 61_000
            assert isinstance(stalled.error.cause, ServerUnreachableError)
            trouble = (await device.status()).trouble
            assert trouble is not None
            assert (trouble.code, trouble.failures > 5) == ("server_unreachable", True)
            assert trouble.next_try_ms is not None
            road.quality.broken = 0.0
            await road.timer.wait(6 * MINUTE)
            assert (await device.status()).trouble is None
            assert await device.outbox() == []

    await road.run(story)
    assert len(road.told(SyncResumed)) == 1
    async with road.world.database.read() as session:
        report = (await session.execute(DeviceReportModel.__table__.select())).one()
    assert report.outbox_count == 0


async def test_the_server_hears_of_a_stall(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with device.follow():
            await road.timer.wait(10.0)
            road.quality.broken = 1.0
            road.hints.is_ended = road.hints.is_refused = True
            await road.timer.wait(10 * MINUTE)
            road.quality.broken = 0.0
            while not road.told(SyncResumed):
                await road.timer.wait(1.0)

    await road.run(story)
    async with road.world.database.read() as session:
        report = (await session.execute(DeviceReportModel.__table__.select())).one()
    assert report.problem_code == "sync_stalled"


async def test_a_server_that_hangs_is_a_stall_and_is_let_go_of(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        async with device.follow(poll_seconds=20):
            await road.timer.wait(5.0)
            road.quality.is_hanging = True
            road.hints.is_ended = road.hints.is_refused = True
            await road.timer.wait(90.0)
            assert len(road.told(SyncStalled)) == 1, "three intervals after the last progress, before any timeout"
            assert [type(event.error) for event in road.told(SyncFailed)] == [SyncStalledError]
            road.quality.is_hanging = False
            await road.timer.wait(5 * MINUTE)
            assert len(road.told(SyncResumed)) == 1

    await road.run(story)


async def test_a_first_sync_on_a_slow_link_is_no_stall(sqlite_database: Database, tmp_path: Path) -> None:
    """Two minutes for one page, where thirty seconds without progress are a stall."""
    road = Road(await World.found(sqlite_database, small_company(products=40)), tmp_path)
    road.quality.bits_per_second = 800.0
    road.quality.delay_seconds = 2.0

    async def story(device: OrderClient) -> None:
        async with device.follow(poll_seconds=10):
            while not road.told(CheckpointReached):
                await road.timer.wait(10.0)
            assert road.timer.now_seconds() > 60
            assert len(await device.customers()) == 2

    await road.run(story)
    assert road.told(SyncStalled) == []
    assert road.told(SyncFailed) == []


async def test_a_body_that_is_too_large_is_halved_and_one_intent_that_is_goes_aside_and_is_told(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        await device.sync()
        for _ in range(20):
            await order(device, road)
        await order(device, road, lines=120, customer=1)  # in a lane of its own: the others need not wait for it
        for _ in range(20):
            await order(device, road)
        road.quality.body_bytes_max = 8_000
        report = await device.sync()
        assert len(report.verdicts) == 40
        (left,) = await device.outbox()
        assert left.attempts == 1
        assert [event.intent_id for event in road.told(IntentTooLarge)] == [left.intent_id]
        road.link.asked.clear()
        for _ in range(5):
            await device.sync()
        assert [path for _, path in road.link.asked].count("/sync/push") == 0, "it is not sent again and again"
        await road.timer.wait(25 * 3600.0)
        road.quality.body_bytes_max = None
        assert len((await device.sync()).verdicts) == 1

    await road.run(story)


async def test_a_push_that_times_out_is_smaller_next_time_and_grows_back(road: Road) -> None:
    async def story(device: OrderClient) -> None:
        await device.sync()
        for _ in range(32):
            await order(device, road)
        flow = device._engine.flow
        road.quality.is_hanging = True
        with pytest.raises(LinkTooSlowError):
            await device.sync()
        assert flow.intents.size == 16
        assert flow.rows.size == 25_000
        road.quality.is_hanging = False
        await device.sync()
        assert await device.outbox() == []
        assert flow.intents.size > 16

    await road.run(story)


async def test_a_device_newer_than_its_server_says_so_and_works_on(road: Road, monkeypatch: pytest.MonkeyPatch) -> None:
    """The real server, set to the version before: what a company has that updated its apps first."""

    async def story(device: OrderClient) -> None:
        await device.sync()
        for module in (devices, errors):
            monkeypatch.setattr(module, "PROTOCOL_VERSION", 1)
        await order(device, road)
        with pytest.raises(ServerTooOldError, match="protocol_not_served"):
            await device.sync()
        async with device.follow():
            await road.timer.wait(20 * MINUTE)
            await order(device, road)
            assert len(await device.outbox()) == 2
            assert len(await device.orders()) == 2
            assert {type(event.error) for event in road.told(SyncFailed)} == {ServerTooOldError}
            trouble = (await device.status()).trouble
            assert trouble is not None
            assert trouble.code == "protocol_not_served"
            monkeypatch.undo()
            await road.timer.wait(6 * MINUTE)
            assert await device.outbox() == []

    await road.run(story)
