"""Copies of a device's file, restored files, and two devices that want different things of one order."""

import asyncio
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from client_sdk.events import DeviceRenewed, Event
from server.runtime.database import Database
from sync_protocol.entities.orders import OrderStatus
from sync_protocol.verdicts import Code, Outcome
from tests.processes.books import ask, ask_device, check_log, check_money_and_stock, check_verdicts, replica_differences
from tests.processes.wire import EndpointFor, enrol_over_http, open_over_http, over_http, submit
from tests.support.device_files import copy_device
from tests.support.world import World


@pytest.fixture
async def world(database: Database) -> World:
    return await World.found(database)


@pytest.fixture
def endpoint_for(world: World) -> EndpointFor:
    return over_http(world)


async def check_books(world: World, *paths: Path) -> None:
    for path in paths:
        assert await replica_differences(world.database, path, world.company.reps[0].id) == []
    await check_verdicts(world.database, [], paths)
    await check_money_and_stock(world.database)
    await check_log(world.database)


async def numbers(world: World) -> list[str]:
    return [number for (number,) in await ask(world.database, "SELECT number FROM sales_order ORDER BY number")]


async def test_a_copy_of_a_device_becomes_a_device_of_its_own_and_keeps_its_orders(
    world: World, endpoint_for: EndpointFor, tmp_path: Path
) -> None:
    original, copy = tmp_path / "original.db", tmp_path / "copy.db"
    async with await enrol_over_http(world, "rep0", original, endpoint_for) as device:
        await device.sync()
        await submit(device, world, 0, (0, 1))
        await device.sync()
    copy_device(original, copy)
    events: list[Event] = []
    async with (
        await open_over_http(world, original, endpoint_for) as first,
        await open_over_http(world, copy, endpoint_for) as second,
    ):
        second.subscribe(events.append)
        same = {await submit(first, world, 0, (1, 2)), await submit(second, world, 1, (2, 3))}
        assert same == {"R1-000002"}
        await first.sync()
        report = await second.sync()
        assert [event for event in events if isinstance(event, DeviceRenewed)] == [DeviceRenewed("R2")]
        assert report.verdicts[0].verdict.outcome is Outcome.ACCEPTED_WITH_CHANGES
        assert report.verdicts[0].verdict.codes == (Code.NUMBER_CHANGED,)
        assert await submit(second, world, 0, (0, 1)) == "R2-000001"
        assert await submit(first, world, 0, (0, 1)) == "R1-000003"
        for device in (second, first, second, first):
            await device.sync()
        one, two = await first.status(), await second.status()
        assert one.identity is not None
        assert two.identity is not None
        assert one.identity.device_id != two.identity.device_id
        assert one.identity.token != two.identity.token
    assert await numbers(world) == ["R1-000001", "R1-000002", "R1-000002-2", "R1-000003", "R2-000001"]
    assert await ask(world.database, "SELECT count(*) FROM device WHERE forked_from_id IS NOT NULL") == [(1,)]
    await check_books(world, original, copy)


async def test_a_device_copied_with_orders_in_its_outbox_has_each_order_once(
    world: World, endpoint_for: EndpointFor, tmp_path: Path
) -> None:
    original, copy = tmp_path / "original.db", tmp_path / "copy.db"
    async with await enrol_over_http(world, "rep0", original, endpoint_for) as device:
        await device.sync()
        for product in range(3):
            await submit(device, world, 0, (product, 4))
    copy_device(original, copy)
    async with (
        await open_over_http(world, original, endpoint_for) as first,
        await open_over_http(world, copy, endpoint_for) as second,
    ):
        await asyncio.gather(first.sync(), second.sync())
        for device in (first, second):
            await device.sync()
    verdicts = "SELECT intent_id, verdict FROM journal ORDER BY intent_id"
    assert ask_device(original, verdicts) == ask_device(copy, verdicts)
    assert await numbers(world) == ["R1-000001", "R1-000002", "R1-000003"]
    await check_books(world, original, copy)


async def test_a_draft_that_was_copied_is_ordered_once(world: World, endpoint_for: EndpointFor, tmp_path: Path) -> None:
    original, copy = tmp_path / "original.db", tmp_path / "copy.db"
    async with await enrol_over_http(world, "rep0", original, endpoint_for) as device:
        await device.sync()
        draft = await device.draft_order(world.company.customers[0].id)
        await draft.add_line(world.company.products[0].id, 2)
    copy_device(original, copy)
    outcomes = []
    for path in (original, copy):
        async with await open_over_http(world, path, endpoint_for) as device:
            (open_draft,) = await device.drafts()
            await (await device.draft(open_draft.order_id)).submit()
            report = await device.sync()
            outcomes += [(entry.verdict.outcome, entry.verdict.codes) for entry in report.verdicts]
    assert outcomes == [(Outcome.ACCEPTED, ()), (Outcome.REJECTED, (Code.ORDER_EXISTS,))]
    assert await numbers(world) == ["R1-000001"]


