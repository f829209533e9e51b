"""What `roadbook device` says of customers that were handed over: what went, and whose the orders were."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any
from uuid import UUID

import click
import pytest

from client_sdk import OrderClient
from client_sdk.cli_follow import event_text
from client_sdk.cli_orders import drafts, mend, orders
from client_sdk.cli_screen import Screen
from client_sdk.cli_sync import journal, sync
from client_sdk.errors import CustomerGoneError, ServerBusyError, UnknownRowError
from client_sdk.events import ScopeChanged
from client_sdk.replica_file import shown_path
from server.runtime.database import Database
from sync_protocol.entities.customers import Customer
from sync_protocol.rules.pricing.line_text import TypedLine
from sync_protocol.wire.messages import PushReply, PushRequest
from tests.client_sdk.test_damage import corrupt
from tests.support.faults import UnreportedEndpoint
from tests.support.management import Manager, managing
from tests.support.world import World

HOUR_MS = 3_600_000
GONE = "a customer that is not on this device any more"


@pytest.fixture
async def world(sqlite_database: Database) -> World:
    founded = await World.found(sqlite_database)
    await founded.change(Customer, founded.company.customers[0].id, name="Zonneweide")
    return founded


@pytest.fixture
async def manager(world: World) -> AsyncIterator[Manager]:
    async with managing(world) as opened:
        yield opened


async def says(capsys: pytest.CaptureFixture[str], command: click.Command, client: OrderClient, **arguments: Any) -> str:
    """What a command shows of this device."""
    capsys.readouterr()
    assert command.callback is not None
    await command.callback.__wrapped__(client, Screen(as_json=False), **arguments)  # type: ignore[attr-defined]  # functools.wraps sets it
    return capsys.readouterr().out


async def take(device: OrderClient, world: World, customer: int, quantity: int) -> UUID:
    draft = await device.draft_order(world.company.customers[customer].id)
    await draft.add_line(world.company.products[0].id, quantity)
    return (await draft.submit()).order.id


async def test_a_sync_says_what_it_removed_and_names_whose_the_orders_were(
    world: World, manager: Manager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        assert "removed" not in await says(capsys, sync, device)
        await take(device, world, 0, 12)
        await manager.move(0, 1, to=1, late_orders="honour")
        said = await says(capsys, sync, device)
        assert "submit order R1-000001 for Zonneweide" in said
        assert "SKU-0 Product 0: 12 ordered → 2 follow later" in said
        assert "Not yours any more, and removed from this device: 2 customers with all their orders; " in said
        assert "the office has the receipts for it" in said
        later = await says(capsys, journal, device, number="", limit=20)
        assert f"submit order R1-000001 for {GONE}" in later, "the name of a customer that was purged is kept nowhere"
        assert "SKU-0 Product 0: 12 ordered → 2 follow later" in later
        assert "removed" not in await says(capsys, sync, device)
        await manager.move(0, 1, to=0)
        assert (await device.sync()).lost == ()
        await manager.move(1, to=1)
        assert (await device.sync()).lost == (f"account:{world.company.customers[1].id.hex}",)


async def test_a_draft_that_came_back_says_whose_it_was(
    world: World, manager: Manager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        await manager.move(0, to=1, late_orders="refuse")
        world.clock.advance(HOUR_MS)
        order_id = await take(device, world, 0, 1)
        said = await says(capsys, sync, device)
        assert "submit order R1-000001 for Zonneweide" in said
        assert "customer C0 is served by Rep 1 (REP1) now" in said
        assert "customer C0 is served by Rep 1 (REP1) now" in await says(capsys, drafts, device, discard="")
        (before,) = await device.drafts()
        with pytest.raises(CustomerGoneError, match="pass it on to whoever serves the customer now"):
            await says(capsys, mend, device, number="R1-000001", lines=[TypedLine("SKU-1", 2)])
        for act in ((await device.draft(order_id)).submit, (await device.draft(order_id)).preview):
            with pytest.raises(CustomerGoneError):
                await act()
        assert await device.drafts() == [before]
        assert (await device.journal(subject_id=order_id))[0].customer_id == world.company.customers[0].id


async def test_the_journal_shows_what_to_pass_on_of_an_order_that_a_handover_refused(
    database: Database, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    world = await World.found(database)
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device, managing(world) as manager:
        await device.sync()
        await manager.move(0, to=1, late_orders="refuse")
        world.clock.advance(HOUR_MS)
        await take(device, world, 0, 12)
        await take(device, world, 1, 1)
        await device.sync()
        assert "roadbook device journal R1-000001" in await says(capsys, drafts, device, discard="")
        said = await says(capsys, journal, device, number="R1-000001", limit=20)
        assert "submit order R1-000001" in said
        assert "Pass it on to the new rep." in said
        assert ["SKU-0", "Product", "0", "12", "0.90", "EUR", "10.80", "EUR"] in [line.split() for line in said.splitlines()]
        assert "Total 10.80 EUR" in said
        assert "R1-000002" not in said
        with pytest.raises(UnknownRowError, match="no verdict of an order R1-000009 on this device"):
            await says(capsys, journal, device, number="R1-000009", limit=20)


class Unpushed(UnreportedEndpoint):
    """A server that is too busy for what is sent to it."""

    async def push(self, request: PushRequest) -> PushReply:
        raise ServerBusyError(503, "busy", f"no time for {len(request.intents)} intents")


async def test_an_order_that_waits_is_shown_though_its_customer_was_purged(
    world: World, manager: Manager, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        await take(device, world, 0, 1)
    await manager.move(0, to=1, late_orders="route")
    async with await world.open_device(path, wrap=Unpushed) as device:
        with pytest.raises(ServerBusyError):
            await says(capsys, sync, device)
        assert "removed from this device: 1 customer with all orders" in capsys.readouterr().out
        shown = await says(capsys, orders, device, number="R1-000001", customer="", status=None, limit=20)
        assert f"R1-000001 for {GONE}: submitted, waiting to be sent" in shown
    async with await world.open_device(path) as device:
        world.clock.advance(HOUR_MS)
        assert "submit order R1-000001" in await says(capsys, sync, device)


async def test_a_sync_mends_a_replica_that_is_too_damaged_to_tell_whose_what_waits_is(
    world: World, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        await take(device, world, 0, 1)
    replica = shown_path(path)
    assert replica is not None
    corrupt(replica, "customer")
    async with await world.open_device(path) as device:
        said = await says(capsys, sync, device)
        assert "submit order R1-000001" in said
        assert "Everything was fetched anew" in said


def test_one_that_follows_is_told_what_was_removed_and_not_what_came() -> None:
    lost = ScopeChanged((), ("account:00", "account:01", "stock:00", "number:00"))
    said = "Not yours any more, and removed from this device: 2 customers with all their orders, 1 location's stock."
    assert event_text(lost) == said
    assert event_text(ScopeChanged(("account:00",), ())) == ""
    restored = ScopeChanged((), ("account:00",), is_restored=True)
    assert event_text(restored) == (
        "Removed from this device: 1 customer with all orders; the server was restored from a backup and does not have them, or "
        "not yet, or they are not yours any more."
    )
