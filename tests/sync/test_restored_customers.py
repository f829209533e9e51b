"""The server was restored and does not have customers that devices hold: whether they are lost is known when all have synced."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from functools import partial
from pathlib import Path
from uuid import UUID

import pytest
import sqlalchemy as sa

from client_sdk import NewCustomer, OrderClient, receipts
from client_sdk.cli_sync import journal, sync
from client_sdk.errors import ServerBusyError, ServerUnreachableError
from client_sdk.events import Event, ScopeChanged
from client_sdk.state import Doubted, load
from client_sdk.transport import HttpEndpoint
from server.customers.models import RepTerritoryModel
from server.runtime.database import Database
from server.runtime.rows import table_of
from sync_protocol.entities.catalog import Product
from sync_protocol.entities.customers import Address, Contact, Customer
from sync_protocol.verdicts import Outcome
from sync_protocol.wire.endpoint import SyncEndpoint
from sync_protocol.wire.messages import PullRequest
from tests.client_sdk.test_cli_handover import Unpushed, says
from tests.client_sdk.test_receipts import works
from tests.support.device_files import copy_device
from tests.support.faults import FaultyEndpoint, KilledError, bury, kill_before_statement
from tests.support.world import World
from tests.sync.test_restore import forget_orders, restore
from tests.sync.test_restore_by_hand import head_of, know_again, put_back

Restore = Callable[..., Awaitable[None]]


async def as_told(world: World, _head: int, *_devices: OrderClient) -> None:
    await restore(world)


async def by_hand(world: World, head: int, *devices: OrderClient) -> None:
    await put_back(world, after=head)
    for device in devices:
        await know_again(world, device)


RESTORES = (as_told, by_hand)


async def create(device: OrderClient, world: World) -> UUID:
    territory = world.company.territories[0].id
    new = NewCustomer(name="Nieuw", street="S", postal_code="1", city="C", country="NL", contact_name="N", territory_id=territory)
    return (await device.create_customer(new)).id


async def forget_customer(world: World, customer_id: UUID) -> None:
    async with world.database.write() as session:
        for kind, column in ((Contact, "customer_id"), (Address, "customer_id"), (Customer, "id")):
            table = table_of(kind)
            await session.execute(sa.delete(table).where(table.c[column] == customer_id))
        await session.execute(sa.text("DELETE FROM intent_record"))


async def erased(world: World) -> dict[str, int]:
    async with world.database.read() as session:
        rows = await session.execute(sa.text("SELECT bucket, rows FROM purge_receipt"))
        return {row.bucket: row.rows for row in rows}


async def share_territory(world: World) -> None:
    """The second rep serves the first one's territory, too."""
    async with world.database.write() as session:
        session.add(RepTerritoryModel(rep_id=world.company.reps[1].id, territory_id=world.company.territories[0].id))


async def made_and_forgotten(world: World, put: Restore, maker: OrderClient, *others: OrderClient) -> UUID:
    """A customer that one device made and that all of these hold, and that a restore of the server made it forget."""
    for device in others or (maker,):
        await device.sync()
    head = await head_of(world)
    made = await create(maker, world)
    for device in (maker, *others):
        await device.sync()
    await forget_customer(world, made)
    await put(world, head, maker, *others)
    return made


def lost(events: list[Event]) -> list[tuple[tuple[str, ...], bool]]:
    return [(event.lost, event.is_restored) for event in events if isinstance(event, ScopeChanged) and event.lost]


@pytest.mark.parametrize("put", RESTORES)
async def test_a_customer_that_is_created_again_was_never_lost(world: World, tmp_path: Path, put: Restore) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        made = await made_and_forgotten(world, put, device)
        events: list[Event] = []
        device.subscribe(events.append)
        report = await device.sync()
        assert [entry.verdict.outcome for entry in report.verdicts] == [Outcome.ACCEPTED]
        assert (report.lost, lost(events)) == ((), [])
        assert (await device.customer(made)).name == "Nieuw"
        assert device._store.read_now(receipts.count) == 0
        assert await erased(world) == {}
        await world.change(Customer, made, territory_id=world.company.territories[1].id)
        await device.sync()
        assert lost(events) == [((f"account:{made.hex}",), False)]
        assert await erased(world) == {f"account:{made.hex}": 3}


@pytest.mark.parametrize("put", RESTORES)
async def test_a_customer_that_was_handed_over_has_its_receipt_when_its_creation_is_answered_again(
    world: World, tmp_path: Path, put: Restore
) -> None:
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        head = await head_of(world)
        made = await create(device, world)
        await device.sync()
        events: list[Event] = []
        device.subscribe(events.append)
        await put(world, head, device)
        await world.change(Customer, made, territory_id=world.company.territories[1].id)
        await device.sync()
        assert [buckets for buckets, _ in lost(events)] == [(f"account:{made.hex}",)]
        assert await erased(world) == {f"account:{made.hex}": 3}
        assert await device.customers("Nieuw") == []