@pytest.mark.parametrize("restore", [shutil.copyfile, copy_device], ids=["its own file alone", "all its files"])
async def test_a_device_restored_from_an_older_copy_loses_nothing_though_it_uses_its_numbers_again(
    world: World, endpoint_for: EndpointFor, tmp_path: Path, restore: Callable[[Path, Path], object]
) -> None:
    path, backup = tmp_path / "device.db", tmp_path / "backup.db"
    async with await enrol_over_http(world, "rep0", path, endpoint_for) as device:
        await device.sync()
    copy_device(path, backup)
    async with await open_over_http(world, path, endpoint_for) as device:
        before = [await submit(device, world, 0, (product, 1)) for product in range(3)]
        await device.sync()
    restore(backup, path)
    async with await open_over_http(world, path, endpoint_for) as device:
        after = [await submit(device, world, 1, (product, 1)) for product in range(2)]
        assert after == before[:2]
        report = await device.sync()
        assert all(entry.verdict.codes == (Code.NUMBER_CHANGED,) for entry in report.verdicts)
        assert await submit(device, world, 0, (0, 1)) == "R2-000001"
        await device.sync()
        shown = {view.order.number for view in await device.orders()}
    assert await numbers(world) == ["R1-000001", "R1-000001-2", "R1-000002", "R1-000002-2", "R1-000003", "R2-000001"]
    assert shown == set(await numbers(world))
    await check_books(world, path)


@pytest.mark.parametrize("first", ["amend", "cancel", "both at once"])
async def test_of_an_amendment_and_a_cancellation_from_two_devices_both_are_told_the_truth(
    world: World, endpoint_for: EndpointFor, tmp_path: Path, first: str
) -> None:
    paths = tmp_path / "one.db", tmp_path / "two.db"
    async with (
        await enrol_over_http(world, "rep0", paths[0], endpoint_for) as amender,
        await enrol_over_http(world, "rep0", paths[1], endpoint_for) as canceller,
    ):
        await amender.sync()
        number = await submit(amender, world, 0, (0, 3))
        await amender.sync()
        await canceller.sync()
        order = (await canceller.order(number)).order
        await amender.amend_order(order.id, [(world.company.products[0].id, 5), (world.company.products[1].id, 2)])
        await canceller.cancel_order(order.id, reason="a mistake")
        turns = {"amend": [amender, canceller], "cancel": [canceller, amender]}.get(first)
        if turns is None:
            await asyncio.gather(amender.sync(), canceller.sync())
        for device in turns or ():
            await device.sync()
        amended, cancelled = [(await device.journal(limit=1))[0].verdict for device in (amender, canceller)]
        assert cancelled.outcome is Outcome.ACCEPTED
        assert amended.outcome is Outcome.ACCEPTED or amended.codes == (Code.ORDER_STATE_FORBIDS,)
        for device in (amender, canceller):
            await device.sync()
            assert (await device.order(number)).order.status is OrderStatus.CANCELLED
        assert await ask(world.database, "SELECT sum(allocated) FROM stock_level") == [(0,)]
    await check_books(world, *paths)


async def test_two_amendments_of_one_revision_are_not_both_taken(world: World, endpoint_for: EndpointFor, tmp_path: Path) -> None:
    paths = tmp_path / "one.db", tmp_path / "two.db"
    async with (
        await enrol_over_http(world, "rep0", paths[0], endpoint_for) as one,
        await enrol_over_http(world, "rep0", paths[1], endpoint_for) as two,
    ):
        await one.sync()
        number = await submit(one, world, 0, (0, 3))
        await one.sync()
        await two.sync()
        order = (await two.order(number)).order
        for device, quantity in ((one, 4), (two, 5)):
            await device.amend_order(order.id, [(world.company.products[0].id, quantity)])
        await asyncio.gather(one.sync(), two.sync())
        verdicts = [(await device.journal(limit=1))[0].verdict for device in (one, two)]
        codes = sorted(str(verdict.codes[0]) if verdict.codes else "" for verdict in verdicts)
        assert codes == ["", str(Code.ORDER_CHANGED_MEANWHILE)]
        for device in (one, two):
            await device.sync()
            assert (await device.order(number)).order.revision == 1
    await check_books(world, *paths)