@pytest.mark.parametrize("put", RESTORES)
async def test_a_customer_whose_new_creation_is_rejected_is_lost_by_the_restore(
    world: World, tmp_path: Path, put: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """It may be anybody's: the user is not told that it is not theirs any more."""
    async with await world.enrolled_device("rep0", tmp_path / "device.db") as device:
        await device.sync()
        head = await head_of(world)
        made = await create(device, world)
        await device.sync()
        await forget_customer(world, made)
        await put(world, head, device)
        await works(world, 1)
        events: list[Event] = []
        device.subscribe(events.append)
        said = " ".join((await says(capsys, sync, device)).split())
        assert "REJECTED create customer Nieuw" in said
        assert "create customer Nieuw" in " ".join((await says(capsys, journal, device, number="", limit=20)).split())
        assert ((f"account:{made.hex}",), True) in lost(events)
        assert not [buckets for buckets, is_restored in lost(events) if f"account:{made.hex}" in buckets and not is_restored]
        assert "Not yours any more, and removed from this device: 1 customer" not in said
        assert (await erased(world))[f"account:{made.hex}"] == 3
        assert device._store.read_now(load, Doubted) == Doubted({})


@pytest.mark.parametrize("put", RESTORES)
async def test_an_order_that_a_restored_server_knows_no_customer_for_is_told_with_its_name(
    world: World, tmp_path: Path, put: Restore, capsys: pytest.CaptureFixture[str]
) -> None:
    """Another device created the customer, and may never sync again."""
    await share_territory(world)
    one = await world.enrolled_device("rep0", tmp_path / "one.db")
    other = await world.enrolled_device("rep1", tmp_path / "other.db")
    async with one, other:
        await other.sync()
        head = await head_of(world)
        made = await create(one, world)
        await one.sync()
        await world.change(Customer, made, price_list_id=world.company.customers[0].price_list_id)
        await other.sync()
        draft = await other.draft_order(made)
        await draft.add_line(world.company.products[0].id, 1)
        await draft.submit()
        await other.sync()
        await forget_orders(world)
        await forget_customer(world, made)
        await put(world, head, one, other)
        said = " ".join((await says(capsys, sync, other)).split())
        assert "REJECTED submit order R2-000001 for Nieuw" in said


@pytest.mark.parametrize("put", RESTORES)
async def test_another_rep_is_told_that_a_restored_server_does_not_have_a_customer_yet(
    world: World, tmp_path: Path, put: Restore
) -> None:
    await share_territory(world)
    one = await world.enrolled_device("rep0", tmp_path / "one.db")
    other = await world.enrolled_device("rep1", tmp_path / "other.db")
    async with one, other:
        made = await made_and_forgotten(world, put, one, other)
        events: list[Event] = []
        other.subscribe(events.append)
        await other.sync()
        assert lost(events) == [((f"account:{made.hex}",), True)]
        assert await erased(world) == {f"account:{made.hex}": 3}, "the rows are gone from its files all the same"
        await one.sync()
        await other.sync()
        assert (await other.customer(made)).name == "Nieuw"
        assert len(lost(events)) == 1


@pytest.mark.parametrize("put", RESTORES)
async def test_a_kill_at_any_statement_leaves_a_customer_that_is_created_again_without_a_receipt(
    sqlite_database: Database, tmp_path: Path, put: Restore
) -> None:
    world = await World.found(sqlite_database)
    # Through HTTP: what was offered again before the kill is pushed first then, and the device is told to pull.
    over_http = partial(HttpEndpoint, transport=world.http_transport())
    opened = partial(OrderClient.open, tmp_path / "device.db", clock=world.clock, endpoint_for=over_http, inline=True)
    async with await world.enrolled_device("rep0", tmp_path / "synced.db") as device:
        await device.sync()
        head = await head_of(world)
        made = await create(device, world)
        await device.sync()
    for countdown in range(1, 2_000, 31):
        copy_device(tmp_path / "synced.db", tmp_path / "device.db")
        await forget_customer(world, made)
        device = await opened()
        await put(world, head, device)
        kill_before_statement(device, countdown)
        try:
            await device.sync()
            is_over = True
        except KilledError:
            is_over = False
        bury(device)
        async with await opened() as device:
            assert (await device.sync()).is_restored is not is_over, countdown
            assert not (await device.sync()).is_restored
            assert (await device.customer(made)).name == "Nieuw"
            assert device._store.read_now(receipts.count) == 0
            assert device._store.read_now(load, Doubted) in (None, Doubted({}))
        assert await erased(world) == {}, countdown
        if is_over:
            return
    raise AssertionError("the sync never came to an end")


@pytest.mark.parametrize("put", RESTORES)
async def test_a_kill_at_any_statement_leaves_it_said_that_the_server_was_restored(
    sqlite_database: Database, tmp_path: Path, put: Restore
) -> None:
    """Of a customer that another device creates again it is not said that it is not this user's any more."""
    world = await World.found(sqlite_database)
    await share_territory(world)
    one = await world.enrolled_device("rep0", tmp_path / "one.db")
    other = await world.enrolled_device("rep1", tmp_path / "synced.db")
    async with one, other:
        await made_and_forgotten(world, put, one, other)
    for countdown in range(1, 2_000, 13):
        copy_device(tmp_path / "synced.db", tmp_path / "device.db")
        events: list[Event] = []
        device = await world.open_device(tmp_path / "device.db")
        device.subscribe(events.append)
        kill_before_statement(device, countdown)
        try:
            is_over = (await device.sync()).is_restored
        except KilledError:
            is_over = False
        bury(device)
        async with await world.open_device(tmp_path / "device.db") as device:
            device.subscribe(events.append)
            assert (await device.sync()).is_restored is not is_over, countdown
        assert all(is_restored for _, is_restored in lost(events)), countdown
        if is_over:
            return
    raise AssertionError("the sync never came to an end")


async def test_a_customer_stays_in_doubt_while_the_server_has_no_time_for_its_creation(world: World, tmp_path: Path) -> None:
    path = tmp_path / "device.db"
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        made = await create(device, world)
        await device.sync()
    await forget_customer(world, made)
    await restore(world)
    events: list[Event] = []
    async with await world.open_device(path, wrap=Unpushed) as device:
        device.subscribe(events.append)
        for _ in range(3):
            with pytest.raises(ServerBusyError):
                await device.sync()
    async with await world.open_device(path) as device:
        device.subscribe(events.append)
        await device.sync()
        assert (await device.customer(made)).name == "Nieuw"
    assert (lost(events), await erased(world)) == ([], {})


async def refuse_push_once_restored(world: World, path: Path) -> None:
    await restore(world)
    async with await world.open_device(path, wrap=Unpushed) as device:
        with pytest.raises(ServerBusyError):
            await device.sync()


async def made_and_in_doubt(world: World, path: Path) -> UUID:
    """A customer that this device made, and that a restored server had no time to create again."""
    async with await world.enrolled_device("rep0", path) as device:
        await device.sync()
        made = await create(device, world)
        await device.sync()
    await forget_customer(world, made)
    await refuse_push_once_restored(world, path)
    return made


async def test_a_doubt_of_before_another_restore_ends_with_its_receipt(world: World, tmp_path: Path) -> None:
    """The replica that the second restore takes does not hold the customer: only the doubt knows of it."""
    path = tmp_path / "device.db"
    made = await made_and_in_doubt(world, path)
    await refuse_push_once_restored(world, path)
    await works(world, 1)
    async with await world.open_device(path) as device:
        assert [entry.verdict.outcome for entry in (await device.sync()).verdicts] == [Outcome.REJECTED]
    assert (await erased(world))[f"account:{made.hex}"] == 3


class Unpulled(FaultyEndpoint):
    """A server whose pages are lost."""

    def __init__(self, inner: SyncEndpoint) -> None:
        super().__init__(inner, [], random.Random(1), [])

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        raise ServerUnreachableError("test", f"the page for {request.device_id} is lost")
        yield b""


class Overtaken(Unpushed):
    """A wire on which `meanwhile` happens after the server has made a page, and before that arrives."""

    meanwhile: Callable[[], Awaitable[None]] | None = None

    async def pull(self, request: PullRequest) -> AsyncIterator[bytes]:
        body = b"".join([piece async for piece in super().pull(request)])
        meanwhile, self.meanwhile = self.meanwhile, None
        if meanwhile is not None:
            await meanwhile()
        yield body


async def test_a_creation_that_another_program_had_accepted_meanwhile_is_waited_for(world: World, tmp_path: Path) -> None:
    """The page is of before the acceptance, and the outbox has the creation no more."""
    path = tmp_path / "device.db"
    made = await made_and_in_doubt(world, path)

    async def push_in_another_program() -> None:
        async with await world.open_device(path, wrap=Unpulled) as other:
            with pytest.raises(ServerUnreachableError):
                await other.sync()
            assert [entry.verdict.outcome for entry in await other.journal()] == [Outcome.ACCEPTED]

    def overtaken(inner: SyncEndpoint) -> SyncEndpoint:
        wire = Overtaken(inner)
        wire.meanwhile = push_in_another_program
        return wire

    await world.change(Product, world.company.products[0].id, name="Anders")
    async with await world.open_device(path, wrap=overtaken) as device:
        with pytest.raises(ServerBusyError):
            await device.sync()
        assert (await device.product("SKU-0")).name == "Anders"
        assert await device.customers("Nieuw") != [], "it is shown as accepted"
        assert device._store.read_now(receipts.count) == 0
    async with await world.open_device(path) as device:
        await device.sync()
        assert (await device.customer(made)).name == "Nieuw"
        assert device._store.read_now(load, Doubted) == Doubted({})
    assert await erased(world) == {}
